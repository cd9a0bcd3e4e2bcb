"""Build tonight's warehouse: schemas `raw` and `opening` as views over Parquet, as dbt declares them."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from posrecon.banking_calendar import calendar_table
from posrecon.errors import NightError
from posrecon.files import written_aside
from posrecon.settings import Settings
from posrecon.warehouse.connection import connect
from posrecon.warehouse.declarations import Table, source_tables
from posrecon.warehouse.manifests import previous_night, published_nights
from posrecon.warehouse.sql import identifier, read_parquet

# Reference data stays in force until a newer file arrives; all else is tonight's.
REFERENCE_TABLES = frozenset({"merchants", "acquirer_merchants", "terminals", "fee_schedule"})


def expose(settings: Settings, run_date: date) -> None:
    """Make an empty warehouse whose only content are the doors `raw` and `opening` of this night.

    The file is built aside and renamed: whatever an interrupted night left behind is gone, and nothing of
    another night can be read. Only files that tonight's registry calls loaded are read, by explicit lists.

    Raises:
        NightError: The registry of the night or a partition that it names is missing or has other columns.
    """
    registry = settings.raw / "files" / f"run_date={run_date}.parquet"
    if not registry.exists():
        raise NightError(
            f"{registry}: the registry of the night {run_date} is missing.",
            next_step="Run the whole night, starting from the step `receive`.",
        )
    previous = previous_night(settings, run_date)
    with written_aside(settings.warehouse) as aside:
        with connect(settings, aside) as warehouse:
            _note_night(warehouse, run_date, previous)
            _expose_raw(warehouse, settings, run_date)
            _expose_opening(warehouse, settings, run_date, previous)
        # A write-ahead log of a killed night must not be replayed into the new file.
        settings.warehouse.with_name(settings.warehouse.name + ".wal").unlink(missing_ok=True)


def exposed_night(warehouse: duckdb.DuckDBPyConnection) -> tuple[date, date | None]:
    """Run date of the night that the open warehouse was built for, and of the night before it."""
    row = warehouse.execute("select run_date, previous_run_date from main.night").fetchone()
    if row is None:
        raise NightError("The warehouse names no night.", next_step="Run the whole night again.")
    return row[0], row[1]


def check_night(warehouse: duckdb.DuckDBPyConnection, run_date: date) -> date | None:
    """Make sure that the warehouse is the one of `run_date`; returns the previous night.

    Raises:
        NightError: It was built for another night.
    """
    exposed, previous = exposed_night(warehouse)
    if exposed != run_date:
        raise NightError(
            f"The warehouse holds the night {exposed}, expected {run_date}.",
            next_step="Run the whole night again; nights share one warehouse and must not be mixed.",
        )
    return previous


def _note_night(warehouse: duckdb.DuckDBPyConnection, run_date: date, previous: date | None) -> None:
    warehouse.execute("create table main.night (run_date date, previous_run_date date)")
    warehouse.execute("insert into main.night values (?, ?)", [run_date, previous])


def _expose_raw(warehouse: duckdb.DuckDBPyConnection, settings: Settings, run_date: date) -> None:
    warehouse.execute("create schema raw")
    tonight = f"run_date={run_date}"
    registries = _registries(settings, until=run_date)
    loaded = _loaded_files(warehouse, registries[-1:])
    for table in source_tables(settings.dbt_dir, "raw"):
        if table.name in ("files", "expected_files", "case_decisions"):
            path = settings.raw / table.name / f"{tonight}.parquet"
            _create_view(warehouse, "raw", table, [path] if path.exists() else [])
        elif table.name == "file_names":
            _create_view(warehouse, "raw", table, registries, where="state = 'loaded'")
        elif table.name == "banking_calendar":
            _create_view(warehouse, "raw", table, [_write_calendar(settings)])
        elif table.name == "quarantined_records":
            _create_view(
                warehouse, "raw", table, _partitions(settings.quarantine / tonight, loaded), may_lack=True
            )
        elif table.name in REFERENCE_TABLES:
            _create_view(
                warehouse, "raw", table, reference_in_force(warehouse, settings, table.name, until=run_date)
            )
        else:
            _create_view(warehouse, "raw", table, _partitions(settings.raw / table.name / tonight, loaded))


def _expose_opening(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, run_date: date, previous: date | None
) -> None:
    warehouse.execute("create schema opening")
    earliest = run_date - timedelta(days=settings.lookback_days)
    for table in source_tables(settings.dbt_dir, "opening"):
        folder = settings.state / table.name
        if table.lookback:
            # Only good nights count: a killed one may have left a state that no manifest stands for.
            nights = [night for night in published_nights(settings) if earliest <= night < run_date]
        else:
            nights = [previous] if previous is not None else []
        paths = [path for night in nights if (path := folder / f"run_date={night}.parquet").exists()]
        _create_view(warehouse, "opening", table, paths)


def _create_view(
    warehouse: duckdb.DuckDBPyConnection,
    schema: str,
    table: Table,
    paths: Sequence[Path],
    *,
    where: str = "true",
    may_lack: bool = False,
) -> None:
    """One view with exactly the declared columns and types; no rows when there is no file.

    When the files `may_lack` a column, it is null: layouts keep more or less of what they refuse.
    """
    target = f"{schema}.{identifier(table.name)}"
    columns = ", ".join(f"cast(null as {c.data_type}) as {identifier(c.name)}" for c in table.columns)
    if not paths:
        warehouse.execute(f"create view {target} as select {columns} where false")
        return
    source = read_parquet(paths, union_by_name=may_lack or len(paths) > 1)
    if may_lack:
        source = f"(select {columns} where false union all by name select * from {source})"
    try:
        warehouse.execute(f"create view {target} as select {table.projection} from {source} where {where}")
    except duckdb.Error as error:
        raise NightError(
            f"{paths[0]}: {target} cannot be read as declared: {str(error).splitlines()[0]}",
            next_step=f"Rebuild the partition: posrecon replay --from {_date_of(paths[0])}.",
        ) from error


def _registries(settings: Settings, *, until: date) -> list[Path]:
    """Registries (`raw.files`) of all nights up to and including `until`, oldest first."""
    paths = (settings.raw / "files").glob("run_date=*.parquet")
    return sorted(path for path in paths if _date_of(path) <= until)


def _loaded_files(warehouse: duckdb.DuckDBPyConnection, registries: Sequence[Path]) -> list[str]:
    """Ids of the loaded files of these registries, by file number."""
    rows = warehouse.execute(
        f"select file_id from {read_parquet(registries)} where state = 'loaded' order by file_no"
    ).fetchall()
    return [row[0] for row in rows]


def _partitions(folder: Path, file_ids: Sequence[str]) -> list[Path]:
    return [path for file_id in file_ids if (path := folder / f"{file_id}.parquet").exists()]


def reference_in_force(
    connection: duckdb.DuckDBPyConnection, settings: Settings, dataset: str, *, until: date
) -> list[Path]:
    """The partition of the reference list that arrived last and was loaded, up to a night; none if there is none."""
    for registry in reversed(_registries(settings, until=until)):
        folder = settings.raw / dataset / f"run_date={_date_of(registry)}"
        if folder.is_dir():
            found = _partitions(folder, _loaded_files(connection, [registry]))
            if found:
                return found[-1:]
    return []


def _write_calendar(settings: Settings) -> Path:
    """The calendar as Parquet; rewritten each night: a new release knows more holidays."""
    path = settings.raw / "banking_calendar.parquet"
    with written_aside(path) as aside:
        pq.write_table(calendar_table(), aside)
    return path


def _date_of(path: Path) -> date:
    """The night in a partition's path: run_date=D as folder or as file name."""
    for part in reversed(path.parts):
        if part.startswith("run_date="):
            return date.fromisoformat(part.removeprefix("run_date=").removesuffix(".parquet"))
    raise ValueError(f"{path} names no run_date")
