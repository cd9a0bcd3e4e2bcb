"""ISO 8583 messages, one a line, cut into their data elements for many lines at once.

A log writes a message as ASCII, as the hex of ASCII, or as the hex of the packed form that POS terminals in China send
(digits two to a byte). All three are walked the same way: the bitmaps say which elements are there, and each step
moves a cursor of every line at once, so the cost is per element, not per message.

Source: ISO 8583:1987; 银联卡受理终端规范 (packed form: lengths and digits in BCD, text in ASCII).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from iso8583.specs import default_ascii

Bytes: TypeAlias = npt.NDArray[np.uint8]
Places: TypeAlias = npt.NDArray[np.int64]
Form = Literal["ascii", "hex", "packed"]

FORMS: tuple[Form, ...] = ("ascii", "hex", "packed")
# What a terminal event needs; no other element is looked at, so names, PIN blocks and chip data are never kept.
WANTED = (2, 3, 4, 7, 11, 12, 13, 25, 35, 37, 38, 39, 41, 42, 49, 60, 61, 90)
_ELEMENTS = 128
_TYPE_CHARS = 4
_BITMAP_CHARS = 16
# Packed messages travel behind a transport header (TPDU 60…) of 5 bytes and an application header of 6.
_PACKED_HEADER_CHARS = 22

_NO_DIGIT = 255
_NIBBLES = np.full(256, _NO_DIGIT, np.uint8)
for _value, _letters in enumerate(zip("0123456789abcdef", "0123456789ABCDEF", strict=True)):
    for _letter in _letters:
        _NIBBLES[ord(_letter)] = _value


@dataclass(frozen=True)
class Element:
    """How one data element is written, in letters of the line.

    Attributes:
        prefix: Letters of its length; 0 = fixed.
        size: Units of a fixed element, or the most that a variable one may have.
        unit: Letters of one unit: 2 where a byte is written as hex.
        is_even: Digits fill whole bytes: an odd number is followed by one that says nothing.
    """

    prefix: int
    size: int
    unit: int = 1
    is_even: bool = False


# Lengths of the ASCII form as pyiso8583 knows them.
_SPEC: Mapping[str, Mapping[str, Any]] = default_ascii


def _ascii_elements() -> dict[int, Element]:
    return {
        number: Element(int(_SPEC[str(number)]["len_type"]), int(_SPEC[str(number)]["max_len"]))
        for number in range(2, _ELEMENTS + 1)
    }


# Elements of the packed form that are text or bytes; all others are digits, packed.
_PACKED_TEXT = frozenset(
    {37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 49, 50, 51, 52, 54, 55, 56, 57, 58, 59, 62, 63, 64, 128}
)
_PACKED_BYTES_OF_EIGHT = frozenset({52, 64, 128})


def _packed_elements() -> dict[int, Element]:
    found: dict[int, Element] = {}
    for number, plain in _ascii_elements().items():
        prefix = 2 * ((plain.prefix + 1) // 2)
        if number in _PACKED_BYTES_OF_EIGHT:
            found[number] = Element(0, 8, unit=2)
        elif number in _PACKED_TEXT:
            found[number] = Element(prefix, plain.size, unit=2)
        else:
            found[number] = Element(prefix, plain.size, is_even=True)
    return found


_TABLES: Mapping[Form, Mapping[int, Element]] = {
    "ascii": _ascii_elements(),
    "hex": _ascii_elements(),
    "packed": _packed_elements(),
}


@dataclass(frozen=True)
class Messages:
    """Lines cut into elements.

    Attributes:
        fields: (lines) text of `t` (message type) and of each wanted element; null where it is absent.
        errors: (lines) why a line is no message; null when it is one.
    """

    fields: dict[str, pa.StringArray]
    errors: pa.StringArray


def read_messages(data: Bytes, starts: Places, ends: Places, form: Form) -> Messages:
    """Cut lines into their data elements.

    Args:
        data: The bytes of all lines.
        starts: First byte of each line within `data`.
        ends: The byte after its last one, line end left out.
        form: How the lines are written.
    """
    walk = _Walk(data, starts.astype(np.int64), ends.astype(np.int64), form)
    if form == "hex":
        walk.unhex()
    elif form == "packed":
        walk.skip_header()
    walk.read_type()
    present = walk.read_bitmaps()
    for number in range(2, _ELEMENTS + 1):
        if number == 65:
            continue
        rows = np.flatnonzero(present[:, number - 1] & walk.good)
        if len(rows):
            walk.step(number, rows)
    walk.finish()
    return Messages(walk.fields, walk.errors())


class _Walk:
    """The cursors of all lines."""

    def __init__(self, data: Bytes, starts: Places, ends: Places, form: Form) -> None:
        self.data = data
        self.at = starts.copy()
        self.ends = ends.copy()
        self.form = form
        self.lines = len(starts)
        self.good = np.ones(self.lines, np.bool_)
        self.fields: dict[str, pa.StringArray] = {}
        self._reasons = np.full(self.lines, None, object)

    def fail(self, rows: Places, reason: str) -> None:
        """Note why lines are no message; the first reason stands."""
        fresh = rows[self.good[rows]]
        self._reasons[fresh] = reason
        self.good[fresh] = False

    def errors(self) -> pa.StringArray:
        return pa.array(self._reasons.tolist(), pa.string())

    def unhex(self) -> None:
        """Turn lines of hex into the bytes that they mean, all at once."""
        lengths = self.ends - self.at
        nibbles = _NIBBLES[self.data]
        bad = np.concatenate(([0], np.cumsum(nibbles == _NO_DIGIT)))
        self.fail(np.flatnonzero(bad[self.ends] - bad[self.at] > 0), "is not hexadecimal")
        self.fail(np.flatnonzero(lengths % 2 != 0), "has an odd number of hexadecimal digits")
        lengths = np.where(self.good, lengths, 0)
        picked = nibbles[_ranges(self.at, lengths)]
        self.data = (picked[0::2] << 4) | picked[1::2]
        self.ends = np.cumsum(lengths // 2)
        self.at = self.ends - lengths // 2

    def skip_header(self) -> None:
        """Go past the transport header that packed messages may have."""
        fits = self.ends - self.at > _PACKED_HEADER_CHARS
        first = np.where(fits, self.at, 0)
        self.at = self.at + _PACKED_HEADER_CHARS * (
            fits & (self.data[first] == ord("6")) & (self.data[first + fits] == ord("0"))
        )

    def read_type(self) -> None:
        self.fail(
            np.flatnonzero(self.ends - self.at < _TYPE_CHARS + _BITMAP_CHARS), "is too short for a message"
        )
        rows = np.flatnonzero(self.good)
        self._keep("t", rows, self.at[rows], np.full(len(rows), _TYPE_CHARS), unit=1)
        letters = self.data[self.at[rows][:, None] + np.arange(_TYPE_CHARS)]
        self.fail(
            rows[((letters < 48) | (letters > 57)).any(axis=1)],
            "does not begin with a message type of 4 digits",
        )
        self.at += _TYPE_CHARS

    def read_bitmaps(self) -> npt.NDArray[np.bool_]:
        """Which elements each line says it has: (lines, 128)."""
        present = np.zeros((self.lines, _ELEMENTS), np.bool_)
        self._bitmap(present, np.flatnonzero(self.good), 0)
        self._bitmap(present, np.flatnonzero(present[:, 0] & self.good), 64)
        self.fail(np.flatnonzero(present[:, 64]), "has a third bitmap, which no known log uses")
        present[:, 0] = False
        return present

    def _bitmap(self, present: npt.NDArray[np.bool_], rows: Places, first: int) -> None:
        short = self.ends[rows] - self.at[rows] < _BITMAP_CHARS
        self.fail(rows[short], "ends inside its bitmap")
        rows = rows[~short]
        nibbles = _NIBBLES[self.data[self.at[rows][:, None] + np.arange(_BITMAP_CHARS)]]
        bad = (nibbles == _NO_DIGIT).any(axis=1)
        self.fail(rows[bad], "has a bitmap that is not hexadecimal")
        rows, nibbles = rows[~bad], nibbles[~bad]
        packed = (nibbles[:, 0::2] << 4) | nibbles[:, 1::2]
        present[rows, first : first + 64] = np.unpackbits(packed, axis=1).astype(np.bool_)
        self.at[rows] += _BITMAP_CHARS

    def step(self, number: int, rows: Places) -> None:
        """Go past one element, and keep it when it is wanted."""
        element = _TABLES[self.form][number]
        begin = self.at[rows]
        if element.prefix:
            short = self.ends[rows] - begin < element.prefix
            self.fail(rows[short], f"ends inside the length of element {number}")
            rows, begin = rows[~short], begin[~short]
            digits = self.data[begin[:, None] + np.arange(element.prefix)].astype(np.int64) - 48
            sizes = digits @ 10 ** np.arange(element.prefix - 1, -1, -1, dtype=np.int64)
            bad = ((digits < 0) | (digits > 9)).any(axis=1) | (sizes > element.size)
            self.fail(rows[bad], f"has a length of element {number} that is not 0 to {element.size}")
            rows, begin, sizes = rows[~bad], begin[~bad] + element.prefix, sizes[~bad]
        else:
            sizes = np.full(len(rows), element.size, np.int64)
        letters = sizes * element.unit
        stride = letters + letters % 2 if element.is_even else letters
        cut = self.ends[rows] - begin < stride
        self.fail(rows[cut], f"ends inside element {number}")
        rows, begin, letters, stride = rows[~cut], begin[~cut], letters[~cut], stride[~cut]
        if number in WANTED:
            self._keep(str(number), rows, begin, letters, unit=element.unit)
        self.at[rows] = begin + stride

    def _keep(self, name: str, rows: Places, begin: Places, letters: Places, *, unit: int) -> None:
        content = self.data[_ranges(begin, letters)]
        if unit == 2:
            nibbles = _NIBBLES[content]
            bad = nibbles == _NO_DIGIT
            if bad.any():
                owner = np.repeat(np.arange(len(rows)), letters)
                self.fail(rows[np.unique(owner[bad])], f"has an element {name} that is not hexadecimal")
            content = (nibbles[0::2] << 4) | nibbles[1::2]
            letters = letters // 2
        strange = (content < 32) | (content > 126)
        if strange.any():
            owner = np.repeat(np.arange(len(rows)), letters)
            self.fail(rows[np.unique(owner[strange])], f"has an element {name} that is not text")
            content = np.where(strange, ord("?"), content).astype(np.uint8)
        lengths = np.zeros(self.lines, np.int64)
        lengths[rows] = letters
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        texts = pa.LargeStringArray.from_buffers(
            self.lines, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(content))
        )
        is_there = np.zeros(self.lines, np.bool_)
        is_there[rows] = True
        self.fields[name] = pa.compute.if_else(
            pa.array(is_there), texts.cast(pa.string()), pa.scalar(None, pa.string())
        )

    def finish(self) -> None:
        """A message ends where its line does."""
        self.fail(np.flatnonzero(self.good & (self.at != self.ends)), "goes on after its last element")


def _ranges(begin: Places, lengths: Places) -> Places:
    """Indices of all stretches (begin, length), one after the other."""
    total = int(lengths.sum())
    firsts = np.cumsum(lengths) - lengths
    return np.arange(total, dtype=np.int64) + np.repeat(begin - firsts, lengths)
