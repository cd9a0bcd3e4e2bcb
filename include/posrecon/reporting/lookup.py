"""Questions to the published tables: nights, files, breaks. Never opens the warehouse."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import duckdb

from posrecon.errors import UsageError
from posrecon.settings import Settings
from posrecon.warehouse.confidential import restricted_database
from posrecon.warehouse.connection import connect
from posrecon.warehouse.manifests import held_nights, published_nights, read_manifest, reader_database

Row = dict[str, Any]


@contextmanager
def open_published(settings: Settings, *, is_whole: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open what readers see, read-only.

    Args:
        settings: Where state lives.
        is_whole: Open what the authorised role sees: nothing is masked.

    Raises:
        UsageError: Nothing has been published yet, or the home was moved since.
    """
    path = restricted_database(settings) if is_whole else reader_database(settings)
    if not path.exists():
        raise UsageError(
            f"{path}: nothing is published yet.",
            next_step="Run a night first: posrecon night --date YYYY-MM-DD, or set POSRECON_HOME.",
        )
    with connect(settings, path, read_only=True) as published:
        published.execute("use posrecon.marts")
        try:
            yield published
        except duckdb.IOException as error:
            # A view names its files by absolute path.
            raise UsageError(
                f"{path}: a published file is not where its view says: {str(error).splitlines()[0]}",
                next_step="If this home was moved: posrecon relocate.",
            ) from error


def rows_of(
    published: duckdb.DuckDBPyConnection, query: str, values: list[Any] | dict[str, Any] | None = None
) -> list[Row]:
    """Run a query; rows as dictionaries in column order."""
    result = published.execute(query, values or [])
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def nights(settings: Settings) -> list[Row]:
    """One row per night, from the manifests; nights that began and are not published are `unfinished`."""
    rows: list[Row] = []
    for run_date in published_nights(settings):
        manifest = read_manifest(settings, run_date)
        figures = manifest.summary
        rows.append(
            {
                "run_date": run_date,
                "state": "published",
                "files": sum(figures["files"].values()),
                "file_problems": len(figures["file_problems"]),
                "events": figures["events"],
                "lines": figures["lines"],
                **figures["states"],
                "breaks_opened": sum(row["opened_tonight"] for row in figures["breaks"]),
                "breaks_open": sum(row["open"] for row in figures["breaks"]),
                "candidates": sum(row["candidates"] for row in figures["candidates"]),
                "explained_pct": figures["explained"]["pct"],
            }
        )
    known = {row["run_date"] for row in rows}
    for run_date in held_nights(settings):
        if run_date not in known:
            folder = settings.archive / "receipts" / f"run_date={run_date}"
            names = list(rows[0]) if rows else ["run_date", "state", "files"]
            unfinished = dict.fromkeys(names) | {
                "run_date": run_date,
                "state": "unfinished",
                "files": sum(1 for _ in folder.glob("[0-9]*.json")),
            }
            rows.append(unfinished)
    return sorted(rows, key=lambda row: row["run_date"])


def files(
    settings: Settings, *, run_date: date | None, state: str | None, source: str | None, limit: int
) -> tuple[list[Row], int]:
    """Files that came or were missed, newest night first; and how many there are in all."""
    where, values = _where({"run_date": run_date, "state": state, "source": source})
    order = "run_date desc, source, logical_name, file_name, file_id"
    return _page(settings, "fct_files", where, values, order, limit)


def breaks(
    settings: Settings,
    *,
    break_type: str | None,
    status: str | None,
    merchant: str | None,
    since: date | None,
    limit: int,
) -> tuple[list[Row], int]:
    """Breaks, the most money at risk first; and how many there are in all.

    Raises:
        UsageError: There is no such break type.
    """
    where, values = _where({"break_type": break_type, "status": status, "merchant_id": merchant})
    if since is not None:
        where += " and opened_on >= ?"
        values.append(since)
    rows, total = _page(
        settings, "fct_breaks", where, values, "abs(amount_at_risk_minor) desc, break_id", limit
    )
    if break_type is not None and not total:
        _require_break_type(settings, break_type)
    return rows, total


def _require_break_type(settings: Settings, break_type: str) -> None:
    """A word that is mistyped finds nothing, and that reads like good news."""
    with open_published(settings) as published:
        query = "select break_type from dim_break_types order by 1"
        known = [name for (name,) in published.execute(query).fetchall()]
    if break_type not in known:
        raise UsageError(
            f"There is no break type {break_type}.", next_step=f"Choose one of {', '.join(known)}."
        )


def _where(equal: dict[str, Any]) -> tuple[str, list[Any]]:
    given = {name: value for name, value in equal.items() if value is not None}
    return " and ".join(["true", *(f"{name} = ?" for name in given)]), list(given.values())


def _page(
    settings: Settings, table: str, where: str, values: list[Any], order: str, limit: int
) -> tuple[list[Row], int]:
    with open_published(settings) as published:
        counted = published.execute(f"select count(*) from {table} where {where}", values).fetchall()
        page = f" limit {limit}" if limit else ""
        rows = rows_of(published, f"select * from {table} where {where} order by {order}{page}", values)
    return rows, int(counted[0][0])
