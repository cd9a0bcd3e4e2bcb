"""Delimited text with a header, cut into records by DuckDB with the exact physical line of each.

DuckDB's CSV reader gives no line number, drops blank lines, and takes a quoted field with line breaks for one
row, so a row number is not the physical line. Here numpy finds the line ends, Arrow hands DuckDB the lines
without a copy, with their numbers, and SQL cuts them into fields and writes the Parquet. Files without a quote,
which is what terminals write, take `string_split`; only lines with a quote pay for the grammar of quotes. A
quoted field that spans lines is put together beforehand from the few lines with an odd number of quotes; a stray
quote therefore costs its own line and cannot swallow the rest of the file.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.layout import Job, arrow_schema
from posrecon.formats.masking import MASK_MACROS, mask_text
from posrecon.settings import Settings

# Larger ones are given back to the system after each use, and fetched anew page by page.
CHUNK = 2 * 1024 * 1024
LINE_BYTES_MAX = 1024 * 1024
BOM = b"\xef\xbb\xbf"
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\r\n")
# Blanks that only a Unicode trim takes away: the ideographic one and the one that does not break.
_WIDE_BLANKS = tuple(blank.encode() for blank in "\u3000\u00a0")
_NO_LAST_LINE = 2**62
_LINES_SCHEMA = arrow_schema(line_no=pa.int64(), line=pa.string())

# `physical` is the stream of lines with their ends: cutting the end off every line would cost as much as all
# the rest of the split, so only the last field loses it. $header_line: the header is not a record.
_PLAIN_RECORDS_SQL = r"""
with records as (
    select line_no, line, string_split(line, {d}) as f, true as is_well_quoted
    from physical
    where line_no > $header_line and line_no <= $last_line and line <> chr(10) and line <> (chr(13) || chr(10))
)
"""

# `merged` holds the records that span lines: their text on the first line, null on the lines that continue it.
# Most quoted lines hold neither a comma nor a quote inside a field: without their quotes they are plain lines,
# seven times cheaper than the grammar.
_QUOTED_RECORDS_SQL = r"""
with joined as (
    select physical.line_no, coalesce(merged.text, rtrim(physical.line, chr(13) || chr(10))) as line
    from physical
    left join merged on physical.line_no = merged.line_no
    where physical.line_no > $header_line and physical.line_no <= $last_line
        and (merged.line_no is null or merged.text is not null)
)
, graded as (
    select
        line_no,
        line,
        regexp_full_match({d} || line, '({r}("([^"]|"")*"|[^{r}"]*))* *') as is_well_quoted,
        case
            when not contains(line, '"') then 'plain'
            when length(line) - length(replace(line, {d}, '')) = $field_count - 1
                and not regexp_matches(line, '[^{r}]""|""[^{r}]') then 'wrapped'
            else 'quoted'
        end as kind
    from joined
    where line <> ''
)
, records as (
    select
        line_no,
        line,
        is_well_quoted,
        case
            when kind = 'plain' then string_split(line, {d})
            when kind = 'wrapped' then string_split(replace(line, '"', ''), {d})
            else list_transform(
                regexp_extract_all({d} || line, '{r}("(?:[^"]|"")*"|[^{r}"]*)', 1),
                lambda x: case when starts_with(x, '"') then replace(x[2:-2], '""', '"') else x end
            )
        end as f
    from graded
)
"""


@dataclass(frozen=True, kw_only=True)
class Text:
    """A delimited file that is text, has a header and can be read by line.

    Attributes:
        path: The file as received.
        header: Column names, trimmed.
        header_line: Physical line of the header.
        records: Records after the header, counted on the bytes, independently of SQL.
        has_quotes: A quote occurs anywhere.
        has_padding: A field may have blanks around it.
        merged: `(line_no, text)` of records that span lines; text is null on continuation lines.
        records_cte: CTE that ends in `records`, or in what the query makes them of, for text that is not cut here.
        last_line: Physical line of the last record, when lines that are none follow it.
    """

    path: Path
    header: tuple[str, ...]
    header_line: int
    records: int
    has_quotes: bool
    has_padding: bool
    merged: pa.Table
    records_cte: str = ""
    delimiter: str = ","
    last_line: int = _NO_LAST_LINE


@dataclass
class _Scan:
    size: int
    lines: int = 0
    blank: int = 0
    quotes: int = 0
    lone_returns: int = 0
    control: int = 0
    longest: int = 0
    is_utf8: bool = True
    is_padded: bool = False


def read_text(path: Path, file_name: str) -> Text:
    """Check that a file is UTF-8 text with a header, and find its records.

    Raises:
        LayoutError: Empty, not UTF-8, control characters, a header with an empty or repeated column; with every
            bad line.
    """
    scan = _clean_scan(path, file_name, ",")
    header_line, header = _header(path, file_name)
    if not header:
        raise LayoutError(
            f"{file_name}: the file has only blank lines, expected a header.",
            next_step="Ask the sender for it again.",
        )
    spans = _spans(path, header_line, (len(header),), ",") if scan.quotes else []
    return _text(path, scan, header=header, header_line=header_line, around=1, spans=spans, delimiter=",")


def read_framed(
    path: Path,
    file_name: str,
    *,
    delimiter: str,
    header: tuple[str, ...],
    header_line: int,
    lines_after: int,
    around: int,
    has_quotes: bool,
    field_counts: tuple[int, ...],
) -> Text:
    """Check that a file is UTF-8 text, and find its records between the lines that the caller has looked at.

    Args:
        path: The content.
        file_name: As received, for messages.
        delimiter: One character.
        header: Names of the fields, in order.
        header_line: Physical line of the last line above the records; 0 = none.
        lines_after: Physical lines below the records.
        around: How many of the lines above and below are not blank.
        has_quotes: Fields may stand in quotes; otherwise a quote is a character like any other.
        field_counts: How many fields a record may have.

    Raises:
        LayoutError: Empty, not UTF-8, control characters; with every bad line.
    """
    scan = _clean_scan(path, file_name, delimiter)
    if not has_quotes:
        scan.quotes = 0
    spans = _spans(path, header_line, field_counts, delimiter) if scan.quotes else []
    last_line = scan.lines - lines_after
    spans = [span for span in spans if span[1] <= last_line]
    return _text(
        path,
        scan,
        header=header,
        header_line=header_line,
        around=around,
        spans=spans,
        delimiter=delimiter,
        last_line=last_line,
    )


def _clean_scan(path: Path, file_name: str, delimiter: str) -> _Scan:
    scan = _scan(path, delimiter, file_name)
    if scan.size == 0:
        raise LayoutError(
            f"{file_name}: the file is empty (0 bytes), expected a header.",
            next_step="Ask the sender for it again.",
        )
    if not scan.is_utf8 or scan.control or scan.lone_returns or scan.longest > LINE_BYTES_MAX:
        raise _not_text(path, file_name)
    return scan


def _text(
    path: Path,
    scan: _Scan,
    *,
    header: tuple[str, ...],
    header_line: int,
    around: int,
    spans: list[tuple[int, int, str]],
    delimiter: str,
    last_line: int = _NO_LAST_LINE,
) -> Text:
    numbers = [line for first, last, _ in spans for line in range(first, last + 1)]
    texts = [
        text if line == first else None for first, last, text in spans for line in range(first, last + 1)
    ]
    # A blank line inside a quoted field belongs to its record; outside it is no record.
    swallowed = sum(last - first - text.split("\n").count("") for first, last, text in spans)
    return Text(
        path=path,
        header=header,
        header_line=header_line,
        records=scan.lines - scan.blank - around - swallowed,
        has_quotes=scan.quotes > 0,
        has_padding=scan.quotes > 0 or scan.is_padded,
        merged=pa.table({"line_no": pa.array(numbers, pa.int64()), "text": pa.array(texts, pa.string())}),
        delimiter=delimiter,
        last_line=last_line,
    )


def read_lines(path: Path, file_name: str, *, records_cte: str) -> Text:
    """Check that a file is UTF-8 text without a header, one record a line.

    Args:
        path: The file.
        file_name: For messages.
        records_cte: Makes `records` (line_no, line, …) from `physical`.

    Raises:
        LayoutError: Empty, not UTF-8, control characters, or an endless line; with every bad line.
    """
    scan = _scan(path, ",", file_name)
    if scan.lines == scan.blank:
        raise LayoutError(
            f"{file_name}: the file is empty ({scan.size} bytes), expected records.",
            next_step="Ask the sender for it again.",
        )
    if not scan.is_utf8 or scan.control or scan.lone_returns or scan.longest > LINE_BYTES_MAX:
        raise _not_text(path, file_name)
    return Text(
        path=path,
        header=(),
        header_line=0,
        records=scan.lines - scan.blank,
        has_quotes=False,
        has_padding=True,
        merged=pa.table({"line_no": pa.array([], pa.int64()), "text": pa.array([], pa.string())}),
        records_cte=records_cte,
    )


def chunks(path: Path, file_name: str = "") -> Iterator[bytes]:
    """The content in chunks of whole lines; a last line without an end gets one.

    Args:
        path: The content.
        file_name: As received, for messages.

    Raises:
        LayoutError: A line does not end within `LINE_BYTES_MAX` of a chunk: it is not gathered to see how long it is.
    """
    rest = b""
    with path.open("rb") as file:
        if file.read(len(BOM)) != BOM:
            file.seek(0)
        while data := file.read(CHUNK):
            data = rest + data
            cut = data.rfind(b"\n") + 1
            rest = data[cut:]
            if cut:
                yield data[:cut]
            if len(rest) > LINE_BYTES_MAX:
                raise _endless(path, file_name, file.tell() - len(rest))
    if rest:
        yield rest + b"\n"


def _endless(path: Path, file_name: str, begin: int) -> LayoutError:
    """A line that begins at this byte is too long; only a refused file pays for its number."""
    line_no = 1
    with path.open("rb") as file:
        while begin > 0 and (data := file.read(min(CHUNK, begin))):
            line_no += data.count(b"\n")
            begin -= len(data)
    said = f"more than {LINE_BYTES_MAX} bytes, expected at most {LINE_BYTES_MAX}"
    return LayoutError(
        f"{file_name or path.name}: the file is not clean text: line {line_no}: {said}.",
        bad_lines=(BadLine(line_no, said),),
        next_step="Ask the sender for the file again.",
    )


def _scan(path: Path, delimiter: str, file_name: str) -> _Scan:
    """One look at all bytes: what decides how the file is read, and the independent record count."""
    result = _Scan(size=path.stat().st_size)
    parting = delimiter.encode()
    for chunk in chunks(path, file_name):
        data = np.frombuffer(chunk, np.uint8)
        ends = np.flatnonzero(data == 10)
        lengths = np.diff(ends, prepend=-1) - 1
        result.lines += len(ends)
        result.blank += int(np.count_nonzero(lengths == 0))
        result.longest = max(result.longest, int(lengths.max()))
        result.quotes += _count(chunk, b'"')
        returns = _count(chunk, b"\r")
        if returns:
            result.lone_returns += returns - chunk.count(b"\r\n")
            result.blank += int(np.count_nonzero((lengths == 1) & (data[ends - 1] == 13)))
        tabs = _count(chunk, b"\t")
        result.is_utf8 = result.is_utf8 and is_utf8(chunk)
        result.is_padded = (
            result.is_padded
            or (tabs > 0 and parting != b"\t")
            or any(holds(chunk, blank) for blank in _WIDE_BLANKS)
            or (b" " in chunk and _has_padding(data, parting))
        )
        # Every byte below the blank that is no tab, line end or delimiter; counted, because that takes no copy.
        partings = _count(chunk, parting) if parting[0] < 32 and parting != b"\t" else 0
        result.control += int(np.count_nonzero(data < 32)) - len(ends) - returns - tabs - partings
    return result


def _has_padding(data: npt.NDArray[np.uint8], parting: bytes) -> bool:
    """A blank stands at an edge of a field."""
    # The last byte is a line end, so a blank always has a byte behind it; before the first one a line begins.
    blanks = np.flatnonzero(data == 32)
    before, after = np.where(blanks > 0, data[blanks - 1], 10), data[blanks + 1]
    edges = (before == 10) | (before == parting[-1]) | (after == 10) | (after == 13) | (after == parting[0])
    return bool(edges.any())


def _count(chunk: bytes, letter: bytes) -> int:
    """How often a byte occurs; whether it does at all is asked first, since that is ten times as fast."""
    return chunk.count(letter) if letter in chunk else 0


def holds(chunk: bytes, letter: bytes) -> bool:
    """Whether a character of several bytes occurs; its first byte is rare, and a byte alone is found much faster."""
    return letter[:1] in chunk and letter in chunk


def is_utf8(chunk: bytes) -> bool:
    """Arrow looks at the bytes without making a text of them."""
    ends = pa.py_buffer(np.array([0, len(chunk)], np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(chunk)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _line_ends(chunk: bytes) -> npt.NDArray[np.int64]:
    """Positions of the line feeds of a chunk of whole lines."""
    return np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10)


def physical_lines(text: Text) -> pa.RecordBatchReader:
    """The physical lines with their ends and numbers; Arrow points into the chunks, no line is copied."""

    def batches() -> Iterator[pa.RecordBatch]:
        line_no = 0
        for chunk in chunks(text.path):
            ends = _line_ends(chunk)
            offsets = np.zeros(len(ends) + 1, np.int32)
            offsets[1:] = ends + 1
            texts = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(chunk))
            numbers = pa.array(np.arange(line_no + 1, line_no + 1 + len(ends), dtype=np.int64))
            yield pa.RecordBatch.from_arrays([numbers, texts], schema=_LINES_SCHEMA)
            line_no += len(ends)

    return pa.RecordBatchReader.from_batches(_LINES_SCHEMA, batches())


def _not_text(path: Path, file_name: str) -> LayoutError:
    """List every line that is not text; only a refused file pays for this."""
    bad: list[BadLine] = []
    line_no = 0
    reads_as_gbk = True
    for chunk in chunks(path):
        for line in chunk.split(b"\n")[:-1]:
            line_no += 1
            line = line.removesuffix(b"\r")
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                bad.append(
                    BadLine(
                        line_no, f"byte 0x{line[error.start]:02X} at column {error.start + 1} is not UTF-8"
                    )
                )
                try:
                    line.decode("gbk")
                except UnicodeDecodeError:
                    reads_as_gbk = False
                continue
            if len(line) > LINE_BYTES_MAX:
                bad.append(BadLine(line_no, f"{len(line)} bytes, expected at most {LINE_BYTES_MAX}"))
            elif len(line) != len(line.translate(None, _CONTROL + b"\r")):
                bad.append(BadLine(line_no, "a control character stands in the line, expected text"))
    not_utf8 = any("not UTF-8" in line.reason for line in bad)
    hint = " It reads as GBK." if not_utf8 and reads_as_gbk else ""
    kind = "is not UTF-8" if not_utf8 else "is not clean text"
    return LayoutError(
        f"{file_name}: the file {kind}: {len(bad)} bad lines, the first is line {bad[0].line_no}.{hint}",
        bad_lines=tuple(bad),
        next_step="Ask the sender for the file as UTF-8."
        if not_utf8
        else "Ask the sender for the file again.",
    )


def _header(path: Path, file_name: str) -> tuple[int, tuple[str, ...]]:
    line_no = 0
    with path.open("rb") as file:
        for raw in file:
            line_no += 1
            text = raw.removeprefix(BOM).decode("utf-8").rstrip("\r\n")
            if text == "":
                continue
            names = tuple(name.strip() for name in next(csv.reader([text])))
            repeated = sorted({name for name in names if names.count(name) > 1})
            reasons = [f'column "{name}" stands {names.count(name)} times' for name in repeated if name]
            reasons += ["a column has no name"] if "" in names else []
            if reasons:
                raise LayoutError(
                    f"{file_name}: line {line_no}: header: {mask_text('; '.join(reasons))}, expected each column once.",
                    bad_lines=tuple(BadLine(line_no, mask_text(reason)) for reason in reasons),
                    next_step="Ask the sender for the file with a correct header.",
                )
            return line_no, names
    return line_no, ()


def _spans(
    path: Path, header_line: int, field_counts: tuple[int, ...], delimiter: str
) -> list[tuple[int, int, str]]:
    """Records that span lines: (first line, last line, text).

    Only a line with an odd number of quotes can open or close one. Two that follow each other are a record when
    the text between them is well-formed with as many fields as the header has; otherwise the first is a stray quote.
    """
    odd = _odd_lines(path)
    spans: list[tuple[int, int, str]] = []
    at = 0
    with path.open("rb") as file:
        while at + 1 < len(odd):
            (first, start, _), (last, _, end) = odd[at], odd[at + 1]
            if first > header_line and end - start <= LINE_BYTES_MAX:
                file.seek(start)
                text = file.read(end - start).decode("utf-8").replace("\r\n", "\n").rstrip("\r")
                if _is_one_record(text, field_counts, delimiter):
                    spans.append((first, last, text))
                    at += 2
                    continue
            at += 1
    return spans


def _is_one_record(text: str, field_counts: tuple[int, ...], delimiter: str) -> bool:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    return len(rows) == 1 and len(rows[0]) in field_counts


def _odd_lines(path: Path) -> list[tuple[int, int, int]]:
    """(line number, offset of its first byte, offset after its last byte) of lines with an odd number of quotes."""
    result: list[tuple[int, int, int]] = []
    with path.open("rb") as file:
        offset = len(BOM) if file.read(len(BOM)) == BOM else 0
    line_no = 0
    for chunk in chunks(path):
        data = np.frombuffer(chunk, np.uint8)
        ends = np.flatnonzero(data == 10)
        per_line = np.bincount(np.searchsorted(ends, np.flatnonzero(data == 34)), minlength=len(ends))
        starts = np.concatenate(([0], ends[:-1] + 1))
        result += [
            (line_no + at + 1, offset + int(starts[at]), offset + int(ends[at]))
            for at in np.flatnonzero(per_line % 2).tolist()
        ]
        line_no += len(ends)
        offset += len(chunk)
    return result


def require_columns(
    text: Text, required: tuple[str, ...], job: Job, *, kind: str, others: Mapping[str, str]
) -> None:
    """Refuse a file whose header lacks a column.

    Args:
        text: The file.
        required: Columns that the header must have, in any order.
        job: Says the name of the file.
        kind: What the file should be, for the message.
        others: A column that only another kind of file has → that kind, to say what the file looks like.

    Raises:
        LayoutError: Names every missing column.
    """
    missing = [name for name in required if name not in text.header]
    if not missing:
        return
    looks = [other for column, other in others.items() if column in text.header]
    like = f" It looks like {looks[0]}." if looks and len(missing) > 1 else ""
    columns = ", ".join(missing)
    raise LayoutError(
        f"{job.file_name}: line {text.header_line}: the header lacks {columns}; expected a {kind}.{like}",
        bad_lines=tuple(BadLine(text.header_line, f'column "{name}" is missing') for name in missing),
        next_step="Ask the sender for the file with all columns, or put it into the folder of its feed.",
    )


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB for one file; what was made in it before is not seen, and what is made goes when it closes.

    All files of a process share one database, since opening one takes longer than reading a small file; macros, views
    and tables are temporary, so each connection has its own.
    """
    settings.tmp.mkdir(parents=True, exist_ok=True)
    connection = _database(settings.threads, settings.memory_limit, str(settings.tmp)).cursor()
    connection.execute(MASK_MACROS)
    return connection


@lru_cache(maxsize=1)
def _database(threads: int, memory_limit: str, folder: str) -> duckdb.DuckDBPyConnection:
    """The database of this process. What it spills is encrypted: it may hold card numbers."""
    return duckdb.connect(
        config={
            "threads": threads,
            "memory_limit": memory_limit,
            "temp_directory": folder,
            "temp_file_encryption": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )


def field_sql(text: Text, column: str) -> str:
    """SQL of one field of `records`, trimmed; empty text is null. The position is a number, never data."""
    position = text.header.index(column) + 1
    field = f"f[{position}]"
    if text.has_padding:
        field = f"trim({field}, ' ' || chr(9) || chr(13) || chr(10))"
    elif position == len(text.header):
        field = f"rtrim({field}, chr(13) || chr(10))"
    return f"nullif({field}, '')"


def records_sql(text: Text) -> str:
    """CTEs that end in `records`: line_no, line, f (list of fields), is_well_quoted."""
    if text.records_cte:
        return text.records_cte
    sql = _QUOTED_RECORDS_SQL if text.has_quotes else _PLAIN_RECORDS_SQL
    literal = "'" + text.delimiter.replace("'", "''") + "'"
    return sql.replace("{d}", literal).replace("{r}", re.escape(text.delimiter))


def write_records(
    text: Text,
    job: Job,
    connection: duckdb.DuckDBPyConnection,
    *,
    typed_sql: str,
    columns: tuple[str, ...],
    dataset: str,
    parameters: Mapping[str, Any],
    reads_again: bool = False,
    record_sql: str = "rtrim(line, chr(13) || chr(10))",
    refused_sql: str = "",
) -> tuple[int, int, Path, Path | None]:
    """Write the good records and the refused ones of a file as zstd Parquet.

    Args:
        text: The file.
        job: Says the file number and where to write.
        connection: Holds the macros that the query uses.
        reads_again: The query reads the lines more than once (a window may become a self-join): they are held in
            memory then. Otherwise they stream by once, in constant memory.
        typed_sql: CTEs after `records` that end in `typed`: line_no, line, the `columns`, and `reason` (null = good).
        dataset: Name of the Parquet file.
        parameters: Bound values of the query, beside those of every delimited file.
        columns: Columns of the dataset after file_no and line_no.
        record_sql: What quarantine keeps of a record, before it is masked.
        refused_sql: Further columns of the quarantine, after a comma; over `typed`.

    Returns:
        (loaded, quarantined, Parquet of the dataset, Parquet of the refused records or None).
    """
    connection.register("merged", text.merged)
    bound = {
        "header_line": text.header_line,
        "last_line": text.last_line,
        "field_count": len(text.header),
        "file_no": job.file_no,
        **parameters,
    }
    ctes = records_sql(text) + typed_sql
    out = job.scratch / f"{dataset}.parquet"
    wanted = ", ".join(columns)
    loaded = _copy(
        text,
        reads_again,
        connection,
        f"{ctes} select $file_no::bigint as file_no, line_no, {wanted} from typed where reason is null",
        out,
        bound,
    )
    refused_out: Path | None = None
    quarantined = 0
    if loaded != text.records:
        # Only a file with refused records is read a second time.
        refused_out = job.scratch / "quarantine.parquet"
        quarantined = _copy(
            text,
            reads_again,
            connection,
            f"{ctes} select $file_no::bigint as file_no, line_no, mask_text(reason) as reason,"
            f" mask_text({record_sql}) as record_masked{refused_sql} from typed where reason is not null",
            refused_out,
            bound,
        )
    return loaded, quarantined, out, refused_out


def _copy(
    text: Text,
    reads_again: bool,
    connection: duckdb.DuckDBPyConnection,
    query: str,
    out: Path,
    bound: Mapping[str, Any],
) -> int:
    lines = physical_lines(text)
    connection.register("physical", lines.read_all() if reads_again else lines)
    names = [name for name in bound if f"${name}" in query]
    row = connection.execute(
        f"copy ({query}) to '{_quoted(out)}' (format parquet, compression zstd)",
        {name: bound[name] for name in names},
    ).fetchone()
    return int(row[0]) if row else 0


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def common_reasons(text: Text) -> list[str]:
    """Reasons that every delimited layout shares: structure of the line."""
    expected = len(text.header)
    names = [name.replace("'", "''") for name in text.header[:2]]
    same = " and ".join(f"trim(f[{index + 1}]) = '{name}'" for index, name in enumerate(names))
    return [
        "when not is_well_quoted then 'a quote is not closed or stands inside a field, expected \"field\"'",
        f"when len(f) <> {expected} then 'has ' || len(f) || ' fields, expected {expected}'",
        f"when starts_with(line, '{names[0]}') and {same} then 'the header is repeated, expected a record'",
    ]


def peek_dates(path: Path, column: str, zone: str) -> Iterator[date | None]:
    """The dates of `column` in the first records."""
    with path.open("rb") as file:
        head = file.read(64 * 1024).removeprefix(BOM).decode("utf-8", errors="replace")
    rows = (row for row in csv.reader(io.StringIO(head)) if row)
    try:
        at = [name.strip() for name in next(rows, [])].index(column)
        for row in rows:
            yield local_date(row[at], zone) if at < len(row) else None
    except (ValueError, csv.Error):
        return


def local_date(text: str, zone: str) -> date | None:
    """The date of a time in a zone, in which a time without an offset is written; None when it is no time."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment.astimezone(ZoneInfo(zone)) if moment.tzinfo else moment).date()
    except (ValueError, OverflowError):
        return None


def commonest(dates: Iterable[date | None]) -> date | None:
    """The date of most records, of equals the first day: one late record does not say whose night a file is."""
    counts = Counter(day for day in dates if day is not None)
    return min(counts, key=lambda day: (-counts[day], day), default=None)
