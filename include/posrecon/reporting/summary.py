"""The figures of one night, taken from its marts. Nothing here depends on the clock."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import duckdb

_EXPLAINED = ("explained_minor", "unexplained_minor", "explained_items", "unexplained_items")


def collect(warehouse: duckdb.DuckDBPyConnection, run_date: date) -> dict[str, Any]:
    """Gather the figures of the night that the warehouse holds.

    Money is in minor units by currency; percentages are text with two decimals, cut, never rounded up, so
    that 100.00 means all of it.

    Returns:
        A dictionary ready for JSON, the same for the same input.
    """
    return {
        "run_date": run_date.isoformat(),
        "files": _counts(
            warehouse,
            "select state, count(*) from marts.fct_files where run_date = ? group by state order by state",
            run_date,
        ),
        "file_problems": _rows(
            warehouse,
            "select state, source, logical_name, file_name, reason from marts.fct_files "
            "where run_date = ? and state not in ('loaded', 'duplicate', 'superseded') "
            "order by state, source, logical_name, file_name",
            run_date,
        ),
        "statement_gaps": _rows(
            warehouse,
            "select '****' || right(account, 4) as account, currency, cast(opened_on as varchar) as opened_on, "
            "cast(previous_date as varchar) as previous_date, previous_statement_no, previous_closing_minor, "
            "previous_bank_file, cast(statement_date as varchar) as statement_date, statement_no, opening_minor, "
            "bank_file, difference_minor, missing_numbers, missing_pages, file_missing "
            "from marts.fct_statement_gaps order by account, currency, statement_date, gap_id",
        ),
        "withdrawals": _rows(
            warehouse,
            "select acquirer, acquirer_merchant_id, merchant_id, entry_no, currency, "
            "cast(booked_on as varchar) as booked_on, cast(due_date as varchar) as due_date, amount_minor, "
            "received_minor, delta_minor, state, file_missing, wallet_file, wallet_line, bank_file, bank_line "
            "from marts.fct_withdrawals where state in ('differs', 'not_received') order by withdrawal_id",
        ),
        "events": _one(warehouse, "select count(*) from raw.terminal_events"),
        "lines": _one(warehouse, "select count(*) from raw.settlement_lines"),
        "bank_entries": _one(warehouse, "select count(*) from raw.bank_entries"),
        "quarantined_records": _one(warehouse, "select count(*) from raw.quarantined_records"),
        "states": _states(warehouse),
        "breaks": _rows(
            warehouse,
            "select break_type, currency, "
            "count(*) filter (where status = 'open' and opened_on = ?) as opened_tonight, "
            "count(*) filter (where status = 'closed' and closed_on = ?) as closed_tonight, "
            "count(*) filter (where status = 'open') as open, "
            "cast(coalesce(sum(amount_at_risk_minor) filter (where status = 'open'), 0) as bigint) "
            "as open_minor "
            "from marts.fct_breaks group by break_type, currency order by break_type, currency",
            run_date,
            run_date,
        ),
        "candidates": _rows(
            warehouse,
            "select break_type, currency, count(*) as candidates, "
            "cast(coalesce(sum(amount_at_risk_minor), 0) as bigint) as amount_minor "
            "from marts.dispute_candidates where status = 'open' "
            "group by break_type, currency order by break_type, currency",
        ),
        "explained": _explained(warehouse, run_date),
    }


def _states(warehouse: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Items of the night by match state; every state is named, so that a zero is seen to be one.

    An excluded event stays on watch for a few nights; it counts on the night that received it.
    """
    found = _counts(
        warehouse,
        "select match_state, count(*) from marts.fct_reconciliation_history "
        "where match_state is distinct from 'excluded' or first_run_date = run_date group by match_state",
    )
    names = ("matched", "pending", "unmatched", "ambiguous", "excluded")
    return {name: found.get(name, 0) for name in names}


def _explained(warehouse: duckdb.DuckDBPyConnection, run_date: date) -> dict[str, Any]:
    """What of the night is explained: records by side, by money and by count, and payouts.

    A record is, when it is matched, excluded or not yet due; a payout, when nothing is left of its money that no
    break explains.
    """
    rows = _rows(
        warehouse,
        "select side, cast(sum(explained_minor) as bigint) as explained_minor, "
        "cast(sum(unexplained_minor) as bigint) as unexplained_minor, "
        "cast(sum(explained_items) as bigint) as explained_items, "
        "cast(sum(unexplained_items) as bigint) as unexplained_items "
        "from marts.rpt_daily_control where run_date = ? group by side order by side",
        run_date,
    )
    sums = {name: sum(row[name] for row in rows) for name in _EXPLAINED}
    payouts = _rows(
        warehouse,
        "select cast(coalesce(sum(explained_minor), 0) as bigint) as explained_minor, "
        "cast(coalesce(sum(unexplained_minor), 0) as bigint) as unexplained_minor, "
        "count(*) filter (where unexplained_minor = 0) as explained_items, "
        "count(*) filter (where unexplained_minor > 0) as unexplained_items from marts.fct_payouts",
    )[0]
    return {
        **sums,
        **_explained_pct(sums),
        "by_side": {row["side"]: _explained_pct(row)["pct"] for row in rows},
        "items_by_side": {row["side"]: _explained_pct(row)["items_pct"] for row in rows},
        "payouts": payouts | _explained_pct(payouts),
    }


def _explained_pct(sums: Mapping[str, int]) -> dict[str, str]:
    money, money_not, items, items_not = (sums[name] for name in _EXPLAINED)
    return {"pct": percent(money, money + money_not), "items_pct": percent(items, items + items_not)}


def percent(part: int, whole: int) -> str:
    """`part` of `whole` in per cent with two decimals, cut; nothing of nothing is 100.00."""
    if whole == 0:
        return "100.00"
    basis_points = part * 10_000 // whole
    return f"{basis_points // 100}.{basis_points % 100:02d}"


def _one(warehouse: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(warehouse.execute(query).fetchall()[0][0])


def _counts(warehouse: duckdb.DuckDBPyConnection, query: str, *values: object) -> dict[str, int]:
    return {name: int(count) for name, count in warehouse.execute(query, list(values)).fetchall()}


def _rows(warehouse: duckdb.DuckDBPyConnection, query: str, *values: object) -> list[dict[str, Any]]:
    result = warehouse.execute(query, list(values))
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
