"""Manifests of good nights: a night is done when, and only when, its manifest exists."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from posrecon.files import json_text, write_json, write_text
from posrecon.settings import Settings


@dataclass(frozen=True)
class Partition:
    """One immutable Parquet file of one table and night.

    Attributes:
        file: Path relative to published/.
        rows: Number of rows.
        sha256: Of the file's bytes.
        columns: Names in file order.
    """

    file: str
    rows: int
    sha256: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """What one good night published.

    Attributes:
        run_date: The night.
        previous_run_date: The night whose state it started from; None for the first.
        tables: Published partitions by table.
        state: SHA-256 of each state file that it leaves to later nights.
        summary: Figures of the night; nothing in it depends on the clock.
    """

    run_date: date
    previous_run_date: date | None
    tables: dict[str, Partition]
    state: dict[str, str]
    summary: dict[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """One SHA-256 over the tables and states of this night."""
        text = "".join(f"{name} {part.sha256}\n" for name, part in sorted(self.tables.items()))
        text += "".join(f"state {name} {sha}\n" for name, sha in sorted(self.state.items()))
        return hashlib.sha256(f"{self.run_date}\n{text}".encode()).hexdigest()


def reader_database(settings: Settings) -> Path:
    """The DuckDB file of views that readers open."""
    return settings.published / "posrecon.duckdb"


def manifest_path(settings: Settings, run_date: date) -> Path:
    """Where the manifest of a night lies."""
    return settings.published / "nights" / f"{run_date}.json"


def published_nights(settings: Settings) -> list[date]:
    """Run dates of all good nights, ascending."""
    folder = settings.published / "nights"
    return sorted(date.fromisoformat(path.stem) for path in folder.glob("????-??-??.json"))


def held_nights(settings: Settings) -> list[date]:
    """Run dates of all nights that were begun, published or not, ascending: each has a folder of receipts."""
    folders = (settings.archive / "receipts").glob("run_date=*")
    return sorted(date.fromisoformat(folder.name.removeprefix("run_date=")) for folder in folders)


def previous_night(settings: Settings, run_date: date) -> date | None:
    """The greatest published night before `run_date`; None when there is none."""
    return max((night for night in published_nights(settings) if night < run_date), default=None)


def read_manifest(settings: Settings, run_date: date) -> Manifest:
    """Read the manifest of a published night."""
    return read_manifest_file(manifest_path(settings, run_date))


def read_manifest_file(path: Path) -> Manifest:
    """Read a manifest, wherever it lies."""
    content = json.loads(path.read_text(encoding="utf-8"))
    previous = content["previous_run_date"]
    return Manifest(
        run_date=date.fromisoformat(content["run_date"]),
        previous_run_date=date.fromisoformat(previous) if previous else None,
        tables={
            name: Partition(part["file"], part["rows"], part["sha256"], tuple(part["columns"]))
            for name, part in content["tables"].items()
        },
        state=content["state"],
        summary=content["summary"],
    )


def write_manifest(settings: Settings, manifest: Manifest) -> None:
    """Write a manifest atomically: from this moment the night is done."""
    write_text(manifest_path(settings, manifest.run_date), manifest_text(manifest))


def manifest_text(manifest: Manifest) -> str:
    """The manifest as its file holds it."""
    return json_text(asdict(manifest))


def published_digest(settings: Settings) -> str:
    """One SHA-256 over (table, run date, file) of everything published: equal digests mean equal bytes."""
    lines = [
        f"{name} {night} {part.sha256}\n"
        for night in published_nights(settings)
        for name, part in sorted(read_manifest(settings, night).tables.items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def removed_files(settings: Settings) -> set[str]:
    """Published files that retention removed, relative to published/; their manifests stay."""
    path = _removed_path(settings)
    return set(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else set()


def note_removed(settings: Settings, files: Iterable[str]) -> None:
    """Note published files that retention removes, so that readers' views no longer name them."""
    write_json(_removed_path(settings), sorted({*removed_files(settings), *files}))


def _removed_path(settings: Settings) -> Path:
    return settings.published / "removed.json"
