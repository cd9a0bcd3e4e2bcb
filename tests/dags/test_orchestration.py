"""The decisions behind the wiring, without Airflow."""

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from posrecon.errors import BadLine, LayoutError, NightError, UsageError
from posrecon.files import write_json
from posrecon.orchestration import (
    ReceivedFile,
    describe_failure,
    model_table,
    read_run_results,
    replay_range,
    require_earlier_nights_published,
    run_date_of,
    share_label,
    share_out,
    sweep_folder,
)
from posrecon.settings import Settings


def test_run_date__logical_date_22_30_shanghai__is_the_local_date() -> None:
    assert run_date_of(datetime(2026, 11, 12, 14, 30, tzinfo=UTC), None, zone="Asia/Shanghai") == date(
        2026, 11, 12
    )


def test_run_date__instant_after_local_midnight__is_the_next_local_date() -> None:
    assert run_date_of(datetime(2026, 11, 12, 16, 0, tzinfo=UTC), None, zone="Asia/Shanghai") == date(
        2026, 11, 13
    )


def test_run_date__parameter_given__wins_over_the_logical_date() -> None:
    given = run_date_of(datetime(2026, 11, 12, 14, 30, tzinfo=UTC), "2026-10-01", zone="Asia/Shanghai")
    assert given == date(2026, 10, 1)


@pytest.mark.parametrize("param", [None, "", "yesterday"])
def test_run_date__nothing_that_names_a_date__is_refused_with_the_next_step(param: str | None) -> None:
    with pytest.raises(UsageError) as refused:
        run_date_of(None, param, zone="Asia/Shanghai")
    assert "rigger" in refused.value.next_step


def test_share_out__a_thousand_small_files_and_a_large_one__bounded_tasks_each_file_once() -> None:
    files = [ReceivedFile("large", "large.csv", 10_000)]
    files += [ReceivedFile(f"{n:04d}", f"{n}.txt", 10) for n in range(1000)]
    shares = share_out(files, [file.file_id for file in files])
    assert len(shares) == 8
    assert sorted(file_id for share in shares for file_id in share) == sorted(f.file_id for f in files)
    assert shares[0] == ["large"]
    assert max(len(share) for share in shares[1:]) - min(len(share) for share in shares[1:]) <= 1


def test_share_out__other_order_of_the_same_files__same_shares() -> None:
    files = [ReceivedFile(str(n), f"{n}.txt", n % 3) for n in range(30)]
    ids = [file.file_id for file in files]
    assert share_out(files, ids) == share_out(files[::-1], ids[::-1])


def test_share_out__nothing_to_parse__no_task() -> None:
    assert share_out([], []) == []


def test_share_label__several_files__names_one_and_counts_the_rest() -> None:
    files = [ReceivedFile("1", "a.csv", 1), ReceivedFile("2", "b.csv", 1)]
    assert share_label(files, ["1"]) == "a.csv"
    assert share_label(files, ["2", "1"]) == "b.csv + 1 more"


def received(settings: Settings, night: str) -> None:
    (settings.archive / "receipts" / f"run_date={night}").mkdir(parents=True)


def published(settings: Settings, night: str) -> None:
    write_json(settings.published / "nights" / f"{night}.json", {})


def test_earlier_nights__one_received_and_not_published__is_named(settings: Settings) -> None:
    for night in ("2026-11-12", "2026-11-13"):
        received(settings, night)
    published(settings, "2026-11-12")
    with pytest.raises(NightError, match="2026-11-13") as refused:
        require_earlier_nights_published(settings, date(2026, 11, 14))
    assert "clear" in refused.value.next_step


def test_earlier_nights__all_published_and_tonight_received__may_run(settings: Settings) -> None:
    for night in ("2026-11-12", "2026-11-13"):
        received(settings, night)
    published(settings, "2026-11-12")
    require_earlier_nights_published(settings, date(2026, 11, 13))


def test_describe_failure__many_bad_lines__shows_the_first_and_points_to_all() -> None:
    error = LayoutError(
        "f.csv: 30 lines", bad_lines=tuple(BadLine(n, "short") for n in range(1, 31)), next_step="Ask."
    )
    text = describe_failure(error, task="parse[0]", run_date=date(2026, 11, 12)).splitlines()
    assert text[2:4] == ["  line 1: short", "  line 2: short"]
    assert text[-2:] == ["  … and 10 more; the quarantine lists every line.", "Next step: Ask."]


def test_describe_failure__unforeseen_error__names_its_type_where_and_what_to_do() -> None:
    error = OSError("disk full")
    error.add_note("file a.csv")
    text = describe_failure(error, task="publish", run_date=None)
    assert "What: OSError: disk full\nWhere: file a.csv\n" in text
    assert "clear this task" in text


def test_model_table__one_model_one_good_and_one_failed_test__bad_test_is_named(tmp_path: Path) -> None:
    results = [
        {
            "unique_id": "model.posrecon.fct_files",
            "status": "success",
            "execution_time": 1.5,
            "adapter_response": {},
        },
        {"unique_id": "test.posrecon.good.1", "status": "pass", "execution_time": 0.25, "failures": 0},
        {"unique_id": "test.posrecon.lost.2", "status": "fail", "execution_time": 0.5, "failures": 2},
    ]
    path = tmp_path / "run_results.json"
    path.write_text(json.dumps({"results": results}), encoding="utf-8")
    assert model_table(read_run_results(path)).splitlines() == [
        " seconds  status         rows  node",
        "    1.50  success              fct_files",
        "    0.50  fail              2  lost.2",
        "    0.75  1 of 2 data tests passed",
    ]


@pytest.mark.parametrize(("first", "last"), [("2026-11-13", "2026-11-12"), ("x", "2026-11-12")])
def test_replay_range__no_range__is_refused(first: str, last: str) -> None:
    with pytest.raises(UsageError):
        replay_range(first, last)


def test_replay_range__one_night__is_a_range() -> None:
    assert replay_range("2026-11-12", "2026-11-12") == (date(2026, 11, 12), date(2026, 11, 12))


def test_sweep_folder__old_and_new_files__only_the_old_one_goes(tmp_path: Path) -> None:
    old, new = tmp_path / "duckdb" / "old.tmp", tmp_path / "new.tmp"
    old.parent.mkdir()
    for path, at in ((old, 1_000), (new, 3_000)):
        path.write_text("x")
        os.utime(path, (at, at))
    assert sweep_folder(tmp_path, before=datetime.fromtimestamp(2_000, UTC)) == [old]
    assert not old.exists()
    assert new.exists()
