"""The checkout as the architecture tests see it: tracked files, parsed Python, SQL without comments."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
PACKAGE = INCLUDE / "posrecon"
DBT = ROOT / "dbt_project"


@cache
def tracked_files() -> tuple[str, ...]:
    """Paths that git tracks or would track, relative to the root."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = (name for name in done.stdout.split("\0") if name)
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


@cache
def python_files(*folders: str) -> tuple[Path, ...]:
    """Tracked Python files under the folders."""
    return tuple(
        ROOT / name
        for name in tracked_files()
        if name.endswith(".py") and any(name.startswith(f"{folder}/") for folder in folders)
    )


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """`include/posrecon/landing/receive.py` → `posrecon.landing.receive`."""
    parts = path.relative_to(INCLUDE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, *, nested: bool = True) -> set[str]:
    """Full names of the modules that a file imports.

    Args:
        path: The Python file.
        nested: Also what functions import when they are called.
    """
    names: set[str] = set()
    module = tree(path)
    for node in ast.walk(module) if nested else module.body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@cache
def sql_files() -> tuple[Path, ...]:
    """Tracked SQL of the dbt project: models, tests, macros."""
    return tuple(
        ROOT / name for name in tracked_files() if name.startswith("dbt_project/") and name.endswith(".sql")
    )


def bare_sql(text: str) -> str:
    """SQL in lower case without comments, string contents and template tags; line numbers are kept."""
    for pattern, keep in (
        (r"\{#.*?#\}", ""),
        (r"/\*.*?\*/", ""),
        (r"--[^\n]*", ""),
        (r"'(?:[^']|'')*'", "''"),
    ):
        text = re.sub(
            pattern, lambda hit, keep=keep: keep + "\n" * hit.group().count("\n"), text, flags=re.DOTALL
        )
    return text.lower()


def at(path: Path, line: int) -> str:
    """`path:line`, relative to the root, for messages."""
    return f"{path.relative_to(ROOT)}:{line}"
