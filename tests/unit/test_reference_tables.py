"""Dated reference tables: what holds on a day, and the fault that names file and line."""

from datetime import date
from pathlib import Path

import pytest

from posrecon.errors import UsageError
from posrecon.reference_tables import Column, TableSpec, in_force, read_table

SPEC = TableSpec("limits", (Column("name"), Column("days", "int", minimum=0)), key=("name",))
HEADER = "name,days,effective_from,effective_to\n"


def table(folder: Path, *lines: str, header: str = HEADER) -> Path:
    (folder / "limits.csv").write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def test_rows__in_force__both_ends_are_inclusive(tmp_path: Path) -> None:
    rows = read_table(table(tmp_path, "a,1,2026-01-01,2026-06-30", "a,2,2026-07-01,"), SPEC)
    held = {
        day: [row.values["days"] for row in in_force(rows, date.fromisoformat(day))]
        for day in ("2025-12-31", "2026-01-01", "2026-06-30", "2026-07-01", "2099-01-01")
    }
    assert held == {
        "2025-12-31": [], "2026-01-01": [1], "2026-06-30": [1], "2026-07-01": [2], "2099-01-01": [2],
    }  # fmt: skip
    assert [row.line_no for row in rows] == [2, 3]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("a,1,2026-01-01,2026-07-01", "a,2,2026-07-01,"),
            "line 3 overlaps line 2: both hold from 2026-07-01 to 2026",
        ),
        (("a,2,2026-07-01,", "b,1,2026-01-01,", "a,1,2026-01-01,"), "line 4 overlaps line 2: .* for name a"),
        (("a,1,2026-07-01,2026-01-01",), "line 2: ends on 2026-01-01, before it starts"),
        (("a,-1,2026-07-01,",), 'line 2: days is "-1", expected at least 0'),
        (("a,one,2026-07-01,",), 'line 2: days is "one", expected a whole number'),
        (("a,1,01.07.2026,",), "line 2: effective_from is .*expected a date"),
        (("a,1,,",), "line 2: effective_from is empty"),
        (("a,1,2026-07-01,,more",), "line 2: has more cells"),
    ],
)
def test_table__that_contradicts_itself__is_refused_with_file_and_line(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=rf"limits\.csv: {message}"):
        read_table(table(tmp_path, *lines), SPEC)


def test_table__without_its_columns_or_file__is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"limits\.csv: line 1: the columns are name, days, expected"):
        read_table(table(tmp_path, header="name,days\n"), SPEC)
    with pytest.raises(UsageError, match=r"limits\.csv: cannot be read: No such file"):
        read_table(tmp_path / "elsewhere", SPEC)
