"""UnionPay merchant settlement file (ZM): fixed records of 607 bytes + CR LF, GBK, no header, no trailer.

Every field has a fixed width and is followed by one blank. Fields are cut on bytes: a Chinese name takes two
bytes per character, so positions of decoded text would shift. Versions differ only in the tail (field 45, the RRN,
exists since 2.5); all have the same length.

Source: 全渠道平台接入接口规范 第3部分 文件接口 §6.1.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.layout import QUARANTINE_SCHEMA, Job, Parsed, arrow_schema
from posrecon.formats.masking import SQL_RUN, mask_text
from posrecon.landing.sources import Source

Bytes: TypeAlias = npt.NDArray[np.uint8]
Flags: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[np.int64]

RECORD = 607
STRIDE = RECORD + 2
BATCH_RECORDS = 65_536

# (name, width) of fields 1 to 40, in file order; the tail starts after them.
_FIELDS = (
    ("txn_code", 3), ("acq_ins_code", 11), ("fwd_ins_code", 11), ("stan", 6), ("txn_time", 10), ("card", 19),
    ("amount", 12), ("mcc", 4), ("terminal_kind", 2), ("query_id", 21), ("pay_mode_old", 2), ("order_id", 32),
    ("card_type", 2), ("orig_stan", 6), ("orig_time", 10), ("fee", 13), ("settled", 13), ("pay_mode", 4),
    ("group_code", 15), ("txn_kind", 2), ("txn_subkind", 2), ("business_kind", 6), ("account_kind", 2),
    ("bill_kind", 4), ("bill_no", 32), ("interaction", 1), ("orig_query_id", 21), ("mer_id", 15),
    ("split_mode", 1), ("sub_mer_id", 15), ("sub_mer_name", 32), ("split_amount", 13), ("net_amount", 13),
    ("term_id", 8), ("merchant_text", 32), ("discount", 13), ("invoice", 13), ("instalment_fee", 12),
    ("instalments", 2), ("medium", 1),
)  # fmt: skip
_TAIL_2_5 = (("orig_order_id", 32), ("cleared", 13), ("entry_mode", 2), ("mobile_flag", 1), ("rrn", 12))


@cache
def offsets() -> dict[str, tuple[int, int]]:
    """Field → (first byte, byte after the last) within a record; each field is followed by one blank."""
    found: dict[str, tuple[int, int]] = {}
    at = 0
    for name, width in (*_FIELDS, *_TAIL_2_5):
        found[name] = (at, at + width)
        at += width + 1
    return found


SETTLEMENT_SCHEMA = arrow_schema(
    file_no=pa.int64(),
    line_no=pa.int64(),
    acquirer=pa.string(),
    line_kind=pa.string(),
    acquirer_merchant_id=pa.string(),
    terminal_id=pa.string(),
    stan=pa.string(),
    rrn=pa.string(),
    auth_code=pa.string(),
    acquirer_txn_no=pa.string(),
    orig_acquirer_txn_no=pa.string(),
    merchant_order_no=pa.string(),
    txn_type=pa.string(),
    txn_code=pa.string(),
    txn_local=pa.timestamp("us"),
    card_masked=pa.string(),
    card_type=pa.string(),
    currency=pa.string(),
    gross_minor=pa.int64(),
    fee_minor=pa.int64(),
    net_minor=pa.int64(),
    settlement_date=pa.date32(),
)


@dataclass(frozen=True)
class _Batch:
    """Consecutive records as a (records, 609) byte matrix."""

    data: Bytes
    first_line: int

    def field(self, name: str) -> Bytes:
        start, stop = offsets()[name]
        return self.data[:, start:stop]


def peek_nothing(path: Path, source: Source) -> date | None:
    """The clearing date stands in the file name only."""
    return None


def parse(job: Job) -> Parsed:
    """Parse one UnionPay ZM file into `settlement_lines`.

    Amounts are fen, positive = to the merchant; the fee is positive when charged. The year of a transaction
    comes from the clearing date of the file name. A record with a bad field goes to quarantine.

    Raises:
        LayoutError: Empty, or a record is not 607 bytes + CR LF. Lists every bad line.

    Source: 全渠道平台接入接口规范 第3部分 文件接口 §6.1.
    """
    clearing = job.name.business_date
    if clearing is None:
        raise LayoutError(
            f"{job.file_name}: the name has no clearing date.",
            next_step="Give the pattern of the source a date group.",
        )
    size = job.path.stat().st_size
    if size == 0:
        raise LayoutError(
            f"{job.file_name}: the file is empty (0 bytes), expected records of {RECORD} bytes + CR LF.",
            next_step="Ask UnionPay for the file again.",
        )
    out, refused_out = job.scratch / "settlement_lines.parquet", job.scratch / "quarantine.parquet"
    records = loaded = quarantined = total = 0
    with (
        job.path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        pq.ParquetWriter(out, SETTLEMENT_SCHEMA, compression="zstd") as good,
        pq.ParquetWriter(refused_out, QUARANTINE_SCHEMA, compression="zstd") as refused,
    ):
        _check_structure(content, job)
        for batch in _batches(content):
            table, bad, net = _convert(batch, job, clearing)
            records += len(batch.data)
            loaded += table.num_rows
            quarantined += bad.num_rows
            total += net
            good.write_table(table)
            if bad.num_rows:
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


def _batches(content: mmap.mmap) -> Iterator[_Batch]:
    """Copies of the records, at most `BATCH_RECORDS` at a time; a last record may lack its CR LF."""
    count = (len(content) + 2) // STRIDE
    for first in range(0, count, BATCH_RECORDS):
        raw = content[first * STRIDE : min(first + BATCH_RECORDS, count) * STRIDE]
        raw += b"\r\n" * ((-len(raw) % STRIDE) // 2)
        yield _Batch(np.frombuffer(raw, np.uint8).reshape(-1, STRIDE), first + 1)


def _check_structure(content: mmap.mmap, job: Job) -> None:
    """Every record has 607 bytes and ends in CR LF; the last CR LF may be missing."""
    size = len(content)
    fits = size % STRIDE in (0, RECORD)
    if fits:
        for batch in _batches(content):
            ends = (batch.data[:, RECORD] == 13) & (batch.data[:, RECORD + 1] == 10)
            inside = np.count_nonzero(batch.data == 10) - len(batch.data)
            if not ends.all() or inside:
                fits = False
                break
    if fits:
        return
    bad: list[BadLine] = []
    position = line_no = 0
    while position < size:
        line_no += 1
        end = content.find(b"\n", position)
        last = end < 0
        line_end = size if last else end
        has_cr = line_end > position and content[line_end - 1] == 13
        length = line_end - position - has_cr
        if length != RECORD:
            bad.append(BadLine(line_no, f"record has {length} bytes, expected {RECORD}"))
        elif not has_cr and not last:
            bad.append(BadLine(line_no, "record ends in LF alone, expected CR LF"))
        position = line_end + 1
    raise LayoutError(
        f"{job.file_name}: {len(bad)} of {line_no} lines do not fit {RECORD} bytes + CR LF; "
        f"line {bad[0].line_no}: {bad[0].reason}.",
        bad_lines=tuple(bad),
        next_step="The file is truncated, changed on the way, or no ZM file. Ask UnionPay for it again.",
    )


def _number(field: Bytes) -> tuple[Numbers, Flags]:
    """Value of ASCII digit fields, and which records hold only digits."""
    digits = field.astype(np.int64) - 48
    good = ((digits >= 0) & (digits <= 9)).all(axis=1)
    powers = 10 ** np.arange(field.shape[1] - 1, -1, -1, dtype=np.int64)
    return np.where(good, digits @ powers, 0), good


def _signed(field: Bytes, *, positive: int) -> tuple[Numbers, Flags]:
    """Value of X+n12 fields: a sign letter (C credit to the merchant, D debit) and digits.

    A blank sign is accepted with zero digits only.
    """
    value, good = _number(field[:, 1:])
    sign = field[:, 0]
    known = (sign == ord("C")) | (sign == ord("D")) | ((sign == ord(" ")) & (value == 0))
    return np.where(sign == positive, value, -value), good & known


def _texts(field: Bytes) -> pa.StringArray:
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
    return _only(trimmed, pc.not_equal(trimmed, pa.scalar("")))


def _only(values: pa.StringArray, keep: pa.BooleanArray) -> pa.StringArray:
    """The values where `keep` is true; null elsewhere."""
    return cast(pa.StringArray, pc.if_else(keep.fill_null(False), values, pa.scalar(None, pa.string())))


def _named(codes: pa.StringArray, listed: list[str], name: str, otherwise: pa.StringArray) -> pa.StringArray:
    """`name` where the code is listed, `otherwise` elsewhere."""
    is_listed = pc.is_in(codes, pa.array(listed, pa.string()))
    return cast(pa.StringArray, pc.if_else(is_listed, pa.scalar(name), otherwise))


def _times(field: Bytes, clearing: date) -> tuple[npt.NDArray[np.datetime64], Flags]:
    """MMDDhhmmss → wall clock. The year is the one that puts the day not after the clearing date."""
    value, digits = _number(field)
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


def _separators(data: Bytes) -> Flags:
    positions = [stop for name, (_, stop) in offsets().items() if name in _FIXED]
    return (data[:, positions] == 32).all(axis=1)


_FIXED = frozenset(name for name, _ in _FIELDS)


def _convert(batch: _Batch, job: Job, clearing: date) -> tuple[pa.Table, pa.Table, int]:
    """One batch → (rows of `SETTLEMENT_SCHEMA`, refused rows, net of the accepted rows)."""
    gross, gross_ok = _number(batch.field("amount"))
    fee, fee_ok = _signed(batch.field("fee"), positive=ord("D"))
    net, net_ok = _signed(batch.field("settled"), positive=ord("C"))
    times, times_ok = _times(batch.field("txn_time"), clearing)
    _, stan_ok = _number(batch.field("stan"))
    code = batch.field("txn_code")
    code_ok = ((code >= 65) & (code <= 90))[:, 0] & ((code[:, 1:] >= 48) & (code[:, 1:] <= 57)).all(axis=1)
    to_merchant = batch.field("settled")[:, 0] != ord("D")
    checks = (
        ("record", _separators(batch.data), "has no blank between its fields, expected one after each"),
        ("txn_code", code_ok, "is not a transaction code such as S22"),
        ("stan", stan_ok, "is not 6 digits"),
        ("txn_time", times_ok, "is not a possible time MMDDhhmmss"),
        ("amount", gross_ok, "is not 12 digits"),
        ("fee", fee_ok, "is not C or D and 12 digits"),
        ("settled", net_ok, "is not C or D and 12 digits"),
    )
    accepted = np.logical_and.reduce([flags for _, flags, _ in checks])
    rows = len(batch.data)
    lines = np.arange(batch.first_line, batch.first_line + rows, dtype=np.int64)

    def constant(value: str | None) -> pa.StringArray:
        return pa.array([value] * rows, pa.string())

    codes = _texts(code)
    txn_type = pa.array(np.where(to_merchant, "sale", "refund").tolist(), pa.string())
    for kind in ("sale", "refund"):
        listed = [given for given, meaning in job.source.txn_codes.items() if meaning == kind]
        txn_type = _named(codes, listed, kind, txn_type)
    # A number that arrives whole keeps its first six and last four.
    cards = pc.replace_substring_regex(_texts(batch.field("card")), SQL_RUN, r"\1****\2")
    card_code = _texts(batch.field("card_type"))
    card_type = _named(card_code, ["01"], "debit", constant(None))
    card_type = _named(card_code, ["02", "03"], "credit", card_type)
    rrn = _texts(batch.field("rrn"))
    rrn = _only(rrn, pc.match_substring_regex(rrn, "^[0-9A-Za-z]{12}$"))

    table = pa.table(
        [
            pa.array(np.full(rows, job.file_no, np.int64)),
            pa.array(lines),
            constant(job.source.acquirer),
            constant("transaction"),
            _texts(batch.field("mer_id")),
            _texts(batch.field("term_id")),
            _texts(batch.field("stan")),
            rrn,
            constant(None),
            _texts(batch.field("query_id")),
            _texts(batch.field("orig_query_id")),
            _texts(batch.field("order_id")),
            txn_type,
            codes,
            pa.array(times, pa.timestamp("us")),
            cards,
            card_type,
            constant(job.source.currency),
            pa.array(np.where(to_merchant, gross, -gross)),
            pa.array(fee),
            pa.array(net),
            pa.array(np.full(rows, np.datetime64(clearing)), pa.date32()),
        ],
        schema=SETTLEMENT_SCHEMA,
    )
    if accepted.all():
        return table, QUARANTINE_SCHEMA.empty_table(), int(net.sum())
    bad = _refused(batch, ~accepted, checks, job.file_no)
    return table.filter(pa.array(accepted)), bad, int(net[accepted].sum())


def _refused(
    batch: _Batch, wrong: Flags, checks: tuple[tuple[str, Flags, str], ...], file_no: int
) -> pa.Table:
    """Reason and masked record of the refused rows: only they are decoded one by one."""
    numbers: list[int] = []
    reasons: list[str] = []
    records: list[str] = []
    for index in np.flatnonzero(wrong):
        name, _, expected = next(check for check in checks if not check[1][index])
        record = batch.data[index, :RECORD].tobytes()
        if name == "record":
            reason = f"record {expected}"
        else:
            start, stop = offsets()[name]
            reason = f'{name} "{record[start:stop].decode("gbk", errors="replace")}" {expected}'
        numbers.append(batch.first_line + int(index))
        reasons.append(mask_text(reason))
        records.append(_masked_record(record))
    return pa.table(
        [pa.array([file_no] * len(numbers), pa.int64()), pa.array(numbers, pa.int64()), reasons, records],
        schema=QUARANTINE_SCHEMA,
    )


def _masked_record(record: bytes) -> str:
    """Only the account field can hold a card number; references of many digits stay readable as evidence."""
    start, stop = offsets()["card"]
    card = mask_text(record[start:stop].decode("gbk", errors="replace"))
    return (
        record[:start].decode("gbk", errors="replace") + card + record[stop:].decode("gbk", errors="replace")
    ).rstrip()
