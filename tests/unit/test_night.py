import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from posrecon.errors import NightError, UsageError
from posrecon.night import (
    STEPS,
    NightSummary,
    WaitingFile,
    check_may_run,
    relocate,
    replay,
    run_night,
    waiting_files,
)
from posrecon.settings import Settings
from posrecon.warehouse.connection import night_lock
from posrecon.warehouse.manifests import Manifest, previous_night, published_digest, write_manifest

NIGHT_1, NIGHT_2, NIGHT_3 = date(2026, 11, 12), date(2026, 11, 13), date(2026, 11, 16)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def published(settings: Settings, *nights: date) -> None:
    for night in nights:
        write_manifest(settings, Manifest(night, None, {}, {}, {"file_problems": []}))


def received(settings: Settings, *nights: date) -> None:
    for night in nights:
        folder = settings.archive / "receipts" / f"run_date={night}"
        folder.mkdir(parents=True)
        receipt = {"file_no": 1, "file_id": "aa", "run_date": str(night), "file_name": "a.csv", "bytes": 1}
        (folder / "00000001.json").write_text(json.dumps(receipt), encoding="utf-8")


def test_steps__only_those_from_expose_on_need_the_warehouse() -> None:
    assert [step.name for step in STEPS] == [
        "receive", "parse", "register", "expose", "staging", "intermediate", "marts", "validate", "publish",
    ]  # fmt: skip
    assert [step.writes_warehouse for step in STEPS] == [False] * 3 + [True] * 6


def test_night__a_later_night_is_published__is_refused_and_points_to_replay(settings: Settings) -> None:
    published(settings, NIGHT_1, NIGHT_2)

    with pytest.raises(UsageError, match="2026-11-12 cannot run alone") as caught:
        run_night(settings, NIGHT_1)

    assert "posrecon replay --from 2026-11-12" in caught.value.next_step


def test_night__its_own_manifest_stands__may_run_again(settings: Settings) -> None:
    published(settings, NIGHT_1)

    check_may_run(settings, NIGHT_1)
    check_may_run(settings, NIGHT_2)


def test_night__an_earlier_night_received_files_and_failed__is_refused(settings: Settings) -> None:
    published(settings, NIGHT_1)
    received(settings, NIGHT_2)

    with pytest.raises(NightError, match="2026-11-13 received files"):
        check_may_run(settings, NIGHT_3)


def test_night__a_replay_stopped_half_way__must_be_finished_first(settings: Settings) -> None:
    published(settings, NIGHT_1)
    (settings.published / "replay.json").write_text(
        '{"from": "2026-11-12", "to": "2026-11-13"}', encoding="utf-8"
    )

    with pytest.raises(UsageError, match="stopped half-way") as caught:
        check_may_run(settings, NIGHT_2)

    assert "posrecon replay --from 2026-11-12" in caught.value.next_step


def test_night__another_one_is_at_work__says_which_process(settings: Settings) -> None:
    code = (
        "import sys; from pathlib import Path; from posrecon.settings import Settings; "
        "from posrecon.warehouse.connection import night_lock\n"
        f"with night_lock(Settings(home=Path({str(settings.home)!r}))): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(UsageError, match=rf"another night is at work \(process {holder.pid}\)"):
            run_night(settings, NIGHT_1)

        holder.kill()
        holder.wait()
    with night_lock(settings):
        pass  # the lock went with the killed process


def test_previous_night__is_the_greatest_published_one_before(settings: Settings) -> None:
    published(settings, NIGHT_1, NIGHT_3)

    assert previous_night(settings, NIGHT_1) is None
    assert previous_night(settings, NIGHT_3) == NIGHT_1
    assert previous_night(settings, date(2026, 11, 20)) == NIGHT_3


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (NIGHT_1, NIGHT_2, "would leave the night 2026-11-16 on an outdated state"),
        (
            date(2026, 12, 1),
            None,
            "No night from 2026-12-01 is there to rebuild; the archive is 2026-11-12 to",
        ),
    ],
)
def test_replay__range_that_does_not_hold_together__is_refused(
    settings: Settings, first: date, last: date | None, message: str
) -> None:
    published(settings, NIGHT_1, NIGHT_2, NIGHT_3)

    with pytest.raises(UsageError, match=message):
        replay(settings, first, last)


def test_replay__empty_home_from_the_middle_of_the_archive__is_refused(settings: Settings) -> None:
    received(settings, NIGHT_1, NIGHT_2)

    with pytest.raises(UsageError, match="2026-11-12 received files and is not published"):
        replay(settings, NIGHT_2)


def test_replay__an_unfinished_one_began_earlier__must_begin_there_again(settings: Settings) -> None:
    published(settings, NIGHT_1, NIGHT_2, NIGHT_3)
    (settings.published / "replay.json").write_text(
        '{"from": "2026-11-12", "to": "2026-11-16"}', encoding="utf-8"
    )

    with pytest.raises(UsageError, match="replay from 2026-11-12 stopped half-way"):
        replay(settings, NIGHT_2)


@pytest.mark.parametrize(("problems", "code"), [([], 0), ([{"state": "missing"}], 3)])
def test_summary__file_missing_or_refused__is_exit_code_3(problems: list[dict[str, str]], code: int) -> None:
    summary = NightSummary(NIGHT_1, {"file_problems": problems}, "d", "n", {}, {})

    assert summary.exit_code == code
    assert summary.as_dict()["exit_code"] == code


def test_published_digest__changes_with_any_file_of_any_night(settings: Settings) -> None:
    from posrecon.warehouse.manifests import Partition

    digests = set()
    for sha in ("a" * 64, "b" * 64):
        part = Partition("tables/t/x.parquet", 1, sha, ("c",))
        write_manifest(settings, Manifest(NIGHT_1, None, {"t": part}, {}, {}))
        digests.add(published_digest(settings))
    published(settings, NIGHT_2)

    assert len(digests) == 2
    assert published_digest(settings) in digests  # a night without tables adds nothing


def test_waiting__says_which_night_reads_an_early_file__and_what_is_unfinished(settings: Settings) -> None:
    for name in (
        "unionpay/INN26111388ZM_898310058120001",
        "bank/statement.sta.part",
        "reference/merchants.csv",
    ):
        path = settings.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert waiting_files(settings, NIGHT_2) == (
        WaitingFile("bank", "statement.sta.part", "unfinished", None, None),
        WaitingFile("reference", "merchants.csv", "due", None, None),
        WaitingFile(
            "unionpay", "INN26111388ZM_898310058120001", "early", date(2026, 11, 13), date(2026, 11, 14)
        ),
    )


def test_waiting__the_inbox_cannot_be_listed__does_not_spoil_a_good_night(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: object) -> None:
        raise FileNotFoundError("taken away")

    monkeypatch.setattr("posrecon.landing.inbox.scan_inbox", gone)

    assert waiting_files(settings, NIGHT_1) == ()
    assert "cannot be listed: taken away" in caplog.text


def test_relocate__nothing_published_or_a_replay_stopped_half_way__is_refused(settings: Settings) -> None:
    with pytest.raises(UsageError, match="nothing is published here"):
        relocate(settings)
    published(settings, NIGHT_1)
    (settings.published / "replay.json").write_text(
        '{"from": "2026-11-12", "to": "2026-11-12"}', encoding="utf-8"
    )

    with pytest.raises(UsageError, match="stopped half-way"):
        relocate(settings)
