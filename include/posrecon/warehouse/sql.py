"""Small, safe pieces of SQL text: quoted names, literals and lists of files."""

from collections.abc import Iterable
from pathlib import Path


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def file_list(paths: Iterable[Path]) -> str:
    """A DuckDB list of file names, in the order given, so that no glob can pick up a stray file."""
    return "[" + ", ".join(literal(str(path)) for path in paths) + "]"


def read_parquet(paths: Iterable[Path], *, union_by_name: bool = False) -> str:
    """A table function over explicit Parquet files.

    Folder names such as run_date=… are never taken for columns: the files carry their own.

    Args:
        paths: At least one file.
        union_by_name: True when the files may differ in columns; costs one footer read per file.
    """
    options = ", hive_partitioning = false" + (", union_by_name = true" if union_by_name else "")
    return f"read_parquet({file_list(paths)}{options})"
