"""Publish a good night: immutable Parquet, state, manifest, then the readers' views."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from posrecon.errors import NightError
from posrecon.files import sha256_of, written_aside
from posrecon.reporting.night_report import write_report
from posrecon.reporting.summary import collect
from posrecon.settings import Settings
from posrecon.warehouse import confidential
from posrecon.warehouse.connection import READER_STORAGE_VERSION, connect
from posrecon.warehouse.declarations import Table, model_order, source_tables
from posrecon.warehouse.expose import check_night
from posrecon.warehouse.manifests import (
    Manifest,
    Partition,
    published_nights,
    read_manifest,
    reader_database,
    removed_files,
    write_manifest,
)
from posrecon.warehouse.revisions import kept_decisions, kept_manifests
from posrecon.warehouse.sql import identifier, literal, read_parquet

# Called with the tables written so far and their total.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class View:
    """One table as readers see it.

    Attributes:
        name: Name in schema `marts`.
        partitions_of: The exported table whose Parquet it reads.
        mode: append = every night; snapshot = the latest night only; latest = what is final, of every
            night, and everything of the latest night.
    """

    name: str
    partitions_of: str
    mode: str


VIEWS = (
    View("fct_reconciliation", "fct_reconciliation_history", "latest"),
    View("fct_reconciliation_history", "fct_reconciliation_history", "append"),
    View("fct_breaks", "fct_breaks", "snapshot"),
    View("fct_break_decisions", "fct_break_decisions", "append"),
    View("dispute_candidates", "dispute_candidates", "snapshot"),
    View("fct_payouts", "fct_payouts", "latest"),
    View("fct_withdrawals", "fct_withdrawals", "latest"),
    View("fct_payout_parts", "fct_payout_parts", "latest"),
    View("fct_match_suggestions", "fct_match_suggestions", "snapshot"),
    View("rpt_daily_control", "rpt_daily_control", "append"),
    View("rpt_terminal_health", "rpt_terminal_health", "latest"),
    View("fct_files", "fct_files", "latest"),
    View("fct_statement_gaps", "fct_statement_gaps", "snapshot"),
    View("dim_merchants", "dim_merchants", "snapshot"),
    View("dim_terminals", "dim_terminals", "snapshot"),
    View("dim_break_types", "dim_break_types", "snapshot"),
)
EXPORTED_TABLES = tuple(dict.fromkeys(view.partitions_of for view in VIEWS))


def publish(
    settings: Settings,
    run_date: date,
    *,
    swap: bool = True,
    on_progress: Progress | None = None,
    before_done: Callable[[Manifest], object] | None = None,
) -> Manifest:
    """Publish the night that the warehouse holds.

    Order matters: Parquet under names of their own content, state, manifest, and the swap of the readers'
    file last. A kill at any point leaves readers on the last good night; running the night again writes the
    same bytes.

    Args:
        settings: Where state lives.
        run_date: The night.
        swap: False while nights are replayed in order, so that readers never travel back in time.
        on_progress: Called as tables are written.
        before_done: Called with the manifest once all that it names is written, and before the manifest is: what
            it writes down is never missing for a night that is done.

    Raises:
        NightError: A table to publish does not exist or lacks a declared column.
    """
    orders = model_order(settings.dbt_dir)
    state_tables = source_tables(settings.dbt_dir, "opening")
    total = len(EXPORTED_TABLES) + len(state_tables)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, total)

    with connect(settings, settings.warehouse, read_only=True) as warehouse:
        previous = check_night(warehouse, run_date)
        summary = collect(warehouse, run_date)
        tables: dict[str, Partition] = {}
        for name in EXPORTED_TABLES:
            tables |= _export(warehouse, settings, run_date, name, orders.get(name, ()))
            tick()
        state = {}
        for table in state_tables:
            state[table.name] = _export_state(warehouse, settings, run_date, table)
            tick()
    manifest = Manifest(run_date, previous, tables, state, summary)
    if before_done is not None:
        before_done(manifest)
    write_manifest(settings, manifest)
    write_report(settings, run_date, summary, manifest.digest())
    if swap:
        swap_views(settings)
    return manifest


def swap_views(settings: Settings) -> None:
    """Rebuild the readers' databases from all manifests and put each in place by one rename.

    Readers that hold the old file keep a whole, unchanged view: neither it nor the Parquet that it names is
    touched. Schema `marts` is what is believed now; `before_decision_N` is what readers saw until decision N about
    a file rebuilt the nights that it touched. The database of the authorised role shows the same with nothing masked.
    """
    manifests = [read_manifest(settings, night) for night in published_nights(settings)]
    schemas = {"marts": manifests} | {
        f"before_decision_{decision_no}": list(kept_manifests(settings, decision_no))
        for decision_no in kept_decisions(settings)
    }
    confidential.make_folder(settings)
    _write_views(settings, confidential.restricted_database(settings), schemas, is_whole=True)
    _write_views(settings, reader_database(settings), schemas, is_whole=False)


def _write_views(
    settings: Settings, database: Path, schemas: Mapping[str, Sequence[Manifest]], *, is_whole: bool
) -> None:
    with written_aside(database) as aside, connect(settings) as builder:
        builder.execute(
            f"attach {literal(str(aside))} as reader (storage_version {literal(READER_STORAGE_VERSION)})"
        )
        # A view is bound in the database that is current, and must not name the one that builds it.
        builder.execute("use reader")
        for schema, shown in schemas.items():
            builder.execute(f"create schema {identifier(schema)}")
            for view in VIEWS:
                _create_view(builder, settings, schema, view, shown, is_whole=is_whole)
        builder.execute("use memory")
        builder.execute("detach reader")


def _create_view(
    builder: duckdb.DuckDBPyConnection,
    settings: Settings,
    schema: str,
    view: View,
    manifests: Sequence[Manifest],
    *,
    is_whole: bool,
) -> None:
    sql = _view_sql(settings, view, manifests, is_whole=is_whole)
    if sql is None:
        return
    name = f"{identifier(schema)}.{identifier(view.name)}"
    try:
        builder.execute(f"create view {name} as {sql}")
    except duckdb.IOException as error:
        raise NightError(
            f"{schema}.{view.name}: a published file is not there: {str(error).splitlines()[0]}",
            next_step=f"Rebuild it from the archive: posrecon replay --from {manifests[0].run_date}.",
        ) from error


def sweep(settings: Settings, keep_days: int) -> list[Path]:
    """Remove published Parquet that no manifest names any more, and leftovers of killed processes.

    Readers may still hold a superseded file, so only what has not changed for `keep_days` days goes. This
    looks at the wall clock; no result depends on what it removes.

    Returns:
        The files removed, in order.
    """
    manifests = [read_manifest(settings, night) for night in published_nights(settings)]
    for decision_no in kept_decisions(settings):
        manifests += kept_manifests(settings, decision_no)
    named = {settings.published / part.file for m in manifests for part in m.tables.values()}
    horizon = time.time() - keep_days * 86_400
    tables = (settings.published / "tables", settings.published / confidential.FOLDER / "tables")
    candidates = [p for folder in tables for p in folder.glob("*/*/*.parquet") if p not in named]
    for folder in (settings.published, settings.raw, settings.state, settings.quarantine):
        candidates += folder.rglob(".*.tmp")
    candidates += settings.home.glob(".*.tmp")
    removed = []
    for path in sorted(set(candidates)):
        if path.stat().st_mtime < horizon:
            path.unlink()
            removed.append(path)
    return removed


def _export(
    warehouse: duckdb.DuckDBPyConnection,
    settings: Settings,
    run_date: date,
    name: str,
    order: Sequence[str],
) -> dict[str, Partition]:
    """Write one mart as the partition of this night; what is confidential in it apart. By name in the manifest."""
    columns = _columns(warehouse, "marts", name)
    masks = confidential.masks_of(name, columns)
    relation = f"marts.{identifier(name)}"
    shown = confidential.masked(relation, masks)
    written = {name: _write(warehouse, settings, f"tables/{name}/run_date={run_date}", shown, order, columns)}
    if masks:
        confidential.make_folder(settings)
        key = confidential.CONFIDENTIAL[name].key
        whole = confidential.whole_values(name, relation, masks)
        place = f"{confidential.FOLDER}/tables/{name}/run_date={run_date}"
        written[confidential.partition_name(name)] = _write(
            warehouse, settings, place, whole, key, (*key, *masks)
        )
    return written


def _write(
    warehouse: duckdb.DuckDBPyConnection,
    settings: Settings,
    place: str,
    query: str,
    order: Sequence[str],
    columns: tuple[str, ...],
) -> Partition:
    """Write a query as Parquet named by its own content, in a folder below published/."""
    folder = settings.published / place
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".rows.{os.getpid()}.tmp"
    rows = _copy(warehouse, query, order, aside)
    sha256 = sha256_of(aside)
    target = folder / f"{sha256[:12]}.parquet"
    if target.exists() and sha256_of(target) == sha256:
        aside.unlink()  # the same bytes again: readers may have it open
    else:
        aside.replace(target)
    return Partition(str(target.relative_to(settings.published)), rows, sha256, columns)


def _export_state(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, run_date: date, table: Table
) -> str:
    """Write what this night leaves of one opening table; returns the SHA-256 of the file."""
    if table.name == "dispute_candidates":
        schema, relation = "marts", "dispute_candidates"
    else:
        schema, relation = "intermediate", f"int_recon__closing_{table.name}"
    found = _columns(warehouse, schema, relation)
    missing = [column.name for column in table.columns if column.name not in found]
    if missing:
        raise NightError(
            f"{schema}.{relation}: {', '.join(missing)} is declared for opening.{table.name}, not built.",
            next_step="Make the model and models/opening.yml agree.",
        )
    target = settings.state / table.name / f"run_date={run_date}.parquet"
    with written_aside(target) as aside:
        _copy(
            warehouse,
            f"select {table.projection} from {schema}.{identifier(relation)}",
            table.order_by,
            aside,
        )
        return sha256_of(aside)


def _copy(warehouse: duckdb.DuckDBPyConnection, query: str, order: Sequence[str], target: Path) -> int:
    """Write a query as zstd Parquet in a total order; returns the number of rows.

    Rows come out of the sort in order and are cut into row groups of fixed size, so the bytes do not depend
    on the number of threads (a test compares them).
    """
    ordering = ", ".join(identifier(column) for column in order) or "all"
    rows = warehouse.execute(
        f"copy ({query} order by {ordering}) to {literal(str(target))} "
        "(format parquet, compression zstd, row_group_size 122880)"
    ).fetchall()
    return int(rows[0][0])


def _columns(warehouse: duckdb.DuckDBPyConnection, schema: str, name: str) -> tuple[str, ...]:
    rows = warehouse.execute(
        "select column_name from information_schema.columns where table_schema = ? and table_name = ? "
        "order by ordinal_position",
        [schema, name],
    ).fetchall()
    if not rows:
        raise NightError(
            f"{schema}.{name} does not exist in the warehouse, so the night cannot be published.",
            next_step="Run the whole night again; a step before `publish` did not build it.",
        )
    return tuple(row[0] for row in rows)


def _view_sql(settings: Settings, view: View, manifests: Sequence[Manifest], *, is_whole: bool) -> str | None:
    """The query behind one view; None before any night has published the table."""
    gone = removed_files(settings)
    parts = [
        (m, part)
        for m in manifests
        if (part := m.tables.get(view.partitions_of)) is not None and part.file not in gone
    ]
    if not parts:
        return None
    latest = parts[-1][0].run_date
    if view.mode == "snapshot":
        parts = parts[-1:]
    # A column added by a newer release must not hide the nights before it.
    differ = len({part.columns for _, part in parts}) > 1
    relation = read_parquet([settings.published / part.file for _, part in parts], union_by_name=differ)
    masks = confidential.masks_of(view.partitions_of, parts[-1][1].columns)
    if is_whole:
        sql = _whole(settings, view, [manifest for manifest, _ in parts], relation, masks)
    else:
        # Nights of an older release are not masked on disk; a mask of what is masked changes nothing.
        sql = confidential.masked(relation, masks)
    if view.mode == "latest":
        sql += f" where is_final or run_date = date '{latest}'"
    return sql


def _whole(
    settings: Settings,
    view: View,
    manifests: Sequence[Manifest],
    relation: str,
    masks: Mapping[str, str],
) -> str:
    """Everything of a table, with the whole values of the nights that hold them apart."""
    gone = removed_files(settings)
    name = confidential.partition_name(view.partitions_of)
    apart = [
        settings.published / part.file
        for manifest in manifests
        if (part := manifest.tables.get(name)) is not None and part.file not in gone
    ]
    if not apart or not masks:
        return f"select * from {relation}"
    whole = confidential.unmasked(view.partitions_of, f"from {relation}", read_parquet(apart), masks)
    return f"select * from ({whole})"
