"""From candidates to cases: one cause, one case; the same night twice changes nothing."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from posrecon.disputes.causes import CAUSES, cause_of
from posrecon.disputes.desk import desk
from posrecon.disputes.intake import take_in
from posrecon.disputes.states import State
from posrecon.disputes.views import CaseFilter
from posrecon.errors import UsageError
from posrecon.settings import Settings
from posrecon.validation.catalogue import load_for
from tests.unit.disputes.nights import FIRST, SECOND, THIRD, Break, actor, publish

LI = actor("Li", day=12, hour=23)


def cases_of(settings: Settings) -> list[dict[str, Any]]:
    with desk(settings) as cases:
        rows, _ = cases.find(CaseFilter(), as_of=THIRD)
        return sorted(
            (cases.show(row["case_no"], as_of=THIRD) for row in rows), key=lambda one: one["case_no"]
        )


def changed(one: Break, **values: object) -> Break:
    return Break(**vars(one) | values)


def break_row(break_type: str, **values: object) -> dict[str, Any]:
    return {
        "break_id": "b", "item_id": "i", "break_type": break_type, "acquirer": "unionpay", "merchant_id": "M1",
        "terminal_id": "T1", "payout_id": None, "happened_on": FIRST, "file_missing": False, "detail": "{}",
    } | values  # fmt: skip


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (break_row("missing_in_settlement"), "unsettled:unionpay:M1:T1:2026-11-12"),
        (break_row("refund_not_settled"), "unsettled:unionpay:M1:T1:2026-11-12"),
        (break_row("payout_short", payout_id="unionpay:M1:2026-11-11"), "payout:unionpay:M1:2026-11-11"),
        (break_row("stan_gap"), "terminal:M1:T1"),
        (break_row("missing_in_terminal_log"), "terminal:M1:T1"),
        (break_row("missing_in_terminal_log", terminal_id=None), "transaction:i"),
        (break_row("fee_mismatch"), "fees:unionpay:M1"),
        (break_row("late_settlement"), "lateness:unionpay:M1"),
        (break_row("ambiguous_match", detail='{"group_id": "g7"}'), "group:g7"),
        (break_row("ambiguous_match"), "transaction:i"),
        (break_row("chargeback"), "transaction:i"),
        (break_row("unidentified_credit", item_id=None, merchant_id=None), "transaction:b"),
        (break_row("missing_in_settlement", file_missing=True, detail='{"clearing_date": "2026-11-11"}'),
         "file:unionpay:M1:2026-11-11"),
        (break_row("missing_in_terminal_log", file_missing=True), "file:terminal_log:M1:2026-11-12"),
        (break_row("payout_not_received", file_missing=True), "file:bank:M1:2026-11-12"),
    ],
)  # fmt: skip
def test_cause__is_told_by_the_break_alone(row: dict[str, Any], key: str) -> None:
    assert cause_of(row) == (key.split(":", 1)[0], key)


def test_every_break_type__has_a_cause_that_is_documented(sqlite: Settings) -> None:
    kinds = {cause_of(break_row(rule.break_type))[0] for rule in load_for(sqlite).dispute_rules}
    assert kinds <= {cause.name for cause in CAUSES}


def test_intake__the_same_night_again__changes_nothing(settings: Settings) -> None:
    publish(
        settings, FIRST, Break("a"), Break("b"), Break("c", "amount_mismatch"), Break("w", file_missing=True)
    )
    first = take_in(settings)
    before = cases_of(settings)
    again = take_in(settings)
    assert (first.opened, first.breaks_added) == (3, 4)
    assert again.as_dict() == first.as_dict() | {"opened": 0, "breaks_added": 0, "cases": []}
    assert cases_of(settings) == before


def test_intake__breaks_of_one_cause_share_a_case__while_it_was_not_submitted(settings: Settings) -> None:
    publish(settings, FIRST, Break("a"), Break("b", terminal_id="T2"))
    take_in(settings)
    more = changed(Break("c"), opened_on=SECOND)
    publish(settings, SECOND, Break("a"), Break("b", terminal_id="T2"), more)
    done = take_in(settings)
    assert (done.opened, done.breaks_added) == (0, 1)
    number = next(one["case_no"] for one in cases_of(settings) if one["breaks"] == 2)
    with desk(settings) as cases:
        cases.assign([number], "Li", actor=LI)
        cases.start_evidence([number], actor=LI)
        cases.submit([number], actor=LI, why="sent", on=SECOND)
    publish(
        settings, THIRD, Break("a"), Break("b", terminal_id="T2"), more, changed(Break("d"), opened_on=THIRD)
    )
    assert take_in(settings).opened == 1
    assert [(one["cause"], one["breaks"]) for one in cases_of(settings)].count(
        ("unionpay · M1 · T1 · 2026-11-11", 1)
    ) == 1


def test_case__closes_itself_when_its_breaks_are_explained__and_says_why(settings: Settings) -> None:
    a, b = Break("a"), Break("b")
    publish(settings, FIRST, a, b)
    take_in(settings)
    publish(settings, SECOND, changed(a, closed_by="matched by acquirer_reference"), b)
    half = take_in(settings)
    assert (half.closed, half.breaks_settled) == (0, 1)
    publish(
        settings,
        THIRD,
        changed(a, closed_by="matched by acquirer_reference"),
        changed(b, withdrawn="below materiality"),
    )
    done = take_in(settings)
    assert (done.closed, done.breaks_settled) == (1, 1)
    (found,) = cases_of(settings)
    assert (found["state"], found["ended_on"], found["respond_by"]) == ("closed", "2026-11-14", None)
    last = found["events"][-1]
    assert (last["who"], last["action"], last["at"]) == ("posrecon", "close", "2026-11-14T14:30:00+00:00")
    assert last["why"] == (
        "every break is explained: below materiality; break closed: matched by acquirer_reference"
    )
    by_name = {one["candidate_id"]: (one["status"], one["status_on"]) for one in found["case_breaks"]}
    assert by_name == {"cand-a": ("closed", "2026-11-13"), "cand-b": ("withdrawn", "2026-11-14")}


def test_held_case__stays_open__and_closes_on_release(settings: Settings) -> None:
    publish(settings, FIRST, Break("a"))
    take_in(settings)
    with desk(settings) as cases:
        cases.hold([1], actor=LI, why="the fee is still missing")
    publish(settings, SECOND, changed(Break("a"), closed_by="matched"))
    assert (take_in(settings).held, cases_of(settings)[0]["state"]) == (1, "new")
    assert take_in(settings).held == 0
    with desk(settings) as cases:
        cases.release([1], actor=LI, why="fee came")
    (found,) = cases_of(settings)
    assert (found["state"], [event["action"] for event in found["events"]]) == (
        "closed",
        ["open", "hold", "settle_breaks", "release", "close"],
    )


def test_break_that_opens_again__reopens_the_case_that_closed_itself(settings: Settings) -> None:
    publish(settings, FIRST, Break("a"))
    take_in(settings)
    publish(settings, SECOND, changed(Break("a"), withdrawn="below materiality"))
    take_in(settings)
    publish(settings, THIRD, Break("a"))
    assert take_in(settings).reopened == 1
    (found,) = cases_of(settings)
    assert (found["state"], found["open_breaks"], found["ended_on"]) == ("new", 1, None)
    assert found["respond_by"] == "2026-12-11"


@pytest.mark.parametrize("outcome", ["written_off"])
def test_case_that_a_person_ended__is_left_alone_by_later_nights(settings: Settings, outcome: str) -> None:
    publish(settings, FIRST, Break("a"))
    take_in(settings)
    with desk(settings) as cases:
        cases.resolve([1], outcome, actor=LI, why="too small")
    publish(settings, SECOND, Break("a"))
    assert take_in(settings).cases == []
    publish(settings, THIRD, changed(Break("a"), closed_by="matched"))
    take_in(settings)
    (found,) = cases_of(settings)
    assert (found["state"], found["open_breaks"]) == (outcome, 0)


def test_missing_file__has_one_case__its_breaks_move_when_it_comes_without_them(settings: Settings) -> None:
    wait = {"file_missing": True, "detail": json.dumps({"clearing_date": "2026-11-11"})}
    a, b = Break("a", **wait), Break("b", terminal_id="T2", **wait)  # type: ignore[arg-type]
    publish(settings, FIRST, a, b)
    take_in(settings)
    (found,) = cases_of(settings)
    assert (found["cause_kind"], found["cause"], found["breaks"]) == ("file", "unionpay · M1 · 2026-11-11", 2)
    publish(
        settings, SECOND, changed(a, file_missing=False), changed(b, closed_by="matched", file_missing=False)
    )
    done = take_in(settings)
    assert (done.closed, done.opened) == (1, 1)
    closed, fresh = cases_of(settings)
    assert (
        closed["events"][-1]["why"]
        == "every break is explained: break closed: matched; the file came without it"
    )
    assert (fresh["cause_kind"], fresh["breaks"], fresh["state"]) == ("unsettled", 1, "new")


def test_break_that_vanished_after_a_replay__is_withdrawn(settings: Settings) -> None:
    publish(settings, FIRST, Break("a"), Break("b", "chargeback"))
    take_in(settings)
    publish(settings, FIRST, Break("b", "chargeback"))
    take_in(settings)
    gone = next(one for one in cases_of(settings) if one["state"] == State.CLOSED)
    assert gone["events"][-1]["why"] == "every break is explained: the break is no longer published"


def test_case__that_loses_one_break_and_gains_another_in_one_night__keeps_both_in_its_history(
    settings: Settings,
) -> None:
    publish(settings, FIRST, Break("gap", "stan_gap"))
    take_in(settings)
    more = Break("twice", "duplicate_in_terminal_log", opened_on=SECOND)
    publish(settings, SECOND, changed(Break("gap", "stan_gap"), closed_by="uploaded"), more)
    done = take_in(settings)
    assert (done.breaks_added, done.breaks_settled, done.closed) == (1, 1, 0)
    (found,) = cases_of(settings)
    assert [event["action"] for event in found["events"]] == ["open", "settle_breaks", "add_breaks"]
    assert {one["candidate_id"]: one["status"] for one in found["case_breaks"]} == {
        "cand-gap": "closed", "cand-twice": "open",
    }  # fmt: skip


def test_intake__before_any_night__says_so(sqlite: Settings) -> None:
    with pytest.raises(UsageError, match="nothing is published yet"):
        take_in(sqlite)
    assert not (sqlite.home / "published").exists()


def test_intake__many_breaks_of_one_cause__one_case__the_oldest_decides_its_limit(sqlite: Settings) -> None:
    many = [
        Break(f"f{n}", "fee_mismatch", amount_minor=1, txn_at=datetime(2026, 11, 1 + n % 10, 2, tzinfo=UTC))
        for n in range(400)
    ]
    publish(sqlite, FIRST, *many)
    take_in(sqlite)
    (found,) = cases_of(sqlite)
    assert (found["breaks"], found["money"][0]["amount_minor"]) == (400, 400)
    assert found["respond_by"] == date(2026, 12, 1).isoformat()
