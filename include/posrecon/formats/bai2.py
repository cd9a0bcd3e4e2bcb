"""Bank reports in BAI2 (US banks): groups, accounts and details, with a control total at each level.

Every record is checked against what encloses it: an account total (49) adds up its own amounts, a group (98) its
accounts, the file (99) its groups, each with the count of its records. A file that does not tie is refused whole.

Source: Cash Management Balance Reporting Specifications, version 2 (BAI2).
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.bank import Ledger, Statement, require_document, text_encoding, text_lines
from posrecon.formats.layout import Job, Parsed
from posrecon.formats.masking import mask_text
from posrecon.landing.sources import BankDocument, Source
from posrecon.money import format_minor

_RECORD_CODES = frozenset({"01", "02", "03", "16", "49", "88", "98", "99"})
_AMOUNT = re.compile(r"[+-]?\d{1,15}")
_OPENING_LEDGER, _CLOSING_LEDGER = "010", "015"
# As-of-date modifier of a group: 2 and 4 are final, 1 and 3 are told before the books close.
_INTERIM = frozenset({"1", "3"})
_FILE_HEAD = 64 * 1024
_TOTAL = re.compile(r"[+-]?\d{1,18}")
# Commas before the free text of a detail without fields of its funds type: type, amount, funds, two references.
_TEXT_FIELDS = 5


@dataclass(frozen=True)
class _Record:
    """One logical record: its first physical line, how many lines it takes, and the text after its code."""

    code: str
    line_no: int
    lines: int
    text: str


@dataclass
class _Level:
    """What a control record has to agree with."""

    line_no: int
    total_minor: int = 0
    lines: int = 0
    children: int = 0


@dataclass
class _Account(_Level):
    number: str = ""
    currency: str = ""
    moved_minor: int = 0
    details: int = 0
    balances: dict[str, int] = field(default_factory=dict)
    is_readable: bool = True


@dataclass
class _Group(_Level):
    document: BankDocument = "statement"
    day: date | None = None
    currency: str = ""


def peek_date(path: Path, source: Source) -> date | None:
    """As-of date of the first group."""
    with path.open("rb") as file:
        head = file.read(_FILE_HEAD).decode("latin-1")
    found = re.search(r"^02,[^,]*,[^,]*,[^,]*,(\d{6})", head, flags=re.MULTILINE)
    return _day(found[1]) if found else None


def looks(head: bytes) -> bool:
    """True when the first bytes are a file header of BAI2."""
    return re.match(rb"(?:\xef\xbb\xbf)?\s*01,[^,\n]*,[^,\n]*,\d{6},", head) is not None


def parse(job: Job) -> Parsed:
    """Parse one BAI2 file into `bank_entries` and `bank_statements`.

    Amounts are whole minor units of the account's (else the group's) currency. A detail (16) of type 100 to 399 is a
    credit (+), of 400 to 699 a debit (-). `line_no` is the ordinal of the detail. An account with both ledger balances
    (010, 015) is a statement, and its details must tie; without them its control totals alone are proof.

    Raises:
        LayoutError: Not BAI2, truncated, a record that cannot be read, a control total or count that does not agree;
            with the difference and everything that is wrong.
    """
    encoding = text_encoding(job)
    with job.path.open("rb") as file:
        if not file.read(_FILE_HEAD).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"01,"):
            raise LayoutError(
                f"{job.file_name}: line 1: no BAI2 file header, expected a record 01.",
                bad_lines=(BadLine(1, "the file does not start with 01,"),),
                next_step="Ask the bank for BAI2, or put the file into the folder of its feed.",
            )
    with Ledger(job, kind="BAI2 file") as ledger:
        _File(ledger, job).read(text_lines(job, encoding))
        return ledger.parsed(encoding)


def received_entry(path: Path, source: Source, ordinal: int) -> bytes | None:
    """The lines of one detail (16) and its continuations (88). None = no such detail."""
    found: list[bytes] = []
    entries = 0
    with path.open("rb") as file:
        for line in file:
            code = line.removeprefix(codecs.BOM_UTF8).partition(b",")[0].strip()
            entries += code == b"16"
            if entries > ordinal or (found and code not in (b"16", b"88", b"")):
                break
            if entries == ordinal and code:
                found.append(line)
    return b"".join(found) or None


def _records(numbered: Iterator[tuple[int, str]], ledger: Ledger) -> Iterator[_Record]:
    """Logical records: a record and its continuations (88), wherever the sender broke the line."""
    code, start = "", 0
    lines: list[str] = []
    physical = 0
    for line_no, line in numbered:
        if not line.strip():
            continue
        found, _, rest = line.partition(",")
        found = found.strip()
        if found not in _RECORD_CODES or "," not in line:
            ledger.wrong(
                line_no, f'record code "{found[:20]}" is not one of {", ".join(sorted(_RECORD_CODES))}'
            )
            continue
        if found == "88":
            if not code:
                ledger.wrong(line_no, "a continuation (88) without a record before it")
                continue
            lines.append(rest)
            continue
        if code:
            record = _Record(code, start, len(lines), _joined(code, lines, physical))
            if code == "01":
                length = _at(record.text.split(","), 5)
                physical = int(length) if re.fullmatch(r"\d{1,5}", length) else 0
            yield record
        code, start, lines = found, line_no, [rest]
    if code:
        yield _Record(code, start, len(lines), _joined(code, lines, physical))


def _joined(code: str, lines: list[str], physical: int) -> str:
    """The text of a record and its continuations, without the delimiters that only end a line.

    A line that ends in `/` ended a field. Another one was broken where it happened to be full, in the middle of a
    field when it has the physical length that the file header states; a shorter line of free text ended with a word.
    """
    first = lines[0].rstrip()
    is_ended = first.endswith("/")
    text = first.removesuffix("/").rstrip()
    is_full = len(lines[0]) + 3 >= physical > 0
    for line in lines[1:]:
        stripped = line.rstrip()
        if code == "16" and text.count(",") >= _TEXT_FIELDS:
            text += "" if is_full and not is_ended else " "
        elif is_ended:
            text += ","
        text += stripped.removesuffix("/").rstrip() if not is_full else line.removesuffix("/")
        is_ended = stripped.endswith("/")
        is_full = len(line) + 3 >= physical > 0
    return text


class _File:
    """Walks the records of one file and checks each level when it ends."""

    def __init__(self, ledger: Ledger, job: Job) -> None:
        self._ledger = ledger
        self._job = job
        self._file: _Level | None = None
        self._group: _Group | None = None
        self._account: _Account | None = None
        self._statements = 0
        self._is_closed = False

    def read(self, numbered: Iterator[tuple[int, str]]) -> None:
        """Take every record in, and say what is missing at the end."""
        last = 1
        for record in _records(numbered, self._ledger):
            last = record.line_no
            if self._is_closed:
                self._ledger.wrong(record.line_no, f"a record {record.code} after the end of the file (99)")
                continue
            for level in (self._file, self._group, self._account):
                if level is not None:
                    level.lines += record.lines
            self._take(record, record.text.split(","))
        for level, name in (
            (self._account, "account (49)"),
            (self._group, "group (98)"),
            (self._file, "file (99)"),
        ):
            if level is not None:
                self._ledger.wrong(
                    last, f"the end of the {name} of line {level.line_no} is missing: truncated"
                )

    def _take(self, record: _Record, fields: list[str]) -> None:
        code, line_no = record.code, record.line_no
        if code == "01" and self._file is None:
            self._file = _Level(line_no, lines=record.lines)
        elif code == "02" and self._file is not None and self._group is None:
            self._open_group(record, fields)
        elif code == "03" and self._group is not None and self._account is None:
            self._open_account(record, fields)
        elif code == "16" and self._account is not None:
            self._detail(record, self._account)
        elif code == "49" and self._account is not None and self._group is not None:
            self._close_account(line_no, fields, self._account, self._group)
        elif code == "98" and self._group is not None and self._account is None and self._file is not None:
            self._agree(line_no, "group", fields, self._group, self._group.children, "accounts")
            self._file.total_minor += self._group.total_minor
            self._file.children += 1
            self._group = None
        elif code == "99" and self._file is not None and self._group is None:
            self._agree(line_no, "file", fields, self._file, self._file.children, "groups")
            self._file, self._is_closed = None, True
        else:
            self._ledger.wrong(line_no, f"a record {code} does not belong here: {self._open()}")

    def _open(self) -> str:
        if self._account is not None:
            return f"the account of line {self._account.line_no} is open"
        if self._group is not None:
            return f"the group of line {self._group.line_no} is open, no account is"
        return "the file is open, no group is" if self._file is not None else "no file is open"

    def _open_group(self, record: _Record, fields: list[str]) -> None:
        day = _day(_at(fields, 3))
        if day is None:
            self._ledger.wrong(record.line_no, f'as-of date "{_at(fields, 3)}" is not a date YYMMDD')
        document: BankDocument = "report" if _at(fields, 6) in _INTERIM else "statement"
        require_document(document, f"line {record.line_no}: the group (interim data)", self._job)
        self._group = _Group(
            record.line_no, lines=record.lines, document=document, day=day, currency=_at(fields, 5)
        )

    def _open_account(self, record: _Record, fields: list[str]) -> None:
        group = self._group
        currency = _at(fields, 1) or (group.currency if group else "") or self._job.source.currency or "USD"
        account = _Account(record.line_no, lines=record.lines, number=_at(fields, 0), currency=currency)
        self._account = account
        if not account.number:
            self._ledger.wrong(record.line_no, "the account has no number")
        rest = fields[2:]
        while rest and any(one.strip() for one in rest):
            code, amount = _at(rest, 0), _at(rest, 1)
            if amount and not _AMOUNT.fullmatch(amount):
                self._ledger.wrong(record.line_no, f'amount "{amount}" of type {code} is not whole digits')
                account.is_readable = False
                return
            if amount:
                account.total_minor += int(amount)
                if code:
                    account.balances[code] = int(amount)
            taken = _funds_fields(_at(rest, 3), rest, 4)
            if taken is None:
                self._ledger.wrong(
                    record.line_no, f'funds type "{_at(rest, 3)}" of type {code} cannot be read'
                )
                account.is_readable = False
                return
            rest = rest[taken:]

    def _detail(self, record: _Record, account: _Account) -> None:
        ledger, group = self._ledger, self._group
        fields = record.text.split(",")
        code, amount = _at(fields, 0), _at(fields, 1)
        # A detail may leave its amount out: it is zero.
        minor = int(amount) if _AMOUNT.fullmatch(amount) else (0 if not amount else None)
        sign = _sign_of(code)
        taken = _funds_fields(_at(fields, 2), fields, 3)
        if minor is None or sign is None or taken is None:
            account.is_readable = False
            ledger.records += 1
            ledger.wrong(
                record.line_no,
                f'detail "{",".join(fields[:3])}" is not a type 100 to 699, whole digits and a funds type',
            )
            return
        account.total_minor += minor
        account.moved_minor += sign * minor
        day = group.day if group is not None else None
        if day is None:
            return  # the group is already refused
        value_date = (_day(_at(fields, 3)) or day) if _at(fields, 2) == "V" else day
        rest = fields[taken:]
        ledger.entry(
            account=account.number,
            statement_no=day.strftime("%y%m%d"),
            value_date=value_date,
            entry_date=day,
            amount_minor=sign * minor,
            currency=account.currency,
            reference=" ".join(part.strip() for part in rest[:2] if part.strip()),
            narrative=" ".join(",".join(rest[2:]).split()),
        )

    def _close_account(self, line_no: int, fields: list[str], account: _Account, group: _Group) -> None:
        if account.is_readable:
            self._agree(line_no, f"account {mask_text(account.number)}", fields, account, None, "")
        group.total_minor += account.total_minor
        group.children += 1
        self._account = None
        if group.day is None:
            return
        opening, closing = account.balances.get(_OPENING_LEDGER), account.balances.get(_CLOSING_LEDGER)
        self._ledger.covers(account.number, group.day)
        if opening is None or closing is None:
            return
        difference = closing - opening - account.moved_minor
        if difference and account.is_readable:
            self._ledger.wrong(
                line_no,
                f"account {account.number}: opening {format_minor(opening, account.currency)} + entries "
                f"{format_minor(account.moved_minor, account.currency)} is not closing "
                f"{format_minor(closing, account.currency)}: difference "
                f"{format_minor(difference, account.currency)} {account.currency}",
            )
        if group.document != "statement":
            # Told again, with more, before the books close.
            return
        self._statements += 1
        self._ledger.statement(
            Statement(
                line_no=self._statements,
                account=account.number,
                statement_no=group.day.strftime("%y%m%d"),
                currency=account.currency,
                opening_date=group.day - timedelta(days=1),
                opening_minor=opening,
                closing_date=group.day,
                closing_minor=closing,
            )
        )

    def _agree(
        self, line_no: int, name: str, fields: list[str], level: _Level, children: int | None, kind: str
    ) -> None:
        """Compare a control record with what it closes."""
        total = _at(fields, 0)
        stated = [_at(fields, 1)] if children is None else [_at(fields, 1), _at(fields, 2)]
        if not _TOTAL.fullmatch(total) or not all(re.fullmatch(r"\d{1,9}", one) for one in stated):
            self._ledger.wrong(line_no, f"the control record of the {name} has no total and counts")
            return
        if int(total) != level.total_minor:
            self._ledger.wrong(
                line_no,
                f"control total of the {name} is {int(total):,}, its amounts add up to {level.total_minor:,}: "
                f"difference {int(total) - level.total_minor:,}",
            )
        if children is not None and int(stated[0]) != children:
            self._ledger.wrong(line_no, f"the {name} states {int(stated[0])} {kind}, found {children}")
        if int(stated[-1]) != level.lines:
            self._ledger.wrong(line_no, f"the {name} states {int(stated[-1])} records, found {level.lines}")


def _at(fields: list[str], index: int) -> str:
    return fields[index].strip() if index < len(fields) else ""


def _day(text: str) -> date | None:
    if not re.fullmatch(r"\d{6}", text):
        return None
    try:
        return datetime.strptime(text, "%y%m%d").date()  # noqa: DTZ007 - a date, no instant
    except ValueError:
        return None


def _sign_of(code: str) -> int | None:
    """1xx to 3xx are credits, 4xx to 6xx debits; 890 to 899 carry no money."""
    if not re.fullmatch(r"\d{3}", code):
        return None
    if 100 <= int(code) <= 399:
        return 1
    if 400 <= int(code) <= 699:
        return -1
    return 0 if 890 <= int(code) <= 899 else None


def _funds_fields(funds: str, fields: list[str], after: int) -> int | None:
    """Index of the field behind a funds type and its own fields; None when they cannot be read.

    Z, 0, 1, 2 and none have no fields; V a value date and time; S three amounts; D a count and that many pairs.
    """
    if funds in ("", "Z", "0", "1", "2"):
        return after
    if funds == "V":
        return after + 2
    if funds == "S":
        return after + 3
    if funds == "D" and re.fullmatch(r"\d{1,3}", _at(fields, after)):
        return after + 1 + 2 * int(_at(fields, after))
    return None
