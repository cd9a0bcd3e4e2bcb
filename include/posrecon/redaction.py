"""No card number and no name of a cardholder in a log, an error or a traceback, whichever library wrote it.

Our own code masks before it speaks. This is the net below: a library may quote the line it could not read. It is
installed where a process begins (command line, Airflow, parsing processes) and every record of the process goes
through it, before any handler sees it.
"""

import logging
import re
import sys
import traceback
from types import TracebackType

# A card number in one piece, or in the groups in which cards are printed and people write them: fours; 4-6-4 and 4-6-5
# (Diners, American Express); 6-13 (UnionPay's long numbers). Blanks may be the wide or the unbreakable one.
_GAP = "[ \u00a0\u3000-]"
_CARD = re.compile(
    rf"(?<!\d)(?:[2-6]\d{{3}}(?:{_GAP}?\d{{4}}){{2}}(?:{_GAP}?\d{{1,4}}){{1,2}}"
    rf"|3\d{{3}}{_GAP}\d{{6}}{_GAP}\d{{4,5}}|[3-6]\d{{5}}{_GAP}\d{{13}})(?!\d)"
)
_WORD = re.compile(r"[0-9A-Za-z]*")
HASH_LENGTH_MIN = 32
"""Digits inside a word as long as this belong to a hash, not to a card."""

_IDENTITY = re.compile(r"(?<![0-9A-Za-z])\d{17}[0-9Xx](?![0-9A-Za-z])")
# What a label about a person says, up to the end of the cell.
_PERSON = re.compile(
    r"""(?P<label>(?:持卡人(?:姓名)?|姓名|户名|证件号码?|身份证号?|card[ _]?holder(?:[ _]name)?|holder[ _]name|"""
    r"""payer[ _]name|customer[ _]name|buyer[ _]name|passport(?:[ _]no)?)["']?\s*[:=:]\s*["']?)"""
    r"""(?P<value>[^\s,;|"'}\]][^,;|"'}\]\n\t]*)""",
    re.IGNORECASE,
)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
HIDDEN = "***"


def redacted(text: str) -> str:
    """The text without card numbers (first six and last four stay), identity numbers and labelled names."""
    text = _PERSON.sub(lambda found: found["label"] + HIDDEN, text)
    text = _IDENTITY.sub(lambda found: HIDDEN if _is_identity(found[0]) else found[0], text)
    return without_cards(text)


def without_cards(text: str) -> str:
    """The text with every card number cut to its first six and last four digits.

    A card number is 13 to 19 digits, in one piece or in groups, whose check digit is right. References, telephone
    numbers and amounts are shorter, longer, or grouped in other ways.
    """
    return _CARD.sub(_masked, text)


def is_luhn(digits: str) -> bool:
    """True when the check digit of a card number is right."""
    values = [int(digit) for digit in reversed(digits)]
    return sum(sum(divmod(value * 2, 10)) if odd % 2 else value for odd, value in enumerate(values)) % 10 == 0


class Redaction(logging.Filter):
    """Redacts the message and the traceback of a record; lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact one record in place; the arguments stay when there is nothing to hide in them."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            return True  # message and arguments do not fit: logging says so itself, without the arguments
        clean = redacted(text)
        if clean != text:
            record.msg, record.args = clean, None
        if record.exc_info and record.exc_info[0] is not None:
            told = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            clean = redacted(told)
            if clean != told:
                # The exception itself cannot be changed, so its text takes its place.
                record.exc_text, record.exc_info = clean, None
        return True


class _Factory:
    """Makes log records as before, and redacts each."""

    def __init__(self) -> None:
        self._make = logging.getLogRecordFactory()
        self._filter = Redaction()

    def __call__(self, *arguments: object, **named: object) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*arguments, **named)
        self._filter.filter(record)
        return record


def install() -> None:
    """Let every log record of this process, and every uncaught exception, go through the redaction; once."""
    if not isinstance(logging.getLogRecordFactory(), _Factory):
        logging.setLogRecordFactory(_Factory())
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _masked(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found[0])
    if not 13 <= len(digits) <= 19 or not is_luhn(digits):
        return found[0]
    if found[0] == digits:
        before = _WORD.match(found.string[: found.start()][::-1])
        after = _WORD.match(found.string, found.end())
        around = sum(len(part[0]) for part in (before, after) if part)
        if around + len(digits) >= HASH_LENGTH_MIN:
            return found[0]
    return f"{digits[:6]}****{digits[-4:]}"


def _is_identity(text: str) -> bool:
    """True when the check digit of a resident identity number (GB 11643) is right."""
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, text, strict=False))
    return _ID_CHECKS[total % 11] == text[-1].upper()
