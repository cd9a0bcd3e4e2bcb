"""Bank statements in ISO 20022 XML: camt.053 (statement), camt.052 (report), camt.054 (notification), any version.

Read as a stream of events: what an entry says is kept until it ends, so memory does not grow with the file. Elements
are known by their local names, which all versions share. A document type declaration is refused where it begins, so no
entity is ever expanded and nothing outside the file is opened.

Source: ISO 20022 message definitions, Bank-to-Customer Cash Management (camt.052, camt.053, camt.054).
"""

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias
from xml.parsers import expat
from zoneinfo import ZoneInfo

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.bank import Ledger, Statement, does_not_tie, minor_of, require_document
from posrecon.formats.layout import Job, Parsed
from posrecon.landing.sources import BankDocument, Source
from posrecon.money import format_minor

_CHUNK = 64 * 1024
# No bank writes a text, tag or comment of this size.
_TOKEN_BYTES_MAX = 4 * 1024 * 1024
_PEEK_BYTES = 1024 * 1024
_END_TAG_BYTES = 1024
_DOCUMENTS: dict[str, BankDocument] = {"Stmt": "statement", "Rpt": "report", "Ntfctn": "notification"}
# Booked first when a bank sends several; the interim balance of a page stands in for both ends.
_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)
_INTERIM = "ITBD"
_CREDIT = {"CRDT": 1, "DBIT": -1}
# Texts of one part by path; a path may occur several times.
Values: TypeAlias = dict[str, list[str]]


@dataclass(frozen=True)
class _Balance:
    code: str
    day: date
    currency: str
    minor: int


@dataclass
class _Count:
    """Entries and their amounts by direction, to compare with a summary."""

    credits: int = 0
    credit_minor: int = 0
    debits: int = 0
    debit_minor: int = 0

    def add(self, signed_minor: int) -> None:
        if signed_minor >= 0:
            self.credits += 1
            self.credit_minor += signed_minor
        else:
            self.debits += 1
            self.debit_minor -= signed_minor

    def of(self, part: str) -> tuple[int, int]:
        """(entries, sum of their amounts without sign) of one part of a summary."""
        if part == "TtlCdtNtries":
            return self.credits, self.credit_minor
        if part == "TtlDbtNtries":
            return self.debits, self.debit_minor
        return self.credits + self.debits, self.credit_minor + self.debit_minor


@dataclass(frozen=True)
class _Detail:
    """One transaction of an entry; amount and sign are None where it does not state them."""

    amount_minor: int | None
    sign: int | None
    currency: str
    reference: str
    narrative: str


@dataclass
class _Statement:
    """What is known of the open Stmt, Rpt or Ntfctn."""

    ordinal: int
    first_entry: int
    document: BankDocument
    account: str = ""
    identification: str = ""
    currency: str = ""
    day: date | None = None
    balances: list[_Balance] = field(default_factory=list)
    summaries: list[tuple[str, int | None, str]] = field(default_factory=list)
    details: list["_Detail"] = field(default_factory=list)
    booked: "_Count" = field(default_factory=lambda: _Count())
    all: "_Count" = field(default_factory=lambda: _Count())
    entry_currency: str = ""
    moved_minor: int = 0
    reversals_minor: int = 0
    is_readable: bool = True

    @property
    def label(self) -> str:
        return f"{self.document} {self.identification or self.ordinal}"


def peek_date(path: Path, source: Source) -> date | None:
    """Latest balance or booking date near the start of the file."""
    found: list[date] = []

    def ended(part: str, values: Values) -> None:
        if part in ("Bal", "Ntry"):
            day = _day_of(_first(values, "Dt/Dt", "Dt/DtTm", "BookgDt/Dt", "BookgDt/DtTm"), source)
            found.extend([day] if day else [])

    with contextlib.suppress(LayoutError):  # the parse says what is wrong
        _Reader(path.name, lambda _: None, ended).read(path, limit=_PEEK_BYTES)
    return max(found, default=None)


def parse(job: Job) -> Parsed:
    """Parse one camt file into `bank_entries` and `bank_statements`.

    Amounts are minor units, positive = credit to the account. `CdtDbtInd` is the direction of the booking itself, of a
    reversal too (a reversed debit is booked as CRDT); the source key `reversal_turns_sign` is for banks that state the
    direction of the original. `line_no` is the ordinal of the entry; an entry whose details all state an amount and add
    up to it becomes one row per detail, each with its own ordinal. Entries that are not booked go to quarantine.

    Raises:
        LayoutError: No well-formed camt, a document type declaration, an entry or balance that cannot be read, a
            balance or summary that does not tie; with the difference and everything that is wrong.
    """
    if job.path.stat().st_size == 0:
        raise LayoutError(
            f"{job.file_name}: the file is empty (0 bytes), expected a camt document.",
            next_step="Ask the bank for it again.",
        )
    with Ledger(job, kind="camt document") as ledger:
        walk = _Walk(ledger, job)
        walk.reader.read(job.path)
        if not walk.ordinal:
            raise LayoutError(
                f"{job.file_name}: no camt statement, report or notification found.",
                bad_lines=(BadLine(1, "expected Stmt, Rpt or Ntfctn"),),
                next_step="Ask the bank for camt.053, or put the file into the folder of its feed.",
            )
        return ledger.parsed("xml")


def received_entry(path: Path, source: Source, ordinal: int) -> bytes | None:
    """The Ntry element that gave a row, byte for byte; the rows of a batch share theirs. None = no such row.

    Raises:
        LayoutError: Not well-formed.
    """
    before = 0
    details: list[_Detail] = []
    span: tuple[int, int] | None = None

    def ended(part: str, values: Values) -> None:
        nonlocal before, span
        if part == "TxDtls":
            details.append(_detail(values))
        elif part == "Ntry":
            minor, sign, currency = _booking(values, source)
            is_batch = (
                minor is not None
                and sign is not None
                and _is_booked(values)
                and _is_batch(details, sign * minor, sign, currency)
            )
            rows = len(details) if is_batch else 1
            if before < ordinal <= before + rows:
                span = reader.entry_span()
            before += rows
            details.clear()

    reader = _Reader(path.name, lambda _: None, ended)
    reader.read(path)
    if span is None:
        return None
    with path.open("rb") as file:
        file.seek(span[0])
        element = file.read(span[1] - span[0])
        # The span ends where the end tag begins.
        return element + file.read(_END_TAG_BYTES).partition(b">")[0] + b">"


class _Walk:
    """Goes through the documents of a file, part by part."""

    def __init__(self, ledger: Ledger, job: Job) -> None:
        self.ordinal = 0
        self.reader = _Reader(job.file_name, self._opened, self._ended)
        self._ledger = ledger
        self._job = job
        self._current = _Statement(0, 1, "statement")

    def _opened(self, name: str) -> None:
        document = _DOCUMENTS[name]
        require_document(document, f"the document ({name})", self._job)
        self.ordinal += 1
        self._current = _Statement(self.ordinal, self._ledger.records + 1, document)

    def _ended(self, part: str, values: Values) -> None:
        current = self._current
        if part == "TxDtls":
            current.details.append(_detail(values))
        elif part == "Ntry":
            current.identification = current.identification or _number_of(self.reader.document)
            _entry(values, current, self._ledger, self._job)
        elif part == "Bal":
            _balance(values, current, self._ledger, self._job)
        elif part == "Acct":
            current.account = _first(values, "Id/IBAN", "Id/Othr/Id", "Id/PrtryAcct/Id")
            current.currency = _first(values, "Ccy")
        elif part in _DOCUMENTS:
            current.identification = current.identification or _number_of(values)
            current.day = _day_of(_first(values, "FrToDt/ToDtTm", "CreDtTm"), self._job.source)
            _finish(current, self._ledger)
        else:
            count = _first(values, "NbOfNtries")
            number = int(count) if re.fullmatch("[0-9]{1,15}", count) else None
            current.summaries.append((part, number, _first(values, "Sum")))


def _number_of(document: Values) -> str:
    return _first(document, "LglSeqNb", "ElctrncSeqNb", "Id")


# -------------------------------------------------------------------------------- reading
class _Node:
    """A wanted element: its wanted children by local name, and what becomes of its text.

    Attributes:
        key: Path of the text within its part; None = the text is not kept.
        part: Name of the part that the element is; its texts are collected apart and handed out at its end.
    """

    __slots__ = ("children", "key", "part")

    def __init__(self, key: str | None = None, part: str | None = None) -> None:
        self.children: dict[str, _Node] = {}
        self.key = key
        self.part = part


_PARTS = {
    "Acct": ("Id/IBAN", "Id/Othr/Id", "Id/PrtryAcct/Id", "Ccy"),
    "Bal": ("Tp/CdOrPrtry/Cd", "Tp/Cd", "Amt", "CdtDbtInd", "Dt/Dt", "Dt/DtTm"),
    "TxsSummry/TtlNtries": ("NbOfNtries", "Sum"),
    "TxsSummry/TtlCdtNtries": ("NbOfNtries", "Sum"),
    "TxsSummry/TtlDbtNtries": ("NbOfNtries", "Sum"),
    "Ntry": (
        "NtryRef", "Amt", "CdtDbtInd", "RvslInd", "Sts", "Sts/Cd", "BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt",
        "ValDt/DtTm", "AcctSvcrRef", "AddtlNtryInf",
    ),
}  # fmt: skip
_REFERENCES = ("EndToEndId", "AcctSvcrRef", "TxId", "InstrId", "PmtInfId")
_PARTIES = ("Dbtr", "UltmtDbtr", "Cdtr", "UltmtCdtr")
# Older versions have the details right under the entry, and names without Pty.
_DETAIL_PARTS = ("Ntry/NtryDtls/TxDtls", "Ntry/TxDtls")
_DETAIL = (
    "Amt", "CdtDbtInd", "RmtInf/Ustrd", "RmtInf/Strd/CdtrRefInf/Ref", "AddtlTxInf",
    *(f"Refs/{name}" for name in _REFERENCES),
    *(f"RltdPties/{role}/{name}" for role in _PARTIES for name in ("Pty/Nm", "Nm")),
)  # fmt: skip


def _wanted() -> _Node:
    """What is read of a document, as a tree of local names."""
    root = _Node()

    def at(path: str, start: _Node) -> _Node:
        for name in path.split("/"):
            start = start.children.setdefault(name, _Node())
        return start

    for key in ("Id", "LglSeqNb", "ElctrncSeqNb", "CreDtTm", "FrToDt/ToDtTm"):
        at(key, root).key = key
    for part, keys in (*_PARTS.items(), *((part, _DETAIL) for part in _DETAIL_PARTS)):
        node = at(part, root)
        node.part = part.rpartition("/")[2]
        for key in keys:
            at(key, node).key = key
    return root


_WANTED = _wanted()
_NOTHING = _Node()


class _LocalNames(dict[str, str]):
    """`ns2:Ntry` → `Ntry`; a document has few names, so each is cut once."""

    def __missing__(self, name: str) -> str:
        local = self[name] = name.rpartition(":")[2]
        return local


class _Reader:
    """Feeds a file to expat and hands out each part when it ends; nothing else is kept."""

    def __init__(
        self, file_name: str, opened: Callable[[str], None], ended: Callable[[str, Values], None]
    ) -> None:
        self._file_name = file_name
        self._opened = opened
        self._ended = ended
        self._nodes: list[_Node] = []
        self._scopes: list[Values] = []
        self._buffer: list[str] = []
        self._local = _LocalNames()
        self._document_depth = -1
        self._entry_start = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._buffer.append

    def read(self, path: Path, *, limit: int | None = None) -> None:
        """Read a file, or its first bytes.

        Raises:
            LayoutError: Not well-formed, or a document type declaration.
        """
        try:
            with path.open("rb") as file:
                left = limit
                fed = 0
                while chunk := file.read(_CHUNK if left is None else min(_CHUNK, left)):
                    self._parser.Parse(chunk, False)
                    fed += len(chunk)
                    self._require_an_end(fed)
                    left = None if left is None else left - len(chunk)
                if limit is None:
                    self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            said = expat.errors.messages.get(error.code, "unknown error")
            raise LayoutError(
                f"{self._file_name}: line {error.lineno}: not well-formed XML: {said}.",
                bad_lines=(BadLine(error.lineno, f"column {error.offset + 1}: {said}"),),
                next_step="The file is truncated or was changed on the way. Ask the bank for it again.",
            ) from None
        except (LookupError, ValueError) as error:
            raise LayoutError(
                f"{self._file_name}: the encoding that the XML declares cannot be read: {error}.",
                bad_lines=(BadLine(1, "unknown encoding"),),
                next_step="Ask the bank for the document in UTF-8.",
            ) from None

    def _require_an_end(self, fed: int) -> None:
        """Refuse a text, tag or comment that does not end, before it fills the memory.

        Args:
            fed: Bytes given to the parser so far.
        """
        waiting = fed - self._parser.CurrentByteIndex
        if waiting > _TOKEN_BYTES_MAX or sum(map(len, self._buffer)) > _TOKEN_BYTES_MAX:
            line_no = self._parser.CurrentLineNumber
            raise LayoutError(
                f"{self._file_name}: line {line_no}: a text or tag of more than {_TOKEN_BYTES_MAX} bytes, expected "
                "a statement.",
                bad_lines=(BadLine(line_no, "a text or tag does not end"),),
                next_step="Ask the bank for the file again.",
            )

    def _refuse(self, *_: object) -> None:
        raise LayoutError(
            f"{self._file_name}: the file has a document type declaration (DOCTYPE), which could expand entities or "
            "open other files; camt has none.",
            bad_lines=(BadLine(self._parser.CurrentLineNumber, "DOCTYPE is refused"),),
            next_step="Ask the bank for the document without it.",
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = self._local[name]
        if self._document_depth < 0:
            if local in _DOCUMENTS:
                self._document_depth = len(self._nodes)
                self._opened(local)
                self._scopes.append({})
                self._nodes.append(_WANTED)
            else:
                self._nodes.append(_NOTHING)
            return
        node = self._nodes[-1].children.get(local, _NOTHING)
        self._nodes.append(node)
        if node.part is not None:
            self._scopes.append({})
            if node.part == "Ntry":
                self._entry_start = self._parser.CurrentByteIndex
        elif node.key is not None:
            self._buffer.clear()
            if attributes:
                currency = attributes.get("Ccy")
                if currency is not None:
                    self._scopes[-1][f"{node.key}@Ccy"] = [currency]

    def _end(self, name: str) -> None:
        node = self._nodes.pop()
        if node.key is not None:
            text = " ".join("".join(self._buffer).split())
            self._buffer.clear()
            if text:
                self._scopes[-1].setdefault(node.key, []).append(text)
        elif node.part is not None:
            self._ended(self._local[name], self._scopes.pop())
        elif len(self._nodes) == self._document_depth:
            self._document_depth = -1
            self._ended(self._local[name], self._scopes.pop())
        elif self._buffer:
            self._buffer.clear()

    def entry_span(self) -> tuple[int, int]:
        """First byte of the entry that ends now, and of its end tag."""
        return self._entry_start, self._parser.CurrentByteIndex

    @property
    def document(self) -> Values:
        """What the open document says of itself so far."""
        return self._scopes[0]


def _first(values: Values, *keys: str) -> str:
    """The first of these texts that is there."""
    for key in keys:
        found = values.get(key)
        if found:
            return found[0]
    return ""


def _joined(texts: Iterable[str]) -> str:
    """Texts in their order, each once."""
    return " ".join(dict.fromkeys(text for text in texts if text))


def _day_of(text: str, source: Source) -> date | None:
    """A date, or a time as a date of the source's zone; None when it is neither."""
    try:
        if "T" not in text:
            # A date may carry an offset (2026-11-11+08:00): it is a date all the same.
            return (
                date.fromisoformat(text[:10]) if len(text) == 10 or text[10:11] in ("Z", "+", "-") else None
            )
        instant = datetime.fromisoformat(text)
        return instant.astimezone(ZoneInfo(source.zone)).date() if instant.tzinfo else instant.date()
    except (ValueError, OverflowError):
        return None


# -------------------------------------------------------------------------------- one part of a statement
def _balance(values: Values, current: _Statement, ledger: Ledger, job: Job) -> None:
    code = _first(values, "Tp/CdOrPrtry/Cd", "Tp/Cd")
    if code not in (*_OPENING, *_CLOSING, _INTERIM):
        return  # available, forward and expected balances are not booked
    currency = _first(values, "Amt@Ccy")
    minor = minor_of(_first(values, "Amt"), currency)
    sign = _CREDIT.get(_first(values, "CdtDbtInd"))
    day = _day_of(_first(values, "Dt/Dt", "Dt/DtTm"), job.source)
    if minor is None or sign is None or day is None or len(currency) != 3:
        current.is_readable = False
        ledger.wrong(
            current.first_entry,
            f"{current.label}: balance {code} "
            f'"{_first(values, "CdtDbtInd")} {currency} {_first(values, "Amt")} {_first(values, "Dt/Dt", "Dt/DtTm")}"'
            " is not an indicator, amount and date",
        )
        return
    current.balances.append(_Balance(code, day, currency, sign * minor))


def _detail(values: Values) -> _Detail:
    currency = _first(values, "Amt@Ccy")
    references = (_first(values, f"Refs/{name}") for name in _REFERENCES)
    parties = (_first(values, f"RltdPties/{role}/Pty/Nm", f"RltdPties/{role}/Nm") for role in _PARTIES)
    remittance = (*values.get("RmtInf/Ustrd", ()), *values.get("RmtInf/Strd/CdtrRefInf/Ref", ()))
    return _Detail(
        amount_minor=minor_of(_first(values, "Amt"), currency),
        sign=_CREDIT.get(_first(values, "CdtDbtInd")),
        currency=currency,
        reference=_joined(text for text in references if text != "NOTPROVIDED"),
        narrative=_joined((*parties, *remittance, _first(values, "AddtlTxInf"))),
    )


def _entry(values: Values, current: _Statement, ledger: Ledger, job: Job) -> None:
    """One Ntry: a row, or one per detail of a batch, or quarantine when it is not booked."""
    details, current.details = current.details, []
    minor, sign, currency = _booking(values, job.source)
    indicator = _first(values, "CdtDbtInd")
    booking_text, value_text = (
        _first(values, "BookgDt/Dt", "BookgDt/DtTm"),
        _first(values, "ValDt/Dt", "ValDt/DtTm"),
    )
    booked_on = _day_of(booking_text, job.source)
    value_date = _day_of(value_text, job.source) if value_text else booked_on
    # A date that is there and is none, such as 30 February, is not made up for by the other one.
    is_dated = value_date is not None and (booked_on is not None or not booking_text)
    is_booked = _is_booked(values)
    shown = f"{indicator} {currency} {_first(values, 'Amt')} {booking_text[:40]}".strip()
    if minor is None or sign is None or len(currency) != 3 or (is_booked and not is_dated):
        current.is_readable = False
        ledger.records += 1
        ledger.wrong(
            ledger.records, f'{current.label}: entry "{shown}" is not an indicator, amount, currency and date'
        )
        return
    is_reversal = _is_reversal(values)
    current.all.add(sign * minor)
    own = _joined((_first(values, "AcctSvcrRef"), _first(values, "NtryRef")))
    if not is_booked or value_date is None:
        ledger.set_aside(
            f"the entry is {_first(values, 'Sts/Cd', 'Sts')}, not booked: expected BOOK",
            f"{shown} {own}".strip(),
        )
        return
    if (current.entry_currency or currency) != currency:
        current.is_readable = False
        ledger.wrong(ledger.records + 1, f"entry in {currency}, the others are in {current.entry_currency}")
    current.entry_currency = currency
    current.booked.add(sign * minor)
    current.moved_minor += sign * minor
    current.reversals_minor += sign * minor if is_reversal else 0
    extra = _first(values, "AddtlNtryInf")
    if _is_batch(details, sign * minor, sign, currency):
        parts = [((one.sign or sign) * (one.amount_minor or 0), [one]) for one in details]
    else:
        parts = [(sign * minor, details)]
    for signed_minor, told in parts:
        ledger.entry(
            account=current.account,
            statement_no=current.identification or None,
            value_date=value_date,
            entry_date=booked_on or value_date,
            amount_minor=signed_minor,
            currency=currency,
            reference=_joined((own, *(one.reference for one in told))),
            narrative=_joined((*(one.narrative for one in told), extra)),
        )


def _booking(values: Values, source: Source) -> tuple[int | None, int | None, str]:
    """Minor units without a sign, +1 for money in or -1 for money out, and currency; None = cannot be read."""
    currency = _first(values, "Amt@Ccy")
    minor = minor_of(_first(values, "Amt"), currency)
    sign = _CREDIT.get(_first(values, "CdtDbtInd"))
    if sign is not None and source.reversal_turns_sign and _is_reversal(values):
        sign = -sign
    return minor, sign, currency


def _is_reversal(values: Values) -> bool:
    return _first(values, "RvslInd") in ("true", "1")


def _is_booked(values: Values) -> bool:
    return (_first(values, "Sts/Cd", "Sts") or "BOOK") == "BOOK"


def _is_batch(details: list[_Detail], entry_minor: int, sign: int, currency: str) -> bool:
    """Several details that each state an amount in the entry's currency, and together are the entry."""
    if len(details) < 2:
        return False
    total = 0
    for detail in details:
        if detail.amount_minor is None or detail.currency != currency:
            return False
        total += (detail.sign or sign) * detail.amount_minor
    return total == entry_minor


# -------------------------------------------------------------------------------- a whole statement
def _finish(current: _Statement, ledger: Ledger) -> None:
    """Check a document against its own balances and summaries, and keep its balances."""
    at = current.first_entry
    if current.document != "statement":
        ledger.is_one_of_several(current.identification)
    if not current.account:
        ledger.wrong(at, f"{current.label} has no account (Acct/Id)")
    if current.is_readable:
        _check_summaries(current, ledger)
    opening, closing = _ends(current.balances)
    if opening is None or closing is None:
        if current.document == "statement" and current.is_readable:
            missing = "opening balance (OPBD or PRCD)" if opening is None else "closing balance (CLBD)"
            ledger.wrong(at, f"{current.label} has no {missing}")
        ledger.covers(current.account, current.day)
        return
    currencies = {opening.currency, closing.currency, current.entry_currency or opening.currency}
    if len(currencies) > 1:
        ledger.wrong(
            at,
            f"{current.label}: opening balance is in {opening.currency}, closing in {closing.currency}, entries in "
            f"{current.entry_currency or opening.currency}",
        )
        return
    reason = does_not_tie(
        current.label,
        opening_minor=opening.minor,
        moved_minor=current.moved_minor,
        closing_minor=closing.minor,
        currency=opening.currency,
    )
    # The balance of a report is that of its hour, and its entries need not be all since the last one.
    if reason and current.is_readable and (current.document == "statement" or closing.code in _CLOSING):
        turned = current.moved_minor - 2 * current.reversals_minor
        if current.reversals_minor and opening.minor + turned == closing.minor:
            reason += "; it ties when reversals turn the sign: set reversal_turns_sign"
        ledger.wrong(at, reason)
    if current.document != "statement":
        # The next report of the day begins where the day did: its balances stand in no row of statements.
        ledger.covers(current.account, closing.day)
        return
    ledger.statement(
        Statement(
            line_no=current.ordinal,
            account=current.account,
            statement_no=current.identification or None,
            currency=opening.currency,
            opening_date=opening.day,
            opening_minor=opening.minor,
            closing_date=closing.day,
            closing_minor=closing.minor,
        )
    )


def _ends(balances: list[_Balance]) -> tuple[_Balance | None, _Balance | None]:
    """Opening and closing balance; on the pages of a long statement the interim ones stand in."""
    by_code = {code: [one for one in balances if one.code == code] for code in {one.code for one in balances}}
    interim = by_code.get(_INTERIM, [])
    opening = next((by_code[code][0] for code in _OPENING if code in by_code), None)
    closing = next((by_code[code][-1] for code in _CLOSING if code in by_code), None)
    if opening is None and interim and (closing is not None or len(interim) > 1):
        opening = interim[0]
    if closing is None and interim and interim[-1] is not opening:
        closing = interim[-1]
    return opening, closing


def _check_summaries(current: _Statement, ledger: Ledger) -> None:
    """A summary counts all entries or the booked ones; it must agree with one of them."""
    for part, count, total in current.summaries:
        currency = current.entry_currency or current.currency
        stated = minor_of(total, currency) if total else None
        if total and stated is None:
            ledger.wrong(current.first_entry, f'{current.label}: {part} sum "{total}" is not an amount')
            continue
        seen = (current.booked.of(part), current.all.of(part))
        if any((count is None or count == n) and (stated is None or stated == m) for n, m in seen):
            continue
        entries, minor = seen[0]
        ledger.wrong(
            current.first_entry,
            f"{current.label}: {part} states {count if count is not None else 'no number of'} entries"
            + (f" of {format_minor(stated, currency)}" if stated is not None else "")
            + f", found {entries} of {format_minor(minor, currency)}"
            + (
                f": difference {format_minor(stated - minor, currency)} {currency}"
                if stated is not None
                else ""
            ),
        )
