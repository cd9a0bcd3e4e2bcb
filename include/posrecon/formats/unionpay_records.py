"""Fixed records of UnionPay's merchant files: bytes, GBK, one blank after each field, CR LF, no header, no trailer.

Fields are cut on bytes: a Chinese name takes two bytes per character, so positions of decoded text would shift.

Source: 全渠道平台接入接口规范 第3部分 文件接口 §6.1, §6.2.
"""

import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.layout import QUARANTINE_SCHEMA, Job, Parsed
from posrecon.formats.masking import SQL_RUN, mask_text
from posrecon.formats.settlement import SETTLEMENT_SCHEMA

Bytes: TypeAlias = npt.NDArray[np.uint8]
Flags: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[np.int64]
Times: TypeAlias = npt.NDArray[np.datetime64]
# Any Arrow array; the class takes no parameter at run time.
Column: TypeAlias = "pa.Array[Any]"
Check: TypeAlias = tuple[str, Flags, str]

BATCH_RECORDS = 65_536


@dataclass(frozen=True, kw_only=True)
class RecordLayout:
    """Where the fields of one kind of record stand.

    Attributes:
        kind: For messages: ZM, ZME.
        sizes: Lengths that a record may have, without CR LF; one file has one of them.
        fields: (name, width) in file order.
        tail: Fields that not every version of the file has; they are read where they stand, and not required.
        gap: Blanks after each field: 1, or 0 in a file that is written without them.
        packed: The same record without blanks, told by its length.
    """

    kind: str
    sizes: tuple[int, ...]
    fields: tuple[tuple[str, int], ...]
    tail: tuple[tuple[str, int], ...] = ()
    gap: int = 1
    packed: "RecordLayout | None" = None

    @cached_property
    def offsets(self) -> Mapping[str, tuple[int, int]]:
        """Field → (first byte, byte after the last) within a record."""
        found: dict[str, tuple[int, int]] = {}
        at = 0
        for name, width in (*self.fields, *self.tail):
            found[name] = (at, at + width)
            at += width + self.gap
        return found

    @cached_property
    def separators(self) -> tuple[int, ...]:
        """Positions of the blanks after the required fields."""
        return tuple(self.offsets[name][1] for name, _ in self.fields) if self.gap else ()


@dataclass(frozen=True)
class Batch:
    """Consecutive records as a (records, size + 2) byte matrix."""

    layout: RecordLayout
    data: Bytes
    first_line: int

    def field(self, name: str) -> Bytes:
        """The bytes of one field of every record."""
        start, stop = self.layout.offsets[name]
        return self.data[:, start:stop]

    @property
    def rows(self) -> int:
        """Number of records."""
        return len(self.data)


Convert: TypeAlias = Callable[[Batch, Job, date], tuple[dict[str, Column], list[Check]]]


def parse_records(job: Job, layout: RecordLayout, convert: Convert) -> Parsed:
    """Read a file of fixed records into `settlement_lines`.

    Args:
        job: The file; the clearing date stands in its name.
        layout: Where the fields stand.
        convert: One batch → the columns that the layout fills (the others are null or constant), and the checks
            that a record has to pass: (field, who passes, what is expected).

    Raises:
        LayoutError: Empty, or a record has the wrong length. Lists every bad line.
    """
    clearing = job.name.business_date
    if clearing is None:
        raise LayoutError(
            f"{job.file_name}: the name has no clearing date.",
            next_step="Give the pattern of the source a date group.",
        )
    if job.path.stat().st_size == 0:
        raise LayoutError(
            f"{job.file_name}: the file is empty (0 bytes), expected records of {_sizes(layout)} bytes + CR LF.",
            next_step="Ask UnionPay for the file again.",
        )
    out, refused_out = job.scratch / "settlement_lines.parquet", job.scratch / "quarantine.parquet"
    records = loaded = quarantined = total = 0
    with (
        job.path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        pq.ParquetWriter(out, SETTLEMENT_SCHEMA, compression="zstd") as good,
        ExitStack() as stack,
    ):
        refused: pq.ParquetWriter | None = None
        layout, size = _found(content, layout)
        if len(content) % (size + 2) not in (0, size):
            raise _bad_structure(content, layout, size, job)
        for batch in _batches(content, layout, size, job):
            table, bad = _rows(batch, job, clearing, convert)
            records += batch.rows
            loaded += table.num_rows
            quarantined += bad.num_rows
            total += pc.sum(table["net_minor"]).as_py() or 0
            good.write_table(table)
            if bad.num_rows:
                refused = refused or stack.enter_context(
                    pq.ParquetWriter(refused_out, QUARANTINE_SCHEMA, compression="zstd")
                )
                refused.write_table(bad)
    return Parsed(
        records=records,
        loaded=loaded,
        quarantined=quarantined,
        business_date=clearing,
        logical_key=job.name.key,
        encoding=job.source.encoding,
        datasets={"settlement_lines": out},
        quarantine=refused_out if quarantined else None,
        computed_minor=total,
    )


def _sizes(layout: RecordLayout) -> str:
    return " or ".join(str(size) for size in layout.sizes)


def _found(content: mmap.mmap, layout: RecordLayout) -> tuple[RecordLayout, int]:
    """The layout and record length of this file: those of its first record when its length is a known one."""
    end = content.find(b"\n")
    first = (len(content) if end < 0 else end) - (end > 0 and content[end - 1] == 13)
    if layout.packed and first in layout.packed.sizes:
        return layout.packed, first
    return layout, first if first in layout.sizes else layout.sizes[0]


def _rows(batch: Batch, job: Job, clearing: date, convert: Convert) -> tuple[pa.Table, pa.Table]:
    """One batch → (rows of `SETTLEMENT_SCHEMA`, refused rows)."""
    given, checks = convert(batch, job, clearing)
    blanks = (batch.data[:, batch.layout.separators] == 32).all(axis=1)
    checks = [("record", blanks, "has no blank between its fields, expected one after each"), *checks]
    rows = batch.rows
    given |= {
        "file_no": pa.array(np.full(rows, job.file_no, np.int64)),
        "line_no": pa.array(np.arange(batch.first_line, batch.first_line + rows, dtype=np.int64)),
        "acquirer": constant(job.source.acquirer, rows),
        "currency": constant(job.source.currency, rows),
        "settlement_date": pa.array(np.full(rows, np.datetime64(clearing)), pa.date32()),
    }
    table = pa.table(
        [
            given[name] if name in given else pa.nulls(rows, SETTLEMENT_SCHEMA.field(name).type)
            for name in SETTLEMENT_SCHEMA.names
        ],
        schema=SETTLEMENT_SCHEMA,
    )
    accepted = np.logical_and.reduce([flags for _, flags, _ in checks])
    if accepted.all():
        return table, QUARANTINE_SCHEMA.empty_table()
    return table.filter(pa.array(accepted)), _refused(batch, ~accepted, checks, job.file_no)


def constant(value: str | None, rows: int) -> pa.StringArray:
    """One text for every row."""
    return pa.array([value] * rows, pa.string())


def masked_cards(field: Bytes) -> pa.StringArray:
    """Card numbers: one that arrives whole keeps its first six and last four."""
    return pc.replace_substring_regex(texts(field), SQL_RUN, r"\1****\2")


def card_types(field: Bytes) -> pa.StringArray:
    """01 debit, 02 credit, 03 quasi-credit, which counts as credit."""
    codes = texts(field)
    return named(codes, ["02", "03"], "credit", named(codes, ["01"], "debit", constant(None, len(codes))))


def original(stan: Bytes, time: Bytes, clearing: date) -> tuple[pa.StringArray, Column]:
    """Trace number and time of the original; null where the record names none (blank or zeros)."""
    number, digits = number_of(stan)
    local, possible = times_of(time, clearing)
    names = texts(stan)
    return only(names, pa.array(digits & (number > 0))), pa.array(local, pa.timestamp("us"), mask=~possible)


def _batches(content: mmap.mmap, layout: RecordLayout, size: int, job: Job) -> Iterator[Batch]:
    """Copies of the records, at most `BATCH_RECORDS` at a time; a last record may lack its CR LF.

    Raises:
        LayoutError: A record does not have `size` bytes and CR LF; lists every such line of the file.
    """
    stride = size + 2
    count = (len(content) + 2) // stride
    for first in range(0, count, BATCH_RECORDS):
        raw = content[first * stride : min(first + BATCH_RECORDS, count) * stride]
        raw += b"\r\n" * ((-len(raw) % stride) // 2)
        data = np.frombuffer(raw, np.uint8).reshape(-1, stride)
        ends = (data[:, size] == 13) & (data[:, size + 1] == 10)
        # A line end inside a record is one more than the records have.
        if not ends.all() or raw.count(b"\n") != len(data):
            raise _bad_structure(content, layout, size, job)
        yield Batch(layout, data, first + 1)


def _bad_structure(content: mmap.mmap, layout: RecordLayout, size: int, job: Job) -> LayoutError:
    """Every line that has not `size` bytes and CR LF; the last CR LF may be missing."""
    length = len(content)
    bad: list[BadLine] = []
    position = line_no = 0
    while position < length:
        line_no += 1
        end = content.find(b"\n", position)
        last = end < 0
        line_end = length if last else end
        has_cr = line_end > position and content[line_end - 1] == 13
        found = line_end - position - has_cr
        if found != size:
            bad.append(BadLine(line_no, f"record has {found} bytes, expected {size}"))
        elif not has_cr and not last:
            bad.append(BadLine(line_no, "record ends in LF alone, expected CR LF"))
        position = line_end + 1
    return LayoutError(
        f"{job.file_name}: {len(bad)} of {line_no} lines do not fit {size} bytes + CR LF; "
        f"line {bad[0].line_no}: {bad[0].reason}.",
        bad_lines=tuple(bad),
        next_step=f"The file is truncated, changed on the way, or no {layout.kind} file. Ask UnionPay for it again.",
    )


def number_of(field: Bytes) -> tuple[Numbers, Flags]:
    """Value of ASCII digit fields, and which records hold only digits."""
    digits = field.astype(np.int64) - 48
    good = ((digits >= 0) & (digits <= 9)).all(axis=1)
    powers = 10 ** np.arange(field.shape[1] - 1, -1, -1, dtype=np.int64)
    return np.where(good, digits @ powers, 0), good


def signed(field: Bytes, *, positive: int) -> tuple[Numbers, Flags]:
    """Value of X+n12 fields: a sign letter (C credit to the merchant, D debit) and digits.

    A blank sign is accepted with zero digits only.
    """
    value, good = number_of(field[:, 1:])
    sign = field[:, 0]
    known = (sign == ord("C")) | (sign == ord("D")) | ((sign == ord(" ")) & (value == 0))
    return np.where(sign == positive, value, -value), good & known


def texts(field: Bytes) -> pa.StringArray:
    """Trimmed text; empty is null. GBK text outside ASCII is decoded value by value: it is rare here."""
    rows, width = field.shape
    data = np.ascontiguousarray(field)
    raw = pa.Array.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(data)]).cast(pa.binary())
    if (data < 128).all():
        text = raw.cast(pa.string())
    else:
        values = (data[row].tobytes() for row in range(rows))
        text = pa.array([value.decode("gbk", errors="replace") for value in values], pa.string())
    trimmed = cast(pa.StringArray, pc.utf8_trim_whitespace(text))
    return only(trimmed, pc.not_equal(trimmed, pa.scalar("")))


def only(values: pa.StringArray, keep: pa.BooleanArray) -> pa.StringArray:
    """The values where `keep` is true; null elsewhere."""
    return cast(pa.StringArray, pc.if_else(keep.fill_null(False), values, pa.scalar(None, pa.string())))


def named(codes: pa.StringArray, listed: list[str], name: str, otherwise: pa.StringArray) -> pa.StringArray:
    """`name` where the code is listed, `otherwise` elsewhere."""
    is_listed = pc.is_in(codes, pa.array(listed, pa.string()))
    return cast(pa.StringArray, pc.if_else(is_listed, pa.scalar(name), otherwise))


def times_of(field: Bytes, clearing: date) -> tuple[npt.NDArray[np.datetime64], Flags]:
    """MMDDhhmmss → wall clock. The year is the one that puts the day not after the clearing date."""
    value, digits = number_of(field)
    month, day = value // 10**8, value // 10**6 % 100
    hour, minute, second = value // 10**4 % 100, value // 100 % 100, value % 100
    # Nothing clears before it happens, so a later day of the year is one of the year before.
    is_past_year = month * 100 + day > clearing.month * 100 + clearing.day
    year = np.where(is_past_year, clearing.year - 1, clearing.year)
    month_ok = (month >= 1) & (month <= 12)
    first = ((year - 1970) * 12 + np.where(month_ok, month, 1) - 1).astype("datetime64[M]")
    days_in_month = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    good = (
        digits & month_ok & (day >= 1) & (day <= days_in_month) & (hour < 24) & (minute < 60) & (second < 60)
    )
    seconds = np.where(good, (day - 1) * 86400 + hour * 3600 + minute * 60 + second, 0)
    return first.astype("datetime64[us]") + seconds * np.timedelta64(1_000_000, "us"), good


def _refused(batch: Batch, wrong: Flags, checks: list[Check], file_no: int) -> pa.Table:
    """Reason and masked record of the refused rows: only they are decoded one by one."""
    numbers: list[int] = []
    reasons: list[str] = []
    records: list[str] = []
    for index in np.flatnonzero(wrong):
        name, _, expected = next(check for check in checks if not check[1][index])
        record = batch.data[index, :-2].tobytes()
        if name == "record":
            reason = f"record {expected}"
        else:
            start, stop = batch.layout.offsets[name]
            reason = f'{name} "{record[start:stop].decode("gbk", errors="replace")}" {expected}'
        numbers.append(batch.first_line + int(index))
        reasons.append(mask_text(reason))
        records.append(_masked_record(record, batch.layout))
    return pa.table(
        [pa.array([file_no] * len(numbers), pa.int64()), pa.array(numbers, pa.int64()), reasons, records],
        schema=QUARANTINE_SCHEMA,
    )


def _masked_record(record: bytes, layout: RecordLayout) -> str:
    """Only the account field can hold a card number; references of many digits stay readable as evidence."""
    start, stop = layout.offsets["card"]
    card = mask_text(record[start:stop].decode("gbk", errors="replace"))
    return (
        record[:start].decode("gbk", errors="replace") + card + record[stop:].decode("gbk", errors="replace")
    ).rstrip()
