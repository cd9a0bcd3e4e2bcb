"""What every bank layout writes: entries, statements, and the proof that opening + entries = closing."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.layout import QUARANTINE_SCHEMA, Job, Parsed, arrow_schema
from posrecon.formats.masking import mask_cards, mask_text
from posrecon.landing.sources import BankDocument, Source
from posrecon.money import currency_exponent, format_minor

ENTRY_SCHEMA = arrow_schema(
    file_no=pa.int64(),
    line_no=pa.int64(),
    account=pa.string(),
    statement_no=pa.string(),
    value_date=pa.date32(),
    entry_date=pa.date32(),
    amount_minor=pa.int64(),
    currency=pa.string(),
    acquirer=pa.string(),
    reference=pa.string(),
    narrative=pa.string(),
)
STATEMENT_SCHEMA = arrow_schema(
    file_no=pa.int64(),
    line_no=pa.int64(),
    account=pa.string(),
    statement_no=pa.string(),
    currency=pa.string(),
    opening_date=pa.date32(),
    opening_minor=pa.int64(),
    closing_date=pa.date32(),
    closing_minor=pa.int64(),
)

# Rows held before they go to disk: the memory of a reader does not grow with the file.
BATCH_ROWS = 20_000
# A narrative is read by people and patterns; a bank that puts a novel there does not fill the warehouse.
TEXT_LENGTH_MAX = 4_000
LINE_LENGTH_MAX = 1024 * 1024
_CHUNK = 1024 * 1024
# int64 has 19 digits; no amount of a bank needs more than 15 before the point.
_AMOUNT = re.compile(r"\+?(\d{1,15})(?:[.,](\d*))?")


def minor_of(text: str, currency: str) -> int | None:
    """Minor units of a decimal without a minus; None when it is none or has more decimals than the currency."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        return None
    exponent = currency_exponent(currency)
    fraction = (found[2] or "").rstrip("0")
    return int(found[1] + fraction.ljust(exponent, "0")) if len(fraction) <= exponent else None


def does_not_tie(
    label: str, *, opening_minor: int, moved_minor: int, closing_minor: int, currency: str
) -> str | None:
    """Why opening + entries is not closing, with the difference; None when it is."""
    difference = closing_minor - opening_minor - moved_minor
    if not difference:
        return None
    return (
        f"{label}: opening {format_minor(opening_minor, currency)} + entries "
        f"{format_minor(moved_minor, currency)} is {format_minor(opening_minor + moved_minor, currency)}, but "
        f"closing is {format_minor(closing_minor, currency)}: difference "
        f"{format_minor(difference, currency)} {currency}"
    )


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One row of `bank_statements`.

    Attributes:
        line_no: Ordinal of the statement in its file.
    """

    line_no: int
    account: str
    statement_no: str | None
    currency: str
    opening_date: date
    opening_minor: int
    closing_date: date
    closing_minor: int


@dataclass
class _Columns:
    """Rows of one schema on their way to disk."""

    schema: pa.Schema
    path: Path
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    writer: pq.ParquetWriter | None = None

    def add(self, row: tuple[Any, ...]) -> None:
        self.rows.append(row)
        if len(self.rows) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, self.schema, compression="zstd")
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.schema)
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, self.schema, strict=True)]
        self.writer.write_table(pa.table(arrays, schema=self.schema))
        self.rows.clear()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class Ledger:
    """Collects what a bank file says, and ends in `Parsed` or in the list of everything that is wrong with it.

    Rows go to Parquet in batches; a refused file leaves them in the scratch folder, which nobody reads.
    """

    def __init__(self, job: Job, *, kind: str, sender: str = "the bank") -> None:
        self.bad: list[BadLine] = []
        self.records = self.loaded = self.quarantined = 0
        self.moved_minor = 0
        self.declared_minor = 0
        self._job = job
        self._kind = kind
        self._sender = sender
        self._entries = _Columns(ENTRY_SCHEMA, job.scratch / "bank_entries.parquet")
        self._statements = _Columns(STATEMENT_SCHEMA, job.scratch / "bank_statements.parquet")
        self._refused = _Columns(QUARANTINE_SCHEMA, job.scratch / "quarantine.parquet")
        self._accounts: set[str] = set()
        self._days: set[date] = set()
        self._numbers: set[str] = set()
        self._latest_entry: date | None = None
        self._has_balances = False
        self._acquirers = tuple(
            (acquirer, re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE))
            for acquirer, patterns in job.source.acquirer_patterns.items()
            if patterns
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for columns in (self._entries, self._statements, self._refused):
            columns.close()

    def wrong(self, line_no: int, reason: str) -> None:
        """The file will be refused; the reason is masked."""
        self.bad.append(BadLine(line_no, mask_text(reason)))

    def entry(
        self,
        *,
        account: str,
        statement_no: str | None,
        value_date: date,
        entry_date: date,
        amount_minor: int,
        currency: str,
        reference: str,
        narrative: str,
    ) -> None:
        """One booked entry; positive = credit to the account."""
        self.records += 1
        self.loaded += 1
        self.moved_minor += amount_minor
        self._accounts.add(account)
        if self._latest_entry is None or entry_date > self._latest_entry:
            self._latest_entry = entry_date
        narrative = _shortened(narrative)
        reference = _shortened(reference)
        self._entries.add(
            (
                self._job.file_no,
                self.records,
                account,
                statement_no,
                value_date,
                entry_date,
                amount_minor,
                currency,
                self._acquirer(f"{reference} {narrative}"),
                mask_cards(reference) or None,
                mask_cards(narrative) or None,
            )
        )

    def set_aside(self, reason: str, record: str) -> None:
        """A record that is no booked entry: into quarantine, with its ordinal."""
        self.records += 1
        self.quarantined += 1
        self._refused.add((self._job.file_no, self.records, mask_text(reason), mask_text(_shortened(record))))

    def statement(self, row: Statement) -> None:
        """A statement whose balances were read; whether they tie is said by the reader."""
        self._accounts.add(row.account)
        self._days.add(row.closing_date)
        self._has_balances = True
        self.declared_minor += row.closing_minor - row.opening_minor
        self._statements.add(
            (
                self._job.file_no,
                row.line_no,
                row.account,
                row.statement_no,
                row.currency,
                row.opening_date,
                row.opening_minor,
                row.closing_date,
                row.closing_minor,
            )
        )

    def covers(self, account: str, day: date | None) -> None:
        """A document without balances: whom and which day it is about."""
        self._accounts.add(account)
        if day is not None:
            self._days.add(day)

    def is_one_of_several(self, number: str | None) -> None:
        """A report or notification: a bank sends several for one account and day, told apart by their number."""
        if number:
            self._numbers.add(number)

    def _acquirer(self, text: str) -> str | None:
        return next((acquirer for acquirer, pattern in self._acquirers if pattern.search(text)), None)

    def parsed(self, encoding: str) -> Parsed:
        """The file as read.

        Raises:
            LayoutError: Something was wrong; lists all of it, by line.
        """
        if self.bad:
            self.bad.sort(key=lambda line: line.line_no)
            raise LayoutError(
                f"{self._job.file_name}: {len(self.bad)} bad lines; line {self.bad[0].line_no}: "
                f"{self.bad[0].reason}.",
                bad_lines=tuple(self.bad),
                next_step=f"Ask {self._sender} for the {self._kind} again.",
            )
        for columns in (self._entries, self._statements):
            columns.flush()
        if self.quarantined:
            self._refused.flush()
        self.__exit__(None, None, None)
        key = self._accounts.copy().pop() if len(self._accounts) == 1 else self._job.name.key
        return Parsed(
            records=self.records,
            loaded=self.loaded,
            quarantined=self.quarantined,
            business_date=max(self._days, default=None) or self._latest_entry or self._job.name.business_date,
            logical_key=key,
            encoding=encoding,
            datasets={"bank_entries": self._entries.path, "bank_statements": self._statements.path},
            quarantine=self._refused.path if self.quarantined else None,
            declared_minor=self.declared_minor if self._has_balances else None,
            computed_minor=self.moved_minor,
            logical_part="-".join(sorted(self._numbers)),
        )


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH_MAX else text[:TEXT_LENGTH_MAX] + "…"


def require_document(document: BankDocument, said: str, job: Job) -> None:
    """Refuse a kind of document that its source does not take: its entries would be counted twice.

    Raises:
        LayoutError: Says what to set.
    """
    source: Source = job.source
    if document in source.takes:
        return
    raise LayoutError(
        f"{job.file_name}: {said} is a {document}, expected a {' or a '.join(source.takes)}: the statement of the "
        "day books the same money again.",
        next_step=f"Leave it out, or name {document} under `takes` of the source {source.name} when no statement "
        "comes for these accounts.",
    )


def text_encoding(job: Job) -> str:
    """Encoding of a bank's text: UTF-8 where it reads as such, else GB 18030, else Latin-1 (which reads anything).

    Raises:
        LayoutError: Empty, or a NUL byte: no text in any of them.
    """
    decoders = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "gb18030")}
    is_blank, line_no = True, 1
    with job.path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            is_blank = is_blank and not chunk.strip()
            if b"\0" in chunk:
                line_no += chunk.count(b"\n", 0, chunk.index(b"\0"))
                raise LayoutError(
                    f"{job.file_name}: line {line_no}: a NUL byte stands in the line, expected text.",
                    bad_lines=(BadLine(line_no, "NUL byte"),),
                    next_step="Ask the bank for the file again.",
                )
            line_no += chunk.count(b"\n")
            for name, decoder in tuple(decoders.items()):
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError:
                    del decoders[name]
    if is_blank:
        raise LayoutError(
            f"{job.file_name}: the file is empty, expected a bank statement.",
            next_step="Ask the bank for it again.",
        )
    for name, decoder in decoders.items():
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return name
    return "latin-1"


def text_lines(job: Job, encoding: str) -> Iterator[tuple[int, str]]:
    """(1-based number, text without its end) of each line, one at a time.

    Raises:
        LayoutError: A line is longer than any bank writes.
    """
    with job.path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="\n") as file:
        line_no = 0
        while line := file.readline(LINE_LENGTH_MAX + 1):
            line_no += 1
            if len(line) > LINE_LENGTH_MAX:
                raise LayoutError(
                    f"{job.file_name}: line {line_no}: more than {LINE_LENGTH_MAX} characters, expected a line.",
                    bad_lines=(BadLine(line_no, "the line does not end"),),
                    next_step="Ask the bank for the file again.",
                )
            yield line_no, line.rstrip("\r\n")
