"""Count and money of the candidates are those that were reported and those that the marts hold."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from posrecon.errors import NightError
from posrecon.validation import candidates, policy
from posrecon.validation.candidates import Marked
from posrecon.validation.catalogue import load_for
from tests.expectations.conftest import RUN_DATE, add_breaks, make_warehouse

RULE = "DISP-PAYOUT-SHORT"
MONEY = 101 + 102 + 103


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Three open breaks of one type, and the policy of the night."""
    settings = make_warehouse(tmp_path / "home", lambda connection: add_breaks(connection, "payout_short", 3))
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute("set TimeZone = 'Asia/Shanghai'")
        policy.build(connection, RUN_DATE, load_for(settings), settings.expectations_dir / "reference")
        yield connection


def marked(
    count: int = 3, money: tuple[tuple[str | None, int], ...] = (("CNY", MONEY),)
) -> dict[str, Marked]:
    return {RULE: Marked("select break_id from {batch}", count, money)}


def test_candidates__that_agree__are_written(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert candidates.write(warehouse, RUN_DATE, marked()).open == 3


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (
            marked(money=(("CNY", MONEY - 1),)),
            f"CNY: Great Expectations reported {MONEY - 1} minor units, the candidates",
        ),
        (marked(money=()), f"CNY: Great Expectations reported None minor units, the candidates hold {MONEY}"),
        (marked(money=(("CNY", MONEY), ("JPY", 5))), "JPY: Great Expectations reported 5 minor units"),
        (marked(count=2), "reported 2 breaks, its query marks"),
    ],
)
def test_candidates__that_differ_from_the_report__stop_the_night_and_leave_nothing(
    warehouse: duckdb.DuckDBPyConnection, report: dict[str, Marked], message: str
) -> None:
    with pytest.raises(NightError, match=message):
        candidates.write(warehouse, RUN_DATE, report)
    found = warehouse.execute(
        "from information_schema.tables where table_name = 'dispute_candidates'"
    ).fetchall()
    assert [row[1] for row in found] == ["opening"]


def test_candidates__over_a_break_that_is_twice_in_the_marts__stop_the_night(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    warehouse.execute("insert into marts.fct_breaks from marts.fct_breaks limit 1")
    report = {RULE: Marked("select distinct break_id from {batch}", 3, (("CNY", MONEY),))}
    with pytest.raises(NightError, match="Great Expectations"):
        candidates.write(warehouse, RUN_DATE, report)
