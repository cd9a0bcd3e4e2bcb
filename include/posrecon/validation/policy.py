"""The policy in force on a night, as tables of the warehouse (schema `policy`).

dbt states facts, the rules state policy. What the rules need beside the facts is the night itself, the materiality
and the clocks of the run date, and the routes of every rule. They are read by DuckDB from the dated reference tables
in expectations/reference.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from posrecon.errors import NightError
from posrecon.validation.catalogue import Catalogue
from posrecon.warehouse.sql import literal

_CONFIDENCE = ("sourced", "secondary", "unverified")
_STARTS = ("transaction", "opened_on")

_TABLES = {
    "materiality": (
        {
            "rule_id": "varchar", "currency": "varchar", "min_amount_minor": "bigint", "min_age_days": "bigint",
            "effective_from": "date", "effective_to": "date", "reason": "varchar",
        },
        ("rule_id", "currency"),
    ),
    "dispute_routes": (
        {
            "route": "varchar", "step_no": "bigint", "name_en": "varchar", "name_zh": "varchar",
            "contact": "varchar", "effective_from": "date", "effective_to": "date",
        },
        ("route",),
    ),
    "dispute_clocks": (
        {
            "route": "varchar", "rule_id": "varchar", "clock": "varchar", "days": "bigint", "starts_at": "varchar",
            "effective_from": "date", "effective_to": "date", "source": "varchar", "confidence": "varchar",
        },
        ("route", "rule_id", "clock"),
    ),
    "volume": (
        {
            "suite": "varchar", "trailing_weeks": "bigint", "min_nights": "bigint", "low_pct": "bigint",
            "high_pct": "bigint", "effective_from": "date", "effective_to": "date", "reason": "varchar",
        },
        ("suite",),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class VolumeBounds:
    """How far the row count of one suite may be from that of the trailing weeks.

    Attributes:
        trailing_weeks: How many earlier nights of the same weekday are looked at.
        min_nights: With fewer of them known, any count passes.
        low_pct: Lower bound in per cent of the lowest.
        high_pct: Upper bound in per cent of the highest.
    """

    trailing_weeks: int
    min_nights: int
    low_pct: int
    high_pct: int


def build(
    connection: duckdb.DuckDBPyConnection, run_date: date, catalogue: Catalogue, reference_dir: Path
) -> None:
    """(Re)create schema `policy` for the night of `run_date`.

    Raises:
        NightError: A reference table is malformed, contradicts itself on the run date, or names what does not exist.
    """
    connection.execute("create schema if not exists policy")
    connection.execute(
        "create or replace table policy.night as "
        "select cast($1 as date) as run_date, cast($1 as date) - 1 as business_date",
        [run_date],
    )
    for name in _TABLES:
        _load(connection, name, reference_dir / f"{name}.csv")

    rules = [(rule.rule_id, rule.break_type, rule.severity, rule.route) for rule in catalogue.dispute_rules]
    routes = [
        (rule.rule_id, route, step)
        for rule in catalogue.dispute_rules
        for step, route in enumerate((rule.route, *rule.escalation))
    ]
    connection.execute(
        "create or replace table policy.rules "
        "(rule_id varchar primary key, break_type varchar, severity varchar, route varchar)"
    )
    connection.executemany("insert into policy.rules values (?, ?, ?, ?)", rules)
    connection.execute(
        "create or replace table policy.rule_routes (rule_id varchar, route varchar, step bigint, "
        "primary key (rule_id, route))"
    )
    connection.executemany("insert into policy.rule_routes values (?, ?, ?)", routes)
    _check(connection, reference_dir)

    # What is said of one rule or currency goes before what is said of all (*); the rule before the currency.
    connection.execute(
        """
        create or replace table policy.materiality as
        select r.rule_id, m.currency, m.min_amount_minor, m.min_age_days
        from policy.rules as r
        inner join policy.materiality_in_force as m on m.rule_id in (r.rule_id, '*')
        qualify row_number() over (partition by r.rule_id, m.currency order by m.rule_id = '*') = 1
        """
    )
    connection.execute(
        """
        create or replace table policy.clocks as
        select rr.rule_id, rr.route, c.clock, c.days, c.starts_at
        from policy.rule_routes as rr
        inner join policy.dispute_clocks_in_force as c on c.route = rr.route and c.rule_id in (rr.rule_id, '*')
        """
    )


def volume_bounds(connection: duckdb.DuckDBPyConnection, suite: str) -> VolumeBounds | None:
    """The bounds in force for one suite; None when no row speaks of it."""
    row = connection.execute(
        "select trailing_weeks, min_nights, low_pct, high_pct from policy.volume_in_force "
        "where suite in ($1, '*') order by suite = '*' limit 1",
        [suite],
    ).fetchone()
    return VolumeBounds(*row) if row else None


def _load(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    columns, key = _TABLES[name]
    declared = ", ".join(f"{literal(column)}: {literal(data_type)}" for column, data_type in columns.items())
    try:
        connection.execute(
            f"""
            create or replace table policy.{name}_in_force as
            select t.* from read_csv({literal(str(path))}, header = true, columns = {{{declared}}}) as t
            cross join policy.night as n
            where t.effective_from <= n.run_date and coalesce(t.effective_to, n.run_date) >= n.run_date
            """
        )
    except duckdb.Error as error:
        raise NightError(
            f"{path}: cannot be read as a reference table: {error}", next_step="Correct the file."
        ) from error
    columns_of_key = ", ".join(key)
    twice = connection.execute(
        f"select {columns_of_key} from policy.{name}_in_force group by all having count(*) > 1 order by all"
    ).fetchall()
    if twice:
        raise NightError(
            f"{path}: more than one row in force for {columns_of_key} = {twice[0]}.",
            next_step="End the older row the day before the newer one starts (effective_to).",
        )


def _check(connection: duckdb.DuckDBPyConnection, reference_dir: Path) -> None:
    """Refuse reference rows that point to nothing: they would be without effect and nobody would notice."""
    confidence = ", ".join(literal(word) for word in _CONFIDENCE)
    starts = ", ".join(literal(word) for word in _STARTS)
    known_rule = "(rule_id = '*' or rule_id in (select rule_id from policy.rules))"
    checks = {
        "materiality.csv": f"select rule_id from policy.materiality_in_force where not {known_rule}",
        "dispute_clocks.csv": (
            "select route || '/' || rule_id || '/' || clock from policy.dispute_clocks_in_force "
            f"where not {known_rule} or route not in (select route from policy.dispute_routes_in_force) "
            f"or coalesce(confidence not in ({confidence}), true) "
            f"or coalesce(starts_at not in ({starts}), true) or days is null or source is null"
        ),
        "dispute_routes.csv (named in rules.yml, not in force)": (
            "select rule_id || '/' || route from policy.rule_routes "
            "where route not in (select route from policy.dispute_routes_in_force)"
        ),
    }
    for file_name, query in checks.items():
        wrong = [row[0] for row in connection.execute(query + " order by 1").fetchall()]
        if wrong:
            raise NightError(
                f"{reference_dir / file_name}: unknown rule, route, start or confidence in: {', '.join(wrong)}.",
                next_step="Correct the rows or the rule catalogue.",
            )
