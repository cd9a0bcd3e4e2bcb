"""Why one transaction is matched or not: its nights, dates, breaks, payout, and lines as received."""

from datetime import date
from typing import Any

import duckdb

from posrecon.errors import UsageError
from posrecon.money import format_minor
from posrecon.reporting.evidence import evidence_of
from posrecon.reporting.ladder import as_text as ladder_text
from posrecon.reporting.ladder import rules_tried
from posrecon.reporting.lookup import Row, open_published, rows_of
from posrecon.settings import Settings

# Identifiers that people quote, in the order in which they name fewer transactions.
ITEM_KEYS = ("item_id", "rrn", "merchant_order_no", "stan")


def explain(settings: Settings, key: str, *, limit: int = 5) -> dict[str, Any]:
    """Find what a key names and tell its whole story.

    Args:
        settings: Where state lives.
        key: RRN, STAN, order number, item id, payout id, or `file:line` of the evidence.
        limit: Items at most; a STAN names many.

    Returns:
        `key`, `found_as`, `total`, and `items` or `payouts`, ready for JSON.

    Raises:
        UsageError: Nothing is published, or nothing has this key.
    """
    key = key.strip()
    with open_published(settings) as published:
        payouts = rows_of(published, "select * from fct_payouts where payout_id = ? order by run_date", [key])
        if payouts:
            return {
                "key": key,
                "found_as": "payout_id",
                "total": 1,
                "payouts": [_payout_story(settings, published, payouts[-1])],
            }
        found_as, where, values = _condition(published, key)
        total = published.execute(f"select count(*) from fct_reconciliation where {where}", values).fetchall()
        items = rows_of(
            published,
            f"select * from fct_reconciliation where {where} order by business_date, item_id limit {limit}",
            values,
        )
        return {
            "key": key,
            "found_as": found_as,
            "total": int(total[0][0]),
            "items": [_item_story(settings, published, item) for item in items],
        }


def as_text(found: dict[str, Any]) -> str:
    """The story for people."""
    lines: list[str] = []
    for story in found.get("payouts", []):
        lines += _payout_text(story)
    for story in found.get("items", []):
        lines += [*_item_text(story), ""]
    hidden = found["total"] - len(found.get("items", found.get("payouts", [])))
    if hidden > 0:
        lines.append(f"{hidden:,} more with the same {found['found_as']}; --limit shows more of them.")
    return "\n".join(lines).rstrip()


# ------------------------------------------------------------------------------------------------ finding


def _condition(published: duckdb.DuckDBPyConnection, key: str) -> tuple[str, str, list[Any]]:
    """How the key names items: (what it is, SQL condition, values)."""
    file_name, colon, line = key.rpartition(":")
    if colon and line.isdigit():
        name = file_name.rsplit("/", 1)[-1]
        for side in ("terminal", "settlement"):
            where = f"{side}_file = ? and {side}_line = ?"
            if _any(published, where, [name, int(line)]):
                return f"{side} evidence", where, [name, int(line)]
    for column in ITEM_KEYS:
        value = key.zfill(6) if column == "stan" and key.isdigit() else key
        if _any(published, f"{column} = ?", [value]):
            return column, f"{column} = ?", [value]
    raise UsageError(
        f"{key}: no published item or payout has this RRN, STAN, order number, id or evidence line.",
        next_step="Check the key (posrecon breaks lists open ones); "
        "a line that was refused stands in the quarantine (posrecon files).",
    )


def _any(published: duckdb.DuckDBPyConnection, where: str, values: list[Any]) -> bool:
    found = published.execute(f"select 1 from fct_reconciliation where {where} limit 1", values).fetchall()
    return bool(found)


def _item_story(settings: Settings, published: duckdb.DuckDBPyConnection, item: Row) -> dict[str, Any]:
    history = rows_of(
        published,
        "select run_date, match_state, excluded_reason, match_rule, match_tier, settlement_date, days_late "
        "from fct_reconciliation_history where item_id = ? order by run_date",
        [item["item_id"]],
    )
    breaks = rows_of(
        published,
        "select * from fct_breaks where item_id = ? "
        "or (terminal_file = ? and terminal_line = ?) or (settlement_file = ? and settlement_line = ?) "
        "order by opened_on, break_type, break_id",
        [
            item["item_id"],
            item["terminal_file"],
            item["terminal_line"],
            item["settlement_file"],
            item["settlement_line"],
        ],
    )
    payouts = rows_of(
        published,
        "select * from fct_payouts where payout_id = ? order by run_date desc limit 1",
        [item["payout_id"]],
    )
    evidence = [
        evidence_of(settings, published, "terminal log", item["terminal_file"], item["terminal_line"]),
        evidence_of(settings, published, "settlement", item["settlement_file"], item["settlement_line"]),
    ]
    if payouts:
        evidence.append(
            evidence_of(settings, published, "bank", payouts[0]["bank_file"], payouts[0]["bank_line"])
        )
    suggestions = rows_of(
        published,
        "select terminal_file, terminal_line, settlement_file, settlement_line, reasons, delta_minor, seconds_apart "
        "from fct_match_suggestions where item_id = ? or settlement_item_id = ? "
        "order by reason_count desc, abs(delta_minor), seconds_apart, item_id, settlement_item_id",
        [item["item_id"], item["item_id"]],
    )
    latest = published.execute("select max(run_date) from fct_reconciliation_history").fetchall()[0][0]
    return {
        "item": item,
        "reasons": _reasons(item, latest),
        "rules": rules_tried(settings, published, item),
        "suggestions": suggestions,
        "history": history,
        "breaks": breaks,
        "payout": payouts[0] if payouts else None,
        "evidence": [entry.as_row() for entry in evidence if entry is not None],
    }


def _payout_story(settings: Settings, published: duckdb.DuckDBPyConnection, payout: Row) -> dict[str, Any]:
    lines = rows_of(
        published,
        "select match_state, count(*) as items, cast(sum(settled_amount_minor) as bigint) as settled_minor, "
        "cast(sum(fee_minor) as bigint) as fee_minor, cast(sum(net_minor) as bigint) as net_minor "
        "from fct_reconciliation where payout_id = ? group by match_state order by match_state",
        [payout["payout_id"]],
    )
    breaks = rows_of(
        published,
        "select * from fct_breaks where item_id = ? order by opened_on, break_type",
        [payout["payout_id"]],
    )
    bank = evidence_of(settings, published, "bank", payout["bank_file"], payout["bank_line"])
    return {
        "payout": payout,
        "lines": lines,
        "breaks": breaks,
        "evidence": [] if bank is None else [bank.as_row()],
    }


def _reasons(item: Row, latest: date) -> list[str]:
    """The decision in sentences, from the dates and the rule that were stored with it."""
    state = item["match_state"]
    sentences: list[str] = []
    if state == "matched":
        sentences.append(f"Matched by rule {item['match_rule']} (tier {item['match_tier']}).")
    elif state == "excluded":
        sentences.append(f"Expects no settlement: {item['excluded_reason']}.")
    elif state == "ambiguous":
        sentences.append("Several candidates fit equally well; none is chosen.")
    elif item["terminal_file"] is None:
        sentences.append("No terminal event fits this settlement line.")
    else:
        sentences.append("No settlement line fits this terminal event.")
    due, settled = item["due_date"], item["settlement_date"]
    if item["terminal_file"] is not None and due is not None:
        sentences.append(f"Business date {item['business_date']}, so settlement is due on {due}.")
    if settled is not None:
        late = item["days_late"] or 0
        ending = f"{late} banking day{'s' if late != 1 else ''} late." if late > 0 else "in time."
        sentences.append(f"Settled on {settled}" + (f", {ending}" if due is not None else "."))
    elif due is not None and state in ("pending", "unmatched"):
        past = "has passed" if latest > due else "has not passed yet"
        sentences.append(f"The last night is {latest}: the due date {past}.")
    return sentences


# ------------------------------------------------------------------------------------------------ text


def _money(amount_minor: int | None, currency: str | None) -> str:
    return (
        "-" if amount_minor is None else f"{format_minor(amount_minor, currency or 'CNY')} {currency or ''}"
    )


def _item_text(story: dict[str, Any]) -> list[str]:
    item = story["item"]
    currency = item["currency"]
    lines = [
        f"Item {item['item_id']}: {item['match_state'].upper()}",
        f"  {item['txn_type']} {item['channel'] or ''} merchant {item['merchant_id']} "
        f"terminal {item['terminal_id']} batch {item['batch_no'] or '-'} STAN {item['stan'] or '-'} "
        f"RRN {item['rrn'] or '-'} card {item['card_masked'] or '-'}",
        *(f"  {sentence}" for sentence in story["reasons"]),
        f"  expected {_money(item['expected_amount_minor'], currency)}, "
        f"settled {_money(item['settled_amount_minor'], currency)}, "
        f"difference {_money(item['delta_minor'], currency)}; "
        f"fee {_money(item['fee_minor'], currency)}, "
        f"expected {_money(item['expected_fee_minor'], currency)}; "
        f"net {_money(item['net_minor'], currency)}",
    ]
    lines += ladder_text(story["rules"])
    lines += [
        f"  may belong to {row['settlement_file']}:{row['settlement_line']} / "
        f"{row['terminal_file']}:{row['terminal_line']} ({row['reasons']}; never accepted by itself)"
        for row in story["suggestions"]
    ]
    if len(story["history"]) > 1:
        nights = ", ".join(f"{row['run_date']} {row['match_state']}" for row in story["history"])
        lines.append(f"  night by night: {nights}")
    lines += _breaks_text(story["breaks"])
    if story["payout"] is not None:
        lines += _payout_lines(story["payout"], currency)
    return lines + _evidence_text(story["evidence"])


def _payout_text(story: dict[str, Any]) -> list[str]:
    payout = story["payout"]
    currency = payout.get("currency")
    lines = [f"Payout {payout['payout_id']}: {payout['state'].upper()}"]
    lines += _payout_lines(payout, currency)
    lines += [
        f"  {row['items']:,} items {row['match_state']}: settled {_money(row['settled_minor'], currency)}, "
        f"fee {_money(row['fee_minor'], currency)}, net {_money(row['net_minor'], currency)}"
        for row in story["lines"]
    ]
    return lines + _breaks_text(story["breaks"]) + _evidence_text(story["evidence"])


def _payout_lines(payout: Row, currency: str | None) -> list[str]:
    return [
        f"  payout {payout['payout_id']}: {payout['state']}, due {payout['due_date']}, "
        f"expected {_money(payout['expected_net_minor'], currency)}, "
        f"received {_money(payout['received_minor'], currency)}"
    ]


def _breaks_text(breaks: list[Row]) -> list[str]:
    if not breaks:
        return ["  no break"]
    return [
        f"  break {row['break_type']}: {row['status']}, opened {row['opened_on']}"
        + (f", closed {row['closed_on']} by {row['closed_by']}" if row["closed_on"] else "")
        + f", at risk {_money(row['amount_at_risk_minor'], row['currency'])}"
        + (" (its file is missing)" if row["file_missing"] else "")
        for row in breaks
    ]


def _evidence_text(evidence: list[Row]) -> list[str]:
    lines = []
    for entry in evidence:
        lines.append(f"  {entry['side']}: {entry['file']}:{entry['line']}")
        shown = entry["text"] if entry["text"] is not None else f"({entry['problem']})"
        lines += [f"    | {part}" for part in shown.splitlines()]
    return lines
