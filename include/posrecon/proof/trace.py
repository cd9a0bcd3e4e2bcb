"""From a published figure to the received lines that make it, and from a received line to every figure that uses it.

Keys:

    <item_id> <break_id> <candidate_id> <payout_id>          one row of a published table
    control:<run date>/<acquirer>/<channel>/<currency>/<side>/<column>   one cell of rpt_daily_control
    report:<YYYY-MM>/totals/<acquirer>/<channel>/<currency>/<side>/<column>   a total of the control report
    report:<YYYY-MM>/breaks/<break_type>/<currency>/<column>              a count of breaks in it
    <file or file id>:<line>                                 back: every figure that uses a received line

A sum is not only listed but added up again from the lines, and the trace says whether it ties. Lines are shown as
received, with card numbers masked; every line that is shown is an access to the archive, and is recorded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import duckdb

from posrecon.errors import UsageError
from posrecon.reporting.evidence import Place, evidence_of, place_of
from posrecon.reporting.lookup import Row, open_published, rows_of
from posrecon.settings import Settings
from posrecon.warehouse.manifests import previous_night, published_nights, read_manifest, removed_files
from posrecon.warehouse.sql import read_parquet

OPEN_STATES = "('pending', 'unmatched', 'ambiguous')"
_PERCENTAGES = {"explained_items_pct": "items", "explained_pct": "minor"}
MEASURES = ("opening", "new", "matched", "excluded", "closed", "closing")
CONTROL_COLUMNS = (
    *(f"{measure}_{unit}" for measure in MEASURES for unit in ("items", "minor")),
    "explained_items",
    "explained_minor",
    "unexplained_items",
    "unexplained_minor",
    *_PERCENTAGES,
)
SIDES = {"terminal": "terminal log", "settlement": "settlement"}

# Which rows of a night's control a column counts; money of the last three is absolute, so that nothing cancels out.
_COUNTED = {
    "opening": "is_opening",
    "new": "not is_opening",
    "matched": "match_state = 'matched'",
    "excluded": "match_state = 'excluded'",
    # Left otherwise: a decision of a case closed its break.
    "closed": "is_closed",
    "closing": f"match_state in {OPEN_STATES} and not is_closed",
    "explained": "match_state not in ('unmatched', 'ambiguous') or is_closed",
    "unexplained": "match_state in ('unmatched', 'ambiguous') and not is_closed",
}


@dataclass(frozen=True)
class Line:
    """One received line and its part in a figure.

    Attributes:
        side: terminal log, settlement or bank.
        file: Base name as received.
        line: Physical line or ordinal, from 1.
        amount_minor: What it adds to the figure; None where the figure is no sum.
        sha256: Of the received file; None where its text was not asked for.
        text: The line as received, masked; None where it was not asked for or cannot be shown.
        problem: Why it cannot be shown.
    """

    side: str
    file: str
    line: int
    amount_minor: int | None = None
    sha256: str | None = None
    text: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Trace:
    """What a key stands for, and where it comes from or goes to.

    Attributes:
        key: As asked.
        found_as: item, break, candidate, payout, control cell, report cell, or received line.
        figure: The published figure or row.
        sum: How lines add up to it, in words; empty where it is no sum.
        ties: Whether they do; None where it is no sum.
        lines: Received lines, in order of file and line; only the first have their text.
        line_count: How many there are.
        parts: Keys of the published figures that this one is made of, or, for a line, that use it.
    """

    key: str
    found_as: str
    figure: dict[str, Any]
    sum: str = ""
    ties: bool | None = None
    lines: tuple[Line, ...] = ()
    line_count: int = 0
    parts: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def trace(settings: Settings, key: str, *, limit: int = 10) -> Trace:
    """Follow a key to its lines, or a line to its figures.

    Args:
        settings: Where state lives.
        key: See the module.
        limit: Lines at most whose text is read from the archive; 0 reads none.

    Raises:
        UsageError: Nothing is published, or nothing has this key.
    """
    key = key.strip()
    with open_published(settings) as published:
        if key.startswith("control:"):
            return _control(settings, published, key, limit)
        if key.startswith("report:"):
            return _report(settings, published, key)
        for find in (_candidate, _break, _payout, _item):
            found = find(settings, published, key, limit)
            if found is not None:
                return found
        file_name, colon, line = key.rpartition(":")
        if colon and line.isdigit():
            return _back(settings, published, file_name.rsplit("/", 1)[-1], int(line), key, limit)
    raise UsageError(
        f"{key}: no published item, break, candidate or payout has this key, and it is no cell and no file:line.",
        next_step="posrecon audit trace --help names the forms of a key; posrecon breaks lists break ids.",
    )


def control_key(row: Row, column: str) -> str:
    """Key of one cell of rpt_daily_control."""
    return f"control:{row['run_date']}/{row['acquirer']}/{row['channel']}/{row['currency']}/{row['side']}/{column}"


def as_text(found: Trace) -> str:
    """The trace for people."""
    lines = [f"{found.found_as}: {found.key}"]
    hidden = ("card_token", "settlement_account")
    lines += [
        f"  {name} {value}"
        for name, value in found.figure.items()
        if value is not None and name not in hidden
    ]
    if found.sum:
        verdict = {True: "ties", False: "DOES NOT TIE", None: ""}[found.ties]
        lines.append(f"  = {found.sum}: {verdict}")
    for line in found.lines:
        amount = "" if line.amount_minor is None else f"  {line.amount_minor}"
        lines.append(f"  {line.side}: {line.file}:{line.line}{amount}")
        if line.sha256 is not None:
            lines.append(f"    SHA-256 {line.sha256}")
        shown = line.text if line.text is not None else (f"({line.problem})" if line.problem else "")
        lines += [f"    | {part}" for part in shown.splitlines()]
    if found.parts:
        word = "used by" if found.found_as == "received line" else "made of"
        lines.append(f"  {word} {len(found.parts):,}:")
        lines += [f"    {part}" for part in found.parts]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------ single rows


def _candidate(
    settings: Settings, published: duckdb.DuckDBPyConnection, key: str, limit: int
) -> Trace | None:
    rows = rows_of(published, "select * from dispute_candidates where candidate_id = ?", [key])
    if not rows:
        return None
    breaks = rows_of(published, "select * from fct_breaks where break_id = ?", [rows[0]["break_id"]])
    lines = _evidence(
        settings, published, [one for row in breaks for one in _break_lines(published, row)], limit
    )
    return Trace(key, "candidate", rows[0], lines=lines, line_count=len(lines), parts=(rows[0]["break_id"],))


def _break(settings: Settings, published: duckdb.DuckDBPyConnection, key: str, limit: int) -> Trace | None:
    rows = rows_of(published, "select * from fct_breaks where break_id = ?", [key])
    if not rows:
        return None
    row = rows[0]
    parts = [part for part in (row["item_id"], row["payout_id"]) if part]
    lines = _evidence(settings, published, _break_lines(published, row), limit)
    return Trace(key, "break", row, lines=lines, line_count=len(lines), parts=tuple(dict.fromkeys(parts)))


def _break_lines(published: duckdb.DuckDBPyConnection, row: Row) -> list[Place]:
    """The lines that a break stands on."""
    named = _named(row)
    if not named and row["payout_id"]:
        # A payout that never came has no line of its own: its lines are those that should have paid.
        named = [one for one, _ in _payout_lines(published, row["payout_id"])]
    return named


def _item(settings: Settings, published: duckdb.DuckDBPyConnection, key: str, limit: int) -> Trace | None:
    rows = rows_of(published, "select * from fct_reconciliation where item_id = ?", [key])
    if not rows:
        return None
    row = rows[0]
    named = _named(row)
    payouts = rows_of(
        published,
        "select * from fct_payouts where payout_id = ? order by run_date desc limit 1",
        [row["payout_id"]],
    )
    named += [one for payout in payouts for one in _named(payout)]
    lines = _evidence(settings, published, named, limit)
    parts = (row["payout_id"],) if payouts else ()
    return Trace(key, "item", row, lines=lines, line_count=len(lines), parts=parts)


def _payout(settings: Settings, published: duckdb.DuckDBPyConnection, key: str, limit: int) -> Trace | None:
    rows = rows_of(
        published, "select * from fct_payouts where payout_id = ? order by run_date desc limit 1", [key]
    )
    if not rows:
        return None
    payout = rows[0]
    found = _payout_lines(published, key)
    total = sum(amount for _, amount in found)
    ties = total == payout["expected_net_minor"] and len(found) == payout["line_count"]
    words = (
        f"{len(found):,} settlement lines with a net of {total} in all; "
        f"published are {payout['line_count']:,} lines and {payout['expected_net_minor']}"
    )
    # The bank's entry first: it is the one line that the payout itself names.
    named = [*_named(payout), *(one for one, _ in found)]
    amounts = dict(found)
    lines = _evidence(settings, published, named, limit, amounts)
    return Trace(key, "payout", payout, words, ties, lines, len(lines))


def _payout_lines(published: duckdb.DuckDBPyConnection, payout_id: str) -> list[tuple[Place, int]]:
    """Settlement lines of a payout and their net, by file and line."""
    rows = published.execute(
        "select distinct settlement_file, settlement_line, settlement_file_id, net_minor "
        "from fct_reconciliation_history where payout_id = ? and settlement_file is not null order by all",
        [payout_id],
    ).fetchall()
    return [(Place(SIDES["settlement"], name, line, file_id), int(net)) for name, line, file_id, net in rows]


# ------------------------------------------------------------------------------------------------ control cells


def _control(settings: Settings, published: duckdb.DuckDBPyConnection, key: str, limit: int) -> Trace:
    parts = key.removeprefix("control:").split("/")
    if len(parts) != 6 or parts[4] not in SIDES or parts[5] not in CONTROL_COLUMNS:
        raise UsageError(
            f"{key}: expected control:<run date>/<acquirer>/<channel>/<currency>/<side>/<column>, side one of "
            f"{', '.join(SIDES)}, column one of {', '.join(CONTROL_COLUMNS)}.",
            next_step="Take the values from a row of rpt_daily_control.",
        )
    run_date, column = _date(parts[0], key), parts[5]
    rows = rows_of(
        published,
        "select * from rpt_daily_control "
        "where run_date = ? and acquirer = ? and channel = ? and currency = ? and side = ?",
        [run_date, *parts[1:5]],
    )
    if not rows:
        raise UsageError(
            f"{key}: rpt_daily_control has no such row.", next_step="posrecon status lists the nights."
        )
    row = rows[0]
    figure = {
        "run_date": run_date,
        **{name: row[name] for name in ("acquirer", "channel", "currency", "side")},
    }
    figure |= {"column": column, "value": row[column]}
    if column in _PERCENTAGES:
        both = tuple(f"{measure}_{_PERCENTAGES[column]}" for measure in ("explained", "unexplained"))
        explained, unexplained = (row[name] for name in both)
        words = f"explained {explained} of {explained + unexplained}, in per cent, cut after four decimals"
        ties = _percent(explained, explained + unexplained) == str(row[column])
        keys = tuple(control_key(row, name) for name in both)
        return Trace(key, "control cell", figure, words, ties, parts=keys)
    measure, unit = column.rsplit("_", 1)
    found = _control_lines(settings, published, run_date, parts[1:5], _COUNTED[measure])
    amounts = {one: abs(amount) if measure.endswith("explained") else amount for one, amount in found.items()}
    total = len(amounts) if unit == "items" else sum(amounts.values())
    added = f"{len(amounts):,} lines" + ("" if unit == "items" else f" add up to {total}")
    lines = _evidence(settings, published, list(amounts), limit, amounts)
    words = f"{added}; published is {row[column]}"
    return Trace(key, "control cell", figure, words, total == row[column], lines, len(lines))


def _control_lines(
    settings: Settings,
    published: duckdb.DuckDBPyConnection,
    run_date: date,
    cell: Sequence[str],
    counted: str,
) -> dict[Place, int]:
    """Lines that one cell counts, with their signed money, by file and line.

    A line's state before the night is its row of the night before; currency and money are those of the record
    itself, because a matched pair may differ in both. What a decision keeps closed is in no balance.
    """
    acquirer, channel, currency, side = cell
    before = previous_night(settings, run_date)
    records = _records(settings, side)
    query = f"""
        with

        tonight as (

            select
                {side}_file as file_name, {side}_file_id as file_id, {side}_line as line_no, match_state, acquirer,
                channel
            from fct_reconciliation_history
            where run_date = $night and {side}_file is not null

        ),

        before as (

            select {side}_file_id as file_id, {side}_line as line_no, match_state as opening_state
            from fct_reconciliation_history
            where run_date = $before and {side}_file is not null

        ),

        closed_now as ({_closed_by_decision(side, "$night")}),

        closed_before as ({_closed_by_decision(side, "$before")}),

        moves as (

            select
                tonight.*,
                records.currency,
                records.amount_minor,
                closed_now.file_id is not null as is_closed,
                coalesce(before.opening_state in {OPEN_STATES}, false) and closed_before.file_id is null as is_opening
            from tonight
            left join before using (file_id, line_no)
            inner join ({records}) as records using (file_id, line_no)
            left join closed_now
                on tonight.file_id = closed_now.file_id
                and tonight.line_no = closed_now.line_no
                and tonight.match_state = closed_now.match_state
            left join closed_before
                on tonight.file_id = closed_before.file_id
                and tonight.line_no = closed_before.line_no
                and before.opening_state = closed_before.match_state
            where
                not (coalesce(before.opening_state = 'excluded', false) and tonight.match_state = 'excluded')
                and (closed_now.file_id is null or closed_before.file_id is null)

        )

        select file_name, line_no, file_id, amount_minor
        from moves
        where acquirer = $acquirer and channel = $channel and currency = $currency and ({counted})
        order by file_name, line_no, file_id
    """
    rows = published.execute(
        query,
        {
            "night": run_date,
            "before": before,
            "acquirer": acquirer,
            "channel": channel,
            "currency": currency,
        },
    ).fetchall()
    return {Place(SIDES[side], name, line, file_id): int(amount) for name, line, file_id, amount in rows}


def _closed_by_decision(side: str, night: str) -> str:
    """A query for the records of one side that decisions kept closed after a night, each in one match state.

    Args:
        side: terminal or settlement.
        night: SQL for the night.
    """
    own = (
        "('missing_in_settlement', 'refund_not_settled', 'ambiguous_match')"
        if side == "terminal"
        else "('missing_in_terminal_log', 'ambiguous_match')"
    )
    return f"""
        select distinct
            breaks.{side}_file_id as file_id,
            breaks.{side}_line as line_no,
            case breaks.break_type when 'ambiguous_match' then 'ambiguous' else 'unmatched' end as match_state
        from fct_breaks as breaks
        inner join fct_break_decisions as decisions using (break_id)
        where
            breaks.break_type in {own}
            and decisions.effect in ('closed', 'reopened')
            and decisions.run_date <= {night}
        group by all
        having arg_max(decisions.effect, decisions.run_date) = 'closed'
    """


def _records(settings: Settings, side: str) -> str:
    """A query for file id, line, currency and signed money of every record of one side, from the raw partitions."""
    dataset = "terminal_events" if side == "terminal" else "settlement_lines"
    partitions = sorted((settings.raw / dataset).glob("run_date=*/*.parquet"))
    if not partitions:
        raise UsageError(
            f"{settings.raw / dataset}: no record is left to add up.",
            next_step="Retention removed them; posrecon replay rebuilds what the archive still holds.",
        )
    registries = sorted((settings.raw / "files").glob("run_date=*.parquet"))
    money = (
        "case txn_type when 'refund' then -1 when 'sale' then 1 when 'preauth_completion' then 1 else 0 end "
        "* amount_minor"
        if side == "terminal"
        else "gross_minor"
    )
    return (
        f"select files.file_id, records.line_no, records.currency, {money} as amount_minor "
        f"from {read_parquet(partitions)} as records "
        f"inner join {read_parquet(registries)} as files on records.file_no = files.file_no "
        "where files.state = 'loaded'"
    )


# ------------------------------------------------------------------------------------------------ report cells

# What a break must have done in the month, or be on its last night, to be counted by a column.
BREAK_COLUMNS = {
    "open_before": "opened_on < $first and (closed_on is null or closed_on >= $first)",
    "opened": "opened_on between $first and $last",
    "closed": "closed_on between $first and $last",
    "open": "status = 'open'",
    "open_over_7_days": "status = 'open' and age_days > 7",
    "open_over_30_days": "status = 'open' and age_days > 30",
}


@dataclass(frozen=True)
class Month:
    """A month of nights.

    Attributes:
        first: Its first day.
        last: Its last day.
        nights: Published nights in it.
    """

    first: date
    last: date
    nights: tuple[date, ...]


def month_of(settings: Settings, text: str) -> Month:
    """The published nights of a month.

    Raises:
        UsageError: The text is no month, or no night of it is published.
    """
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        raise UsageError(f"{text}: expected a month as YYYY-MM.", next_step="For example 2026-11.") from None
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    nights = tuple(night for night in published_nights(settings) if first <= night <= last)
    if not nights:
        raise UsageError(f"{text}: no night of this month is published.", next_step="See posrecon status.")
    gone = removed_files(settings)
    if any(part.file in gone for night in nights for part in read_manifest(settings, night).tables.values()):
        raise UsageError(
            f"{text}: retention removed published tables of this month.",
            next_step="Take the control report of the month from the archive of reports.",
        )
    return Month(first, last, nights)


def breaks_relation(settings: Settings, month: Month) -> str:
    """The breaks as they stood after the last night of a month."""
    part = read_manifest(settings, month.nights[-1]).tables["fct_breaks"]
    return read_parquet([settings.published / part.file])


def _report(settings: Settings, published: duckdb.DuckDBPyConnection, key: str) -> Trace:
    month_text, _, rest = key.removeprefix("report:").partition("/")
    section, _, cell = rest.partition("/")
    parts = cell.split("/")
    month = month_of(settings, month_text)
    if section == "totals" and len(parts) == 5 and parts[4] in CONTROL_COLUMNS[: 2 * len(MEASURES)]:
        return _report_total(published, key, month, parts)
    if section == "breaks" and len(parts) == 3 and parts[2] in BREAK_COLUMNS:
        query = (
            f"select break_id from {breaks_relation(settings, month)} "
            f"where break_type = $type and currency is not distinct from $currency and {BREAK_COLUMNS[parts[2]]} "
            "order by break_id"
        )
        values: dict[str, Any] = {"type": parts[0], "currency": None if parts[1] == "-" else parts[1]}
        bounds = {"first": month.first, "last": month.last}
        values |= {name: value for name, value in bounds.items() if f"${name}" in query}
        ids = [str(row[0]) for row in published.execute(query, values).fetchall()]
        figure: dict[str, Any] = {
            "month": month_text,
            "break_type": parts[0],
            "currency": parts[1],
            "column": parts[2],
        }
        figure["value"] = len(ids)
        words = f"{len(ids):,} breaks as they stood after the night of {month.nights[-1]}"
        return Trace(key, "report cell", figure, words, True, parts=tuple(ids))
    raise UsageError(
        f"{key}: expected report:<YYYY-MM>/totals/<acquirer>/<channel>/<currency>/<side>/<column> or "
        f"report:<YYYY-MM>/breaks/<break_type>/<currency>/<column>, the last column one of "
        f"{', '.join(BREAK_COLUMNS)}.",
        next_step="Take the values from a row of the control report.",
    )


def _report_total(
    published: duckdb.DuckDBPyConnection, key: str, month: Month, parts: Sequence[str]
) -> Trace:
    column = parts[4]
    rows = rows_of(
        published,
        "select * from rpt_daily_control where run_date between ? and ? "
        "and acquirer = ? and channel = ? and currency = ? and side = ? order by run_date",
        [month.first, month.last, *parts[:4]],
    )
    if not rows:
        raise UsageError(
            f"{key}: rpt_daily_control has no such row.", next_step="See the totals of the report."
        )
    # A balance is carried: the month opens as its first night and closes as its last; movements add up.
    if column.startswith("opening"):
        rows, words = rows[:1], f"as the night of {rows[0]['run_date']} opened"
    elif column.startswith("closing"):
        rows, words = rows[-1:], f"as the night of {rows[-1]['run_date']} closed"
    else:
        words = f"the sum of {len(rows)} nights"
    value = sum(row[column] for row in rows)
    names = ("acquirer", "channel", "currency", "side", "column")
    figure = dict(zip(names, parts, strict=True)) | {"value": value}
    return Trace(
        key, "report cell", figure, words, True, parts=tuple(control_key(row, column) for row in rows)
    )


# ------------------------------------------------------------------------------------------------ back


def _back(
    settings: Settings,
    published: duckdb.DuckDBPyConnection,
    file_name: str,
    line: int,
    key: str,
    limit: int,
) -> Trace:
    """Every published figure that uses one received line."""
    file = _received_file(published, file_name, line, key)
    file_id = file["file_id"]
    side, rows = _uses(published, file_id, line)
    breaks = rows_of(
        published,
        "select * from fct_breaks where (terminal_file_id = $file and terminal_line = $line) "
        "or (settlement_file_id = $file and settlement_line = $line) "
        "or (bank_file_id = $file and bank_line = $line) "
        "or list_contains($items, item_id) order by break_id",
        {"file": file_id, "line": line, "items": [row["item_id"] for row in rows]},
    )
    payouts = rows_of(
        published,
        "select distinct payout_id from fct_payouts where (bank_file_id = $file and bank_line = $line) "
        "or list_contains($ids, payout_id) order by payout_id",
        {"file": file_id, "line": line, "ids": [row["payout_id"] for row in rows if row["payout_id"]]},
    )
    parts = list(dict.fromkeys(row["item_id"] for row in rows))
    parts += [row["payout_id"] for row in payouts]
    parts += [row["break_id"] for row in breaks]
    parts += [
        row["candidate_id"]
        for row in rows_of(
            published,
            "select candidate_id from dispute_candidates where list_contains($breaks, break_id) order by 1",
            {"breaks": [row["break_id"] for row in breaks]},
        )
    ]
    if side in SIDES:
        parts += _cells(settings, published, side, file_id, line, rows)
    parts += _break_cells(settings, breaks)
    label = SIDES.get(side, "bank")
    lines = _evidence(settings, published, [Place(label, file["file_name"], line, file_id)], limit)
    return Trace(key, "received line", file, lines=lines, line_count=1, parts=tuple(parts))


def _received_file(published: duckdb.DuckDBPyConnection, wanted: str, line: int, key: str) -> Row:
    """The file of a name or an id; a loaded one, where several have the name.

    Raises:
        UsageError: There is none, or several of this name are loaded.
    """
    files = rows_of(
        published,
        "select file_id, file_name, sha256, run_date, state, records, loaded, quarantined from fct_files "
        "where file_name = $wanted or file_id = $wanted order by state = 'loaded' desc, run_date desc, file_id",
        {"wanted": wanted},
    )
    if not files:
        raise UsageError(
            f"{key}: no received file has this name.", next_step="posrecon files lists the files."
        )
    loaded = [one for one in files if one["state"] == "loaded"]
    if len(loaded) > 1:
        ids = ", ".join(f"{one['file_id']}:{line} (night of {one['run_date']})" for one in loaded)
        raise UsageError(
            f"{key}: {len(loaded)} received files have this name.", next_step=f"Name one by its id: {ids}."
        )
    return files[0]


def _uses(published: duckdb.DuckDBPyConnection, file_id: str, line: int) -> tuple[str, list[Row]]:
    """The side on which a line stands, and its rows of every night."""
    for side in SIDES:
        rows = rows_of(
            published,
            f"select * from fct_reconciliation_history where {side}_file_id = ? and {side}_line = ? order by run_date",
            [file_id, line],
        )
        if rows:
            return side, rows
    return "bank", []


def _cells(
    settings: Settings,
    published: duckdb.DuckDBPyConnection,
    side: str,
    file_id: str,
    line: int,
    rows: Iterable[Row],
) -> list[str]:
    """Cells of the daily control, and of the month's report, that count a line."""
    found = published.execute(
        f"select currency from ({_records(settings, side)}) where file_id = ? and line_no = ?",
        [file_id, line],
    ).fetchone()
    if found is None:
        return []
    cells: list[str] = []
    totals: list[str] = []
    state_before: str | None = None
    was_closed = False
    for row in rows:
        state = row["match_state"]
        is_closed = (file_id, line, state) in published.execute(
            _closed_by_decision(side, "$night"), {"night": row["run_date"]}
        ).fetchall()
        stays_out = (state_before == "excluded" and state == "excluded") or (was_closed and is_closed)
        is_opening = state_before in ("pending", "unmatched", "ambiguous") and not was_closed
        state_before, was_closed = state, is_closed
        if stays_out:
            continue
        measures = ["opening" if is_opening else "new"]
        measures.append(state if state in ("matched", "excluded") else "closed" if is_closed else "closing")
        columns = [f"{measure}_{unit}" for measure in measures for unit in ("items", "minor")]
        is_open = state in ("unmatched", "ambiguous") and not is_closed
        verdict = "unexplained" if is_open else "explained"
        judged = (*(f"{verdict}_{unit}" for unit in ("items", "minor")), *_PERCENTAGES)
        cell = row | {"currency": found[0], "side": side}
        cells += [control_key(cell, column) for column in (*columns, *judged)]
        month = str(row["run_date"])[:7]
        where = f"{row['acquirer']}/{row['channel']}/{found[0]}/{side}"
        totals += [f"report:{month}/totals/{where}/{column}" for column in columns]
    return [*cells, *dict.fromkeys(totals)]


def _break_cells(settings: Settings, breaks: Iterable[Row]) -> list[str]:
    """Counts of the control reports that hold a break, from the month that opened it on."""
    cells: list[str] = []
    months = sorted({str(night)[:7] for night in published_nights(settings)})
    for row in breaks:
        for text in months:
            month = month_of(settings, text)
            if row["opened_on"] > month.last:
                continue
            closed = row["closed_on"]
            as_open = closed is None or closed > month.nights[-1]
            age = (month.nights[-1] - row["opened_on"]).days
            holds = {
                "open_before": row["opened_on"] < month.first and (closed is None or closed >= month.first),
                "opened": month.first <= row["opened_on"] <= month.last,
                "closed": closed is not None and month.first <= closed <= month.last,
                "open": as_open,
                "open_over_7_days": as_open and age > 7,
                "open_over_30_days": as_open and age > 30,
            }
            where = f"report:{text}/breaks/{row['break_type']}/{row['currency'] or '-'}"
            cells += [f"{where}/{column}" for column, is_held in holds.items() if is_held]
    return list(dict.fromkeys(cells))


# ------------------------------------------------------------------------------------------------ lines


def _named(row: Row) -> list[Place]:
    """The received lines that a published row names."""
    places = (place_of(label, row, side) for side, label in (*SIDES.items(), ("bank", "bank")))
    return [one for one in places if one is not None]


def _evidence(
    settings: Settings,
    published: duckdb.DuckDBPyConnection,
    named: Sequence[Place],
    limit: int,
    amounts: dict[Place, int] | None = None,
) -> tuple[Line, ...]:
    """The lines, the first of them with their text from the archive."""
    shown = evidence_of(settings, published, named[:limit])
    lines = [
        Line(one.side, one.file, one.line, (amounts or {}).get(one), text.sha256, text.text, text.problem)
        for one, text in zip(named, shown, strict=False)
    ]
    lines += [Line(one.side, one.file, one.line, (amounts or {}).get(one)) for one in named[limit:]]
    return tuple(lines)


def _date(text: str, key: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{key}: {text} is no date.", next_step="Write it as YYYY-MM-DD.") from None


def _percent(part: int, whole: int) -> str:
    """`part` of `whole` in per cent with four decimals, cut; nothing of nothing is 100."""
    cut = part * 1_000_000 // whole if whole else 1_000_000
    return f"{cut // 10_000}.{cut % 10_000:04d}"
