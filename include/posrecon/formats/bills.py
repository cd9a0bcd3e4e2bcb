"""Wallet bills as merchants download and re-save them: text in UTF-8, GBK or UTF-16, with lines around the records.

A bill has lines before its records (a header, sometimes a preamble) and lines after them (totals). The lines are
found by what they say; the records between them are cut and typed by SQL, each with its physical line. Bills hold no
card numbers.
"""

import codecs
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.delimited import LINE_BYTES_MAX, connect
from posrecon.formats.layout import Job
from posrecon.formats.settlement import SETTLEMENT_SCHEMA
from posrecon.money import format_minor

# Money is compared in hundred-thousandths of the major unit: fees are stated with five decimals.
UNIT_DECIMALS = 5

_ALLOWED = bytes(byte for byte in range(32) if byte not in b"\t\r\n")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_ASK = "Download the bill again and put it into the inbox as it came."

# `to_units`: exact, null when the text is no decimal number. `bill_time`: the official example writes full-width
# colons and no blank after the date; a date that does not exist is null.
MACROS = r"""
create or replace temp macro to_units(t) as
    case
        when regexp_full_match(t, '-?\d{1,11}(\.\d{1,5})?')
            then (case when t[1] = '-' then -1 else 1 end) * (
                split_part(ltrim(t, '-'), '.', 1) || rpad(split_part(t, '.', 2), 5, '0')
            )::bigint
    end;
create or replace temp macro bill_time(t) as
    case
        when regexp_full_match(replace(t, '：', ':'), '\d{4}-\d\d-\d\d ?([01]\d|2[0-3]):[0-5]\d:[0-5]\d')
            then try_cast(left(t, 10) || ' ' || right(replace(t, '：', ':'), 8) as timestamp)
    end;
create or replace temp macro clean(t) as
    nullif(trim(t, ' ' || chr(9) || chr(13) || chr(10) || chr(160) || '　'), '');
"""

# A record of the wallet's own making begins every field with a backtick, so that commas inside a field do no harm;
# what a spreadsheet re-saved follows the grammar of quotes. Padding becomes blanks once per line: trimming every cell
# of every kind of padding takes ten times as long as all the rest.
_RECORDS_SQL = r"""
create or replace temp view records as
with joined as (
    select lines.line_no, coalesce(merged.text, rtrim(lines.line, chr(13) || chr(10))) as line
    from lines
    left join merged on lines.line_no = merged.line_no
    where
        lines.line_no > {first} and lines.line_no < {last}
        and (merged.line_no is null or merged.text is not null)
)
, blanked as (
    select
        line_no,
        line,
        case when regexp_matches(line, {padded}) then translate(line, {padding}, {blanks}) else line end as even
    from joined
)
, split as (
    select
        line_no,
        line,
        even,
        contains(even, '"') as has_quotes,
        case when starts_with(even, '`') then string_split(substr(even, 2), {separator} || '`') end as ticked
    from blanked
    where regexp_matches(line, {text})
)
, cut as (
    select
        line_no,
        line,
        case
            when not has_quotes or len(ticked) = {field_count} then true
            else regexp_full_match({separator} || even, '({s}("([^"]|"")*"|[^{s}"]*))*')
        end as is_well_quoted,
        case
            when len(ticked) = {field_count} then ticked
            when not has_quotes
                then list_transform(string_split(even, {separator}), lambda x: ltrim(trim(x), '`'))
            else list_transform(
                regexp_extract_all({separator} || even, '{s}("(?:[^"]|"")*"|[^{s}"]*)', 1),
                lambda x: ltrim(trim(
                    case when starts_with(x, '"') then replace(x[2:-2], '""', '"') else x end
                ), '`')
            )
        end as cells
    from split
)
select
    line_no,
    line,
    is_well_quoted,
    case when len(cells) = {field_count} + 1 and trim(cells[-1]) = '' then cells[:-2] else cells end as f
from cut
"""


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A bill that is text.

    Attributes:
        lines: (line_no, line) of every physical line, line ends kept.
        encoding: How it came.
    """

    lines: pa.Table
    encoding: str


def read_bill(path: Path, file_name: str) -> Bill:
    """Decode a bill and number its lines.

    Raises:
        LayoutError: Empty, in no known encoding, with control characters or an endless line; with every bad line.
    """
    data = path.read_bytes()
    if not data:
        raise LayoutError(f"{file_name}: the file is empty (0 bytes), expected a bill.", next_step=_ASK)
    data, encoding = _as_utf8(data, file_name)
    if not data.endswith(b"\n"):
        data += b"\n"
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    lengths = np.diff(ends, prepend=-1)
    if len(data.translate(None, _ALLOWED)) != len(data) or int(lengths.max()) > LINE_BYTES_MAX:
        raise _not_clean(data, file_name)
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends + 1
    texts = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
    numbers = pa.array(np.arange(1, len(ends) + 1, dtype=np.int64))
    return Bill(lines=pa.table({"line_no": numbers, "line": texts}), encoding=encoding)


def _as_utf8(data: bytes, file_name: str) -> tuple[bytes, str]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            body, encodings = data[len(mark) :], [encoding]
            break
    else:
        body, encodings = data, ["utf-8", "gb18030"]
    for encoding in encodings:
        try:
            return body.decode(encoding).encode(), encoding
        except UnicodeDecodeError:
            continue
    names = " nor as ".join(encodings)
    how = f"reads neither as {names}" if len(encodings) > 1 else f"does not read as {names}"
    bad = [
        BadLine(number, how)
        for number, line in enumerate(body.split(b"\n"), start=1)
        if not any(_decodes(line, encoding) for encoding in encodings)
    ]
    lines = f": {len(bad)} bad lines, the first is line {bad[0].line_no}" if bad else ""
    raise LayoutError(f"{file_name}: the file {how}{lines}.", bad_lines=tuple(bad), next_step=_ASK)


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _not_clean(data: bytes, file_name: str) -> LayoutError:
    bad: list[BadLine] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if len(line) > LINE_BYTES_MAX:
            bad.append(BadLine(number, f"{len(line)} bytes, expected at most {LINE_BYTES_MAX}"))
        elif len(line) != len(line.translate(None, _ALLOWED)):
            bad.append(BadLine(number, "a control character stands in the line, expected text"))
    return LayoutError(
        f"{file_name}: the file is not clean text: {len(bad)} bad lines, the first is line {bad[0].line_no}: "
        f"{bad[0].reason}.",
        bad_lines=tuple(bad),
        next_step=_ASK,
    )


def peek_text(path: Path) -> str:
    """The head of a bill as text, whatever its encoding; never raises for its content."""
    with path.open("rb") as file:
        head = file.read(64 * 1024)
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, errors="replace")
    return (
        head.decode("utf-8", errors="replace")
        if _decodes(head[:-3], "utf-8")
        else head.decode("gb18030", errors="replace")
    )


class Desk:
    """A private DuckDB with the lines of one bill in it."""

    def __init__(self, job: Job, bill: Bill) -> None:
        self.job = job
        self.bill = bill
        self.connection: duckdb.DuckDBPyConnection = connect(job.settings)
        self.connection.execute(MACROS)
        self.connection.register("lines", bill.lines)

    def __enter__(self) -> "Desk":
        """The open desk."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database; nothing of it stays."""
        self.connection.close()

    def lines_like(self, pattern: str) -> list[tuple[int, str]]:
        """(number, trimmed text) of the lines that match from their beginning; for the few lines around records."""
        return self.connection.execute(
            "select line_no, clean(line) from lines where regexp_matches(line, $pattern) order by line_no",
            {"pattern": "^(?:" + pattern + ")"},
        ).fetchall()

    def cut(self, *, first: int, last: int, separator: str, field_count: int, start: str) -> int:
        """Make the view `records` (line_no, line, f, is_well_quoted) of the lines between two lines.

        Args:
            first: Line of the header.
            last: Line after the records.
            separator: Between fields.
            field_count: Of the header.
            start: Pattern of the beginning of a record; a line without it may continue the one before.

        Returns:
            Records: lines that are not blank, without those that continue another.
        """
        merged = self._merged(first, last, separator, field_count, start)
        self.connection.register("merged", merged)
        padding = [9, 11, 12, 160, 0x3000] if separator != "\t" else [11, 12, 160, 0x3000]
        # Any letter that is neither padding nor a separator: lines of separators alone are what spreadsheets add.
        text = r"[^ \t\r\n\x0b\x0c\x{A0}\x{3000}" + separator + "]"
        known = {
            "text": f"'{text}'",
            "first": str(first),
            "last": str(last),
            "field_count": str(field_count),
            "separator": f"chr({ord(separator)})",
            "padding": " || ".join(f"chr({code})" for code in padding),
            "padded": "'[" + "".join(rf"\x{{{code:X}}}" for code in padding) + "]'",
            "blanks": f"repeat(' ', {len(padding)})",
            "s": r"\t" if separator == "\t" else separator,
        }
        sql = _RECORDS_SQL
        for name, value in known.items():
            sql = sql.replace("{" + name + "}", value)
        self.connection.execute(sql)
        continued = merged.column("text").null_count
        blank = self.number(
            "select count(*) from lines where line_no > $first and line_no < $last"
            " and not regexp_matches(line, $text)"
            " and line_no not in (select line_no from merged)",
            {"first": first, "last": last, "text": text},
        )
        return last - first - 1 - continued - blank

    def _merged(self, first: int, last: int, separator: str, field_count: int, start: str) -> pa.Table:
        """Records that span lines: their text on the first line, null on the lines that continue it."""
        others = [
            number
            for (number,) in self.connection.execute(
                "select line_no from lines where line_no > $first and line_no < $last"
                " and not regexp_matches(line, $start) order by line_no",
                {"first": first, "last": last, "start": start},
            ).fetchall()
        ]
        numbers: list[int] = []
        texts: list[str | None] = []
        column = self.bill.lines.column("line")
        for begin, end in _runs(others):
            if begin - 1 <= first:
                continue
            pieces = [column[number - 1].as_py().rstrip("\r\n") for number in range(begin - 1, end + 1)]
            text = "\n".join(pieces).rstrip("\n")
            if (
                len(cells_of(pieces[0], separator, field_count))
                != field_count
                == len(cells_of(text, separator, field_count))
            ):
                numbers += range(begin - 1, end + 1)
                texts += [text, *[None] * (end - begin + 1)]
        return pa.table({"line_no": pa.array(numbers, pa.int64()), "text": pa.array(texts, pa.string())})

    def number(self, query: str, parameters: Mapping[str, Any] | None = None) -> int:
        """The one whole number that a query gives; 0 for null."""
        row = self.connection.execute(query, parameters or {}).fetchone()
        return int(row[0] or 0) if row else 0

    def write(self, *, table: str) -> tuple[int, int, Path, Path | None]:
        """Write `table` (the columns of settlement lines, line, reason) as Parquet.

        Returns:
            (loaded, quarantined, Parquet of the lines, Parquet of the refused records or None).
        """
        out, refused = (
            self.job.scratch / "settlement_lines.parquet",
            self.job.scratch / "quarantine.parquet",
        )
        types = {"string": "varchar", "int64": "bigint", "date32[day]": "date", "timestamp[us]": "timestamp"}
        columns = ", ".join(
            f"{field.name}::{types[str(field.type)]} as {field.name}" for field in SETTLEMENT_SCHEMA
        )
        loaded = self._copy(f"select {columns} from {table} where reason is null order by line_no", out)
        quarantined = self._copy(
            f"select {self.job.file_no}::bigint as file_no, line_no, mask_text(reason) as reason,"
            f" line as record_masked from {table} where reason is not null order by line_no",
            refused,
        )
        return loaded, quarantined, out, refused if quarantined else None

    def _copy(self, query: str, out: Path) -> int:
        path = str(out).replace("'", "''")
        return self.number(f"copy ({query}) to '{path}' (format parquet, compression zstd)")


def _runs(numbers: Sequence[int]) -> Iterable[tuple[int, int]]:
    """(first, last) of the stretches of numbers that follow each other."""
    begin = previous = None
    for number in numbers:
        if previous is None or number != previous + 1:
            if begin is not None and previous is not None:
                yield begin, previous
            begin = number
        previous = number
    if begin is not None and previous is not None:
        yield begin, previous


def cell_sql(position: int) -> str:
    """SQL of one field of `records`; empty text is null. The position is a number, never data."""
    return f"nullif(trim(f[{position}]), '')"


def cells_of(text: str, separator: str, count: int) -> list[str]:
    """The fields of one line, as the SQL cuts them, `count` expected; of the few lines around the records."""
    ticked = text[1:].split(f"{separator}`") if text.startswith("`") else []
    if len(ticked) == count:
        return ticked
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error:
        return []
    return [cell.strip(" \t`\ufeff\u3000\u00a0") for cell in rows[0]] if len(rows) == 1 else []


def units_of(text: str) -> int | None:
    """Hundred-thousandths of a decimal text; None when it is none."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, _, fraction = digits.partition(".")
    if not whole.isascii() or not (whole + fraction).isdigit() or len(fraction) > UNIT_DECIMALS:
        return None
    return sign * int(whole + fraction.ljust(UNIT_DECIMALS, "0"))


def show_units(units: int) -> str:
    """Hundred-thousandths for people: 123456000 → '1,234.56'."""
    fen, rest = divmod(abs(units), 1000)
    text = format_minor(fen) + (f"{rest:03d}" if rest else "")
    return f"-{text}" if units < 0 else text


@dataclass(frozen=True, kw_only=True)
class Total:
    """One control total: what the bill states and what its records add up to."""

    name: str
    stated: int
    found: int
    is_count: bool = False

    @property
    def fits(self) -> bool:
        """True when both are equal."""
        return self.stated == self.found

    def explain(self) -> str:
        """The total, what was found, and the difference."""
        shown = (str if self.is_count else show_units)(self.stated)
        found = (str if self.is_count else show_units)(self.found)
        difference = (str if self.is_count else show_units)(self.found - self.stated)
        return f"{self.name} states {shown}, the records give {found}, difference {difference}"


def require_totals(desk: Desk, totals: Sequence[Total], line_no: int, table: str) -> None:
    """Refuse a bill whose records do not add up to its totals.

    Raises:
        LayoutError: Every total that does not tie, with the difference, and the records that could not be read.
    """
    wrong = [total for total in totals if not total.fits]
    if not wrong:
        return
    unread = desk.connection.execute(
        f"select line_no, mask_text(reason) from {table} where reason is not null order by line_no"
    ).fetchall()
    hint = f" {len(unread)} records cannot be read." if unread else ""
    raise LayoutError(
        f"{desk.job.file_name}: line {line_no}: the totals do not tie: "
        + "; ".join(total.explain() for total in wrong)
        + f".{hint}",
        bad_lines=(
            *(BadLine(line_no, total.explain()) for total in wrong),
            *(BadLine(number, reason) for number, reason in unread),
        ),
        next_step="Lines are missing, doubled or changed. " + _ASK,
    )


def refuse(job: Job, line_no: int, what: str, next_step: str = _ASK) -> LayoutError:
    """A refusal for one line of the bill."""
    return LayoutError(
        f"{job.file_name}: line {line_no}: {what}.", bad_lines=(BadLine(line_no, what),), next_step=next_step
    )


def require_day(job: Job, found: date | None, what: str) -> date:
    """The day of a bill: from its name, else as found in it.

    Raises:
        LayoutError: Neither says a day.
    """
    day = job.name.business_date or found
    if day is None:
        raise LayoutError(
            f"{job.file_name}: neither the name nor {what} says the day of the bill.", next_step=_ASK
        )
    return day
