"""Bank statements in SWIFT MT940. A file is taken only when every statement ties.

An own reader of the few tags that carry money: the kept library puts all statements of a file into one list and
lets the last balances win, so a file with several statements cannot be checked against its own totals.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.layout import Job, Parsed, arrow_schema
from posrecon.formats.masking import mask_cards, mask_text
from posrecon.landing.sources import Source
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

_TAG = re.compile(r"^:(\d{2}[A-Z]?):(.*)$")
_BALANCE = re.compile(r"^([CD])(\d{6})([A-Z]{3})(\d[\d]*,\d*)$")
# Value date, entry date MMDD, mark (R = reversal), funds code, amount, type and code, reference, bank's reference.
_ENTRY = re.compile(
    r"^(?P<value>\d{6})(?P<entry>\d{4})?(?P<mark>R?[CD])(?P<funds>[A-Z])?(?P<amount>\d[\d]*,\d*) ?"
    r"(?P<kind>[A-Z][A-Z0-9+]{3})(?P<reference>.*?)(?://(?P<bank_reference>.*))?$"
)
_ENTRY_START = re.compile(r"^:61:(\d{6})", re.MULTILINE)
_BALANCE_START = re.compile(r"^:6[02][FM]:[CD](\d{6})", re.MULTILINE)
_TAGS_OF_ENTRY = frozenset({"61", "86"})


@dataclass
class _Entry:
    line_no: int
    text: str
    details: list[str] = field(default_factory=list)
    narrative: list[str] = field(default_factory=list)


@dataclass
class _Statement:
    line_no: int
    account: str = ""
    number: str = ""
    opening: str = ""
    closing: str = ""
    entries: list[_Entry] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Balance:
    day: date
    currency: str
    minor: int


@dataclass(frozen=True)
class _EntryRow:
    """One row of `bank_entries`."""

    file_no: int
    line_no: int
    account: str
    statement_no: str | None
    value_date: date
    entry_date: date
    amount_minor: int
    currency: str
    acquirer: str | None
    reference: str | None
    narrative: str | None


@dataclass(frozen=True)
class _StatementRow:
    """One row of `bank_statements`."""

    file_no: int
    line_no: int
    account: str
    statement_no: str | None
    currency: str
    opening_date: date
    opening_minor: int
    closing_date: date
    closing_minor: int


def peek_date(path: Path, source: Source) -> date | None:
    """Latest balance or entry date of the file: a statement is about the day that it closes."""
    with path.open("rb") as file:
        text = file.read(1024 * 1024).decode("utf-8", errors="replace").replace("\r\n", "\n")
    days = _BALANCE_START.findall(text) or _ENTRY_START.findall(text)
    found = [day for day in map(_day, days) if day is not None]
    return max(found) if found else None


def parse(job: Job) -> Parsed:
    """Parse one MT940 file into `bank_entries` and `bank_statements`.

    Amounts are minor units, positive = credit to the account. `line_no` of an entry is its ordinal in the file, of a
    statement its ordinal in the file.

    Raises:
        LayoutError: Not MT940, a line cannot be read, or opening balance + entries is not the closing balance;
            with the difference and every bad line.
    """
    content = job.path.read_bytes()
    if not content.strip():
        raise LayoutError(
            f"{job.file_name}: the file is empty, expected MT940 statements.",
            next_step="Ask the bank for it again.",
        )
    text, encoding = _decoded(content)
    statements, bad = _split(text)
    if not statements and not bad:
        raise LayoutError(
            f"{job.file_name}: no MT940 statement found, expected tags such as :20: and :60F:.",
            bad_lines=(BadLine(1, "no tag in the file"),),
            next_step="Ask the bank for MT940, or put the file into the folder of its feed.",
        )
    entries: list[_EntryRow] = []
    rows: list[_StatementRow] = []
    ordinal = 0
    for number, statement in enumerate(statements, start=1):
        ordinal = _read(statement, number, ordinal, job, entries, rows, bad)
    if bad:
        bad.sort(key=lambda line: line.line_no)
        raise LayoutError(
            f"{job.file_name}: {len(bad)} bad lines; line {bad[0].line_no}: {bad[0].reason}.",
            bad_lines=tuple(bad),
            next_step="Ask the bank for the statement again.",
        )
    out, out_statements = job.scratch / "bank_entries.parquet", job.scratch / "bank_statements.parquet"
    pq.write_table(_table(entries, ENTRY_SCHEMA), out, compression="zstd")
    pq.write_table(_table(rows, STATEMENT_SCHEMA), out_statements, compression="zstd")
    accounts = {row.account for row in rows}
    return Parsed(
        records=ordinal,
        loaded=len(entries),
        quarantined=0,
        business_date=max(row.closing_date for row in rows),
        logical_key=accounts.pop() if len(accounts) == 1 else job.name.key,
        encoding=encoding,
        datasets={"bank_entries": out, "bank_statements": out_statements},
        declared_minor=sum(row.closing_minor - row.opening_minor for row in rows),
        computed_minor=sum(row.amount_minor for row in entries),
    )


def _table(rows: Sequence[_EntryRow | _StatementRow], schema: pa.Schema) -> pa.Table:
    return pa.table({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)


def _decoded(content: bytes) -> tuple[str, str]:
    """SWIFT text is ASCII; Chinese banks also send UTF-8 or GBK narratives."""
    for encoding in ("utf-8-sig", "gbk"):
        try:
            return content.decode(encoding), "utf-8" if encoding == "utf-8-sig" else encoding
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1"), "latin-1"


def _split(text: str) -> tuple[list[_Statement], list[BadLine]]:
    """Cut a file into statements. A statement starts at :20: (or at the first tag after an end)."""
    statements: list[_Statement] = []
    bad: list[BadLine] = []
    current: _Statement | None = None
    tag = ""
    for line_no, raw in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        line = raw.rstrip()
        if line.startswith("{"):
            # SWIFT envelope: the text block starts after {4: and may be on the same line.
            line = line.partition("{4:")[2]
        if line in ("-", "-}") or line.startswith("-}"):
            current, tag = None, ""
            continue
        found = _TAG.match(line)
        if found is None:
            if line.strip() and current is not None:
                _continue(current, tag, line)
            continue
        tag, value = found.groups()
        if tag == "20" or current is None:
            current = _Statement(line_no)
            statements.append(current)
        current.tags.append(tag)
        if tag == "25":
            current.account = value.strip()
        elif tag in ("28", "28C"):
            current.number = value.strip()
        elif tag in ("60F", "60M"):
            current.opening = value.strip()
        elif tag in ("62F", "62M"):
            current.closing = value.strip()
        elif tag == "61":
            current.entries.append(_Entry(line_no, value))
        elif tag == "86" and current.entries and not current.closing:
            current.entries[-1].narrative.append(value)
        elif tag == "86":
            tag = "86 of the statement"
    return statements, bad


def _continue(statement: _Statement, tag: str, line: str) -> None:
    """A line without a tag continues the one before it; only entries keep continuations."""
    if tag == "61":
        statement.entries[-1].details.append(line)
    elif tag == "86" and statement.entries:
        statement.entries[-1].narrative.append(line)


def _read(
    statement: _Statement,
    number: int,
    ordinal: int,
    job: Job,
    entries: list[_EntryRow],
    rows: list[_StatementRow],
    bad: list[BadLine],
) -> int:
    """Read one statement into rows, or say what is wrong with it. Returns the last entry ordinal used."""
    at = statement.line_no
    opening, closing = _balance(statement.opening), _balance(statement.closing)
    if not statement.account:
        bad.append(BadLine(at, "statement has no account (:25:)"))
    for name, value, read in (("60", statement.opening, opening), ("62", statement.closing, closing)):
        if read is None:
            said = f'balance "{value}" is not C or D, YYMMDD, currency and amount' if value else "is missing"
            bad.append(BadLine(at, f"statement {statement.number or number}: :{name}F: {mask_text(said)}"))
    if opening is None or closing is None:
        return ordinal + len(statement.entries)
    if opening.currency != closing.currency:
        bad.append(BadLine(at, f"opening balance is in {opening.currency}, closing in {closing.currency}"))
        return ordinal + len(statement.entries)
    moved = 0
    readable = True
    account = statement.account
    for entry in statement.entries:
        ordinal += 1
        found = _ENTRY.match(entry.text.strip())
        value_date = _day(found["value"]) if found else None
        amount = _minor(found["amount"], opening.currency) if found else None
        entry_date = _entry_day(found["entry"], value_date) if found and value_date else None
        if found is None or value_date is None or amount is None or (found["entry"] and entry_date is None):
            readable = False
            bad.append(
                BadLine(
                    entry.line_no,
                    f':61: "{mask_text(entry.text)}" is not a date, mark, amount and type of MT940',
                )
            )
            continue
        # C and a reversed debit (RD) are money in; D and a reversed credit (RC) are money out.
        signed = amount if found["mark"] in ("C", "RD") else -amount
        moved += signed
        reference = " ".join(
            part.strip()
            for part in (found["reference"], found["bank_reference"], *entry.details)
            if part and part.strip()
        )
        narrative = " ".join(part.strip() for part in entry.narrative if part.strip())
        entries.append(
            _EntryRow(
                job.file_no,
                ordinal,
                account,
                statement.number or None,
                value_date,
                entry_date or value_date,
                signed,
                opening.currency,
                _acquirer(f"{reference} {narrative}", job.source),
                mask_cards(reference) or None,
                mask_cards(narrative) or None,
            )
        )
    if readable and opening.minor + moved != closing.minor:
        currency = opening.currency
        difference = closing.minor - opening.minor - moved
        bad.append(
            BadLine(
                at,
                f"statement {statement.number or number}: opening {format_minor(opening.minor, currency)} + entries "
                f"{format_minor(moved, currency)} is {format_minor(opening.minor + moved, currency)}, but closing is "
                f"{format_minor(closing.minor, currency)}: difference {format_minor(difference, currency)} {currency}",
            )
        )
    rows.append(
        _StatementRow(
            job.file_no,
            number,
            account,
            statement.number or None,
            opening.currency,
            opening.day,
            opening.minor,
            closing.day,
            closing.minor,
        )
    )
    return ordinal


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(f"20{text}")
    except ValueError:
        return None


def _entry_day(text: str | None, value_date: date) -> date | None:
    """MMDD without a year: the year that brings it nearest to the value date."""
    if not text:
        return None
    days = []
    for year in (value_date.year - 1, value_date.year, value_date.year + 1):
        try:
            days.append(date(year, int(text[:2]), int(text[2:])))
        except ValueError:
            continue
    return min(days, key=lambda day: abs((day - value_date).days)) if days else None


def _minor(text: str, currency: str) -> int | None:
    whole, _, fraction = text.partition(",")
    exponent = currency_exponent(currency)
    fraction = fraction.rstrip("0")
    if len(fraction) > exponent:
        return None
    return int(whole + fraction.ljust(exponent, "0"))


def _balance(text: str) -> _Balance | None:
    found = _BALANCE.match(text)
    day = _day(found[2]) if found else None
    minor = _minor(found[4], found[3]) if found else None
    if found is None or day is None or minor is None:
        return None
    return _Balance(day, found[3], minor if found[1] == "C" else -minor)


def _acquirer(text: str, source: Source) -> str | None:
    for acquirer, patterns in source.acquirer_patterns.items():
        if any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns):
            return acquirer
    return None
