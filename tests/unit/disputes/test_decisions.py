"""What people decide about cases reaches the archive once, and the night after reads it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from posrecon.audit.log import read_records
from posrecon.disputes import decisions
from posrecon.disputes.desk import desk
from posrecon.disputes.intake import take_in
from posrecon.errors import NightError
from posrecon.landing import case_decisions
from posrecon.landing.case_decisions import archived_decisions, decision_ids, decision_path
from posrecon.proof import nights
from posrecon.proof.verify import verify
from posrecon.settings import Settings
from tests.unit.disputes.nights import FIRST, SECOND, THIRD, Break, actor, publish

LI = actor("Li")
A, B = Break("a"), Break("b")
DECIDED = "decided: written off in case C-1"


def case_1(settings: Settings) -> dict[str, Any]:
    with desk(settings) as cases:
        return cases.show(1, as_of=THIRD)


def written_off(settings: Settings) -> None:
    """Case 1 with two breaks of the first night, written off before the second."""
    publish(settings, FIRST, A, B)
    take_in(settings)
    with desk(settings) as cases:
        cases.resolve([1], "written_off", actor=LI, why="below what a letter costs, card 6222021234567894")


def taken_up_again(settings: Settings) -> None:
    with desk(settings) as cases:
        cases.reopen([1], actor=LI, why="the slip was found")


def read_by(settings: Settings, run_date: Any) -> list[dict[str, Any]]:
    """The rows that a night makes of what it reads."""
    case_decisions.take_in(settings, run_date)
    case_decisions.write_case_decisions(settings, run_date)
    path = settings.raw / "case_decisions" / f"run_date={run_date}.parquet"
    return pq.ParquetFile(path).read().to_pylist()


def test_resolved_case__is_a_decision_about_its_open_breaks__for_the_next_night(settings: Settings) -> None:
    written_off(settings)

    (decision_id,) = archived_decisions(settings)
    rows = read_by(settings, SECOND)

    assert sorted(row["break_id"] for row in rows) == sorted([A.break_id, B.break_id])
    assert {row["decision_id"] for row in rows} == {decision_id}
    assert {(row["case_no"], row["event_no"], row["outcome"], row["decided_by"]) for row in rows} == {
        ("C-1", 2, "written_off", "Li")
    }
    assert {row["reason"] for row in rows} == {"below what a letter costs, card 622202****7894"}
    (recorded,) = read_records(settings, frozenset({"case_decided"}))
    assert (recorded.by, recorded.payload["decision_id"]) == ("Li", decision_id)


def test_decision__is_read_by_one_night_alone__and_again_when_that_night_is_run_again(
    sqlite: Settings,
) -> None:
    written_off(sqlite)
    # The night that people saw is run again: it reads what it read.
    assert read_by(sqlite, FIRST) == []
    first = read_by(sqlite, SECOND)
    assert read_by(sqlite, SECOND) == first != []
    assert read_by(sqlite, THIRD) == []


def test_reopened_case__withdraws_its_decision__and_holds_its_breaks_until_the_night_knows(
    settings: Settings,
) -> None:
    written_off(settings)
    read_by(settings, SECOND)
    publish(settings, SECOND, replace(A, closed_by=DECIDED), replace(B, closed_by=DECIDED))
    take_in(settings)
    assert [one["status_reason"] for one in case_1(settings)["case_breaks"]] == [
        f"break closed: {DECIDED}"
    ] * 2

    taken_up_again(settings)

    assert {one["status"] for one in case_1(settings)["case_breaks"]} == {"open"}
    # The newest night cannot know it yet: the case must not close itself by what it says.
    assert (take_in(settings).closed, case_1(settings)["state"]) == (0, "new")
    (row, other) = read_by(settings, THIRD)
    assert {row["outcome"], other["outcome"]} == {"reopened"}
    # One is open again, the other had been explained meanwhile.
    publish(settings, THIRD, A, replace(B, closed_by="matched by acquirer_reference"))
    take_in(settings)
    assert sorted(one["status"] for one in case_1(settings)["case_breaks"]) == ["closed", "open"]


def test_case_that_closed_itself__is_reopened_without_a_decision(sqlite: Settings) -> None:
    publish(sqlite, FIRST, A)
    take_in(sqlite)
    publish(sqlite, SECOND, replace(A, closed_by="matched by acquirer_reference"))
    take_in(sqlite)
    taken_up_again(sqlite)
    assert archived_decisions(sqlite) == {}


def test_case_without_breaks__decides_nothing(sqlite: Settings) -> None:
    publish(sqlite, FIRST)
    with desk(sqlite) as cases:
        cases.open_case("data_leak", "a list in the wrong hands", actor=LI, why="called in")
        cases.resolve([1], "written_off", actor=LI, why="no leak")
    assert archived_decisions(sqlite) == {}


def test_crash_before_the_archive_has_it__is_made_good_by_the_next_intake(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, FIRST, A)
    take_in(settings)
    with monkeypatch.context() as patched:
        patched.setattr(decisions, "hand_over", lambda *_: None)
        with desk(settings) as cases:
            cases.resolve([1], "written_off", actor=LI, why="too small")
    assert archived_decisions(settings) == {}
    take_in(settings)
    (made,) = archived_decisions(settings).values()
    assert (made.case_no, made.outcome, made.break_ids) == ("C-1", "written_off", (A.break_id,))
    take_in(settings)
    assert len(list(read_records(settings, frozenset({"case_decided"})))) == 1


def test_decision_that_was_changed__stops_the_night_that_reads_it(sqlite: Settings) -> None:
    written_off(sqlite)
    (decision_id,) = archived_decisions(sqlite)
    path = decision_path(sqlite, decision_id)
    path.write_text(path.read_text(encoding="utf-8").replace("written_off", "won"), encoding="utf-8")
    with pytest.raises(NightError, match="its content is not what its name says"):
        case_decisions.take_in(sqlite, SECOND)


def _verified(settings: Settings) -> list[str]:
    return [fault.text() for fault in verify(settings, all_faults=True).faults]


def changed_file(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace("written_off", "won"), encoding="utf-8")


def test_verify__names_a_decision_that_was_changed_removed_or_slipped_in(sqlite: Settings) -> None:
    written_off(sqlite)
    case_decisions.take_in(sqlite, SECOND)
    nights.received(sqlite, SECOND, mode="night")
    (decision_id,) = decision_ids(sqlite, SECOND)
    path, listed = decision_path(sqlite, decision_id), case_decisions.list_path(sqlite, SECOND)
    kept, kept_list = path.read_bytes(), listed.read_bytes()
    assert not [text for text in _verified(sqlite) if "case_decisions" in text]

    changed_file(path)
    assert any(
        text.startswith(f"archive/case_decisions/{decision_id}.json: the file was changed")
        for text in _verified(sqlite)
    )
    path.unlink()
    assert any(
        text.startswith(f"archive/case_decisions/{decision_id}.json: the file is missing")
        for text in _verified(sqlite)
    )
    path.write_bytes(kept)
    listed.write_text(json.dumps({"decisions": []}), encoding="utf-8")
    assert any("case_decisions.json: the file was changed" in text for text in _verified(sqlite))
    listed.write_bytes(kept_list)
    (path.parent / f"{'0' * 64}.json").write_bytes(kept)
    assert any("a decision that no record knows" in text for text in _verified(sqlite))
