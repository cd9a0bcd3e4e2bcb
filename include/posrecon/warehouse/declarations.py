"""What the dbt project declares about its doors: source columns and types, order of the published tables."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from posrecon.errors import NightError
from posrecon.warehouse.sql import identifier

# The parser in C reads the project's YAML in a tenth of the time; a build of PyYAML without it still works.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Column:
    """A declared column: its name and DuckDB type."""

    name: str
    data_type: str


@dataclass(frozen=True)
class Table:
    """A table of a dbt source.

    Attributes:
        name: Name in its schema.
        columns: In declared order.
        order_by: Columns of the total order in which its rows are written.
        lookback: True when every night within the look-back feeds it, not only the previous one.
    """

    name: str
    columns: tuple[Column, ...]
    order_by: tuple[str, ...]
    lookback: bool

    @property
    def projection(self) -> str:
        """Select list of exactly the declared columns, each cast to its declared type."""
        return ", ".join(
            f"cast({identifier(column.name)} as {column.data_type}) as {identifier(column.name)}"
            for column in self.columns
        )


@lru_cache(maxsize=8)
def source_tables(dbt_dir: Path, source: str) -> tuple[Table, ...]:
    """The tables of one dbt source, in declared order.

    Raises:
        NightError: The source is not declared.
    """
    for _, content in _documents(dbt_dir):
        for entry in content.get("sources", []):
            if entry["name"] == source:
                return tuple(_table(table) for table in entry["tables"])
    raise NightError(
        f"{dbt_dir / 'models'}: source {source!r} is not declared in any YAML file.",
        next_step="Restore the file from the repository.",
    )


@lru_cache(maxsize=8)
def model_order(dbt_dir: Path) -> dict[str, tuple[str, ...]]:
    """The declared row order (`meta.order_by`) of every model that has one."""
    orders: dict[str, tuple[str, ...]] = {}
    for _, content in _documents(dbt_dir):
        for model in content.get("models", []):
            order = _meta(model).get("order_by")
            if order:
                orders[model["name"]] = tuple(order)
    return orders


@lru_cache(maxsize=8)
def _documents(dbt_dir: Path) -> list[tuple[Path, dict[str, Any]]]:
    paths = sorted([*dbt_dir.glob("models/**/*.yml"), *dbt_dir.glob("models/**/*.yaml")])
    texts = ((path, path.read_text(encoding="utf-8")) for path in paths)
    return [(path, yaml.load(text, Loader=_LOADER) or {}) for path, text in texts]  # noqa: S506 both are safe


def _meta(entry: dict[str, Any]) -> dict[str, Any]:
    """Read `meta`, which dbt accepts beside the name or under `config`; both count, `config` last."""
    return {**entry.get("meta", {}), **entry.get("config", {}).get("meta", {})}


def _table(entry: dict[str, Any]) -> Table:
    meta = _meta(entry)
    columns = tuple(Column(column["name"], column["data_type"]) for column in entry.get("columns", []))
    return Table(
        name=entry["name"],
        columns=columns,
        order_by=tuple(meta.get("order_by", ())),
        lookback=bool(meta.get("lookback", False)),
    )
