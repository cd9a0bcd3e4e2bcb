"""Doors and clocks: the earliest limit, the next step, and what happens when a clock runs out."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from posrecon.disputes.desk import desk
from posrecon.disputes.intake import take_in
from posrecon.disputes.routes import RouteBook
from posrecon.errors import UsageError
from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.disputes.nights import FIRST, Break, actor, publish

SENT = date(2026, 11, 13)
LI = actor("Li")


def submitted(settings: Settings, *routes: str, on: date = SENT) -> None:
    publish(settings, FIRST, Break("a"))
    take_in(settings)
    with desk(settings) as cases:
        cases.assign([1], "Li", actor=LI)
        cases.start_evidence([1], actor=LI)
        for route in routes:
            cases.submit([1], actor=LI, why="sent", route=route, on=on)


def shown(settings: Settings, as_of: date) -> dict[str, Any]:
    with desk(settings) as cases:
        return cases.show(1, as_of=as_of)


def test_before_it_is_submitted__the_earliest_of_all_doors_counts(sqlite: Settings) -> None:
    publish(sqlite, FIRST, Break("a"))
    take_in(sqlite)
    found = shown(sqlite, FIRST)
    # 30 days from the sale of 2026-11-11, before the 120 and 1,095 days of the doors beyond.
    assert (found["respond_by"], found["limit"]["clock"]) == ("2026-12-11", "claim_to_acquirer")
    assert [door["route"] for door in found["doors"]] == [
        "acquirer",
        "payment_institution",
        "regulator",
        "court",
    ]


@pytest.mark.parametrize(("as_of", "overdue"), [(date(2026, 12, 11), False), (date(2026, 12, 12), True)])
def test_limit__is_overdue_the_day_after__as_of_the_day_given(
    sqlite: Settings, as_of: date, overdue: bool
) -> None:
    publish(sqlite, FIRST, Break("a"))
    take_in(sqlite)
    assert (shown(sqlite, as_of)["overdue"], shown(sqlite, as_of)["next_step"]["overdue"]) == (
        overdue,
        overdue,
    )


def test_next_step__leads_from_person_to_evidence_to_the_first_door__and_says_what_it_needs(
    sqlite: Settings,
) -> None:
    publish(sqlite, FIRST, Break("a"))
    take_in(sqlite)
    steps = [shown(sqlite, FIRST)["next_step"]["action"]]
    with desk(sqlite) as cases:
        cases.assign([1], "Li", actor=LI)
        step = cases.show(1, as_of=FIRST)["next_step"]
        steps.append(step["action"])
        assert step["door"]["route"] == "merchant_records"
        assert "terminal journal" in step["text"]
        cases.start_evidence([1], actor=LI)
        step = cases.show(1, as_of=FIRST)["next_step"]
        steps.append(step["action"])
    assert steps == ["assign", "evidence", "submit"]
    assert step["door"]["route"] == "acquirer"
    assert "Needs: Complaint pack" in step["text"]
    assert step["door"]["needs_zh"].startswith("申诉材料")


def test_submitted__the_answer_of_the_door_counts__then_it_is_escalated(sqlite: Settings) -> None:
    submitted(sqlite, "acquirer")
    answer = SENT + timedelta(days=20)
    waiting, late = shown(sqlite, answer), shown(sqlite, answer + timedelta(days=1))
    assert (waiting["respond_by"], waiting["limit"]["clock"]) == (answer.isoformat(), "acquirer_answer")
    assert (waiting["next_step"]["action"], waiting["overdue"]) == ("wait", False)
    step = late["next_step"]
    assert (step["action"], step["door"]["route"], step["overdue"]) == ("submit", "payment_institution", True)
    assert step["text"].startswith(f"No answer by {answer}: escalate to Payment institution")
    assert late["overdue"]


def test_doors__are_taken_forward_only__and_only_those_of_the_rule(sqlite: Settings) -> None:
    submitted(sqlite, "acquirer", "regulator")
    with desk(sqlite) as cases:
        for route in ("acquirer", "payment_institution", "issuing_bank", "data_protection", "nowhere"):
            with pytest.raises(UsageError, match=f"C-1: {route} is no door ahead of it") as caught:
                cases.submit([1], actor=LI, why="again", route=route)
            assert caught.value.next_step == "Doors ahead: court."
        with pytest.raises(UsageError, match="was submitted to regulator on 2026-11-13, after 2026-11-01"):
            cases.submit([1], actor=LI, why="court", on=date(2026, 11, 1))
        cases.submit([1], actor=LI, why="court")
        with pytest.raises(UsageError, match="lies at court, the last door"):
            cases.submit([1], actor=LI, why="further")
        step = cases.show(1, as_of=SENT)["next_step"]
    assert (step["action"], step["text"]) == (
        "resolve", "There is no further door: resolve it (won, lost, written_off).",
    )  # fmt: skip


def test_data_leak__goes_to_the_regulator_of_data__and_money_never_does(sqlite: Settings) -> None:
    publish(sqlite, FIRST)
    with desk(sqlite) as cases:
        number = cases.open_case("data_leak", "a list of cards", actor=LI, why="found in the mail")
        found = cases.show(number, as_of=FIRST)
    routes = [door["route"] for door in found["doors"]]
    assert routes == ["merchant_records", "payment_institution", "data_protection", "court"]
    assert found["limit"]["clock"] == "leak_reported"
    book = RouteBook.load(sqlite)
    named = {route for rule in book.rules for route in (rule.route, *rule.escalation)}
    assert "data_protection" not in named


def test_limits__are_judged_by_the_law_of_the_night_that_marked_the_break(tmp_path: Path) -> None:
    shutil.copytree(PROJECT_ROOT / "expectations", tmp_path / "project" / "expectations")
    clocks = tmp_path / "project" / "expectations" / "reference" / "dispute_clocks.csv"
    text = clocks.read_text(encoding="utf-8").replace(
        "claim_to_acquirer,act,30,calendar,transaction,2000-01-01,,",
        "claim_to_acquirer,act,30,calendar,transaction,2000-01-01,2026-11-12,",
    )
    clocks.write_text(
        text + "acquirer,*,claim_to_acquirer,act,5,calendar,transaction,2026-11-13,,new law,sourced\n",
        encoding="utf-8",
    )
    settings = Settings(home=tmp_path / "home", project_dir=tmp_path / "project")
    old, new = Break("a"), Break("b", "amount_mismatch", opened_on=date(2026, 11, 13))
    publish(settings, date(2026, 11, 13), old, new)
    take_in(settings)
    with desk(settings) as cases:
        due = [cases.show(number, as_of=FIRST)["respond_by"] for number in (1, 2)]
    assert due == ["2026-12-11", "2026-11-16"]


def test_clock_table__with_overlapping_dates__stops_the_cases_with_file_and_line(tmp_path: Path) -> None:
    shutil.copytree(PROJECT_ROOT / "expectations", tmp_path / "project" / "expectations")
    clocks = tmp_path / "project" / "expectations" / "reference" / "dispute_clocks.csv"
    lines = clocks.read_text(encoding="utf-8").splitlines()
    with clocks.open("a", encoding="utf-8") as stream:
        stream.write("acquirer,*,claim_to_acquirer,act,5,calendar,transaction,2027-01-01,,new law,sourced\n")
    settings = Settings(home=tmp_path / "home", project_dir=tmp_path / "project")
    message = rf"dispute_clocks\.csv: line {len(lines) + 1} overlaps line 3: both hold from 2027-01-01 on"
    with pytest.raises(UsageError, match=message), desk(settings):
        pass
    assert not (settings.home / "cases.sqlite").exists()
