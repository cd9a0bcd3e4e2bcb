"""Whom a complaint is addressed to, and what it is called: words that somebody outside the house can read."""

from typing import Any

import pytest

from posrecon.disputes.complaint import complaint_of
from posrecon.disputes.desk import desk
from posrecon.disputes.intake import take_in
from posrecon.settings import Settings
from tests.unit.disputes.nights import FIRST, Break, actor, publish

LI = actor("Li")


def shown(settings: Settings) -> dict[str, Any]:
    with desk(settings) as cases:
        return cases.show(1, as_of=FIRST)


@pytest.mark.parametrize("steps", range(4))
def test_pack__of_a_case_in_any_state__is_addressed_to_somebody_outside(sqlite: Settings, steps: int) -> None:
    publish(sqlite, FIRST, Break("sale"))
    take_in(sqlite)
    with desk(sqlite) as cases:
        if steps > 0:
            cases.assign([1], "Li", actor=LI)
        if steps > 1:
            cases.start_evidence([1], actor=LI)
        if steps > 2:
            cases.submit([1], actor=LI, why="sent")
    made = complaint_of(shown(sqlite))
    assert (made.addressee_en, made.addressee_zh) == ("Acquirer", "收单机构")
    assert made.contact


@pytest.mark.parametrize(
    ("one", "title"),
    [
        (Break("amount", "amount_mismatch"), "unionpay · M1 · T1"),
        (Break("group", "ambiguous_match", detail='{"group_id": "g7"}'), "unionpay · M1 · T1"),
        (Break("sale"), "unionpay · M1 · T1 · 2026-11-11"),
    ],
)
def test_pack__is_called_by_whose_it_is__not_by_an_id(sqlite: Settings, one: Break, title: str) -> None:
    publish(sqlite, FIRST, one)
    take_in(sqlite)
    assert complaint_of(shown(sqlite)).title == title
