"""Any delimited or fixed-width file that a source YAML describes: the mapping becomes one SQL query.

A file in another encoding is re-coded, and a fixed-width one is cut on its bytes, into memory that no disk sees; from
there both are read like every delimited file: by physical line, with refused records in quarantine. Columns that are
not mapped are never written; those that the YAML calls `never_kept` do not reach quarantine either.
"""

import csv
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import IO

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.bank import STATEMENT_SCHEMA
from posrecon.formats.delimited import (
    BOM,
    CHUNK,
    Text,
    chunks,
    connect,
    field_sql,
    physical_lines,
    read_framed,
    records_sql,
    write_records,
)
from posrecon.formats.layout import Job, Parsed
from posrecon.formats.masking import CARD_MACROS, mask_text
from posrecon.formats.terminal_csv import money_macros
from posrecon.landing.sources import Source
from posrecon.landing.tables import CHANNELS, Column, Table
from posrecon.money import currency_exponent, format_minor

# Parts the fields of a fixed-width record once it is cut; no text holds it.
_UNIT = "\x1f"
_EDGE_BYTES = 256 * 1024
_HEADER_LINES_MAX = 200
_WITHHELD = "(withheld: its fields cannot be told apart)"
# Refused records are all in quarantine; an error lists as many as a person reads.
_BAD_LINES_MAX = 10_000

_SETTLEMENT_COLUMNS = (
    "acquirer", "line_kind", "channel", "acquirer_merchant_id", "terminal_id", "stan", "rrn", "auth_code",
    "acquirer_txn_no", "orig_acquirer_txn_no", "merchant_order_no", "txn_type", "txn_code", "txn_local", "card_masked",
    "card_type", "currency", "gross_minor", "fee_minor", "net_minor", "settlement_date", "orig_stan", "orig_txn_local",
)  # fmt: skip
_ENTRY_COLUMNS = (
    "account", "statement_no", "value_date", "entry_date", "amount_minor", "currency", "acquirer", "reference",
    "narrative",
)  # fmt: skip

# `quick_minor`: of an amount of two decimals in a currency of two, which is what almost every field holds: a text that
# is the same again when it was a decimal. A cast takes more than we do (blanks, exponents) but gives it back otherwise.
# `plain_amount`: without sign, currency sign, thousands separators, and zeros that say nothing.
_MACROS = r"""
create or replace temp macro unsigned_text(t) as ltrim(rtrim(ltrim(t, '¥￥$ '), '-'), '+-¥￥$');
create or replace temp macro is_negative(t) as
    case when contains(t, '-') then starts_with(ltrim(t, '¥￥$ '), '-') or ends_with(t, '-') else false end;
create or replace temp macro quick_minor(t, currency) as
    case
        when currency = 'CNY' and try_cast(t as decimal(15, 2))::varchar = t
            then abs((try_cast(t as decimal(15, 2)) * 100)::bigint)
    end;
create or replace temp macro plain_amount(t) as
    case
        when regexp_full_match(t, '-?\d{1,13}(\.\d{1,2})?') then ltrim(t, '-')
        when regexp_full_match(t, '[¥￥$]? ?[+-]?[¥￥$]?(\d{1,13}|\d{1,3}(,\d{3}){1,4})(\.\d*)?-?')
            and not (ends_with(t, '-') and contains(t[:-2], '-'))
            then regexp_replace(
                regexp_replace(replace(unsigned_text(t), ',', ''), '(\.\d*?)0+$', '\1'), '\.$', ''
            )
    end;
create or replace temp macro whole_minor(t) as
    case when regexp_full_match(t, '[+-]?\d{1,15}') then abs(t::bigint) end;
"""


@dataclass(frozen=True)
class _Frame:
    """The lines around the records.

    Attributes:
        header_line: Physical line of the last line above the records.
        after: Physical lines below them.
        around: How many of all those lines are not blank.
        lines: Physical lines of the file.
        stated: Groups of the line of totals; empty when there is none.
    """

    header: tuple[str, ...]
    header_line: int
    after: int
    around: int
    stated: dict[str, str]
    totals_line: int
    lines: int


def peek_date(path: Path, source: Source) -> date | None:
    """Date of the first record; None when it cannot be read from the head of the file."""
    table = source.table
    column = None if table is None else _date_column(table)
    if table is None or column is None or not column.names:
        return None
    with path.open("rb") as file:
        head = file.read(_EDGE_BYTES)
    if table.positions:
        name = column.names[0]
        first, length = table.positions[name]
        for line in head.split(b"\n"):
            found = _date_in(line[first - 1 : first - 1 + length].decode(source.encoding, "replace"), table)
            if found and len(line.rstrip(b"\r")) == table.record_bytes:
                return found
        return None
    lines = head.decode(source.codec, "replace").splitlines()
    header: tuple[str, ...] = table.fields
    for text in lines[:_HEADER_LINES_MAX]:
        cells = _cells(text, table.delimiter)
        if table.records:
            header = table.records[cells[0]].fields if cells and cells[0] in table.records else ()
            if column.names[0] not in header:
                continue
        if not header:
            header = tuple(cells) if set(table.mapped) <= set(cells) else ()
            continue
        at = header.index(column.names[0])
        found = _date_in(cells[at], table) if at < len(cells) else None
        if found:
            return found
    return None


def _date_column(table: Table) -> Column | None:
    names = ("settlement_date",) if table.dataset == "settlement_lines" else ("entry_date", "value_date")
    return next((table.columns[name] for name in names if name in table.columns), None)


def _date_in(text: str, table: Table) -> date | None:
    for form in table.date_format:
        try:
            return datetime.strptime(text.strip(), form).date()  # noqa: DTZ007 - a date, no instant
        except ValueError:
            continue
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def parse(job: Job) -> Parsed:
    """Parse one file as its source describes it, into `settlement_lines` or `bank_entries` (+ `bank_statements`).

    Amounts become minor units; settlement lines are positive to the merchant, fees positive when charged, bank entries
    positive = credit. A record with a bad field goes to quarantine. The line of totals must be there once and agree
    with all records; a running balance must hold from line to line.

    Raises:
        LayoutError: Empty, another encoding, a header without a mapped column, totals or balances that do not tie;
            with the difference and the bad lines.
    """
    table = job.source.table
    if table is None:
        raise LayoutError(
            f"{job.file_name}: the source {job.source.name} has no table.", next_step="Describe its columns."
        )
    if job.path.stat().st_size == 0:
        raise LayoutError(
            f"{job.file_name}: the file is empty (0 bytes), expected records.",
            next_step="Ask the sender for it again.",
        )
    with _readable(job, table) as path:
        frame = _frame(path, table, job)
        text = read_framed(
            path,
            job.file_name,
            delimiter=_UNIT if table.positions else table.delimiter,
            header=frame.header,
            header_line=frame.header_line,
            lines_after=frame.after,
            around=frame.around,
            has_quotes=not table.positions,
            field_counts=(len(frame.header), len(frame.header) + table.may_end_with_delimiter),
        )
        with connect(job.settings) as connection:
            return _load(text, frame, table, job, connection)


# -------------------------------------------------------------------------------- content
@contextmanager
def _readable(job: Job, table: Table) -> Iterator[Path]:
    """The content as UTF-8 with delimiters: the file itself, or a copy in memory."""
    encoding = job.source.codec
    if encoding == "utf-8-sig" and not table.positions:
        yield job.path
        return
    with _scratch(job) as (path, out):
        if table.positions:
            _cut(job, table, encoding, out)
        else:
            _recode(job, encoding, out)
        out.flush()
        yield path


@contextmanager
def _scratch(job: Job) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file for clear content: in memory on Linux, else readable by its owner alone and removed at the end."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("posrecon-table"), "wb") as out:
            yield Path(f"/proc/self/fd/{out.fileno()}"), out
        return
    path = job.scratch / "table.clear"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            yield path, out
    finally:
        path.unlink(missing_ok=True)


def _recode(job: Job, encoding: str, out: IO[bytes]) -> None:
    try:
        with job.path.open(encoding=encoding, newline="") as file:
            for text in iter(partial(file.read, 1024 * 1024), ""):
                out.write(text.encode())
    except UnicodeError:
        raise _not_in_encoding(job, encoding) from None


def _not_in_encoding(job: Job, encoding: str) -> LayoutError:
    """List the lines that are not text in the encoding; only a refused file pays for this."""
    bad: list[BadLine] = []
    with job.path.open("rb") as file:
        for line_no, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeError as error:
                bad.append(
                    BadLine(line_no, f"is not {job.source.encoding}: {str(error).partition(':')[0][:60]}")
                )
    where = f": {len(bad)} bad lines, the first is line {bad[0].line_no}" if bad else ""
    return LayoutError(
        f"{job.file_name}: the file is not {job.source.encoding}{where}.",
        bad_lines=tuple(bad),
        next_step="Correct the encoding in the source YAML, or ask the sender for the file again.",
    )


def _cut(job: Job, table: Table, encoding: str, out: IO[bytes]) -> None:
    """Cut records on their bytes: a Chinese character takes two or more, so positions of text would shift.

    A line of another length is no record; it is passed on whole and fits no field count.
    """
    size = table.record_bytes or 0
    plain = "utf-8" if encoding == "utf-8-sig" else encoding
    for chunk in chunks(job.path, job.file_name):
        data = np.frombuffer(chunk, np.uint8)
        ends = np.flatnonzero(data == 10)
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts
        lengths = lengths - ((lengths > 0) & (data[np.maximum(ends - 1, 0)] == 13))
        is_record = lengths == size
        # Stretches of records are cut at once; what stands between them is passed on.
        edges = np.flatnonzero(np.diff(is_record)) + 1
        stretches = zip([0, *edges.tolist()], [*edges.tolist(), len(ends)], strict=True)
        try:
            for begin, end in stretches:
                if is_record[begin]:
                    out.write(_utf8(_cut_records(data, starts[begin:end], table, size), plain))
                    continue
                for at in range(begin, end):
                    line = chunk[starts[at] : starts[at] + lengths[at]].replace(_UNIT.encode(), b" ") + b"\n"
                    out.write(_utf8(line, plain))
        except UnicodeError:
            raise _not_in_encoding(job, plain) from None


def _cut_records(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], table: Table, size: int
) -> bytes:
    """Records of `size` bytes that begin at `starts` → their fields, parted, one record a line."""
    steps = np.diff(starts)
    if len(steps) and steps.min() == steps.max():
        # All lines end alike, so the records are the rows of a matrix; the last one may lack a line behind it.
        stride = int(steps[0])
        rows = np.lib.stride_tricks.as_strided(
            data[starts[0] :], shape=(len(starts), size), strides=(stride, 1), writeable=False
        )
    else:
        rows = data[starts[:, None] + np.arange(size)]
    places = tuple(table.positions.values())
    cut = np.empty((len(starts), sum(length + 1 for _, length in places)), np.uint8)
    at = 0
    for first, length in places:
        cut[:, at : at + length] = rows[:, first - 1 : first - 1 + length]
        cut[:, at + length] = ord(_UNIT)
        at += length + 1
    cut[:, -1] = 10
    found: bytes = cut.tobytes()
    return found


def _utf8(text: bytes, encoding: str) -> bytes:
    return text if text.isascii() else text.decode(encoding).encode()


# -------------------------------------------------------------------------------- lines around the records
def _frame(path: Path, table: Table, job: Job) -> _Frame:
    """Find header, totals and footer by what they say, in the head and the tail of the file."""
    head, tail, total = _edges(path)
    totals = re.compile(table.totals) if table.totals else None
    footer = re.compile(table.footer) if table.footer else None
    header, header_line = _header(head, table, job)
    found: list[tuple[int, dict[str, str]]] = []
    above = head[:header_line]
    for line_no, line in enumerate(above, start=1):
        matched = totals.search(line) if totals else None
        if matched:
            found.append((line_no, {name: text for name, text in matched.groupdict().items() if text}))
    after = blank_after = 0
    for line in reversed(tail):
        line_no = total - after
        if line_no <= header_line:
            break
        matched = totals.search(line) if totals else None
        if matched:
            found.append((line_no, {name: text for name, text in matched.groupdict().items() if text}))
        elif line.strip() and not (footer and footer.search(line)):
            break
        blank_after += line == ""
        after += 1
    if totals is not None and len(found) != 1:
        said = "is missing: the file is truncated" if not found else f"stands {len(found)} times"
        raise LayoutError(
            f"{job.file_name}: the line of totals {said}; expected it once.",
            bad_lines=tuple(BadLine(line_no, "line of totals") for line_no, _ in sorted(found)),
            next_step="Ask the sender for the file again.",
        )
    around = sum(line != "" for line in above) + after - blank_after
    return _Frame(
        header, header_line, after, around, found[0][1] if found else {}, found[0][0] if found else 0, total
    )


def _edges(path: Path) -> tuple[list[str], list[str], int]:
    """First lines, last lines, number of lines. Lines lose LF and CR LF; what is no UTF-8 is refused later."""
    with path.open("rb") as file:
        start = file.read(_EDGE_BYTES).removeprefix(BOM)
        file.seek(0, os.SEEK_END)
        size = file.tell()
        file.seek(max(0, size - _EDGE_BYTES))
        end = file.read(_EDGE_BYTES)
    # A last line without an end is a line.
    is_ended = end.endswith(b"\n") or not end.removeprefix(BOM)
    end = end.removeprefix(BOM) if size <= _EDGE_BYTES else end.partition(b"\n")[2]
    with path.open("rb") as file:
        total = sum(block.count(b"\n") for block in iter(partial(file.read, CHUNK), b""))
    total += not is_ended
    return _split(start), _split(end), total


def _split(content: bytes) -> list[str]:
    lines = content.decode("utf-8", "replace").removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines]


def _header(head: list[str], table: Table, job: Job) -> tuple[tuple[str, ...], int]:
    if table.positions or not table.has_header:
        return table.fields or tuple(table.positions), min(table.skip_lines, len(head))
    best: list[str] = list(table.mapped)
    best_line = 1
    for line_no, line in enumerate(head[:_HEADER_LINES_MAX], start=1):
        names = _cells(line, table.delimiter)
        missing = [name for name in table.mapped if name not in names]
        if not missing:
            twice = [name for name in table.mapped if names.count(name) > 1]
            if twice:
                raise LayoutError(
                    f"{job.file_name}: line {line_no}: the header names {', '.join(twice)} more than once.",
                    bad_lines=tuple(BadLine(line_no, f'column "{name}" stands twice') for name in twice),
                    next_step="Ask the sender for the file with a correct header.",
                )
            if table.may_end_with_delimiter and names and not names[-1]:
                names.pop()
            return tuple(names), line_no
        if len(missing) < len(best):
            best, best_line = missing, line_no
    raise LayoutError(
        f"{job.file_name}: line {best_line}: the header lacks {', '.join(best)}; expected every column that "
        f"{job.source.name} maps.",
        bad_lines=tuple(BadLine(best_line, f'column "{name}" is missing') for name in best),
        next_step="Correct encoding, delimiter or columns of the source YAML, or ask the sender for the file again.",
    )


# -------------------------------------------------------------------------------- SQL
@dataclass
class _Query:
    """Builds the query of one file; every text of the YAML and of the file is a bound value."""

    text: Text
    table: Table
    job: Job
    parameters: dict[str, object] = field(default_factory=dict)
    of_a_type: bool = False

    def bind(self, value: object) -> str:
        name = f"p{len(self.parameters)}_"
        self.parameters[name] = value
        return f"${name}"

    def cell(self, name: str) -> str:
        """One field, trimmed of blanks of both widths; null when it means nothing."""
        sql = field_sql(self.text, name)
        if self.text.has_padding:
            sql = f"nullif(trim({sql}, ' ' || chr(12288) || chr(160) || chr(9)), '')"
        if self.table.empty:
            known = ", ".join(self.bind(text) for text in self.table.empty)
            sql = f"case when {sql} not in ({known}) then {sql} end"
        return sql

    def column(self, name: str) -> str:
        """A text column as the mapping gives it; null when it is not mapped."""
        column = self.table.columns.get(name)
        if column is None:
            return "null::varchar"
        if column.value is not None:
            return f"{self.bind(column.value)}::varchar"
        if len(column.names) == 1:
            sql = self.cell(column.names[0])
        else:
            sql = f"nullif(concat_ws(' ', {', '.join(self.cell(each) for each in column.names)}), '')"
        if not column.values and column.other is None:
            return sql
        whens = " ".join(
            f"when {self.bind(given)} then {self.bind(meant)}" for given, meant in column.values.items()
        )
        other = f"{self.bind(column.other)}" if column.other is not None else "null"
        return f"(case {sql} {whens} else {other} end)" if whens else other

    def currency(self) -> str:
        if "currency" in self.table.columns:
            return self.column("currency")
        return f"{self.bind(self.job.source.currency)}::varchar"

    def slots(self) -> list[str]:
        """Names under which the texts of money are held: `gross`, or `gross_credit` and `gross_debit`."""
        names = ("gross", "fee", "net", "amount", "balance")
        return [slot for name in names if name in self.table.columns for slot in self.slots_of(name)]

    def slots_of(self, name: str) -> list[str]:
        """Those of one column."""
        column = self.table.columns[name]
        if column.is_sum:
            return [slot for slot, _ in self.parts(name)]
        return [name] if column.credit is None else [f"{name}_credit", f"{name}_debit"]

    def parts(self, name: str) -> list[tuple[str, str]]:
        """(slot, column of the file) of every part of a sum."""
        column = self.table.columns[name]
        return [(f"{name}_{at}", part) for at, part in enumerate((*column.plus, *column.minus))]

    def money_steps(self, before: str) -> str:
        """CTEs that end in `valued`: `<slot>_abs` in minor units, null when the text is no amount.

        One step after the other, each on a column of its own: as one expression the text would be tested a hundred
        times.
        """
        if self.table.units == "minor":
            values = ", ".join(f"whole_minor({slot}_text) as {slot}_abs" for slot in self.slots())
            return f"\n, valued as (select *, {values} from {before})\n"
        quick = ", ".join(f"quick_minor({slot}_text, currency) as {slot}_quick" for slot in self.slots())
        plains = ", ".join(
            f"case when {slot}_quick is null then plain_amount({slot}_text) end as {slot}_plain"
            for slot in self.slots()
        )
        values = ", ".join(
            f"case when {slot}_quick is not null then {slot}_quick else to_minor({slot}_plain, currency) end"
            f" as {slot}_abs"
            for slot in self.slots()
        )
        return f"""
, quick as (select *, {quick} from {before})
, plain as (select *, {plains} from quick)
, valued as (select *, {values} from plain)
"""

    def money(self, name: str) -> tuple[str, str]:
        """(minor units without the direction of `signs`, condition under which the amount is bad)."""
        column = self.table.columns.get(name)
        if column is None:
            return "null::bigint", "false"
        if column.is_sum:
            slots = self.slots_of(name)
            terms = "".join(
                f" {'+' if at < len(column.plus) else '-'}"
                f" coalesce(case when is_negative({slot}_text) then -{slot}_abs else {slot}_abs end, 0)"
                for at, slot in enumerate(slots)
            )
            wrong = " or ".join(f"({slot}_text is not null and {slot}_abs is null)" for slot in slots)
            given = ", ".join(f"{slot}_text" for slot in slots)
            return f"(0{terms})", f"{wrong} or coalesce({given}) is null"
        if column.credit is not None:
            credit, debit = f"coalesce({name}_credit_abs, 0)", f"coalesce({name}_debit_abs, 0)"
            bad = (
                f"({name}_credit_text is null and {name}_debit_text is null)"
                f" or ({name}_credit_text is not null and {name}_credit_abs is null)"
                f" or ({name}_debit_text is not null and {name}_debit_abs is null)"
                f" or ({credit} <> 0 and {debit} <> 0)"
            )
            signed = (
                f"(case when is_negative({name}_credit_text) then -{credit} else {credit} end)"
                f" - (case when is_negative({name}_debit_text) then -{debit} else {debit} end)"
            )
            return signed, bad
        return (
            f"(case when is_negative({name}_text) then -{name}_abs else {name}_abs end)",
            f"{name}_abs is null",
        )

    def raw_money(self) -> list[str]:
        """The texts of money, as the file has them."""
        found = []
        for name in ("gross", "fee", "net", "amount", "balance"):
            column = self.table.columns.get(name)
            if column is None:
                continue
            if column.is_sum:
                found += [f"{self.cell(part)} as {slot}_text" for slot, part in self.parts(name)]
            elif column.credit is not None and column.debit is not None:
                found += [
                    f"{self.cell(column.credit)} as {name}_credit_text",
                    f"{self.cell(column.debit)} as {name}_debit_text",
                ]
            else:
                found.append(f"{self.column(name)} as {name}_text")
        return found

    def date(self, name: str) -> str:
        forms = ", ".join(self.bind(form) for form in self.table.date_format)
        return f"try_strptime({name}_text, [{forms}])::date"

    def time(self, name: str) -> str:
        forms = ", ".join(self.bind(form) for form in self.table.time_format)
        return f"try_strptime({name}_text, [{forms}])"

    def structure(self) -> list[str]:
        """Reasons of the line itself."""
        count = len(self.text.header)
        fits = f"len(f) {'>=' if self.of_a_type else '='} {count}"
        if self.table.may_end_with_delimiter:
            last = f"trim(f[{count + 1}], ' ' || chr(9) || chr(13) || chr(10))"
            fits = f"({fits} or (len(f) = {count + 1} and {last} = ''))"
        if self.table.positions:
            return [f"when not {fits} then 'is not a record of {self.table.record_bytes} bytes'"]
        reasons = [
            "when not is_well_quoted then 'a quote is not closed or stands inside a field, expected \"field\"'",
            f"when not {fits} then 'has ' || len(f) || ' fields, expected {count}'",
        ]
        if self.table.has_header:
            first = self.table.mapped[0]
            at = self.text.header.index(first) + 1
            reasons.append(
                f"when contains(f[{at}], {self.bind(first)})"
                f" and trim(f[{at}], ' \"' || chr(9) || chr(13) || chr(10)) = {self.bind(first)}"
                " then 'the header is repeated, expected a record'"
            )
        return reasons

    def bad_money(self, names: tuple[str, ...]) -> list[str]:
        reasons = []
        for name in names:
            column = self.table.columns.get(name)
            if column is None:
                continue
            shown = " / ".join(column.sources) or name
            said = " || ' / ' || ".join(f"coalesce({slot}_text, '')" for slot in self.slots_of(name))
            expected = "whole minor units" if self.table.units == "minor" else "a decimal such as 12.34"
            reasons.append(
                f"when {self.money(name)[1]} then {self.bind(shown)} || ' \"' || {said} || '\" is not {expected}'"
            )
        return reasons

    def bad_date(self, name: str, sql: str, *, required: bool) -> str:
        column = self.table.columns[name]
        shown = self.bind(" ".join(column.sources) or name)
        given = "" if required else f"{name}_text is not null and "
        return (
            f"when {given}{sql} is null then {shown} || ' \"' || coalesce({name}_text, '') || "
            "'\" is not a possible date or time of the expected form'"
        )

    def record(self) -> str:
        """What quarantine keeps of a record: never a column about a person."""
        hidden = [at for at, name in enumerate(self.text.header, start=1) if name in self.table.never_kept]
        line = "rtrim(line, chr(13) || chr(10))"
        if self.table.positions:
            line = f"replace({line}, chr(31), '|')"
        if not hidden:
            return line
        count = len(self.text.header)
        shown = ", ".join(
            "'***'" if at in hidden else f"rtrim(f[{at}], chr(13) || chr(10))" for at in range(1, count + 1)
        )
        parting = self.bind("|" if self.table.positions else self.table.delimiter)
        return (
            f"case when is_well_quoted and len(f) between {count} and {count + 1} "
            f"then concat_ws({parting}, {shown}) else '{_WITHHELD}' end"
        )


def _settlement_sql(query: _Query, job: Job) -> str:
    table = query.table
    texts = (
        "acquirer_merchant_id", "terminal_id", "stan", "rrn", "auth_code", "acquirer_txn_no", "orig_acquirer_txn_no",
        "merchant_order_no", "txn_code", "orig_stan",
    )  # fmt: skip
    times = [name for name in ("txn_local", "orig_txn_local") if name in table.columns]
    has_date = "settlement_date" in table.columns
    named = [
        f"{query.column(name)} as {name}_text"
        for name in (*texts, "card_masked", "card_type", "txn_type", "line_kind", "channel")
    ]
    named += [
        f"{query.column(name)} as {name}_text"
        for name in (*times, *(["settlement_date"] if has_date else []))
    ]
    named += [*query.raw_money(), f"{query.currency()} as currency"]
    types, channels = table.columns.get("txn_type"), table.columns.get("channel")
    for name, column in (("type", types), ("channel", channels)):
        stated = query.cell(column.names[0]) if column and column.names else "null::varchar"
        named.append(f"{stated} as stated_{name}")
    indicator = query.cell(table.signs.column) if table.signs.column else "null::varchar"
    named += [f"{indicator} as indicator"]
    gross, fee, net = (query.money(name)[0] for name in ("gross", "fee", "net"))
    if table.signs.by == "written":
        turn = "" if table.signs.fee == "charged" else "-"
        signed = (gross, f"{turn}({fee})", net)
    else:
        signed = (f"direction * abs({gross})", f"direction * abs({fee})", f"direction * abs({net})")
    kind_of_line = "line_kind_text" if "line_kind" in table.columns else "'transaction'"
    kind = "txn_type_text" if types else "case when gross_minor < 0 then 'refund' else 'sale' end"
    settled = query.date("settlement_date") if has_date else f"{query.bind(job.name.business_date)}::date"
    own_merchant = f"coalesce(acquirer_merchant_id_text, {query.bind(job.name.key or None)})"
    reasons = [*query.structure()]
    if types:
        reasons.append(
            f"when txn_type_text is null then {query.bind(' '.join(types.sources))} || ' \"' || "
            "coalesce(stated_type, '') || '\" is neither a sale nor a refund of the source YAML'"
        )
    if channels:
        known = ", ".join(query.bind(channel) for channel in CHANNELS)
        reasons.append(
            f"when channel_text is null or channel_text not in ({known}) then "
            f"{query.bind(' '.join(channels.sources))} || ' \"' || coalesce(stated_channel, '') || "
            f"'\" is no channel, expected {' or '.join(CHANNELS)} by the source YAML'"
        )
    reasons += _indicator_reason(query)
    reasons.append(
        "when currency is null or not regexp_full_match(currency, '[A-Z]{3}') then 'no ISO 4217 currency'"
    )
    reasons += query.bad_money(("gross", "fee", "net"))
    for name in times:
        reasons.append(query.bad_date(name, name, required=name == "txn_local"))
    if has_date:
        reasons.append(query.bad_date("settlement_date", "settlement_date", required=True))
    reasons.append(f"when {own_merchant} is null then 'the merchant is empty'")
    moments = ", ".join(
        f"{query.time(name)} as {name}" if name in times else f"null::timestamp as {name}"
        for name in ("txn_local", "orig_txn_local")
    )
    return f"""
, named as (select line_no, line, is_well_quoted, f, {", ".join(named)} from records)
, directed as (select *, {_direction(query)} as direction from named)
{query.money_steps("directed")}, counted as (
    select
        *, {signed[0]} as gross_minor, {signed[1]} as fee_minor, {signed[2]} as net_minor,
        {settled} as settlement_date, {moments}
    from valued
)
, typed as (
    select
        line_no, line, is_well_quoted, f,
        {query.bind(job.source.acquirer)}::varchar as acquirer, {kind_of_line} as line_kind,
        channel_text as channel,
        {own_merchant} as acquirer_merchant_id,
        {", ".join(f"{name}_text as {name}" for name in texts[1:])},
        {kind} as txn_type,
        case
            when is_no_whole_card(card_masked_text) then card_masked_text
            when regexp_full_match(replace(card_masked_text, ' ', ''), '\\d{{13,19}}')
                then mask_card(replace(card_masked_text, ' ', ''))
            else mask_text(card_masked_text)
        end as card_masked,
        card_type_text as card_type, currency,
        gross_minor::bigint as gross_minor, fee_minor::bigint as fee_minor, net_minor::bigint as net_minor,
        settlement_date, txn_local, orig_txn_local,
        case {" ".join(reasons)} end as reason
    from counted
)
"""


def _entry_sql(query: _Query, job: Job) -> str:
    table = query.table
    dates = [name for name in ("value_date", "entry_date") if name in table.columns]
    named = [
        f"{query.column(name)} as {name}_text"
        for name in ("account", "statement_no", "reference", "narrative", *dates)
    ]
    indicator = query.cell(table.signs.column) if table.signs.column else "null::varchar"
    named += [*query.raw_money(), f"{query.currency()} as currency", f"{indicator} as indicator"]
    amount = query.money("amount")[0]
    if table.signs.by == "indicator":
        amount = f"direction * abs({amount})"
    account = f"coalesce(account_text, {query.bind(job.name.key or None)})"
    reasons = [*query.structure(), *_indicator_reason(query)]
    reasons.append(
        "when currency is null or not regexp_full_match(currency, '[A-Z]{3}') then 'no ISO 4217 currency'"
    )
    reasons += query.bad_money(("amount", "balance"))
    reasons += [query.bad_date(name, query.date(name), required=True) for name in dates]
    reasons.append(f"when {account} is null then 'the account is empty, in the file and in its name'")
    first, second = (query.date(name) for name in (dates * 2)[:2])
    if dates == ["entry_date"]:
        first = second = query.date("entry_date")
    text = "concat_ws(' ', reference_text, narrative_text)"
    acquirers = " ".join(
        f"when regexp_matches({text}, {query.bind('|'.join(f'(?:{one})' for one in patterns))}, 'i') "
        f"then {query.bind(acquirer)}"
        for acquirer, patterns in job.source.acquirer_patterns.items()
    )
    return f"""
, named as (select line_no, line, is_well_quoted, f, {", ".join(named)} from records)
, directed as (select *, {_direction(query)} as direction from named)
{query.money_steps("directed")}, typed as (
    select
        line_no, line, is_well_quoted, f, {account} as account, statement_no_text as statement_no,
        {first} as value_date, {second} as entry_date, ({amount})::bigint as amount_minor, currency,
        {f"case {acquirers} end" if acquirers else "null::varchar"} as acquirer,
        mask_cards(reference_text) as reference, mask_cards(narrative_text) as narrative,
        ({query.money("balance")[0]})::bigint as balance_minor,
        case {" ".join(reasons)} end as reason
    from valued
)
"""


def _direction(query: _Query) -> str:
    signs = query.table.signs
    if signs.by == "type":
        return "case txn_type_text when 'sale' then 1 when 'refund' then -1 end"
    if signs.by == "indicator":
        credit = ", ".join(query.bind(text) for text in signs.credit)
        debit = ", ".join(query.bind(text) for text in signs.debit)
        return f"case when indicator in ({credit}) then 1 when indicator in ({debit}) then -1 end"
    return "1"


def _indicator_reason(query: _Query) -> list[str]:
    signs = query.table.signs
    if signs.by != "indicator":
        return []
    expected = query.bind(" or ".join((*signs.credit, *signs.debit)))
    shown = query.bind(signs.column)
    return [
        f"when direction is null then {shown} || ' \"' || coalesce(indicator, '') || '\" is not ' || {expected}"
    ]


# -------------------------------------------------------------------------------- records of several types
def _sorted_by_type(
    text: Text, table: Table, job: Job, connection: duckdb.DuckDBPyConnection
) -> tuple[Text, dict[str, int]]:
    """Cut the records once, count those that are to be loaded, and add up what the records of totals state.

    Returns:
        (the text whose records are rows of `typed_records`, stated sums by kind of money).

    Raises:
        LayoutError: A type that the source YAML does not name, or a record of totals without an amount.
    """
    connection.register("merged", text.merged)
    connection.register("physical", physical_lines(text))
    connection.execute(
        f"create temp table typed_records as {records_sql(text)}"
        " select *, trim(f[1], ' \"' || chr(9) || chr(13) || chr(10)) as kind from records",
        {"header_line": text.header_line, "last_line": text.last_line}
        | ({"field_count": len(text.header)} if text.has_quotes else {}),
    )
    named = (*table.records, *table.record_totals, *table.passed_over)
    unknown = connection.execute(
        "select line_no, kind from typed_records where not list_contains($known, kind) order by line_no limit $most",
        {"known": list(named), "most": _BAD_LINES_MAX},
    ).fetchall()
    if unknown:
        line_no, kind = unknown[0]
        raise LayoutError(
            f'{job.file_name}: line {line_no}: records of type "{mask_text(kind[:40])}" are not known to '
            f"{job.source.name}: their money would be lost.",
            bad_lines=tuple(
                BadLine(at, f'type "{mask_text(said[:40])}" is not known') for at, said in unknown
            ),
            next_step="Describe the type under `records` of the source YAML, or name it in `passed_over`.",
        )
    row = connection.execute(
        "select count(*) from typed_records where list_contains($known, kind)", {"known": list(table.records)}
    ).fetchone()
    sums: dict[str, int] = {}
    for name, kind in table.record_totals.items():
        for money in kind.columns:
            sums[money] = sums.get(money, 0) + _stated_by_type(text, table, name, money, job, connection)
    known = replace(
        text,
        records=int(row[0]) if row else 0,
        records_cte="with every_record as (select * from typed_records)",
    )
    return known, sums


def _stated_by_type(
    text: Text, table: Table, name: str, money: str, job: Job, connection: duckdb.DuckDBPyConnection
) -> int:
    """The sum of one kind of money over the records of totals of one type."""
    kind = table.record_totals[name]
    part = table.model_copy(update={"columns": {money: kind.columns[money]}})
    query = _Query(replace(text, header=kind.fields), part, job)
    currency = query.bind(job.source.currency or "CNY")
    steps = query.money_steps("named")
    signed, bad = query.money(money)
    rows = connection.execute(
        f"with records as (select * from typed_records where kind = {query.bind(name)})"
        f", named as (select line_no, {', '.join(query.raw_money())}, {currency}::varchar as currency from records)"
        f"{steps} select line_no, ({signed})::bigint, coalesce({bad}, true) from valued order by line_no",
        query.parameters,
    ).fetchall()
    wrong = [line_no for line_no, _, is_bad in rows if is_bad]
    if wrong or not rows:
        where = f"line {wrong[0]}: its {money} is no amount" if wrong else "is missing"
        raise LayoutError(
            f"{job.file_name}: the record of totals {name} {where}.",
            bad_lines=tuple(BadLine(line_no, f"{money} of {name} is no amount") for line_no in wrong),
            next_step="Ask the sender for the file again.",
        )
    return sum(minor for _, minor, _ in rows)


def _typed_by_type(query: _Query, job: Job) -> tuple[str, str]:
    """(CTEs that end in `typed`, what quarantine keeps): one query for every type of record, joined again."""
    columns = ", ".join(("line_no", "line", "is_well_quoted", "f", *_SETTLEMENT_COLUMNS, "reason"))
    ctes = []
    for number, (name, kind) in enumerate(query.table.records.items()):
        part = replace(
            query,
            text=replace(query.text, header=kind.fields),
            table=query.table.of_type(name),
            of_a_type=True,
        )
        kind_is = f"kind = {query.bind(name)}"
        ctes.append(
            f", typed_{number} as (with records as (select * exclude (kind) from every_record where {kind_is})"
            f"{_settlement_sql(part, job)} select {columns} from typed)\n"
        )
    parts = " union all ".join(f"select * from typed_{number}" for number in range(len(ctes)))
    return "".join((*ctes, f", typed as (select * from ({parts}) order by line_no)\n")), query.record()


# -------------------------------------------------------------------------------- loading
def _load(text: Text, frame: _Frame, table: Table, job: Job, connection: duckdb.DuckDBPyConnection) -> Parsed:
    connection.execute(money_macros() + _MACROS + CARD_MACROS)
    query = _Query(text, table, job)
    is_bank = table.dataset == "bank_entries"
    sums_stated: dict[str, int] = {}
    if table.records:
        text, sums_stated = _sorted_by_type(text, table, job, connection)
        typed, record = _typed_by_type(query, job)
    else:
        typed = _entry_sql(query, job) if is_bank else _settlement_sql(query, job)
        record = query.record()
    loaded, quarantined, out, refused = write_records(
        text,
        job,
        connection,
        typed_sql=typed,
        columns=(*_ENTRY_COLUMNS, *(("balance_minor",) if "balance" in table.columns else ()))
        if is_bank
        else _SETTLEMENT_COLUMNS,
        dataset=table.dataset,
        parameters=query.parameters,
        record_sql=record,
    )
    source = f"read_parquet('{str(out).replace(chr(39), chr(39) * 2)}')"
    moneys = ("amount",) if is_bank else ("gross", "fee", "net")
    sums = connection.execute(
        f"select {', '.join(f'coalesce(sum({name}_minor), 0)::bigint' for name in moneys)} from {source}"
    ).fetchone() or (0,) * len(moneys)
    computed = dict(zip(moneys, (int(value) for value in sums), strict=True))
    _check_totals(frame, table, job, computed, text.records, refused, sums_stated)
    datasets: dict[str, Path] = {table.dataset: out}
    declared: int | None = sums_stated.get(moneys[-1], _stated_minor(frame, table, job, moneys[-1]))
    if is_bank and "balance" in table.columns:
        if quarantined:
            raise _does_not_tie(job, "a statement with a running balance has unreadable lines", refused)
        datasets = _statements(connection, source, job, out)
        declared = computed["amount"]
    day, key = _about(connection, source, job, is_bank=is_bank)
    return Parsed(
        records=text.records,
        loaded=loaded,
        quarantined=quarantined,
        business_date=day,
        logical_key=key,
        encoding=job.source.encoding,
        datasets=datasets,
        quarantine=refused if quarantined else None,
        declared_minor=declared,
        computed_minor=computed[moneys[-1]],
    )


def _about(
    connection: duckdb.DuckDBPyConnection, source: str, job: Job, *, is_bank: bool
) -> tuple[date | None, str]:
    """The day and the key of the file: its name says them, else its records do."""
    if is_bank:
        row = connection.execute(
            f"select max(entry_date), case when min(account) = max(account) then min(account) end from {source}"
        ).fetchone()
    else:
        row = connection.execute(
            "select settlement_date, case when count(distinct acquirer_merchant_id) over () = 1 then "
            f"acquirer_merchant_id end from {source} group by settlement_date, acquirer_merchant_id "
            "order by count(*) desc, settlement_date limit 1"
        ).fetchone()
    day, key = row or (None, None)
    return (job.name.business_date if job.source.date_from == "name" else day) or job.name.business_date, (
        job.name.key or key or ""
    )


def _stated_minor(frame: _Frame, table: Table, job: Job, name: str) -> int | None:
    """A stated sum in minor units; None when the line of totals does not state it."""
    text = frame.stated.get(name)
    if text is None:
        return None
    plain = text.strip().replace(",", "").lstrip("¥￥$").replace("+", "")
    found = re.fullmatch(r"(-?)(\d{1,17})(?:\.(\d*))?", plain)
    exponent = 0 if table.units == "minor" else currency_exponent(job.source.currency or "CNY")
    fraction = (found[3] or "").rstrip("0") if found else ""
    if found is None or len(fraction) > exponent:
        raise LayoutError(
            f'{job.file_name}: line {frame.totals_line}: {name} "{mask_text(text)}" of the totals is no amount.',
            bad_lines=(BadLine(frame.totals_line, f"{name} of the totals is no amount"),),
            next_step="Correct `totals` of the source YAML, or ask the sender for the file again.",
        )
    minor = int(found[2] + fraction.ljust(exponent, "0"))
    return -minor if found[1] else minor


def _check_totals(
    frame: _Frame,
    table: Table,
    job: Job,
    computed: dict[str, int],
    records: int,
    refused: Path | None,
    sums_stated: dict[str, int],
) -> None:
    """Compare the stated totals with all records; a record in quarantine cannot tie either."""
    wrong: list[str] = []
    for group, there, what in (("count", records, "records"), ("lines", frame.lines, "lines")):
        said = frame.stated.get(group, "").replace(",", "").strip()
        if said and (not said.isdecimal() or int(said) != there):
            wrong.append(f"{said} {what} are stated, {there} are there")
    currency = job.source.currency or "CNY"
    for name, found in computed.items():
        stated = sums_stated.get(name, _stated_minor(frame, table, job, name))
        if stated is not None and stated != found:
            wrong.append(
                f"{name} {format_minor(stated, currency)} is stated, the records add up to "
                f"{format_minor(found, currency)}: difference {format_minor(stated - found, currency)} {currency}"
            )
    if wrong:
        raise _does_not_tie(job, f"line {frame.totals_line}: {'; '.join(wrong)}", refused, frame.totals_line)


def _does_not_tie(job: Job, what: str, refused: Path | None, line_no: int = 0) -> LayoutError:
    bad = [BadLine(line_no, what)] if line_no else []
    if refused is not None:
        rows = (
            pq.ParquetFile(refused).read(columns=["line_no", "reason"]).slice(0, _BAD_LINES_MAX).to_pylist()
        )
        bad += [BadLine(row["line_no"], row["reason"]) for row in rows]
    return LayoutError(
        f"{job.file_name}: {what}.",
        bad_lines=tuple(sorted(bad, key=lambda line: line.line_no)),
        next_step="Ask the sender for the file again.",
    )


def _statements(connection: duckdb.DuckDBPyConnection, source: str, job: Job, out: Path) -> dict[str, Path]:
    """Prove the running balance, oldest or newest line first, and write the statement that it makes per account."""
    rows = connection.execute(
        f"""
        with placed as (
            select *,
                lag(balance_minor) over w as above, lead(balance_minor) over w as below,
                row_number() over w as place, count(*) over (partition by account) as of
            from {source}
            window w as (partition by account order by line_no)
        )
        select account, min(currency), count(distinct currency),
            min(line_no) filter (where above + amount_minor <> balance_minor) as breaks_down,
            min(line_no) filter (where below + amount_minor <> balance_minor) as breaks_up,
            min(balance_minor - amount_minor) filter (where place = 1), min(balance_minor) filter (where place = of),
            min(balance_minor - amount_minor) filter (where place = of), min(balance_minor) filter (where place = 1),
            min(entry_date), max(entry_date),
            arg_min(above + amount_minor - balance_minor, line_no)
                filter (where above + amount_minor <> balance_minor),
            arg_min(below + amount_minor - balance_minor, line_no)
                filter (where below + amount_minor <> balance_minor),
        from placed group by account order by account
        """
    ).fetchall()
    statements = []
    for number, row in enumerate(rows, start=1):
        account, currency, currencies, down, up = row[:5]
        if currencies > 1:
            raise _does_not_tie(
                job, f"account {mask_text(account)} has entries in {currencies} currencies", None
            )
        if down is not None and up is not None:
            newest_first = up > down
            line_no, off = (up, row[12]) if newest_first else (down, row[11])
            raise _does_not_tie(
                job,
                f"line {line_no}: the running balance of account {mask_text(account)} does not follow: difference "
                f"{format_minor(-off, currency)} {currency}",
                None,
                line_no,
            )
        opening, closing = (row[5], row[6]) if down is None else (row[7], row[8])
        statements.append((job.file_no, number, account, None, currency, row[9], opening, row[10], closing))
    target = job.scratch / "bank_statements.parquet"
    entries = job.scratch / "entries.parquet"
    connection.execute(
        f"copy (select * exclude (balance_minor) from {source}) to '{str(entries).replace(chr(39), chr(39) * 2)}' "
        "(format parquet, compression zstd)"
    )
    entries.replace(out)
    columns = list(zip(*statements, strict=True)) if statements else [()] * len(STATEMENT_SCHEMA)
    pq.write_table(
        pa.table(
            [pa.array(column, kind.type) for column, kind in zip(columns, STATEMENT_SCHEMA, strict=True)],
            schema=STATEMENT_SCHEMA,
        ),
        target,
        compression="zstd",
    )
    return {"bank_entries": out, "bank_statements": target}
