"""Seeded numbers and fixed-width digits, whole columns at a time."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Bytes2D: TypeAlias = npt.NDArray[np.uint8]

_ZERO = ord("0")


def stream(seed: int, *salt: int) -> np.random.Generator:
    """An independent stream of numbers per purpose.

    Every purpose (and day) has its own salt, so that a change in one part of the generator leaves the numbers
    of the others as they were, and no number depends on threads.
    """
    return np.random.default_rng([seed, *salt])


def put_digits(target: Bytes2D, column: int, width: int, values: Ints) -> None:
    """Write `values` (not negative) as `width` zero-padded ASCII digits, from `column` on."""
    rest = values.astype(np.int64, copy=True)
    for offset in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        target[:, column + offset] = digit + _ZERO


def put_text(target: Bytes2D, column: int, texts: list[bytes], width: int, index: Ints) -> None:
    """Write `texts[index]`, right-padded with blanks to `width` bytes."""
    table = np.frombuffer(b"".join(text.ljust(width)[:width] for text in texts), dtype=np.uint8)
    target[:, column : column + width] = table.reshape(len(texts), width)[index]


def luhn_check_digit(digits: Bytes2D) -> Ints:
    """The digit that makes each row of ASCII digits a valid card number (ISO/IEC 7812-1 annex B)."""
    numbers = digits.astype(np.int64) - _ZERO
    # Counted from the right, every second digit doubles, starting next to the check digit.
    doubled = numbers[:, ::-1].copy()
    doubled[:, 0::2] *= 2
    doubled -= 9 * (doubled > 9)
    total: Ints = doubled.sum(axis=1)
    return (10 - total % 10) % 10


def half_up_fee(gross_minor: Ints, rate_centi_bps: Ints, cap_minor: Ints) -> Ints:
    """Fee in minor units: half-up of gross × rate, not above the cap.

    Args:
        gross_minor: Not negative.
        rate_centi_bps: Rate in hundredths of a basis point, so that 52.5 bps is the integer 5250.
        cap_minor: Greatest fee.
    """
    return np.minimum((gross_minor * rate_centi_bps + 500_000) // 1_000_000, cap_minor)


def rank_within(groups: Ints) -> Ints:
    """0-based position of every element among the elements of its group, in the order given."""
    order = np.argsort(groups, kind="stable")
    in_order = groups[order]
    is_first = np.ones(len(groups), dtype=np.bool_)
    is_first[1:] = in_order[1:] != in_order[:-1]
    positions = np.arange(len(groups), dtype=np.int64)
    starts = np.maximum.accumulate(np.where(is_first, positions, 0))
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = positions - starts
    return ranks
