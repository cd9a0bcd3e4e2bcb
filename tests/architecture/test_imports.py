"""Nothing reads to its right: which part of posrecon may import which."""

import ast
from pathlib import Path

import pytest

from tests.architecture.repository import PACKAGE, at, imported, module_name, python_files, tree

FOUNDATION = frozenset(
    {
        "errors", "exports", "money", "pdf", "banking_calendar", "files",
        "redaction",
        "reference_tables", "secrets", "settings", "sources",
    }
)  # fmt: skip

# Left to right, the way a file becomes a dispute. A part imports itself, the foundation, and what is named here.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "formats": frozenset(),
    "audit": frozenset(),
    # The generator shares no code with the parsers: a mistake in both would hide itself.
    "simulate": frozenset(),
    "landing": frozenset({"formats", "audit"}),
    "warehouse": frozenset({"audit"}),
    "transform": frozenset({"warehouse"}),
    "validation": frozenset({"warehouse"}),
    # Cases come after all that is published: they read it, the catalogue, and keep attachments as the archive does.
    "disputes": frozenset({"warehouse", "audit", "validation", "reporting", "landing", "formats"}),
    # A finding is explained with the evidence line as it was received.
    "reporting": frozenset({"warehouse", "landing", "audit"}),
    "publish": frozenset({"warehouse", "reporting"}),
    # What is proven with the log: from received files to published figures.
    "proof": frozenset({"audit", "landing", "warehouse", "validation", "reporting", "publish"}),
}
# These walk the others; nothing that they walk imports them.
WALKERS = frozenset(
    {
        "night",
        "replay",
        "cli",
        "cli_audit",
        "cli_cases",
        "cli_retention",
        "cli_sources",
        "orchestration",
        "local_airflow",
        "airflow_adapter",
        "console",
    }
)
AIRFLOW_ADAPTERS = frozenset({"airflow_adapter"})


# Modules that stand elsewhere in the order than the folder they live in.
PLACED = {
    # What a feed looks like: data that landing and formats both read.
    "posrecon.landing.sources": "sources",
    "posrecon.landing.tables": "sources",
    "posrecon.landing.transport": "sources",
    # The last step of a night, though it writes beside the warehouse.
    "posrecon.warehouse.publish": "publish",
}


def part_of(name: str) -> str:
    """`posrecon.landing.receive` → `landing`; the package itself is ''."""
    for module, place in PLACED.items():
        if name == module or name.startswith(f"{module}."):
            return place
    return name.split(".")[1] if "." in name else ""


def own_imports(path: Path) -> set[str]:
    return {name for name in imported(path) if name == "posrecon" or name.startswith("posrecon.")}


PACKAGE_FILES = python_files("include/posrecon")


def test_every_part__has_its_place_in_the_order() -> None:
    parts = {part_of(module_name(path)) for path in PACKAGE_FILES} - {""}
    assert parts - FOUNDATION - MAY_IMPORT.keys() - WALKERS == set()


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=module_name)
def test_module__imports_only_what_stands_to_its_left(path: Path) -> None:
    part = part_of(module_name(path))
    if part in WALKERS or part == "":
        allowed = FOUNDATION | MAY_IMPORT.keys() | WALKERS
    elif part in FOUNDATION:
        allowed = FOUNDATION
    else:
        allowed = FOUNDATION | MAY_IMPORT[part] | {part}
    reaches = {part_of(name) for name in own_imports(path)} - {""}
    assert reaches <= allowed, f"{path.relative_to(PACKAGE)} reads to its right: {sorted(reaches - allowed)}"


def test_imports__are_absolute() -> None:
    relative = [str(path) for path in PACKAGE_FILES if any(name.startswith(".") for name in imported(path))]
    assert relative == []


def test_airflow__is_imported_by_its_adapter_alone() -> None:
    importers = {
        part_of(module_name(path))
        for path in PACKAGE_FILES
        if any(name.split(".")[0] == "airflow" for name in imported(path))
    }
    assert importers <= AIRFLOW_ADAPTERS


# Import seconds: Great Expectations 10, dbt 5. A scheduler parses DAG files every minute.
HEAVY = frozenset(
    {"great_expectations", "dbt", "duckdb", "pandas", "pyarrow", "polars", "numpy", "sqlalchemy"}
)


@pytest.mark.parametrize("path", python_files("dags"), ids=lambda path: path.name)
def test_dag_file__imports_nothing_heavy_at_the_top(path: Path) -> None:
    top = {name.split(".")[0] for name in imported(path, nested=False)}
    assert top & HEAVY == set()


@pytest.mark.parametrize("path", python_files("dags"), ids=lambda path: path.name)
def test_dag_file__reads_no_file_and_no_environment_at_the_top(path: Path) -> None:
    calls = [
        at(path, node.lineno)
        for statement in tree(path).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.With)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in {"open", "os.getenv", "os.environ.get", "Settings", "Variable.get", "datetime.now"}
    ]
    assert calls == []


def test_heavy_libraries__are_imported_where_they_are_used() -> None:
    """The command line and Airflow load every module; only the step that needs GX or dbt pays for it."""
    early = [
        f"{module_name(path)}: {name}"
        for path in PACKAGE_FILES
        if part_of(module_name(path)) in WALKERS | FOUNDATION
        for name in imported(path, nested=False)
        if name.split(".")[0] in {"great_expectations", "dbt", "pandas"}
    ]
    assert early == []
