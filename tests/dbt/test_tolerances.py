"""Dated tolerances are refused when a date would have two values, or none."""

from pathlib import Path

import duckdb
import pytest

from tests.dbt.project import make_warehouse, run_dbt

TEST = "tolerances__hold_once_on_every_date"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A warehouse with the seed as it stands, and the SQL of the test that guards it."""
    scratch = tmp_path_factory.mktemp("tolerances")
    warehouse = scratch / "warehouse.duckdb"
    make_warehouse(warehouse)
    run = run_dbt(["build", "--select", "tolerances"], warehouse=warehouse, scratch=scratch)
    assert run.failed() == [], run.output[-3000:]
    (sql,) = [r["compiled_code"] for r in run.results if r["unique_id"].endswith(TEST)]
    return warehouse, sql


@pytest.mark.parametrize(
    ("first_ends", "second_begins", "problems"),
    [
        ("2026-11-11", "2026-11-12", []),
        ("2026-11-12", "2026-11-12", ["periods overlap: the one before ends on 2026-11-12"]),
        ("2026-11-10", "2026-11-12", ["no value from 2026-11-10 (not included) on"]),
        ("9999-12-31", "2026-11-12", ["periods overlap: the one before ends on 9999-12-31"]),
    ],
    ids=["the day after", "the same day", "a day left out", "never ended"],
)
def test_new_value__begins_the_day_after_the_old_one_ends__or_is_refused(
    seeded: tuple[Path, str], first_ends: str, second_begins: str, problems: list[str]
) -> None:
    warehouse, sql = seeded
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("begin")
        connection.execute(
            f"update reference.tolerances set effective_to = '{first_ends}' where name = 'fee_tolerance_minor'"
        )
        connection.execute(
            "insert into reference.tolerances (name, scope, value, effective_from, effective_to) "
            f"values ('fee_tolerance_minor', '*', 2, '{second_begins}', '9999-12-31')"
        )
        found = connection.execute(sql).fetchall()
        connection.execute("rollback")
    assert [(row[0], row[-1]) for row in found] == [("fee_tolerance_minor", problem) for problem in problems]


def test_tolerance__that_is_missing_or_misspelt__is_refused(seeded: tuple[Path, str]) -> None:
    warehouse, sql = seeded
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("begin")
        connection.execute(
            "update reference.tolerances set name = 'payout_days' where name = 'payout_window_days'"
        )
        found = connection.execute(sql).fetchall()
        connection.execute("rollback")
    assert sorted((row[0], row[-1]) for row in found) == [
        ("payout_days", "no model reads it; the names are those of this test"),
        ("payout_window_days", "the models read it, but no row has it"),
    ]
