"""House rules that no linter knows: money, clocks, waiting, blanket handlers."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.repository import INCLUDE, at, python_files, tree

CODE = python_files("include", "dags")
MONEY = re.compile(r"(^|_)(minor|amount|gross|net|fee|delta)($|_)")
MONEY_CALLS = {"float", "round"}

# The outermost edges, where a person reads a sentence instead of a traceback.
MAY_CATCH_EVERYTHING = {"include/posrecon/cli.py"}

# Where the wall clock may be read: it says when something ran, it decides nothing.
CLOCK = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time"}
MAY_READ_THE_CLOCK: dict[str, str] = {
    "include/posrecon/audit/log.py": "when a record was written; the log is no result, and nothing is computed from it",
    "include/posrecon/cli.py": "when a person decided about a file; no table shows it",
    "include/posrecon/airflow_adapter.py": "how long a night waits for files; what it received is in its receipts",
    "include/posrecon/cli_sources.py": "the pause between two looks at an upload",
    "include/posrecon/warehouse/publish.py": "the age of leftovers that a killed night made; no table depends on it",
    "include/posrecon/cli_cases.py": "when a person acted is a fact about the act, kept in the history of the case",
    "include/posrecon/local_airflow.py": "Airflow runs no night whose instant lies in the future; it is refused early",
}


def names_in(node: ast.AST) -> set[str]:
    """Every variable and attribute that an expression mentions."""
    return {
        child.id if isinstance(child, ast.Name) else child.attr
        for child in ast.walk(node)
        if isinstance(child, ast.Name | ast.Attribute)
    }


def mentions_money(node: ast.AST) -> bool:
    return any(MONEY.search(name) for name in names_in(node))


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(path.parents[2])))
def test_money__is_never_divided_or_a_float(path: Path) -> None:
    faults = []
    for node in ast.walk(tree(path)):
        divided = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
        if divided and mentions_money(node):
            faults.append(f"{at(path, node.lineno)}: divides money")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in MONEY_CALLS and mentions_money(node):
            faults.append(f"{at(path, node.lineno)}: {ast.unparse(node)}")
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
            if MONEY.search(name) and re.search(r"\bfloat\b", ast.unparse(node.annotation)):
                faults.append(f"{at(path, node.lineno)}: {name} is a float")
    assert faults == []


def test_sql_in_python__casts_nothing_to_a_float() -> None:
    cast = re.compile(r"::\s*(double|float|real)\b|\bas\s+(double|float|real)\b", re.IGNORECASE)
    faults = [
        at(path, node.lineno)
        for path in CODE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and cast.search(node.value)
    ]
    assert faults == []


def test_code__waits_for_conditions_not_for_seconds() -> None:
    faults = [
        at(path, node.lineno)
        for path in CODE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep", "asyncio.sleep"}
    ]
    assert faults == []


def test_code__catches_everything_only_to_raise_again() -> None:
    faults = []
    for path in CODE:
        if str(path.relative_to(INCLUDE.parent)) in MAY_CATCH_EVERYTHING:
            continue
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = "" if node.type is None else ast.unparse(node.type)
            broad = node.type is None or re.search(r"\b(Base)?Exception\b", caught) is not None
            if broad and not isinstance(node.body[-1], ast.Raise):
                faults.append(at(path, node.lineno))
    assert faults == []


def test_code__reads_no_wall_clock_that_could_reach_a_result() -> None:
    readers = {
        str(path.relative_to(INCLUDE.parent))
        for path in CODE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and any(ast.unparse(node.func).endswith(clock) for clock in CLOCK)
    }
    assert readers - MAY_READ_THE_CLOCK.keys() == set()
    assert MAY_READ_THE_CLOCK.keys() - readers == set(), "no longer reads the clock: take it off the list"


def test_patches__touch_no_private_name_of_another_package() -> None:
    """A library may rename what starts with an underscore in any release."""
    faults = []
    for path in CODE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("posrecon"):
                private = [
                    part for part in node.module.split(".") if part.startswith("_") and part != "__future__"
                ]
                private += [alias.name for alias in node.names if alias.name.startswith("_")]
                faults += [f"{at(path, node.lineno)}: {name}" for name in private]
    assert faults == []
