"""Dispute candidates: one row per rule and break that the rule marked, kept from night to night.

The rows come from the query that Great Expectations itself ran, not from the lists it returns (those stop at 200
rows). A candidate keeps the night that first marked it; when its break closes, it is withdrawn with date and reason,
never deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb

from posrecon.errors import NightError

RELATION = "marts.fct_breaks"

# Columns and DuckDB types of marts.dispute_candidates, and of opening.dispute_candidates, which is last night's copy.
CANDIDATE_COLUMNS: tuple[tuple[str, str], ...] = (
    ("candidate_id", "varchar"),
    ("break_id", "varchar"),
    ("rule_id", "varchar"),
    ("break_type", "varchar"),
    ("severity", "varchar"),
    ("run_date", "date"),
    ("amount_at_risk_minor", "bigint"),
    ("currency", "varchar"),
    ("merchant_id", "varchar"),
    ("terminal_id", "varchar"),
    ("location", "varchar"),
    ("txn_time", "timestamptz"),
    ("complaint_route", "varchar"),
    ("respond_by", "date"),
    ("validation_id", "varchar"),
    ("terminal_file", "varchar"),
    ("terminal_line", "bigint"),
    ("settlement_file", "varchar"),
    ("settlement_line", "bigint"),
    ("bank_file", "varchar"),
    ("bank_line", "bigint"),
    ("payout_id", "varchar"),
    ("acquirer", "varchar"),
    ("channel", "varchar"),
    ("status", "varchar"),
    ("withdrawn_on", "date"),
    ("withdrawn_reason", "varchar"),
)

_INSERT = """
insert into marts.dispute_candidates by name
with

marked as (

    select
        md5(f.rule_id || '|' || f.break_id) as candidate_id,
        f.rule_id,
        b.*,
        coalesce(cast(b.txn_at as date), b.opened_on) as happened_on
    from policy.marked as f
    inner join marts.fct_breaks as b on b.break_id = f.break_id

),

-- The place of the terminal when it happened; a terminal moves, so an installation in force goes first.
locations as (

    select m.candidate_id, t.location
    from marked as m
    inner join marts.dim_terminals as t on t.merchant_id = m.merchant_id and t.terminal_id = m.terminal_id
    qualify row_number() over (
        partition by m.candidate_id
        order by
            coalesce(t.installed_on <= m.happened_on, true)
            and coalesce(t.removed_on >= m.happened_on, true) desc,
            t.installed_on desc nulls last,
            t.removed_on desc nulls first,
            t.location
    ) = 1

),

starts as (

    select
        m.candidate_id,
        c.days,
        c.day_kind,
        case c.starts_at when 'transaction' then m.happened_on else m.opened_on end as starts_on
    from marked as m
    inner join policy.clocks as c on c.rule_id = m.rule_id

),

-- Banking days are counted on the calendar: the day that carries the number n further on.
clocks as (

    select
        s.candidate_id,
        min(
            case
                when s.day_kind = 'calendar' or s.days = 0 then s.starts_on + cast(s.days as integer)
                else due.calendar_date
            end
        ) as respond_by
    from starts as s
    left join policy.calendar as today on today.calendar_date = s.starts_on
    left join policy.calendar as due
        on due.is_banking_day and due.banking_day_no = today.banking_day_no + s.days
    group by s.candidate_id

),

open_candidates as (

    select
        m.candidate_id,
        m.break_id,
        m.rule_id,
        m.break_type,
        r.severity,
        coalesce(o.run_date, n.run_date) as run_date,
        m.amount_at_risk_minor,
        m.currency,
        m.merchant_id,
        m.terminal_id,
        coalesce(l.location, o.location) as location,
        m.txn_at as txn_time,
        r.route as complaint_route,
        coalesce(o.respond_by, c.respond_by) as respond_by,
        coalesce(o.validation_id, n.run_date || '/disputes/' || m.rule_id) as validation_id,
        m.terminal_file,
        m.terminal_line,
        m.settlement_file,
        m.settlement_line,
        m.bank_file,
        m.bank_line,
        m.payout_id,
        m.acquirer,
        m.channel,
        'open' as status,
        cast(null as date) as withdrawn_on,
        cast(null as varchar) as withdrawn_reason
    from marked as m
    cross join policy.night as n
    inner join policy.rules as r on r.rule_id = m.rule_id
    left join locations as l on l.candidate_id = m.candidate_id
    left join clocks as c on c.candidate_id = m.candidate_id
    left join opening.dispute_candidates as o on o.candidate_id = m.candidate_id

),

withdrawn_candidates as (

    select
        o.* replace (
            'withdrawn' as status,
            coalesce(o.withdrawn_on, n.run_date) as withdrawn_on,
            coalesce(
                o.withdrawn_reason,
                case
                    when b.break_id is null then 'the break is gone'
                    when b.status = 'closed' then 'break closed: ' || coalesce(b.closed_by, 'no reason given')
                    else 'the rule marks it no longer (materiality, age, missing file or dropped rule)'
                end
            ) as withdrawn_reason
        )
    from opening.dispute_candidates as o
    cross join policy.night as n
    left join marts.fct_breaks as b on b.break_id = o.break_id
    where not exists (select 1 from marked as m where m.candidate_id = o.candidate_id)

)

select * from open_candidates
union all by name
select * from withdrawn_candidates
order by candidate_id
"""


@dataclass(frozen=True)
class CandidateCounts:
    """What became of the candidates in one night.

    Attributes:
        open: Open at the end of the night.
        new: Of these, marked for the first time.
        withdrawn: Withdrawn in this night.
    """

    open: int
    new: int
    withdrawn: int


@dataclass(frozen=True)
class Marked:
    """What Great Expectations says that a rule marks.

    Attributes:
        query: The rows query as it ran it ({batch} = the breaks).
        count: The breaks that it reported.
        money: Minor units at stake by currency, as it reported them.
    """

    query: str
    count: int
    money: tuple[tuple[str | None, int], ...]


def write(
    connection: duckdb.DuckDBPyConnection, run_date: date, marked: Mapping[str, Marked]
) -> CandidateCounts:
    """(Re)create marts.dispute_candidates, in one transaction.

    Args:
        connection: The open warehouse; `policy`, `marts` and `opening` are there.
        run_date: The night.
        marked: What Great Expectations reported, for each rule.

    Raises:
        NightError: Count or money of a rule's open candidates differ from what Great Expectations reported, or from
            the breaks in the marts that they stand for.
    """
    connection.begin()
    try:
        connection.execute("create or replace table policy.marked (rule_id varchar, break_id varchar)")
        for rule_id, rule in sorted(marked.items()):
            _mark(connection, rule_id, rule.query, rule.count)
        declared = ", ".join(f"{name} {data_type}" for name, data_type in CANDIDATE_COLUMNS)
        connection.execute(f"create or replace table marts.dispute_candidates ({declared})")
        connection.execute(_INSERT)
        _require_same_money(connection, marked)
        counts = _counted(connection, run_date)
        expected = sum(rule.count for rule in marked.values())
        if counts.open != expected:
            raise NightError(
                f"marts.dispute_candidates: Great Expectations marked {expected} breaks, {counts.open} candidates "
                "are open.",
                next_step="Look for a break_id that is not unique in marts.fct_breaks or marts.dim_terminals.",
            )
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return counts


def _mark(connection: duckdb.DuckDBPyConnection, rule_id: str, query: str, reported: int) -> None:
    connection.execute(
        "insert into policy.marked "
        f"select cast($1 as varchar), rows.break_id from ({query.replace('{batch}', RELATION)}) as rows",
        [rule_id],
    )
    found = connection.execute(
        "select count(*), count(distinct break_id) from policy.marked where rule_id = $1", [rule_id]
    ).fetchone()
    if found != (reported, reported):
        raise NightError(
            f"Rule {rule_id}: Great Expectations reported {reported} breaks, its query marks {found}"
            " (rows, different breaks).",
            next_step="Run the night again; if it stays, the rule's query is not stable or marks a break twice.",
        )


def _require_same_money(connection: duckdb.DuckDBPyConnection, marked: Mapping[str, Marked]) -> None:
    """Hold money and count of each rule's open candidates against the report, and against the breaks themselves."""
    reported = {
        (rule_id, currency): amount_minor
        for rule_id, rule in marked.items()
        for currency, amount_minor in rule.money
    }
    rows = connection.execute(
        """
        select
            c.rule_id, c.currency,
            cast(coalesce(sum(abs(c.amount_at_risk_minor)), 0) as bigint),
            cast(coalesce(sum(abs(b.amount_at_risk_minor)), 0) as bigint)
        from marts.dispute_candidates as c
        inner join marts.fct_breaks as b on b.break_id = c.break_id and b.currency is not distinct from c.currency
        where c.status = 'open'
        group by c.rule_id, c.currency
        """
    ).fetchall()
    candidates = {(rule_id, currency): minor for rule_id, currency, minor, _ in rows}
    breaks = {(rule_id, currency): minor for rule_id, currency, _, minor in rows}
    for key in sorted(reported.keys() | candidates.keys(), key=str):
        found = (reported.get(key), candidates.get(key), breaks.get(key))
        if len(set(found)) > 1:
            rule_id, currency = key
            raise NightError(
                f"Rule {rule_id}, {currency or 'no currency'}: Great Expectations reported {found[0]} minor units, the "
                f"candidates hold {found[1]}, their breaks {found[2]}.",
                next_step="Run the night again; if it stays, a break changed between the rule and its candidates.",
            )


def _counted(connection: duckdb.DuckDBPyConnection, run_date: date) -> CandidateCounts:
    row = connection.execute(
        """
        select
            count(*) filter (where status = 'open'),
            count(*) filter (where status = 'open' and run_date = $1),
            count(*) filter (where status = 'withdrawn' and withdrawn_on = $1)
        from marts.dispute_candidates
        """,
        [run_date],
    ).fetchone()
    if row is None:
        raise NightError("marts.dispute_candidates cannot be counted.")
    return CandidateCounts(*row)
