"""The native terminal log in any of its three forms: CSV, JSON lines, Parquet. The rules of a record are the same."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from posrecon.errors import BadLine, LayoutError
from posrecon.formats import terminal_csv
from posrecon.formats.delimited import BOM, commonest, connect, local_date, read_lines, write_records
from posrecon.formats.layout import Job, Parsed
from posrecon.formats.masking import mask_text
from posrecon.formats.terminal_csv import (
    EVENT_COLUMNS,
    LOG_COLUMNS,
    events_parameters,
    events_sql,
    total_of,
    trace_sql,
    usual_date,
)
from posrecon.landing.sources import Source

_PARQUET = b"PAR1"

# Without these a record says nothing; a file that never has one of them is no terminal log.
_REQUIRED = (
    "merchant_id",
    "terminal_id",
    "txn_type",
    "channel",
    "amount",
    "currency",
    "txn_time",
    "response_code",
)

# `v` is null for a line that is no object, and for one that gives a name twice: which value counts is not ours to say.
# Almost every record gives the names of the first one, $usual, so only another one is looked through for names that
# stand twice; `is_loose`: a text may begin or end in a blank, as written or as an escape.
_JSON_RECORDS = r"""
with opened as (
    select line_no, line, case when json_valid(line) then json_keys(line) end as names
    from physical
    where line <> chr(10) and line <> (chr(13) || chr(10))
)
, named_once as (
    select
        *,
        names = $usual as is_usual,
        case
            when names is null then null
            when len(names) > 0 then 'OBJECT'
            else json_type(line)
        end as kind,
        case
            when contains(line, '\') then true
            when contains(line, ' ') or contains(line, chr(9))
                then regexp_matches(line, ':\s*"[ \t]|[ \t]"\s*[,}]')
            else false
        end as is_loose
    from opened
)
, records as (
    select
        *,
        case
            when kind = 'OBJECT' and (is_usual or len(names) = len(list_distinct(names)))
                then json_transform(line, '{structure}')
        end as v
    from named_once
)
"""
_JSON_REASONS = [
    "when kind is null then 'is not valid JSON'",
    "when kind <> 'OBJECT' then 'is not a JSON object, expected {\"merchant_id\": …}'",
    "when v is null then 'a name stands twice in the object'",
    "when has_control then 'a control character stands in a text'",
]


def peek_date(path: Path, source: Source) -> date | None:
    """Business date of most of the first records; None when there is none to read."""
    form = _form_of(path)
    if form == "csv":
        return terminal_csv.peek_csv(path, source)
    texts = _peek_json_lines(path) if form == "jsonl" else _peek_parquet(path)
    return commonest(local_date(text, source.zone) for text in texts)


def _peek_json_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        head = file.read(64 * 1024).removeprefix(BOM)
    for line in head.splitlines():
        try:
            yield str(json.loads(line)["txn_time"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue


def _peek_parquet(path: Path) -> Iterator[str]:
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1_000, columns=["txn_time"]):
            yield from (str(moment) for moment in batch.column(0).to_pylist())
            return
    except (ValueError, IndexError, OSError, pa.ArrowException):
        return


def parse(job: Job) -> Parsed:
    """Parse one terminal log into `terminal_events`, in the form that its content has.

    Raises:
        LayoutError: Empty, not readable in its form, a column missing; with every bad line.
    """
    form = _form_of(job.path)
    if form == "csv":
        return terminal_csv.parse_csv(job)
    return _parse_json_lines(job) if form == "jsonl" else _parse_parquet(job)


def _form_of(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(_PARQUET):
        return "parquet"
    return "jsonl" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "csv"


def _named(
    records: str,
    line: str,
    control: str,
    fields: dict[str, str],
    extras: str,
    more: str = "",
    *,
    is_trimmed: bool = False,
) -> str:
    """The CTE `named` from text expressions of the columns."""
    blanks = "' ' || chr(9) || chr(13) || chr(10)"
    texts = {name: sql if is_trimmed else f"trim({sql}, {blanks})" for name, sql in fields.items()}
    columns = ", ".join(f"nullif({texts[name]}, '') as {name}" for name in LOG_COLUMNS)
    return (
        f" named as (select line_no, {line} as line, {control} as has_control, {more} {columns},"
        f" {extras} as extras_json from {records})"
    )


def _parse_json_lines(job: Job) -> Parsed:
    """One object a line; the line number is the physical one. Unknown names become extras."""
    structure = json.dumps(dict.fromkeys(LOG_COLUMNS, "VARCHAR"))
    text = read_lines(job.path, job.file_name, records_cte=_JSON_RECORDS.replace("{structure}", structure))
    usual = _names_of_first(job.path)
    known = ", ".join(f"'{name}'" for name in LOG_COLUMNS)
    unknown = (
        "list_filter(map_entries(line::json::map(varchar, varchar)),"
        f" lambda e: e.value is not null and e.key not in ({known}))"
    )
    has_unknown = f"len(list_filter(names, lambda n: n not in ({known}))) > 0"
    # The usual names are known or not for the whole file.
    may_have = "true" if set(usual) - set(LOG_COLUMNS) else "not is_usual"
    named = _named(
        "records",
        "line",
        r"case when contains(line, '\u00') then regexp_matches(line, '\\u00[01][0-9a-fA-F]') else false end",
        {
            name: f"case when is_loose then trim(v.{name}, ' ' || chr(9) || chr(13) || chr(10)) else v.{name} end"
            for name in LOG_COLUMNS
        },
        f"case when v is not null and {may_have} then case when {has_unknown} then"
        f" case when len({unknown}) > 0 then to_json(map_from_entries({unknown}))::varchar end end end",
        "kind, v,",
        is_trimmed=True,
    )
    with connect(job.settings) as connection:
        loaded, quarantined, out, refused = write_records(
            text,
            job,
            connection,
            typed_sql="," + named + events_sql(_JSON_REASONS),
            columns=EVENT_COLUMNS,
            dataset="terminal_events",
            parameters=events_parameters(connection, job) | {"usual": usual},
            refused_sql=trace_sql(job.scratch / "terminal_events.parquet"),
        )
        if loaded == 0:
            _require_a_log(connection, refused, job)
        return _parsed(connection, job, out, refused, text.records, loaded, quarantined)


def _names_of_first(path: Path) -> list[str]:
    """The names that the first record gives, in its order; none when it is no object or gives one twice."""
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"").removeprefix(BOM)
    try:
        pairs = json.loads(first, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return []
    names = [pair[0] for pair in pairs if isinstance(pair, tuple)] if isinstance(pairs, list) else []
    return names if len(names) == len(set(names)) else []


def _require_a_log(connection: duckdb.DuckDBPyConnection, refused: Path | None, job: Job) -> None:
    """Refuse a file of which no record loads because it is something else: no objects, or other names."""
    rows = connection.execute(
        "select line_no, reason, record_masked from read_parquet($path) order by line_no",
        {"path": str(refused)},
    ).fetchall()
    found: set[str] = set()
    for _, _, record in rows:
        try:
            given = json.loads(record)
        except ValueError:
            continue
        found |= set(given) if isinstance(given, dict) else set()
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise LayoutError(
            f"{job.file_name}: no record names {', '.join(missing)}; expected a terminal log as JSON lines.",
            bad_lines=tuple(BadLine(line_no, reason) for line_no, reason, _ in rows),
            next_step="Ask the sender for the file with all columns, or put it into the folder of its feed.",
        )


def _parse_parquet(job: Job) -> Parsed:
    """One row a record; its number is its ordinal in the file, from 1."""
    with connect(job.settings) as connection, _readable(job):
        path = str(job.path).replace("'", "''")
        # An instant is written with its offset, so that the zone of the source applies to it as to any other text.
        connection.execute("set timezone = 'UTC'")
        columns = [
            row[0] for row in connection.execute(f"describe select * from read_parquet('{path}')").fetchall()
        ]
        missing = [name for name in LOG_COLUMNS if name not in columns]
        if missing:
            raise LayoutError(
                f"{job.file_name}: the columns lack {', '.join(missing)}; expected a terminal log.",
                bad_lines=tuple(BadLine(0, f'column "{name}" is missing') for name in missing),
                next_step="Ask the sender for the file with all columns, or put it into the folder of its feed.",
            )
        records = int(pq.ParquetFile(job.path).metadata.num_rows)
        if records == 0:
            raise LayoutError(
                f"{job.file_name}: the file has columns and no records.",
                next_step="Ask the sender for it again.",
            )
        quoted = {name: '"' + name.replace('"', '""') + '"' for name in columns}
        extra = [name for name in columns if name not in LOG_COLUMNS]
        pairs = ", ".join(
            f"'{name.replace(chr(39), chr(39) * 2)}', {quoted[name]}::varchar" for name in extra
        )
        any_extra = ", ".join(f"{quoted[name]}::varchar" for name in extra)
        every = ", ".join(
            f"'{name.replace(chr(39), chr(39) * 2)}', {quoted[name]}::varchar" for name in columns
        )
        ctes = (
            "with records as (select *, file_row_number + 1 as line_no,"
            f" json_object({every})::varchar as whole from read_parquet('{path}', file_row_number = true)),"
            + _named(
                "records",
                "whole",
                r"regexp_matches(whole, '\\u00[01][0-9a-fA-F]')",
                {name: f"{quoted[name]}::varchar" for name in LOG_COLUMNS},
                f"case when coalesce({any_extra}) is not null then json_object({pairs})::varchar end"
                if extra
                else "null::varchar",
            )
            + events_sql(_JSON_REASONS[-1:])
        )
        parameters = events_parameters(connection, job)
        out, refused = job.scratch / "terminal_events.parquet", job.scratch / "quarantine.parquet"
        wanted = ", ".join(EVENT_COLUMNS)
        loaded = _copy(
            connection,
            f"{ctes} select {job.file_no}::bigint as file_no, line_no, {wanted} from typed where reason is null",
            out,
            parameters,
        )
        quarantined = 0
        if loaded != records:
            quarantined = _copy(
                connection,
                f"{ctes} select {job.file_no}::bigint as file_no, line_no, mask_text(reason) as reason,"
                f" mask_text(line) as record_masked{trace_sql(out)} from typed where reason is not null",
                refused,
                parameters,
            )
        return _parsed(connection, job, out, refused if quarantined else None, records, loaded, quarantined)


@contextmanager
def _readable(job: Job) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        first = mask_text(str(error).splitlines()[0])
        raise LayoutError(
            f"{job.file_name}: the file cannot be read as Parquet: {first}",
            next_step="The file is truncated or damaged. Ask the sender for it again.",
        ) from None


def _copy(connection: duckdb.DuckDBPyConnection, query: str, out: Path, parameters: dict[str, object]) -> int:
    target = str(out).replace("'", "''")
    bound = {name: value for name, value in parameters.items() if f"${name}" in query}
    row = connection.execute(
        f"copy ({query}) to '{target}' (format parquet, compression zstd)", bound
    ).fetchone()
    return int(row[0]) if row else 0


def _parsed(
    connection: duckdb.DuckDBPyConnection,
    job: Job,
    out: Path,
    refused: Path | None,
    records: int,
    loaded: int,
    quarantined: int,
) -> Parsed:
    return Parsed(
        records=records,
        loaded=loaded,
        quarantined=quarantined,
        business_date=usual_date(connection, out) or job.name.business_date,
        logical_key="",
        encoding="utf-8",
        datasets={"terminal_events": out},
        quarantine=refused,
        computed_minor=total_of(connection, out, "amount_minor"),
    )
