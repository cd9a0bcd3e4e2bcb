"""ISO 8583 message log of terminals: one message a line, requests and responses, as ASCII or hex.

A record is an exchange: a request, its repeats, and its response. It is named by the line of the request, or by that
of the response where the log has no request. A request without a response is a time-out, which is not approved.
Messages that move no money by themselves (sign-on, batch upload and totals, echo, balance enquiry) are no records.

Elements: 2 or 35 card, 4 amount in the minor units of 49, 11 trace number, 12 and 13 local time and date without a
year (7, in UTC, where they are missing), 37 reference, 38 authorisation, 39 answer, 41 terminal, 42 merchant,
60 batch (positions 3 to 8), 61 or 90 the original.

Source: ISO 8583:1987; 银联卡受理终端规范.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.delimited import BOM, LINE_BYTES_MAX, chunks, connect
from posrecon.formats.iso8583_messages import FORMS, WANTED, Form, read_messages
from posrecon.formats.layout import Job, Parsed, arrow_schema
from posrecon.formats.terminal_csv import EVENT_COLUMNS, events_parameters, events_sql, total_of, trace_sql
from posrecon.landing.sources import Source
from posrecon.money import numeric_codes

# Lines that decide in which form a log is written.
_PROBED_MAX = 200
# Sign-on and keys, totals, batch upload, file update, echo: they move no money by themselves.
_SERVICE = r"0[3568]\d\d"
_BALANCE = "31"
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\r\n")

# One row per message: what the next step needs of each element. `own_key` is what request and response share.
_MESSAGES_SQL = r"""
create or replace temp table messages as
select
    line_no,
    error,
    t as message_type,
    t[3] in ('1', '3', '5') as is_response,
    t[4] in ('1', '3', '5') as is_repeat,
    t[:2] || '|' || coalesce(trim("42"), '') || '|' || coalesce(trim("41"), '') || '|' || coalesce("11", '') || '|'
    || coalesce(case when regexp_full_match("60", '\d{8,}') then "60"[3:8] end, '') as own_key,
    coalesce("2", regexp_extract("35", '^(\d{12,19})[=D]', 1)) as card_no,
    "3" as processing_code,
    "4" as amount,
    "7" as sent_at,
    "11" as stan,
    "12" as local_time,
    "13" as local_date,
    "25" as condition_code,
    trim("37") as rrn,
    trim("38") as auth_code,
    trim("39") as response_code,
    trim("41") as terminal_id,
    trim("42") as merchant_id,
    "49" as currency_code,
    case when regexp_full_match("60", '\d{8,}') then "60"[3:8] end as batch_no,
    case
        when regexp_full_match("90", '\d{10,}') and "90"[5:10] <> '000000' then "90"[5:10]
        when regexp_full_match("61", '\d{12,}') then "61"[7:12]
    end as orig_stan,
    case when regexp_full_match("61", '\d{12,}') then "61"[1:6] end as orig_batch_no
from decoded
"""

# Requests and responses of one trace number in the order of the log: each request begins an exchange.
_EXCHANGES_SQL = r"""
create or replace temp table exchanges as
with counted as (
    select
        *,
        sum(case when is_response or is_repeat then 0 else 1 end) over (
            partition by own_key order by line_no
        ) as exchange_no
    from messages
    where error is null and not is_service
)
select
    min(line_no) as line_no,
    count(*) as messages,
    count(distinct case when is_response then response_code end) as answers,
    max(case when not is_response then message_type end) as request_type,
    min(message_type) as message_type,
    {firsts},
    min(case when not is_response then rrn end) as asked_rrn,
    min(case when is_response then rrn end) as answered_rrn,
    min(case when is_response then response_code end) as answered_code
from counted
group by own_key, exchange_no
"""
_SHARED = (
    "card_no", "processing_code", "amount", "sent_at", "stan", "local_time", "local_date", "condition_code",
    "auth_code", "terminal_id", "merchant_id", "currency_code", "batch_no", "orig_stan", "orig_batch_no",
)  # fmt: skip

# Year-less: of the three years around the business date, the one that puts the day nearest to it.
_NAMED_SQL = r"""
with dated as (
    select
        exchanges.*,
        kinds.txn_type,
        currencies.currency as currency,
        case
            when regexp_full_match(local_date || local_time, '\d{10}') then local_date || local_time
            when local_date is null and regexp_full_match(sent_at, '\d{10}') then sent_at
        end as clock,
        local_date is null as is_utc
    from exchanges
    left join kinds
        on exchanges.request_type is not distinct from kinds.request_type
            and exchanges.message_type = kinds.message_type
            and exchanges.processing_code is not distinct from kinds.processing_code
            and exchanges.condition_code is not distinct from kinds.condition_code
            and (exchanges.orig_stan is not null) = kinds.names_original
    left join currencies
        on coalesce(exchanges.currency_code, $currency) = currencies.code
)
, clocked as (
    select
        *,
        list_sort(list_filter(
            list_transform(
                [year($day) - 1, year($day), year($day) + 1],
                lambda y: try_strptime(y || clock, '%Y%m%d%H%M%S')
            ),
            lambda t: t is not null and abs(date_diff('day', $day, t::date)) <= 183
        ))[1] as local_at
    from dated
)
, named as (
    select
        line_no, null::varchar as line, answers, request_type, message_type, processing_code,
        condition_code, txn_type as kind, clock, currency_code,
        amount as amount_digits,
        merchant_id, terminal_id, batch_no, stan,
        case when takes_original and asked_rrn is distinct from answered_rrn then answered_rrn
            else coalesce(answered_rrn, asked_rrn) end as rrn,
        auth_code, txn_type, 'card' as channel, card_no, null::varchar as card_type,
        case
            when not regexp_full_match(amount, '\d{12}') then null
            when exponent_of(currency) = 0 then amount
            else left(amount, 12 - exponent_of(currency)) || '.' || right(amount, exponent_of(currency))
        end as amount,
        currency,
        strftime(local_at, '%Y-%m-%dT%H:%M:%S') || case when is_utc then 'Z' else '' end as txn_time,
        answered_code as response_code,
        -- A reversal repeats the trace number of what it takes back, unless it names another.
        coalesce(orig_stan, case when txn_type = 'reversal' then stan end) as orig_stan,
        orig_batch_no,
        case when takes_original and asked_rrn is distinct from answered_rrn then asked_rrn end as orig_rrn,
        null::varchar as merchant_order_no, null::varchar as channel_txn_no, null::varchar as extras_json
    from (
        select *, coalesce(txn_type in ('refund', 'void', 'preauth_void', 'preauth_completion'), false)
            as takes_original
        from clocked
    )
)
"""
_REASONS = [
    "when kind is null then 'no message type of the source YAML fits '"
    " || concat_ws(' ', coalesce(request_type, message_type), processing_code, condition_code)",
    "when answers > 1 then 'is answered twice, with different response codes'",
    "when amount_digits is null or not regexp_full_match(amount_digits, '\\d{12}')"
    " then 'element 4 is not 12 digits'",
    "when currency is null then 'element 49 \"' || coalesce(currency_code, '') || '\" is no ISO 4217 currency'",
    "when clock is null then 'has no time: neither elements 12 and 13 nor 7'",
    "when txn_time is null then 'element 13 and 12 \"' || clock || '\" is not a possible time MMDDhhmmss'",
    "when stan is null or not regexp_full_match(stan, '\\d{6}') then 'element 11 is not 6 digits'",
]


def peek_date(path: Path, source: Source) -> date | None:
    """The messages have no year: the name of the file says the business date."""
    return None


def parse(job: Job) -> Parsed:
    """Parse one log of ISO 8583 messages into `terminal_events`.

    Raises:
        LayoutError: Empty, no date in the name, a control character or an endless line, or nothing that is a message;
            with the bad lines.
    """
    day = job.name.business_date
    if day is None:
        raise LayoutError(
            f"{job.file_name}: the name has no date, and the messages have no year.",
            next_step="Give the file a name with its business date (YYYYMMDD), or the source's pattern a date group.",
        )
    form = _form(job)
    _require_lines(job)
    with connect(job.settings) as connection:
        _load(connection, job, form)
        bad, first = _one(
            connection, "select count(*), min(line_no || ': ' || error) from messages where error is not null"
        )
        good = _one(connection, "select count(*) from messages where error is null")[0]
        if not good:
            raise LayoutError(
                f"{job.file_name}: no line is an ISO 8583 message ({bad} lines; {first}).",
                bad_lines=tuple(
                    BadLine(*row)
                    for row in connection.execute(
                        "select line_no, error from messages order by line_no limit 10000"
                    ).fetchall()
                ),
                next_step="Put the file into the folder of its feed, or ask the sender for it again.",
            )
        _classify(connection, job)
        records = bad + _one(connection, "select count(*) from exchanges")[0]
        return _written(connection, job, records=records, day=day)


# -------------------------------------------------------------------------------- lines
def _form(job: Job) -> Form:
    """How the lines are written: the form in which most of the first ones are whole messages."""
    if job.path.stat().st_size == 0:
        raise LayoutError(
            f"{job.file_name}: the file is empty (0 bytes), expected messages.",
            next_step="Ask the sender for it again.",
        )
    with job.path.open("rb") as file:
        head = file.read(256 * 1024).removeprefix(BOM)
    lines = [line.rstrip(b"\r") for line in head.split(b"\n") if line.strip()][:_PROBED_MAX]
    if not lines:
        raise LayoutError(
            f"{job.file_name}: the file has only blank lines, expected messages.",
            next_step="Ask the sender for it again.",
        )
    ends = np.cumsum([len(line) for line in lines])
    starts = ends - [len(line) for line in lines]
    data = np.frombuffer(b"".join(lines), np.uint8)
    fits = [read_messages(data, starts, ends, form).errors.null_count for form in FORMS]
    return FORMS[int(np.argmax(fits))]


def _load(connection: duckdb.DuckDBPyConnection, job: Job, form: Form) -> None:
    """Make `messages`: one row per line that is not blank."""
    decoded = _decoded(job, form)
    connection.register("decoded", pa.RecordBatchReader.from_batches(_DECODED_SCHEMA, decoded))
    connection.execute(_MESSAGES_SQL)
    connection.execute("alter table messages add column is_service boolean")
    connection.execute(
        "update messages set is_service = coalesce("
        f"regexp_full_match(message_type, '{_SERVICE}') or left(processing_code, 2) = '{_BALANCE}', false)"
    )


_DECODED_SCHEMA = arrow_schema(
    line_no=pa.int64(),
    error=pa.string(),
    t=pa.string(),
    **{str(number): pa.string() for number in WANTED},
)


def _decoded(job: Job, form: Form) -> Iterator[pa.RecordBatch]:
    line_no = 1
    for chunk in chunks(job.path, job.file_name):
        data = np.frombuffer(chunk, np.uint8)
        ends = np.flatnonzero(data == 10)
        starts = np.concatenate(([0], ends[:-1] + 1))
        numbers = np.arange(line_no, line_no + len(ends), dtype=np.int64)
        line_no += len(ends)
        stops = ends - ((ends > starts) & (data[np.maximum(ends - 1, 0)] == 13))
        full = stops > starts
        found = read_messages(data, starts[full], stops[full], form)
        rows = int(full.sum())
        columns = [pa.array(numbers[full]), found.errors]
        columns += [found.fields.get(name, pa.nulls(rows, pa.string())) for name in _DECODED_SCHEMA.names[2:]]
        yield pa.record_batch(columns, schema=_DECODED_SCHEMA)


def _require_lines(job: Job) -> None:
    """Refuse what is no text in lines: control characters, and lines longer than any message."""
    bad: list[BadLine] = []
    line_no = 0
    for chunk in chunks(job.path, job.file_name):
        ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10)
        has_long = int(np.diff(ends, prepend=-1).max()) > LINE_BYTES_MAX
        if has_long or len(chunk.translate(None, _CONTROL)) != len(chunk):
            for number, line in enumerate(chunk.split(b"\n")[:-1], start=line_no + 1):
                if len(line) > LINE_BYTES_MAX:
                    bad.append(BadLine(number, f"{len(line)} bytes, expected at most {LINE_BYTES_MAX}"))
                elif len(line.translate(None, _CONTROL)) != len(line):
                    bad.append(BadLine(number, "a control character stands in the line, expected text"))
        line_no += len(ends)
    if not bad:
        return
    raise LayoutError(
        f"{job.file_name}: the file is not clean text; line {bad[0].line_no}: {bad[0].reason}.",
        bad_lines=tuple(bad),
        next_step="Ask the sender for the file again.",
    )


# -------------------------------------------------------------------------------- exchanges
def _classify(connection: duckdb.DuckDBPyConnection, job: Job) -> None:
    """Make `exchanges`, and `kinds`: what each combination of message type and codes means."""
    firsts = ", ".join(
        # A response echoes most elements; what the terminal asked for comes first.
        f"coalesce(min(case when not is_response then {name} end), min({name})) as {name}"
        for name in _SHARED
    )
    connection.execute(_EXCHANGES_SQL.replace("{firsts}", firsts))
    combinations = connection.execute(
        "select distinct request_type, message_type, processing_code, condition_code, orig_stan is not null"
        " from exchanges"
    ).fetchall()
    rules = [(re.compile(pattern), kind) for pattern, kind in job.source.message_types.items()]
    kinds: dict[str, list[object]] = {
        "request_type": [], "message_type": [], "processing_code": [], "condition_code": [], "names_original": [],
        "txn_type": [],
    }  # fmt: skip
    for request, message, processing, condition, names_original in combinations:
        asked = request or message[:2] + str(int(message[2]) - 1) + message[3]
        said = f"{asked[:3]}0 {processing or ''} {condition or ''} {'original' if names_original else ''}"
        kind = next((kind for pattern, kind in rules if pattern.match(said)), None)
        row = (request, message, processing, condition, names_original, kind)
        for column, value in zip(kinds.values(), row, strict=True):
            column.append(value)
    types = [pa.string()] * 4 + [pa.bool_(), pa.string()]
    connection.register(
        "kinds",
        pa.table({name: pa.array(kinds[name], kind) for name, kind in zip(kinds, types, strict=True)}),
    )
    codes = numeric_codes()
    connection.register(
        "currencies",
        pa.table({"code": [*codes, *codes.values()], "currency": [*codes.values(), *codes.values()]}),
    )


def _written(connection: duckdb.DuckDBPyConnection, job: Job, *, records: int, day: date) -> Parsed:
    parameters = events_parameters(connection, job) | {"day": day, "currency": job.source.currency or "CNY"}
    typed = _NAMED_SQL + events_sql(_REASONS)
    out, refused = job.scratch / "terminal_events.parquet", job.scratch / "quarantine.parquet"
    loaded = _copy(
        connection,
        f"{typed} select {job.file_no}::bigint as file_no, line_no, {', '.join(EVENT_COLUMNS)}"
        " from typed where reason is null order by line_no",
        out,
        parameters,
    )
    quarantined = 0
    if loaded != records:
        # The line itself is withheld: its digits run on without a gap, so no mask could find the card in it.
        shown = "'message ' || coalesce(message_type, '') || ' (withheld: it may hold a card number)'"
        quarantined = _copy(
            connection,
            f"{typed}, refused as (select typed.line_no, typed.reason, exchanges.message_type, typed.merchant_id,"
            " typed.terminal_id, typed.batch_no, typed.stan from typed"
            " inner join exchanges on typed.line_no = exchanges.line_no where typed.reason is not null"
            " union all select line_no, 'the line ' || error, case when regexp_full_match(message_type, '\\d{4}')"
            " then message_type end, null, null, null, null from messages where error is not null)"
            f" select {job.file_no}::bigint as file_no, line_no, mask_text(reason) as reason,"
            # A message that is whole has its elements where they belong, whatever is wrong with one of them.
            f" {shown} as record_masked{trace_sql(out, 'true')} from refused order by line_no",
            refused,
            parameters,
        )
    return Parsed(
        records=records,
        loaded=loaded,
        quarantined=quarantined,
        business_date=day,
        logical_key="",
        encoding=job.source.encoding,
        datasets={"terminal_events": out},
        quarantine=refused if quarantined else None,
        computed_minor=total_of(connection, out, "amount_minor"),
    )


def _copy(connection: duckdb.DuckDBPyConnection, query: str, out: Path, parameters: dict[str, object]) -> int:
    target = str(out).replace("'", "''")
    bound = {name: value for name, value in parameters.items() if f"${name}" in query}
    return int(_one(connection, f"copy ({query}) to '{target}' (format parquet, compression zstd)", bound)[0])


def _one(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object] | None = None
) -> tuple[int, str]:
    row = connection.execute(query, parameters or {}).fetchone()
    return (int(row[0] or 0), str(row[1]) if len(row) > 1 else "") if row else (0, "")
