"""Bank statements in SWIFT MT940, and interim reports in MT942. A file is taken only when every statement ties.

An own reader of the few tags that carry money: the kept library puts all statements of a file into one list and
lets the last balances win, so a file with several statements cannot be checked against its own totals. It goes
through the file line by line, so memory does not grow with it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.bank import (
    Ledger,
    Statement,
    does_not_tie,
    minor_of,
    require_document,
    text_encoding,
    text_lines,
)
from posrecon.formats.layout import Job, Parsed
from posrecon.landing.sources import Source
from posrecon.money import format_minor

_TAG = re.compile(r"^:(\d{2}[A-Z]?):(.*)$")
_RECEIVED_TAG = re.compile(rb"^:(\d{2}[A-Z]?):")
_BALANCE = re.compile(r"^([CD])(\d{6})([A-Z]{3})(\d[\d]*,\d*)$")
# Value date, entry date MMDD, mark (R = reversal), funds code, amount, type and code, reference, bank's reference.
_ENTRY = re.compile(
    r"^(?P<value>\d{6})(?P<entry>\d{4})?(?P<mark>R?[CD])(?P<funds>[A-Z])?(?P<amount>\d[\d]*,\d*) ?"
    r"(?P<kind>[A-Z][A-Z0-9+]{3})(?P<reference>.*?)(?://(?P<bank_reference>.*))?$"
)
# MT942: smallest amount that is told, with its currency; number and sum of the debits and of the credits.
_FLOOR = re.compile(r"^([A-Z]{3})[CD]?\d*,?\d*$")
_SUM = re.compile(r"^(\d{1,9})([A-Z]{3})(\d[\d]*,\d*)$")
_DATED = re.compile(r"^(\d{6})")
# An account may be named with the code of its bank (BIC) before it.
_BANK_CODE = re.compile(r"^[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?/")
_FULL_LINE = 65
_STRUCTURED = re.compile(r"^\d{0,3}\?\d\d")
_SUBFIELD = re.compile(r"\?\d\d")
_ENTRY_START = re.compile(r"^:61:(\d{6})", re.MULTILINE)
_BALANCE_START = re.compile(r"^:6[02][FM]:[CD](\d{6})", re.MULTILINE)
# An interim report says when it was made; its entries may count for a later day.
_REPORT_START = re.compile(r"^:13D?:(\d{6})", re.MULTILINE)
_PEEK_BYTES = 1024 * 1024


@dataclass
class _Entry:
    line_no: int
    text: str
    details: list[str] = field(default_factory=list)
    narrative: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Balance:
    day: date
    currency: str
    minor: int


@dataclass
class _Open:
    """The statement that is being read."""

    line_no: int
    ordinal: int
    account: str = ""
    number: str = ""
    opening_text: str = ""
    opening: _Balance | None = None
    closing_text: str = ""
    floor_currency: str = ""
    is_report: bool = False
    day: date | None = None
    sums: dict[str, tuple[int, str]] = field(default_factory=dict)
    entry: _Entry | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"C": 0, "D": 0})
    totals: dict[str, int] = field(default_factory=lambda: {"C": 0, "D": 0})
    is_readable: bool = True

    @property
    def label(self) -> str:
        return f"statement {self.number or self.ordinal}"

    @property
    def currency(self) -> str:
        return self.opening.currency if self.opening else self.floor_currency

    @property
    def moved_minor(self) -> int:
        return self.totals["C"] - self.totals["D"]


def peek_date(path: Path, source: Source) -> date | None:
    """Latest balance or entry date of the file: a statement is about the day that it closes."""
    with path.open("rb") as file:
        head = file.read(_PEEK_BYTES)
        # The closing balance is the last thing in the file.
        file.seek(max(len(head), path.stat().st_size - _PEEK_BYTES))
        text = (head + file.read()).decode("utf-8", errors="replace").replace("\r\n", "\n")
    days = _BALANCE_START.findall(text) or _REPORT_START.findall(text) or _ENTRY_START.findall(text)
    found = [day for day in map(_day, days) if day is not None]
    return max(found) if found else None


def looks(head: bytes) -> bool:
    """True when the first bytes hold the reference or the blocks of a SWIFT statement."""
    return re.search(rb"(?m)^\s*(?::20:|\{1:)", head) is not None


def parse(job: Job) -> Parsed:
    """Parse one MT940 or MT942 file into `bank_entries` and `bank_statements`.

    Amounts are minor units, positive = credit to the account. `line_no` of an entry is its ordinal in the file, of a
    statement its ordinal in the file. An interim report (MT942) has no balances; its sums are checked instead.

    Raises:
        LayoutError: Not MT940, a line cannot be read, or opening balance + entries is not the closing balance;
            with the difference and every bad line.
    """
    encoding = text_encoding(job)
    with Ledger(job, kind="statement") as ledger:
        reader = _Reader(ledger, job)
        for line_no, line in text_lines(job, encoding):
            reader.take(line_no, line.rstrip())
        reader.close()
        if not reader.statements and not ledger.bad:
            raise LayoutError(
                f"{job.file_name}: no MT940 statement found, expected tags such as :20: and :60F:.",
                bad_lines=(BadLine(1, "no tag in the file"),),
                next_step="Ask the bank for MT940, or put the file into the folder of its feed.",
            )
        return ledger.parsed(encoding)


def received_entry(path: Path, source: Source, ordinal: int) -> bytes | None:
    """The lines of one entry, from its :61: up to the next tag that is not its :86:. None = no such entry."""
    found: list[bytes] = []
    entries = 0
    with path.open("rb") as file:
        for line in file:
            tag = _RECEIVED_TAG.match(line)
            if tag is not None and tag[1] == b"61":
                entries += 1
            if entries > ordinal or (
                found and (line.startswith(b"-") or (tag and tag[1] not in (b"61", b"86")))
            ):
                break
            if entries == ordinal:
                found.append(line)
    return b"".join(found) or None


class _Reader:
    """Cuts a file into statements and entries. A statement starts at :20: (or at the first tag after an end)."""

    def __init__(self, ledger: Ledger, job: Job) -> None:
        self.statements = 0
        self._ledger = ledger
        self._job = job
        self._open: _Open | None = None
        self._tag = ""

    def take(self, line_no: int, line: str) -> None:
        """One physical line."""
        if line.startswith("{"):
            # SWIFT envelope: the text block starts after {4: and may be on the same line.
            line = line.partition("{4:")[2]
        if line in ("-", "-}") or line.startswith("-}"):
            self.close()
            return
        found = _TAG.match(line)
        if found is not None:
            self._start(line_no, *found.groups())
        elif line.strip() and self._open is not None and self._open.entry is not None:
            # A line without a tag continues the one before it; only entries keep continuations.
            if self._tag == "61":
                self._open.entry.details.append(line)
            elif self._tag == "86":
                self._open.entry.narrative.append(line)

    def _start(self, line_no: int, tag: str, value: str) -> None:
        if tag == "20" or self._open is None:
            self.close()
            self.statements += 1
            self._open = _Open(line_no, self.statements)
        current, value, self._tag = self._open, value.strip(), tag
        if tag == "86":
            if current.entry is not None:
                current.entry.narrative.append(value)
            return
        self._end_entry(current)
        if tag in ("25", "25P"):
            current.account = _BANK_CODE.sub("", value)
        elif tag in ("28", "28C"):
            current.number = value
        elif tag in ("60F", "60M", "62F", "62M") and (
            current.opening_text if tag[1] == "0" else current.closing_text
        ):
            self._ledger.wrong(line_no, f"{current.label}: a second :{tag}:, expected one in a statement")
        elif tag in ("60F", "60M"):
            current.opening_text, current.opening = value, _balance(value)
        elif tag in ("62F", "62M"):
            current.closing_text = value
        elif tag in ("13", "13D"):
            dated = _DATED.match(value)
            current.day = _day(dated[1]) if dated else None
        elif tag == "34F":
            floor = _FLOOR.match(value)
            current.floor_currency = floor[1] if floor else current.floor_currency
            self._is_report(current)
        elif tag in ("90C", "90D"):
            self._is_report(current)
            self._sum(line_no, tag, value, current)
        elif tag == "61":
            current.entry = _Entry(line_no, value)

    def _is_report(self, current: _Open) -> None:
        if not current.is_report and not current.opening_text:
            require_document("report", f"line {current.line_no}: the message (MT942)", self._job)
            current.is_report = True

    def _sum(self, line_no: int, tag: str, value: str, current: _Open) -> None:
        found = _SUM.match(value)
        minor = minor_of(found[3], found[2]) if found else None
        if found is None or minor is None:
            self._ledger.wrong(line_no, f':{tag}: "{value}" is not a number, currency and sum')
            return
        if found[2] != (current.currency or found[2]):
            self._ledger.wrong(line_no, f":{tag}: is in {found[2]}, the entries are in {current.currency}")
            return
        current.sums[tag[2]] = (int(found[1]), found[3])

    def _end_entry(self, current: _Open) -> None:
        """The entry that was open is whole now: a row, or a bad line."""
        entry, current.entry = current.entry, None
        if entry is None:
            return
        if not current.currency:
            # Said once, when the statement ends.
            current.is_readable = False
            self._ledger.records += 1
            return
        found = _ENTRY.match(entry.text)
        value_date = _day(found["value"]) if found else None
        minor = minor_of(found["amount"], current.currency) if found else None
        entry_date = _entry_day(found["entry"], value_date) if found and value_date else None
        if found is None or value_date is None or minor is None or (found["entry"] and entry_date is None):
            current.is_readable = False
            self._ledger.records += 1
            self._ledger.wrong(
                entry.line_no, f':61: "{entry.text}" is not a date, mark, amount and type of MT940'
            )
            return
        # C and a reversed debit (RD) are money in; D and a reversed credit (RC) are money out.
        direction = "C" if found["mark"] in ("C", "RD") else "D"
        current.counts[direction] += 1
        current.totals[direction] += minor
        references = (found["reference"], found["bank_reference"])
        # Some banks write the narrative under the entry itself, some under :86:, some under both.
        narrative = (*entry.details, *entry.narrative)
        self._ledger.entry(
            account=current.account,
            statement_no=current.number or None,
            value_date=value_date,
            entry_date=entry_date or value_date,
            amount_minor=minor if direction == "C" else -minor,
            currency=current.currency,
            reference=" ".join(part.strip() for part in references if part and part.strip()),
            narrative=_narrative(narrative),
        )

    def close(self) -> None:
        """The statement that was open is whole now: it must tie."""
        current, self._open, self._tag = self._open, None, ""
        if current is None:
            return
        self._end_entry(current)
        if not current.account:
            self._ledger.wrong(current.line_no, "statement has no account (:25:)")
        if current.is_report:
            self._close_report(current)
        else:
            self._close_statement(current)

    def _close_report(self, current: _Open) -> None:
        self._ledger.covers(current.account, current.day)
        self._ledger.is_one_of_several(current.number)
        if not current.currency:
            self._ledger.wrong(current.line_no, f"{current.label}: no currency (:34F:)")
        elif current.is_readable:
            for mark, (count, text) in sorted(current.sums.items()):
                minor = minor_of(text, current.currency) or 0
                if (count, minor) != (current.counts[mark], current.totals[mark]):
                    self._ledger.wrong(
                        current.line_no,
                        f"{current.label}: :90{mark}: states {count} entries of "
                        f"{format_minor(minor, current.currency)}, "
                        f"found {current.counts[mark]} of {format_minor(current.totals[mark], current.currency)}: "
                        f"difference {format_minor(minor - current.totals[mark], current.currency)} {current.currency}",
                    )

    def _close_statement(self, current: _Open) -> None:
        at, label = current.line_no, current.label
        opening, closing = current.opening, _balance(current.closing_text)
        for name, value, read in (
            ("60", current.opening_text, opening),
            ("62", current.closing_text, closing),
        ):
            if read is None:
                said = (
                    f'balance "{value}" is not C or D, YYMMDD, currency and amount' if value else "is missing"
                )
                self._ledger.wrong(at, f"{label}: :{name}F: {said}")
        if opening is None or closing is None:
            return
        if opening.currency != closing.currency:
            self._ledger.wrong(at, f"opening balance is in {opening.currency}, closing in {closing.currency}")
            return
        reason = does_not_tie(
            label,
            opening_minor=opening.minor,
            moved_minor=current.moved_minor,
            closing_minor=closing.minor,
            currency=opening.currency,
        )
        if reason and current.is_readable:
            self._ledger.wrong(at, reason)
        self._ledger.statement(
            Statement(
                line_no=current.ordinal,
                account=current.account,
                statement_no=current.number or None,
                currency=opening.currency,
                opening_date=opening.day,
                opening_minor=opening.minor,
                closing_date=closing.day,
                closing_minor=closing.minor,
            )
        )


def _narrative(lines: Iterable[str]) -> str:
    """One text: a full line goes on in the next one, in the middle of a word; marks of subfields (?20) are no words."""
    text, is_full = "", False
    for line in filter(str.strip, lines):
        text += ("" if is_full or not text else " ") + line.strip()
        is_full = len(line) == _FULL_LINE
    return " ".join(_SUBFIELD.sub(" ", text).split()) if _STRUCTURED.match(text) else text


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


def _balance(text: str) -> _Balance | None:
    found = _BALANCE.match(text)
    day = _day(found[2]) if found else None
    minor = minor_of(found[4], found[3]) if found else None
    if found is None or day is None or minor is None:
        return None
    return _Balance(day, found[3], minor if found[1] == "C" else -minor)
