"""Why one transaction is matched or not: its nights, dates, breaks, payout, bank entry, and lines as received."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from posrecon.banking_calendar import is_banking_day
from posrecon.errors import UsageError
from posrecon.money import format_money
from posrecon.reporting.evidence import Place, evidence_of, place_of
from posrecon.reporting.ladder import as_text as ladder_text
from posrecon.reporting.ladder import rules_tried
from posrecon.reporting.lookup import Row, open_published, rows_of
from posrecon.settings import Settings
from posrecon.warehouse.manifests import published_nights
from posrecon.warehouse.sql import read_parquet

# Identifiers that people quote, in the order in which they name fewer transactions.
ITEM_KEYS = ("item_id", "rrn", "merchant_order_no", "stan")
# Days without banking that a calendar shows between its first and last date; beyond, only dates that matter.
REST_DAYS_SHOWN_MAX = 14
# Parts of a payout, in words.
STEPS = {"book": "expected by us", "lines": "added by lines", "bank": "left at the bank"}


def explain(settings: Settings, key: str, *, limit: int = 5) -> dict[str, Any]:
    """Find what a key names and tell its whole story.

    Args:
        settings: Where state lives.
        key: RRN, STAN (or `terminal/STAN`), order number, item id, payout id, bank reference, break id, or
            `file:line` of the evidence.
        limit: Items or bank entries at most; a STAN names many.

    Returns:
        `key`, `found_as`, `total`, and one of `items`, `payouts`, `entries` (of the bank) and `breaks` (of records
        that are no item, such as batch totals), ready for JSON.

    Raises:
        UsageError: Nothing is published, or nothing has this key.
    """
    key = key.strip()
    with open_published(settings) as published:
        payouts = rows_of(published, "select * from fct_payouts where payout_id = ? order by run_date", [key])
        if payouts:
            story = _payout_story(settings, published, payouts[-1])
            return {"key": key, "found_as": "payout_id", "total": 1, "payouts": [story]}
        named = _named_items(published, key)
        if named is not None:
            found_as, where, values = named
            total = published.execute(
                f"select count(*) from fct_reconciliation where {where}", values
            ).fetchall()
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
        found_as, entries = _named_entries(settings, key)
        if entries:
            return {
                "key": key,
                "found_as": found_as,
                "total": len(entries),
                "entries": [_entry_story(settings, published, entry) for entry in entries[:limit]],
            }
        file_name, line = _file_and_line(key)
        breaks = _breaks(
            published,
            "break_id = ? or item_id = ? or (terminal_file = ? and terminal_line = ?)",
            [key, key, file_name, line],
        )
        if breaks:
            stories = [_break_story(settings, published, row) for row in breaks[:limit]]
            return {"key": key, "found_as": "break", "total": len(breaks), "breaks": stories}
    raise UsageError(
        f"{key}: nothing published has this RRN, STAN, order number, bank reference, id or evidence line.",
        next_step="Check the key (posrecon breaks lists open ones); "
        "a line that was refused stands in the quarantine (posrecon files).",
    )


def as_text(found: dict[str, Any]) -> str:
    """The story for people."""
    lines: list[str] = []
    shown = 0
    for kind, text_of in (
        ("payouts", _payout_text),
        ("items", _item_text),
        ("entries", _entry_text),
        ("breaks", _break_text),
    ):
        for story in found.get(kind, []):
            lines += [*text_of(story), ""]
            shown += 1
    if found["total"] > shown:
        lines.append(
            f"{found['total'] - shown:,} more with the same {found['found_as']}; --limit shows more of them."
        )
    return "\n".join(lines).rstrip()


# ------------------------------------------------------------------------------------------------ finding


def _file_and_line(key: str) -> tuple[str | None, int | None]:
    """Base name and line of `file:line`; (None, None) when the key is none."""
    file_name, colon, line = key.rpartition(":")
    if not (colon and line.isdigit()):
        return None, None
    # A zip member is `outer.zip!member`, and the member may lie in a folder of the zip.
    return (file_name if "!" in file_name else file_name.rsplit("/", 1)[-1]), int(line)


def _named_items(published: duckdb.DuckDBPyConnection, key: str) -> tuple[str, str, list[Any]] | None:
    """How the key names items: (what it is, SQL condition, values); None when it names none."""
    file_name, line = _file_and_line(key)
    if file_name is not None:
        for side in ("terminal", "settlement"):
            where = f"{side}_file = ? and {side}_line = ?"
            if _any(published, where, [file_name, line]):
                return f"{side} evidence", where, [file_name, line]
    terminal, slash, stan = key.partition("/")
    if slash and stan.isdigit():
        where, values = "terminal_id = ? and stan = ?", [terminal, stan.zfill(6)]
        if _any(published, where, values):
            return "terminal and STAN", where, values
    for column in ITEM_KEYS:
        value = key.zfill(6) if column == "stan" and key.isdigit() else key
        if _any(published, f"{column} = ?", [value]):
            return column, f"{column} = ?", [value]
    return None


def _named_entries(settings: Settings, key: str) -> tuple[str, list[Row]]:
    """How the key names entries of bank statements, and these."""
    nights = published_nights(settings)
    registries = [settings.raw / "files" / f"run_date={night}.parquet" for night in nights]
    entries: list[Path] = []
    for night in nights:
        entries += sorted((settings.raw / "bank_entries" / f"run_date={night}").glob("*.parquet"))
    if not entries:
        return "", []
    file_name, line = _file_and_line(key)
    with duckdb.connect() as raw:
        rows = rows_of(
            raw,
            "select files.file_name, files.file_id, entries.line_no, entries.account, entries.statement_no, "
            "entries.reference, entries.narrative, entries.acquirer, entries.amount_minor, entries.currency, "
            "entries.value_date, entries.entry_date, files.file_name is distinct from $file_name as by_reference "
            f"from {read_parquet(entries, union_by_name=True)} as entries "
            f"inner join {read_parquet(registries, union_by_name=True)} as files using (file_no) "
            "where files.state = 'loaded' and (entries.reference = $key "
            "or list_contains(string_split(entries.reference, ' '), $key) "
            "or (files.file_name = $file_name and entries.line_no = $line)) "
            "order by entries.value_date, files.file_name, entries.line_no",
            {"key": key, "file_name": file_name, "line": line},
        )
    found_as = "bank reference" if rows and rows[0]["by_reference"] else "bank evidence"
    for row in rows:
        del row["by_reference"]
    return found_as, rows


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
    breaks = _breaks(
        published,
        "item_id = ? or (terminal_file_id = ? and terminal_line = ?) "
        "or (settlement_file_id = ? and settlement_line = ?)",
        [
            item["item_id"],
            item["terminal_file_id"],
            item["terminal_line"],
            item["settlement_file_id"],
            item["settlement_line"],
        ],
    )
    payouts = rows_of(
        published,
        "select * from fct_payouts where payout_id = ? order by run_date desc limit 1",
        [item["payout_id"]],
    )
    places = [place_of("terminal log", item, "terminal"), place_of("settlement", item, "settlement")]
    places += [place_of("bank", one, "bank") for one in payouts]
    suggestions = rows_of(
        published,
        "select terminal_file, terminal_line, settlement_file, settlement_line, reasons, delta_minor, seconds_apart "
        "from fct_match_suggestions where item_id = ? or settlement_item_id = ? "
        "order by reason_count desc, abs(delta_minor), seconds_apart, item_id, settlement_item_id",
        [item["item_id"], item["item_id"]],
    )
    latest = _latest_night(published)
    rules = rules_tried(settings, published, item)
    was_paired = False
    for rule in rules:
        # A pair that the rung leaves to the time order is named after it.
        is_its_rule = item["match_rule"] is not None and item["match_rule"].startswith(rule["rule"])
        rule["verdict"] = "accepted" if is_its_rule else "not tried: paired above" if was_paired else ""
        was_paired |= is_its_rule
        for candidate in rule["candidates"]:
            candidate["stands"] = _standing(published, item, candidate)
    payout = payouts[0] if payouts else None
    return {
        "item": item,
        "reasons": _reasons(item, latest),
        "calendar": _calendar(
            ("business date", item["business_date"] if item["terminal_file"] else None),
            ("settlement due", item["due_date"]),
            ("settled", item["settlement_date"]),
            ("payout due", payout["due_date"] if payout else None),
            ("last night", latest),
        ),
        "rules": rules,
        "suggestions": suggestions,
        "history": history,
        "breaks": breaks,
        "payout": payout,
        "evidence": _evidence(settings, published, places),
    }


def _evidence(
    settings: Settings, published: duckdb.DuckDBPyConnection, places: Sequence[Place | None]
) -> list[Row]:
    return [one.as_row() for one in evidence_of(settings, published, places)]


def _payout_story(settings: Settings, published: duckdb.DuckDBPyConnection, payout: Row) -> dict[str, Any]:
    lines = rows_of(
        published,
        "select match_state, count(*) as items, cast(sum(settled_amount_minor) as bigint) as settled_minor, "
        "cast(sum(fee_minor) as bigint) as fee_minor, cast(sum(net_minor) as bigint) as net_minor "
        "from fct_reconciliation where payout_id = ? group by match_state order by match_state",
        [payout["payout_id"]],
    )
    parts = rows_of(
        published,
        "select step, part, line_count, amount_minor from fct_payout_parts where payout_id = ? and run_date = ? "
        "order by step_no, part",
        [payout["payout_id"], payout["run_date"]],
    )
    breaks = _breaks(published, "item_id = ?", [payout["payout_id"]])
    return {
        "payout": payout,
        "calendar": _calendar(
            ("settled", payout["settlement_date"]),
            ("payout due", payout["due_date"]),
            ("last night", _latest_night(published)),
        ),
        "lines": lines,
        "parts": parts,
        "breaks": breaks,
        "evidence": _evidence(settings, published, [place_of("bank", payout, "bank")]),
    }


def _entry_story(settings: Settings, published: duckdb.DuckDBPyConnection, entry: Row) -> dict[str, Any]:
    """One entry of a bank statement: what it pays, or that nothing explains it."""
    place = [entry["file_id"], entry["line_no"]]
    payouts = rows_of(
        published,
        "select * from fct_payouts where bank_file_id = ? and bank_line = ? order by payout_id",
        place,
    )
    where = Place("bank", entry["file_name"], entry["line_no"], entry["file_id"])
    return {
        "entry": entry,
        "payouts": payouts,
        "breaks": _breaks(published, "bank_file_id = ? and bank_line = ?", place),
        "evidence": _evidence(settings, published, [where]),
    }


def _break_story(settings: Settings, published: duckdb.DuckDBPyConnection, row: Row) -> dict[str, Any]:
    """A break of a record that is no item."""
    sides = (("terminal log", "terminal"), ("settlement", "settlement"), ("bank", "bank"))
    places = [place_of(side, row, column) for side, column in sides]
    return {"break": row, "evidence": _evidence(settings, published, places)}


def _breaks(published: duckdb.DuckDBPyConnection, where: str, values: Sequence[Any]) -> list[Row]:
    """Breaks with what they mean and what to do."""
    return rows_of(
        published,
        "select breaks.*, types.label_en, types.label_zh, types.remedy_en from fct_breaks as breaks "
        f"left join dim_break_types as types using (break_type) where {where} "
        "order by opened_on, break_type, break_id",
        list(values),
    )


def _standing(published: duckdb.DuckDBPyConnection, item: Row, candidate: Row) -> str:
    """What became of a candidate: this item's partner, another's, or open."""
    rows = rows_of(
        published,
        "select item_id, match_state, match_rule, excluded_reason from fct_reconciliation "
        "where (terminal_file = $file and terminal_line = $line) "
        "or (settlement_file = $file and settlement_line = $line) "
        "order by item_id = $item desc, match_state = 'matched' desc, item_id",
        {"file": candidate["file_name"], "line": candidate["line_no"], "item": item["item_id"]},
    )
    if not rows:
        return "not in the published items"
    found = rows[0]
    if found["match_state"] == "matched":
        whose = "this item" if found["item_id"] == item["item_id"] else f"item {found['item_id']}"
        return f"paired with {whose} by {found['match_rule']}"
    if found["match_state"] == "excluded":
        return f"excluded: {found['excluded_reason']}"
    return str(found["match_state"])


def _latest_night(published: duckdb.DuckDBPyConnection) -> date:
    night: date = published.execute("select max(run_date) from fct_reconciliation_history").fetchall()[0][0]
    return night


def _calendar(*marks: tuple[str, date | None]) -> list[Row]:
    """The dates that matter and the days without banking between them, in order."""
    named = [(day, what) for what, day in marks if day is not None]
    first, last = min(day for day, _ in named), max(day for day, _ in named)
    days = {day: [what for on, what in named if on == day] for day, _ in named}
    between = [first + timedelta(days=n) for n in range((last - first).days)]
    rest = [day for day in between if not is_banking_day(day)]
    if len(rest) <= REST_DAYS_SHOWN_MAX:
        days |= {day: days.get(day, []) for day in rest}
    return [
        {"date": day, "is_banking_day": is_banking_day(day), "what": what}
        for day, what in sorted(days.items())
    ]


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


def _item_text(story: dict[str, Any]) -> list[str]:
    item = story["item"]
    currency = item["currency"]
    # A line is in the currency of its payout, which may be another one than the event's.
    settled_in = story["payout"]["currency"] if story["payout"] else currency
    same = settled_in == currency
    lines = [
        f"Item {item['item_id']}: {item['match_state'].upper()}",
        f"  {item['txn_type']} {item['channel'] or ''} merchant {item['merchant_id']} "
        f"terminal {item['terminal_id'] or '-'} batch {item['batch_no'] or '-'} STAN {item['stan'] or '-'} "
        f"RRN {item['rrn'] or '-'} card {item['card_masked'] or '-'}",
        *(f"  {sentence}" for sentence in story["reasons"]),
        f"  expected {format_money(item['expected_amount_minor'], currency)}, "
        f"settled {format_money(item['settled_amount_minor'], settled_in)}, "
        f"difference {format_money(item['delta_minor'], currency) if same else 'none: other currencies'}; "
        f"fee {format_money(item['fee_minor'], settled_in)}, "
        f"expected {format_money(item['expected_fee_minor'], settled_in)}; "
        f"net {format_money(item['net_minor'], settled_in)}",
    ]
    lines += _calendar_text(story["calendar"])
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
        lines += _payout_lines(story["payout"], settled_in)
    return lines + _evidence_text(story["evidence"])


def _payout_text(story: dict[str, Any]) -> list[str]:
    payout = story["payout"]
    currency = payout["currency"]
    lines = [f"Payout {payout['payout_id']}: {payout['state'].upper()}"]
    lines += _payout_lines(payout, currency)
    lines += _calendar_text(story["calendar"])
    lines += [
        f"  {row['items']:,} items {row['match_state']}: settled {format_money(row['settled_minor'], currency)}, "
        f"fee {format_money(row['fee_minor'], currency)}, net {format_money(row['net_minor'], currency)}"
        for row in story["lines"]
    ]
    lines += [
        f"  {STEPS[row['step']]}: {row['part']} {format_money(row['amount_minor'], currency)}"
        + (f" ({row['line_count']:,} lines)" if row["line_count"] is not None else "")
        for row in story["parts"]
    ]
    return lines + _breaks_text(story["breaks"]) + _evidence_text(story["evidence"])


def _entry_text(story: dict[str, Any]) -> list[str]:
    entry = story["entry"]
    kind = "Credit" if entry["amount_minor"] > 0 else "Debit"
    lines = [
        f"{kind} of {format_money(entry['amount_minor'], entry['currency'])} on account {entry['account']}, "
        f"value date {entry['value_date']}, reference {entry['reference'] or '-'}",
        f"  text: {entry['narrative'] or '-'}",
        f"  known payer: {entry['acquirer'] or 'none'}",
    ]
    for payout in story["payouts"]:
        lines += _payout_lines(payout, entry["currency"])
    if not story["payouts"]:
        lines.append("  pays no payout by its text, its amount or a sum")
    return lines + _breaks_text(story["breaks"]) + _evidence_text(story["evidence"])


def _break_text(story: dict[str, Any]) -> list[str]:
    row = story["break"]
    place = f"merchant {row['merchant_id'] or '-'} terminal {row['terminal_id'] or '-'}"
    return [
        f"Record {row['item_id']}, no item of its own: {place}",
        *_breaks_text([row]),
        *_evidence_text(story["evidence"]),
    ]


def _calendar_text(calendar: list[Row]) -> list[str]:
    days = [
        f"{day['date']:%a %Y-%m-%d} "
        + ", ".join([*day["what"], *([] if day["is_banking_day"] else ["no banking day"])])
        for day in calendar
    ]
    return [f"  calendar: {'; '.join(days)}"]


def _payout_lines(payout: Row, currency: str | None) -> list[str]:
    bank = f", bank {payout['bank_file']}:{payout['bank_line']}" if payout["bank_file"] else ""
    rule = f" by {payout['funding_rule']}" if payout["funding_rule"] else ""
    return [
        f"  payout {payout['payout_id']}: {payout['state']}{rule}, due {payout['due_date']}, "
        f"expected {format_money(payout['expected_net_minor'], currency)}, "
        f"received {format_money(payout['received_minor'], currency)}{bank}"
    ]


def _breaks_text(breaks: list[Row]) -> list[str]:
    lines = [] if breaks else ["  no break"]
    for row in breaks:
        lines.append(
            f"  break {row['break_type']} ({row['label_en']}, {row['label_zh']}): {row['status']}, "
            f"opened {row['opened_on']}"
            + (f", closed {row['closed_on']} by {row['closed_by']}" if row["closed_on"] else "")
            + f", at risk {format_money(row['amount_at_risk_minor'], row['currency'])}"
            + (" (its file is missing)" if row["file_missing"] else "")
        )
        lines.append(f"    found: {row['detail']}")
        if row["status"] == "open":
            lines.append(f"    to do: {row['remedy_en']}")
    return lines


def _evidence_text(evidence: list[Row]) -> list[str]:
    lines = []
    for entry in evidence:
        lines.append(f"  {entry['side']}: {entry['file']}:{entry['line']}")
        shown = entry["text"] if entry["text"] is not None else f"({entry['problem']})"
        lines += [f"    | {part}" for part in shown.splitlines()]
    return lines
