"""Dated reference tables: small reviewed CSV files whose rows each hold for a span of days.

A row holds from `effective_from` to `effective_to`, both inclusive; an empty end means until further notice. Two rows
of one key may not hold on the same day: nobody could say which of them decides. Every fault names file and line.
"""

import csv
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from posrecon.errors import UsageError

FOREVER = date.max


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: As in the header.
        kind: text, int or date.
        required: Whether a row without it is refused.
        choices: The words that are allowed; empty = any.
        minimum: Least value of an int.
    """

    name: str
    kind: str = "text"
    required: bool = True
    choices: tuple[str, ...] = ()
    minimum: int | None = None


@dataclass(frozen=True)
class TableSpec:
    """What a table looks like.

    Attributes:
        name: Its file is `<name>.csv`.
        columns: In file order, without the two dates.
        key: Columns of which one value may hold at a time.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns and the span in which a row holds."""
        return (
            *self.columns,
            Column("effective_from", "date"),
            Column("effective_to", "date", required=False),
        )


@dataclass(frozen=True)
class ReferenceRow:
    """One row.

    Attributes:
        line_no: Its physical line in the file.
        values: Typed values by column; an empty cell is None.
    """

    line_no: int
    values: dict[str, Any]

    @property
    def first_day(self) -> date:
        """First day on which it holds."""
        first: date = self.values["effective_from"]
        return first

    @property
    def last_day(self) -> date:
        """Last day on which it holds."""
        last: date | None = self.values["effective_to"]
        return last or FOREVER

    def holds_on(self, day: date) -> bool:
        """Whether it is in force on a day."""
        return self.first_day <= day <= self.last_day


def read_table(folder: Path, spec: TableSpec) -> tuple[ReferenceRow, ...]:
    """Read and check one table.

    Args:
        folder: Holds `<name>.csv` (UTF-8, with a header).
        spec: What it looks like.

    Returns:
        Every row, whatever its dates, in file order.

    Raises:
        UsageError: The file is missing, a cell does not fit its column, or two rows of one key hold on the same day.
            Names file and line.
    """
    path = folder / f"{spec.name}.csv"
    columns = spec.all_columns
    rows: list[ReferenceRow] = []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, restkey="more", strict=True)
            names = [column.name for column in columns]
            if sorted(reader.fieldnames or ()) != sorted(names):
                raise UsageError(
                    f"{path}: line 1: the columns are {', '.join(reader.fieldnames or ()) or 'none'}, "
                    f"expected {', '.join(names)}.",
                    next_step="Correct the header.",
                )
            rows.extend(_row(path, reader.line_num, columns, raw) for raw in reader)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}.", next_step="Put the table there."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no CSV in UTF-8: {error}.", next_step="Correct the file.") from error
    _refuse_overlaps(path, spec, rows)
    return tuple(rows)


def in_force(rows: tuple[ReferenceRow, ...], day: date) -> tuple[ReferenceRow, ...]:
    """The rows that hold on a day."""
    return tuple(row for row in rows if row.holds_on(day))


def _row(path: Path, line_no: int, columns: tuple[Column, ...], raw: dict[str, Any]) -> ReferenceRow:
    if "more" in raw:
        raise UsageError(
            f"{path}: line {line_no}: has more cells than the header has columns.",
            next_step="Put text that holds a comma between double quotes.",
        )
    values = {
        column.name: _value(path, line_no, column, (raw[column.name] or "").strip()) for column in columns
    }
    row = ReferenceRow(line_no, values)
    if row.last_day < row.first_day:
        raise UsageError(
            f"{path}: line {line_no}: ends on {row.last_day}, before it starts on {row.first_day}.",
            next_step="Correct effective_from or effective_to.",
        )
    return row


def _value(path: Path, line_no: int, column: Column, text: str) -> Any:
    wrong = f'{path}: line {line_no}: {column.name} is "{text}", expected '
    if not text:
        if column.required:
            raise UsageError(f"{path}: line {line_no}: {column.name} is empty.", next_step="Fill it in.")
        return None
    if column.choices and text not in column.choices:
        raise UsageError(f"{wrong}{' or '.join(column.choices)}.", next_step="Choose one of them.")
    if column.kind == "text":
        return text
    try:
        value = int(text) if column.kind == "int" else date.fromisoformat(text)
    except ValueError:
        shape = "a whole number" if column.kind == "int" else "a date as YYYY-MM-DD"
        raise UsageError(f"{wrong}{shape}.", next_step="Correct the cell.") from None
    if isinstance(value, int) and column.minimum is not None and value < column.minimum:
        raise UsageError(f"{wrong}at least {column.minimum}.", next_step="Correct the cell.")
    return value


def _refuse_overlaps(path: Path, spec: TableSpec, rows: list[ReferenceRow]) -> None:
    by_key: dict[tuple[Any, ...], list[ReferenceRow]] = {}
    for row in rows:
        by_key.setdefault(tuple(row.values[name] for name in spec.key), []).append(row)
    for key, same in by_key.items():
        ordered = sorted(same, key=lambda row: (row.first_day, row.line_no))
        for before, after in pairwise(ordered):
            if after.first_day <= before.last_day:
                earlier, later = sorted((before.line_no, after.line_no))
                named = ", ".join(f"{name} {value}" for name, value in zip(spec.key, key, strict=True))
                until = min(before.last_day, after.last_day)
                span = f"from {after.first_day}" + (f" to {until}" if until < FOREVER else " on")
                raise UsageError(
                    f"{path}: line {later} overlaps line {earlier}: both hold {span} for {named}.",
                    next_step="End the older row the day before the newer one starts (effective_to).",
                )
