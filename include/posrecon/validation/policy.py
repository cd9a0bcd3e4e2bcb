"""The policy in force on a night, as tables of the warehouse (schema `policy`).

dbt states facts, the rules state policy. What the rules need beside the facts is the night itself, the materiality
and the clocks of the run date, and the routes of every rule. They come from the dated reference tables in
expectations/reference.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from posrecon.banking_calendar import calendar_table
from posrecon.errors import NightError, UsageError
from posrecon.reference_tables import Column, TableSpec, in_force, read_table
from posrecon.validation.catalogue import Catalogue

_CONFIDENCE = ("sourced", "secondary", "unverified")

MATERIALITY = TableSpec(
    "materiality",
    (
        Column("rule_id"),
        Column("currency"),
        Column("min_amount_minor", "int", minimum=0),
        Column("min_age_days", "int", minimum=0),
        Column("reason"),
    ),
    key=("rule_id", "currency"),
)
ROUTES = TableSpec(
    "dispute_routes",
    (
        Column("route"),
        # What the door is for: a regulator of data takes no complaint about money.
        Column("topic", choices=("any", "money", "data_leak")),
        Column("step_no", "int", minimum=1),
        Column("name_en"),
        Column("name_zh"),
        Column("contact", required=False),
        Column("needs_en"),
        Column("needs_zh"),
    ),
    key=("route",),
)
CLOCKS = TableSpec(
    "dispute_clocks",
    (
        Column("route"),
        Column("rule_id"),
        Column("clock"),
        # act: ours to speak up; answer: theirs, once a case lies with them; keep: papers; settle: money, by law.
        Column("duty", choices=("act", "answer", "keep", "settle")),
        Column("days", "int", minimum=0),
        Column("day_kind", choices=("calendar", "banking")),
        Column("starts_at", choices=("transaction", "opened_on", "submitted")),
        Column("source"),
        Column("confidence", choices=_CONFIDENCE),
    ),
    key=("route", "rule_id", "clock"),
)
VOLUME = TableSpec(
    "volume",
    (
        Column("suite"),
        Column("trailing_weeks", "int", minimum=1),
        Column("min_nights", "int", minimum=1),
        Column("low_pct", "int", minimum=0),
        Column("high_pct", "int", minimum=0),
        Column("reason"),
    ),
    key=("suite",),
)
_TABLES = (MATERIALITY, ROUTES, CLOCKS, VOLUME)
_SQL_TYPES = {"text": "varchar", "int": "bigint", "date": "date"}


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
    connection.register("calendar_table", calendar_table())
    connection.execute("create or replace table policy.calendar as select * from calendar_table")
    connection.unregister("calendar_table")
    for spec in _TABLES:
        _load(connection, spec, reference_dir, run_date)

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
        select rr.rule_id, rr.route, c.clock, c.days, c.day_kind, c.starts_at
        from policy.rule_routes as rr
        inner join policy.dispute_clocks_in_force as c on c.route = rr.route and c.rule_id in (rr.rule_id, '*')
        where c.duty = 'act'
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


def _load(
    connection: duckdb.DuckDBPyConnection, spec: TableSpec, reference_dir: Path, run_date: date
) -> None:
    """Write the rows in force as policy.<name>_in_force, with the line of each."""
    try:
        rows = in_force(read_table(reference_dir, spec), run_date)
    except UsageError as error:
        raise NightError(error.what, next_step=error.next_step) from None
    declared = ", ".join(f"{column.name} {_SQL_TYPES[column.kind]}" for column in spec.all_columns)
    connection.execute(f"create or replace table policy.{spec.name}_in_force (line_no bigint, {declared})")
    if rows:
        marks = ", ".join("?" for _ in range(len(spec.all_columns) + 1))
        connection.executemany(
            f"insert into policy.{spec.name}_in_force values ({marks})",
            [[row.line_no, *(row.values[column.name] for column in spec.all_columns)] for row in rows],
        )


def _check(connection: duckdb.DuckDBPyConnection, reference_dir: Path) -> None:
    """Refuse reference rows that point to nothing: they would be without effect and nobody would notice."""
    known_rule = "(rule_id = '*' or rule_id in (select rule_id from policy.rules))"
    checks = {
        "materiality.csv": (
            f"select line_no, 'unknown rule ' || rule_id from policy.materiality_in_force where not {known_rule}"
        ),
        "dispute_clocks.csv": (
            "select line_no, case "
            f"when not {known_rule} then 'unknown rule ' || rule_id "
            "when route not in (select route from policy.dispute_routes_in_force) then 'unknown route ' || route "
            "else duty || ' cannot start at ' || starts_at end "
            f"from policy.dispute_clocks_in_force where not {known_rule} "
            "or route not in (select route from policy.dispute_routes_in_force) "
            "or (duty = 'answer') is distinct from (starts_at = 'submitted')"
        ),
        "dispute_routes.csv": (
            "select 1, 'rules.yml names ' || rr.route || ' for ' || rr.rule_id || ', which is no door for money' "
            "from policy.rule_routes as rr where rr.route not in "
            "(select route from policy.dispute_routes_in_force where topic in ('any', 'money'))"
        ),
    }
    for file_name, query in checks.items():
        wrong = connection.execute(query + " order by 1, 2").fetchall()
        if wrong:
            faults = "; ".join(f"line {line_no}: {what}" for line_no, what in wrong)
            raise NightError(
                f"{reference_dir / file_name}: {faults}.",
                next_step="Correct the rows or the rule catalogue.",
            )
