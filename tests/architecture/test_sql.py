"""House rules for SQL that sqlfluff does not know."""

import re
from pathlib import Path

import pytest

from tests.architecture.repository import DBT, ROOT, at, bare_sql, sql_files

FILES = sql_files()
# The one place that divides: half-up rounding in integers, on a product that is not money yet.
MAY_DIVIDE = {"dbt_project/macros/fees.sql", "dbt_project/macros/dialect.sql"}


def hits(path: Path, pattern: str) -> list[str]:
    """`file:line` of every match in the file's SQL, comments and strings apart."""
    text = bare_sql(path.read_text(encoding="utf-8"))
    return [at(path, text.count("\n", 0, hit.start()) + 1) for hit in re.finditer(pattern, text)]


def without_templates(path: Path) -> str:
    text = bare_sql(path.read_text(encoding="utf-8"))
    return re.sub(r"\{[{%].*?[}%]\}", lambda hit: " " + "\n" * hit.group().count("\n"), text, flags=re.DOTALL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DBT)))
def test_sql__compares_with_is_distinct_from(path: Path) -> None:
    """`!=` is null, so neither true nor false, when a side is null: the difference would pass unseen."""
    text = without_templates(path)
    found = [at(path, text.count("\n", 0, hit.start()) + 1) for hit in re.finditer(r"!=|<>", text)]
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DBT)))
def test_sql__divides_nothing(path: Path) -> None:
    if str(path.relative_to(ROOT)) in MAY_DIVIDE:
        return
    text = without_templates(path)
    found = [at(path, text.count("\n", 0, hit.start()) + 1) for hit in re.finditer(r"/", text)]
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DBT)))
def test_sql__holds_no_float(path: Path) -> None:
    assert hits(path, r"\b(double|float|real)\b") == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DBT)))
def test_sql__numbers_and_limits_rows_only_in_an_order(path: Path) -> None:
    text = without_templates(path)
    faults = []
    ordered = (
        r"\b(?:row_number|rank|dense_rank|lag|lead|first_value|last_value|ntile)\s*\([^()]*\)\s*over\s*\("
    )
    for hit in re.finditer(ordered, text):
        depth, end = 1, hit.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if "order by" not in text[hit.end() : end]:
            faults.append(at(path, text.count("\n", 0, hit.start()) + 1))
    faults += [
        at(path, text.count("\n", 0, hit.start()) + 1)
        for hit in re.finditer(r"\blimit\s+\d", text)
        if "order by" not in text[: hit.start()]
    ]
    assert faults == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DBT)))
def test_sql__reads_no_clock_and_draws_no_lots(path: Path) -> None:
    clock = r"\b(?:now|current_timestamp|current_date|today|random|uuid|gen_random_uuid)\b\s*(?:\(|,|$|\s)"
    text = without_templates(path)
    found = [at(path, text.count("\n", 0, hit.start()) + 1) for hit in re.finditer(clock, text)]
    assert found == []


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.is_relative_to(DBT / "models")],
    ids=lambda path: str(path.relative_to(DBT)),
)
def test_model__opens_with_its_grain(path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("\n\n", 1)[0]
    assert re.search(r"^-- Grain: \S", head, flags=re.MULTILINE), (
        "the first comment says: -- Grain: one row per …"
    )
