"""One business day while it is being drawn: its primaries, and everything that follows from them."""

from dataclasses import dataclass, field

import numpy as np

from posrecon.simulate.numbers import Bools, Ints, luhn_check_digit, put_digits
from posrecon.simulate.population import Population

DAY_S = 86_400
CUT_OFF_S = 23 * 3600

BINS = (621081, 622202, 622848, 621700, 625910, 628888, 622588, 623058)
BIN_LENGTHS = (19, 19, 19, 19, 16, 16, 16, 16)
BIN_IS_CREDIT = (0, 0, 0, 0, 1, 1, 1, 0)

# What a column holds unless the event is a special one; -1 refers to nothing.
DEFAULTS = {
    "original": -1, "cancelled": 0, "fault": 0, "form": 0, "line_shift_s": 0, "rrn_of": -1, "twin_of": -1,
    "currency": 0, "group": -1,
}  # fmt: skip
_REFERENCES = ("original", "rrn_of", "twin_of")


def check_digits(bins: Ints, account_no: Ints) -> Ints:
    """Check digits of card numbers: BIN, account digits, check digit."""
    check = np.empty(len(bins), dtype=np.int64)
    for length in sorted(set(BIN_LENGTHS)):
        rows = np.flatnonzero(np.array(BIN_LENGTHS)[bins] == length)
        digits = np.empty((len(rows), length - 1), dtype=np.uint8)
        put_digits(digits, 0, 6, np.array(BINS, dtype=np.int64)[bins[rows]])
        put_digits(digits, 6, length - 7, account_no[rows])
        check[rows] = luhn_check_digit(digits)
    return check


def of_earlier_day(index: Ints) -> Ints:
    """Write a reference to an event of an earlier day, so that it is told from one within the day."""
    return -2 - index


@dataclass
class Draft:
    """Columns of one day. Primaries have positions 0…rows - 1, what is added gets those after them.

    Attributes:
        columns: Primaries, one array per column; may be changed in place.
        shuffled: Positions that may be taken, in random order.
        free: Per primary, not taken yet.
        first_group: Number of the day's first group of interchangeable candidates.
    """

    population: Population
    rng: np.random.Generator
    columns: dict[str, Ints]
    shuffled: Ints
    free: Bools
    first_group: int
    _added: list[dict[str, Ints]] = field(default_factory=list)
    _count_added: int = 0
    _groups: int = 0

    @property
    def rows(self) -> int:
        """Number of primaries."""
        return len(self.free)

    def take(self, wanted: int, condition: Bools) -> Ints:
        """The first `wanted` still free primaries that satisfy the condition, in shuffled order."""
        candidates = self.shuffled[(condition & self.free)[self.shuffled]][: max(wanted, 0)]
        self.free[candidates] = False
        return candidates

    def add(self, bases: Ints, **changes: Ints | int) -> Ints:
        """Add one event per primary in `bases`, equal to it but for `changes`; returns their positions.

        References, faults and the like start from their defaults. A time past midnight becomes the last second.
        """
        added = {
            name: np.full(len(bases), DEFAULTS[name], dtype=np.int64) if name in DEFAULTS else column[bases]
            for name, column in self.columns.items()
        }
        for name, value in changes.items():
            added[name] = np.broadcast_to(np.asarray(value, dtype=np.int64), (len(bases),)).copy()
        return self.add_columns(added)

    def add_columns(self, added: dict[str, Ints]) -> Ints:
        """Add events column by column; returns their positions."""
        added["second"] = np.minimum(added["second"], DAY_S - 1)
        count = len(added["second"])
        self._added.append(added)
        begin = self.rows + self._count_added
        self._count_added += count
        return np.arange(begin, begin + count, dtype=np.int64)

    def after(self, bases: Ints, low_s: int, high_s: int) -> Ints:
        """Times of day from low_s to below high_s after those of `bases`."""
        return self.columns["second"][bases] + self.rng.integers(low_s, high_s, len(bases))

    def new_groups(self, count: int) -> Ints:
        """Numbers for `count` groups, unique over all days."""
        begin = self.first_group + self._groups
        self._groups += count
        return np.arange(begin, begin + count, dtype=np.int64)

    def finish(self, first: int, droppable: Bools) -> tuple[dict[str, Ints], Ints]:
        """Leave out as many free droppable primaries as were added, and number what is left.

        Args:
            first: Events of all earlier days.
            droppable: Per primary.

        Returns:
            The day's columns, with references as indices over all days, and the index within the day per position
            (meaningless for what was left out).
        """
        keep = np.ones(self.rows + self._count_added, dtype=np.bool_)
        keep[self.take(self._count_added, droppable)] = False
        new_index = np.cumsum(keep) - 1
        columns = {
            name: np.concatenate([column, *(added[name] for added in self._added)])[keep]
            for name, column in self.columns.items()
        }
        for name in _REFERENCES:
            column = columns[name]
            columns[name] = np.where(
                column >= 0,
                first + new_index[np.maximum(column, 0)],
                np.where(column < -1, -2 - column, -1),
            )
        return columns, new_index
