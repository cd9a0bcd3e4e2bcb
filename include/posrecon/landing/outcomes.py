"""What became of each file of a night."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from posrecon.files import put_in_place, write_json
from posrecon.settings import Settings

State = Literal["loaded", "rejected", "duplicate", "conflict", "superseded"]

# Columns of raw.files, in order.
_FILES_COLUMNS: dict[str, pa.DataType] = {
    "file_no": pa.int64(),
    "file_id": pa.string(),
    "source": pa.string(),
    "feed": pa.string(),
    "logical_name": pa.string(),
    "logical_key": pa.string(),
    "file_name": pa.string(),
    "sha256": pa.string(),
    "bytes": pa.int64(),
    "business_date": pa.date32(),
    "state": pa.string(),
    "records": pa.int64(),
    "loaded": pa.int64(),
    "quarantined": pa.int64(),
    "declared_minor": pa.int64(),
    "computed_minor": pa.int64(),
    "encoding": pa.string(),
    "reason": pa.string(),
}
FILES_SCHEMA = pa.schema(_FILES_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One row of raw.files. A file that is not loaded has no effect: its loaded and quarantined are 0."""

    file_no: int
    file_id: str
    source: str
    feed: str
    logical_name: str
    logical_key: str
    file_name: str
    sha256: str
    bytes: int
    business_date: date | None
    state: State
    records: int
    loaded: int
    quarantined: int
    declared_minor: int | None
    computed_minor: int | None
    encoding: str | None
    reason: str | None


def outcome_path(settings: Settings, run_date: date, file_id: str) -> Path:
    """Where the parse of one file leaves its outcome."""
    return settings.raw / "outcomes" / f"run_date={run_date}" / f"{file_id}.json"


def files_path(settings: Settings, run_date: date) -> Path:
    """Where the registry of a night lies."""
    return settings.raw / "files" / f"run_date={run_date}.parquet"


def write_outcome(settings: Settings, run_date: date, outcome: Outcome) -> None:
    """Write the outcome of a parse; atomic, the last thing that a parse does."""
    write_json(outcome_path(settings, run_date, outcome.file_id), asdict(outcome), sort_keys=False)


def read_outcome(settings: Settings, run_date: date, file_id: str) -> Outcome | None:
    """The outcome of the parse of one file; None when it was not parsed."""
    path = outcome_path(settings, run_date, file_id)
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["business_date"] is not None:
        values["business_date"] = date.fromisoformat(values["business_date"])
    return Outcome(**values)


def write_files(settings: Settings, run_date: date, outcomes: list[Outcome]) -> None:
    """Write raw/files of a night, one row per file, by file number."""
    table = pa.table(
        {name: [getattr(outcome, name) for outcome in outcomes] for name in FILES_SCHEMA.names},
        schema=FILES_SCHEMA,
    )
    put_table(table, files_path(settings, run_date))


def read_files_before(settings: Settings, run_date: date) -> list[tuple[date, Outcome]]:
    """Rows of raw/files of all nights before one, by file number, with the night of each."""
    found: list[tuple[date, Outcome]] = []
    for path in sorted((settings.raw / "files").glob("run_date=*.parquet")):
        night = date.fromisoformat(path.stem.removeprefix("run_date="))
        if night < run_date:
            names = [field.name for field in fields(Outcome)]
            rows = pq.ParquetFile(path).read(columns=names).to_pylist()
            found += [(night, Outcome(**row)) for row in rows]
    return sorted(found, key=lambda pair: pair[1].file_no)


_EXPECTED_COLUMNS: dict[str, pa.DataType] = {
    "source": pa.string(),
    "feed": pa.string(),
    "logical_name": pa.string(),
    "logical_key": pa.string(),
    "business_date": pa.date32(),
}
EXPECTED_SCHEMA = pa.schema(_EXPECTED_COLUMNS)


def write_expected(settings: Settings, run_date: date, rows: list[tuple[str, str, str, str, date]]) -> None:
    """Write raw/expected_files of a night, ordered by source and key."""
    columns = list(zip(*sorted(rows), strict=True)) if rows else [()] * len(EXPECTED_SCHEMA)
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, EXPECTED_SCHEMA, strict=True)]
    put_table(
        pa.table(arrays, schema=EXPECTED_SCHEMA),
        settings.raw / "expected_files" / f"run_date={run_date}.parquet",
    )


def put_table(table: pa.Table, final: Path) -> None:
    """Write a small table as Parquet; it appears whole or not at all."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    put_in_place(temporary, final)
