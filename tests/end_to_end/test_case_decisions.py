"""A case written off closes its breaks on the next night; taken up again, it opens them the night after."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.homes import NIGHT_1, NIGHT_2, Home

NIGHT_3 = NIGHT_2 + timedelta(days=1)
NIGHT_4 = NIGHT_2 + timedelta(days=2)

BALANCE = """
    select
        cast(sum(opening_items + new_items - matched_items - excluded_items - closed_items - closing_items) as bigint),
        cast(sum(opening_minor + new_minor - matched_minor - excluded_minor - closed_minor - closing_minor) as bigint),
        cast(sum(closed_items) as bigint),
        cast(sum(closed_minor) as bigint)
    from marts.rpt_daily_control where run_date = date '{night}'
"""
CARRIED = """
    select cast(sum(closing_items) as bigint), cast(sum(closing_minor) as bigint)
    from marts.rpt_daily_control where run_date = date '{night}'
"""
OPENED = CARRIED.replace("closing_", "opening_")


def breaks_of(home: Home, break_ids: list[str]) -> set[tuple[Any, ...]]:
    listed = ", ".join(f"'{one}'" for one in break_ids)
    return set(
        home.ask(f"select status, closed_on, closed_by from marts.fct_breaks where break_id in ({listed})")
    )


def without_files(home: Home, night: date) -> None:
    """A night that receives nothing: what it changes is what people decided."""
    home.run("night", "--date", str(night), expect=3)


@pytest.mark.slow
def test_written_off__closes_its_breaks_balanced__and_reopened__opens_them_again(
    two: Home, tmp_path: Path
) -> None:
    home = two.copy_to(tmp_path / "home")
    home.run("cases", "open", "--from-candidates")
    found = home.run("cases", "list", "--type", "missing_in_settlement")["cases"]
    case = next(one["case"] for one in found if one["break_types"] == ["missing_in_settlement"])
    shown = home.run("cases", "show", case)
    ids = [one["break_id"] for one in shown["case_breaks"]]
    money = sum(
        minor for (minor,) in home.ask(
            "select r.expected_amount_minor from marts.fct_breaks as b "
            f"join marts.fct_reconciliation as r using (item_id) where break_id in {(*ids, '')}"
        )
    )  # fmt: skip
    home.run("cases", "resolve", case, "written_off", "--why", "too small", "--by", "li")
    assert breaks_of(home, ids) == {("open", None, None)}

    without_files(home, NIGHT_3)

    decided = f"decided: written off in case {case}"
    assert breaks_of(home, ids) == {("closed", NIGHT_3, decided)}
    assert home.ask(BALANCE.format(night=NIGHT_3)) == [(0, 0, len(ids), money)]
    assert home.ask(OPENED.format(night=NIGHT_3)) == home.ask(CARRIED.format(night=NIGHT_2))
    assert set(
        home.ask(
            f"select status, withdrawn_reason from marts.dispute_candidates where break_id in {(*ids, '')}"
        )
    ) == {("withdrawn", f"break closed: {decided}")}
    assert home.ask(
        "select distinct run_date, case_no, outcome, decided_by, effect from marts.fct_break_decisions"
    ) == [(NIGHT_3, case, "written_off", "li", "closed")]
    # The item is what the records make it, and still there for money that comes after all.
    assert set(
        home.ask(
            "select r.match_state, r.run_date from marts.fct_reconciliation as r "
            f"join marts.fct_breaks as b using (item_id) where break_id in {(*ids, '')}"
        )
    ) == {("unmatched", NIGHT_3)}
    home.run("cases", "open", "--from-candidates")

    home.run("cases", "reopen", case, "--why", "the slip was found", "--by", "li")
    without_files(home, NIGHT_4)
    home.run("cases", "open", "--from-candidates")

    assert breaks_of(home, ids) == {("open", None, None)}
    assert home.ask(BALANCE.format(night=NIGHT_4)) == [(0, 0, 0, 0)]
    assert home.ask(OPENED.format(night=NIGHT_4)) == home.ask(CARRIED.format(night=NIGHT_3))
    assert [
        (one["state"], one["open_breaks"])
        for one in home.run("cases", "list", "--all")["cases"]
        if one["case"] == case
    ] == [("new", len(ids))]
    assert home.run("audit", "verify")["sound"]

    # From the archive alone, and without any case, come the same bytes.
    empty = Home(tmp_path / "empty")
    shutil.copytree(home.path / "archive", empty.path / "archive")
    empty.run("replay", "--from", str(NIGHT_1), expect=3)
    assert empty.published_files() == home.published_files()
    assert empty.run("audit", "verify")["sound"]
