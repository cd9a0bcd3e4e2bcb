"""Wallet bills as merchants download and re-save them: text in UTF-8, GBK or UTF-16, with lines around the records.

A bill has lines before its records (a header, sometimes a preamble) and lines after them (totals). The lines are
found by what they say; the records between them are cut and typed by SQL, each with its physical line. Bills hold no
card numbers.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.delimited import LINE_BYTES_MAX, chunks, connect, holds, is_utf8
from posrecon.formats.layout import Job
from posrecon.formats.settlement import SETTLEMENT_SCHEMA
from posrecon.money import format_minor

# Money is compared in hundred-thousandths of the major unit: fees are stated with five decimals.
UNIT_DECIMALS = 5

_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\r\n")
_CHUNK = 8 * 1024 * 1024
# Letters that pad a field, beside the blank.
_PADDING = (9, 11, 12, 160, 0x3000)
# Stands for a separator and a backtick once a bill is known to hold no control characters.
_PARTING = "\x1f"
# Blanks beside a separator that are taken away before a bill is cut; more are trimmed field by field.
_BLANKS_MAX = 2
_BLANKS = " \t\r\n\x0b\x0c\u00a0\u3000\ufeff"
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
PID_DIGITS = 16
"""Length of an Alipay account; bills append 0156 to it."""
PERIOD = re.compile(r"(起始|终止)日期\s*[:：]\s*\[\s*(\d{4})\D(\d\d)\D(\d\d)\D?\s*(\d\d:\d\d:\d\d)?\s*\]")
_ACCOUNT = re.compile(r"账号\s*[:：]\s*\[\s*(\d{16,20})\s*\]")
_ASK = "Download the bill again and put it into the inbox as it came."

# `to_units`: exact, null when the text is no decimal number. Most texts are what the number is written as, with or
# without its last zeros, and need no pattern. `bill_time`: the official example writes full-width
# colons and no blank after the date; a date that does not exist is null.
MACROS = r"""
create or replace temp macro to_units(t) as
    case
        when starts_with(try_cast(t as decimal(16, 5))::varchar, t) and not ends_with(t, '.')
            then (try_cast(t as decimal(16, 5)) * 100000)::bigint
        when regexp_full_match(t, '-?\d{1,11}\.\d{1,5}')
            then replace(t, '.', '')::bigint * case length(t) - position('.' in t)
                when 2 then 1000 when 5 then 1 when 1 then 10000 when 3 then 100 else 10 end
        when regexp_full_match(t, '-?\d{1,11}') then t::bigint * 100000
    end;
create or replace temp macro bill_time(t) as
    case
        when regexp_full_match(t, '\d{4}-\d\d-\d\d ([01]\d|2[0-3]):[0-5]\d:[0-5]\d') then try_cast(t as timestamp)
        when regexp_full_match(replace(t, '：', ':'), '\d{4}-\d\d-\d\d ?([01]\d|2[0-3]):[0-5]\d:[0-5]\d')
            then try_cast(left(t, 10) || ' ' || right(replace(t, '：', ':'), 8) as timestamp)
    end;
create or replace temp macro clean(t) as
    nullif(trim(t, ' ' || chr(9) || chr(13) || chr(10) || chr(160) || '　'), '');
"""

# A record of the wallet's own making begins every field with a backtick, so that commas inside a field do no harm;
# what a spreadsheet re-saved follows the grammar of quotes. `even` is the line with blanks for every kind of padding;
# without quotes in the bill, its fields have lost their padding before (`_evened`): trimming cell by cell takes ten
# times as long as all the rest.
_RECORDS_SQL = r"""
create or replace temp view records as
with joined as (
    {joined}
)
, split as (
    select *, {has_quotes} as has_quotes
    from joined
    where {text}
)
, parted as (
    select
        *,
        case when starts_with(even, '`') then string_split(substr(even, 2), {parting}) end as ticked
    from split
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
            when len(ticked) = {field_count} then {ticked}
            when not has_quotes and not contains({unparted}, '`') then {plain}
            when not has_quotes
                then list_transform(string_split({unparted}, {separator}), lambda x: ltrim(trim(x), '`'))
            else list_transform(
                regexp_extract_all({separator} || even, '{s}("(?:[^"]|"")*"|[^{s}"]*)', 1),
                lambda x: trim(ltrim(trim(
                    case when starts_with(x, '"') then replace(x[2:-2], '""', '"') else x end
                ), '`'))
            )
        end as cells
    from parted
)
select
    line_no,
    line,
    is_well_quoted,
    case when len(cells) = {field_count} + 1 and trim(cells[-1]) = '' then cells[:-2] else cells end as f
from cut
"""
_LINES = "select line_no, line, even from evened"
_LINES_WITH_MERGED = r"""
    select
        evened.line_no, coalesce(merged.text, line) as line,
        coalesce({merged_even}, even) as even
    from evened
    left join merged on evened.line_no = merged.line_no
    where merged.line_no is null or merged.text is not null
"""


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A bill that is text.

    Attributes:
        lines: (line_no, line) of every physical line, line ends kept.
        encoding: How it came.
        data: The text as UTF-8.
        offsets: Where each line begins in it, and where the last one ends.
        has_quotes: A quote stands anywhere.
        padding: Letters that pad a field and occur in the bill.
        odd: Numbers of the lines that begin neither with a digit nor with a backtick and a digit: a record has a number
            or a time in front, so these are few, and what they say is looked for among them alone.
        ticked: Numbers of the lines that begin with a backtick and a digit.
    """

    lines: pa.Table
    encoding: str
    data: bytes
    offsets: npt.NDArray[np.int64]
    has_quotes: bool
    padding: tuple[int, ...]
    odd: npt.NDArray[np.int64]
    ticked: npt.NDArray[np.int64]


def read_bill(path: Path, file_name: str) -> Bill:
    """Decode a bill and number its lines.

    Raises:
        LayoutError: Empty, in no known encoding, with control characters or an endless line; with every bad line.
    """
    for _ in chunks(path, file_name):
        pass  # a line without an end is refused before the bill is held in memory
    data = path.read_bytes()
    if not data:
        raise LayoutError(f"{file_name}: the file is empty (0 bytes), expected a bill.", next_step=_ASK)
    data, encoding = _as_utf8(data, file_name)
    if not data.endswith(b"\n"):
        data += b"\n"
    each = np.frombuffer(data, np.uint8)
    texts, offsets = _texts_of(data)
    lengths = np.diff(offsets)
    allowed = len(texts) + data.count(b"\t") + data.count(b"\r")
    if int(np.count_nonzero(each < 32)) != allowed or int(lengths.max()) > LINE_BYTES_MAX:
        raise _not_clean(data, file_name)
    numbers = np.arange(1, len(texts) + 1, dtype=np.int64)
    first, second = each[offsets[:-1]], each[np.minimum(offsets[:-1] + 1, len(each) - 1)]
    begins_ticked = (first == ord("`")) & _is_digit(second)
    return Bill(
        lines=pa.table({"line_no": pa.array(numbers), "line": texts}),
        encoding=encoding,
        data=data,
        offsets=offsets,
        has_quotes=b'"' in data,
        padding=tuple(code for code in _PADDING if holds(data, chr(code).encode())),
        odd=numbers[~(_is_digit(first) | begins_ticked)],
        ticked=numbers[begins_ticked],
    )


def _texts_of(data: bytes) -> tuple["pa.Array[Any]", npt.NDArray[np.int64]]:
    """The lines of whole lines, with their ends, and where each begins (and the last one ends); nothing is copied."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends + 1
    return pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data)), offsets


def _edge_blanks(data: bytes, separator: str) -> npt.NDArray[np.int64]:
    """Where a blank stands at an edge of a field of whole lines."""
    each = np.frombuffer(data, np.uint8)
    blanks = np.flatnonzero(each == 32)
    before, after = np.where(blanks > 0, each[blanks - 1], 10), each[blanks + 1]
    is_edge = (before == 10) | (before == ord("`")) | (before == ord(separator))
    is_edge |= (after == 10) | (after == 13) | (after == ord(separator))
    return blanks[is_edge]


def _is_digit(letters: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return (letters >= ord("0")) & (letters <= ord("9"))


def _as_utf8(data: bytes, file_name: str) -> tuple[bytes, str]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            body, encodings = data[len(mark) :], [encoding]
            break
    else:
        body, encodings = data, ["utf-8", "gb18030"]
    for encoding in encodings:
        try:
            return _recoded(body, encoding), encoding
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


def _recoded(body: bytes, encoding: str) -> bytes:
    """The text as UTF-8; what is UTF-8 already is looked at piece by piece and not copied."""
    if encoding.startswith("utf-16"):
        return body.decode(encoding).encode()
    if body.isascii() or (encoding == "utf-8" and is_utf8(body)):
        return body
    decoder = codecs.getincrementaldecoder(encoding)()
    found = []
    for at in range(0, len(body), _CHUNK):
        text = decoder.decode(body[at : at + _CHUNK], final=at + _CHUNK >= len(body))
        if encoding != "utf-8":
            found.append(text.encode())
    return b"".join(found) if found else body


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
        elif len(line) != len(line.translate(None, _CONTROL)):
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


def peek_first_record(path: Path) -> date | None:
    """The day with which the first record of a WeChat Pay bill begins; None when there is none to read."""
    found = re.search(r"(?m)^[\"`]*(\d{4}-\d\d-\d\d)", peek_text(path))
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


class Desk:
    """A private DuckDB with the lines of one bill in it."""

    def __init__(self, job: Job, bill: Bill) -> None:
        self.job = job
        self.bill = bill
        self.has_merged = False
        self.connection: duckdb.DuckDBPyConnection = connect(job.settings)
        self.connection.execute(MACROS)
        self.connection.register("lines", bill.lines)
        self.connection.register("odd", bill.lines.take(pa.array(bill.odd - 1)))

    def __enter__(self) -> "Desk":
        """The open desk."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database; nothing of it stays."""
        self.connection.close()

    def lines_like(self, pattern: str) -> list[tuple[int, str]]:
        """(number, trimmed text) of the lines that match from their beginning; for the few lines around records.

        Args:
            pattern: Must not fit the beginning of a record: lines that begin with a digit are not looked at.
        """
        return self.connection.execute(
            "select line_no, clean(line) from odd where regexp_matches(line, $pattern) order by line_no",
            {"pattern": "^(?:" + pattern + ")"},
        ).fetchall()

    def require_end(self, last: int) -> None:
        """Refuse a bill with a record after the `#` line that ends its list.

        Raises:
            LayoutError: Names the record.
        """
        stray = self.number(
            "select min(line_no) from lines where line_no > $last and clean(line) is not null"
            " and not regexp_matches(line, '^[\\s\"]*#')",
            {"last": last},
        )
        if stray:
            raise refuse(self.job, stray, "a record stands after the end of the list")

    def first_line(self) -> int:
        """Number of the first line that is not blank; 0 when there is none."""
        for number, line in enumerate(self.bill.lines.column("line"), start=1):
            if line.as_py().strip(_BLANKS):
                return number
        return 0

    def cut(self, *, first: int, last: int, separator: str, field_count: int, start: str) -> int:
        """Make the view `records` (line_no, line, f, is_well_quoted) of the lines between two lines.

        Args:
            first: Line of the header.
            last: Line after the records.
            separator: Between fields.
            field_count: Of the header.
            start: Pattern of the beginning of a record; a line without it may continue the one before. A digit must fit
                it.

        Returns:
            Records: lines that are not blank, without those that continue another.
        """
        merged = self._merged(first, last, separator, field_count, start)
        self.has_merged = merged.num_rows > 0
        self.connection.register("merged", merged)
        # Any letter that is neither padding nor a separator: lines of separators alone are what spreadsheets add.
        text = r"[^ \t\r\n\x0b\x0c\x{A0}\x{3000}" + separator + "]"
        blank = self.number(
            "select count(*) from odd where line_no > $first and line_no < $last"
            " and not regexp_matches(line, $text)"
            " and line_no not in (select line_no from merged)",
            {"first": first, "last": last, "text": text},
        )
        padding = [chr(code) for code in self.bill.padding if chr(code) != separator]
        evened, is_trimmed, is_parted = self._evened(first, last, separator, padding, bool(merged.num_rows))
        self.connection.register("evened", evened)
        merged_even = "merged.text"
        for letter in padding:
            merged_even = f"replace({merged_even}, chr({ord(letter)}), ' ')"
        known = {
            "joined": _LINES_WITH_MERGED if merged.num_rows else _LINES,
            "merged_even": merged_even,
            "has_quotes": "contains(even, '\"')" if self.bill.has_quotes or merged.num_rows else "false",
            "text": f"regexp_matches(line, '{text}')" if blank else "true",
            "ticked": "ticked" if is_trimmed else "list_transform(ticked, lambda x: trim(x))",
            "plain": "string_split({unparted}, {separator})"
            if is_trimmed
            else "list_transform(string_split({unparted}, {separator}), lambda x: trim(x))",
            "parting": f"chr({ord(_PARTING)})" if is_parted else "{separator} || '`'",
            "unparted": f"replace(even, chr({ord(_PARTING)}), {{separator}} || '`')" if is_parted else "even",
            "field_count": str(field_count),
            "separator": f"chr({ord(separator)})",
            "s": r"\t" if separator == "\t" else separator,
        }
        sql = _RECORDS_SQL
        for name, value in known.items():
            sql = sql.replace("{" + name + "}", value)
        self.connection.execute(sql)
        return last - first - 1 - merged.column("text").null_count - blank

    def _evened(
        self, first: int, last: int, separator: str, padding: Sequence[str], has_merged: bool
    ) -> tuple[pa.Table, bool, bool]:
        """The lines between two lines as (line_no, line, even), without their ends.

        In a bill without quotes a separator does nothing but part fields, so the blanks beside it are padding.

        Returns:
            (lines, no field is padded, `_PARTING` stands for a separator and a backtick).
        """
        between = self.bill.lines.slice(first, last - first - 1)
        lines: Any = pc.ascii_rtrim(between.column("line"), "\r\n")
        even = lines
        body = original = self.bill.data[int(self.bill.offsets[first]) : int(self.bill.offsets[last - 1])]
        for letter in padding:
            # Most of it stands behind a field: whole bytes are replaced much faster than places are deleted.
            for end in (separator, "\r\n") if not self.bill.has_quotes else ():
                body = body.replace((letter + end).encode(), end.encode())
            body = body.replace(letter.encode(), b" ")
        blanks = _edge_blanks(body, separator)
        for _ in range(_BLANKS_MAX if not self.bill.has_quotes else 0):
            if not len(blanks):
                break
            body = np.delete(np.frombuffer(body, np.uint8), blanks).tobytes()
            blanks = _edge_blanks(body, separator)
        is_trimmed = not len(blanks) and not self.bill.has_quotes and not has_merged
        is_parted = is_trimmed and body.startswith(b"`")
        if is_parted:
            # One byte parts fields three times as fast as two do. It is no letter of a bill: `read_bill` saw to that.
            body = body.replace(f"{separator}`".encode(), _PARTING.encode())
        if body is not original:
            even = pc.ascii_rtrim(_texts_of(body)[0], "\r\n")
        return (
            pa.table({"line_no": between.column("line_no"), "line": lines, "even": even}),
            is_trimmed,
            is_parted,
        )

    def _merged(self, first: int, last: int, separator: str, field_count: int, start: str) -> pa.Table:
        """Records that span lines: their text on the first line, null on the lines that continue it."""
        column = self.bill.lines.column("line")
        begins = re.compile(start, re.ASCII)
        candidates = self.bill.odd
        if not begins.match("`1"):
            candidates = np.union1d(candidates, self.bill.ticked)
        others = [
            number
            for number in candidates[(candidates > first) & (candidates < last)].tolist()
            if not begins.match(column[number - 1].as_py())
        ]
        numbers: list[int] = []
        texts: list[str | None] = []
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
        # Lines come in their order unless a join with those that were put together has mixed them.
        order = "order by line_no" if self.has_merged else ""
        loaded = self._copy(f"select {columns} from {table} where reason is null {order}", out)
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


def fields_sql(wanted: Iterable[str], header: Mapping[str, int]) -> str:
    """SQL of the wanted fields of `records` under their names; empty or absent is null.

    Args:
        wanted: Names in the code.
        header: Name → position in the header, from 0; a number, never data.
    """
    return ", ".join(
        f"nullif(f[{header[name] + 1}], '') as {name}" if name in header else f"null::varchar as {name}"
        for name in wanted
    )


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


def first_day(text: str) -> date | None:
    """The first day that the preamble of an Alipay bill names; None when there is none to read."""
    for kind, year, month, day, _ in PERIOD.findall(text):
        if kind == "起始":
            try:
                return date(int(year), int(month), int(day))
            except ValueError:
                return None
    return None


def require_owner(job: Job, before: str, digits: int | None) -> str:
    """Whose bill it is, by its preamble and its name.

    Args:
        job: Gives the name.
        before: The lines above the records.
        digits: How many of an account count; none = all.

    Raises:
        LayoutError: They differ, or neither says it.
    """
    found = _ACCOUNT.search(before)
    stated, named = (found[1][:digits] if found else ""), job.name.key[:digits]
    if stated and named and stated != named:
        raise LayoutError(
            f"{job.file_name}: the bill is of account {stated}, expected {named} by its name.",
            next_step="Give the file the name it was downloaded under.",
        )
    if not stated and not named:
        raise LayoutError(
            f"{job.file_name}: neither the name nor a line #账号 says whose bill this is.",
            next_step="Put the bill into the inbox as it was downloaded, with its name and its first lines.",
        )
    return stated or named


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
