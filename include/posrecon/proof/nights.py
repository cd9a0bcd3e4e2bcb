"""What a night writes into the audit log.

Four kinds of records, in this order; a night that runs again writes them again, with the same hashes in them:

- `files_received`: every receipt of the night with its own hash;
- `files_registered`: what became of each file;
- `night_prepared`: code, packages, settings, inputs and outputs, before the manifest makes the night a done one;
- `night_published`: the manifest, reports and verdicts are in place.

So a published night always has its record, whenever it was killed; a prepared night without manifest was not done.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from posrecon.audit.anchor import anchor_files, write_anchor
from posrecon.audit.environment import environment
from posrecon.audit.log import Entry, Record, read_records, record, record_all
from posrecon.files import sha256_of
from posrecon.landing.case_decisions import archived_decisions, decision_ids, list_path
from posrecon.landing.decisions import read_decisions
from posrecon.landing.outcomes import files_path
from posrecon.landing.receipts import read_receipts
from posrecon.reporting.night_report import report_paths
from posrecon.settings import Settings
from posrecon.warehouse.manifests import (
    Manifest,
    held_nights,
    manifest_path,
    manifest_text,
    published_nights,
    read_manifest,
)

log = logging.getLogger(__name__)


def begin(settings: Settings) -> None:
    """Start the log of a home, if need be, and record decisions that no record knows.

    What an older release received and published is taken over as it is found. A decision without a record came with
    the archive alone, or was made just before a crash.
    """
    _start(settings)
    about_files, about_cases = read_decisions(settings), archived_decisions(settings)
    if not about_files and not about_cases:
        return
    known: set[object] = {
        one.payload["decision_no"] if one.kind == "file_decided" else one.payload["decision_id"]
        for one in read_records(settings, frozenset({"file_decided", "case_decided"}))
    }
    for decision in about_files:
        if decision.decision_no not in known:
            facts = asdict(decision) | {"decided_at": decision.decided_at.isoformat()}
            record(settings, "file_decided", facts, by=decision.decided_by)
    for decision_id, of_case in about_cases.items():
        if decision_id not in known:
            record(settings, "case_decided", of_case.facts, by=of_case.decided_by)


def _start(settings: Settings) -> None:
    for known in read_records(settings):
        if known.kind == "log_started":
            return
    done = published_nights(settings)
    entries = [
        Entry("files_received", _received(settings, run_date, mode="taken over"))
        for run_date in held_nights(settings)
    ]
    for run_date in done:
        manifest = read_manifest(settings, run_date)
        entries.append(Entry("night_prepared", _outputs(settings, manifest, mode="taken over")))
        entries.append(Entry("night_published", _shown(settings, manifest, mode="taken over")))
    # Last, so that a start that was killed is started again.
    entries.append(Entry("log_started", {"home": settings.home, "nights_taken_over": done}))
    record_all(settings, entries)


def received(settings: Settings, run_date: date, *, mode: str) -> Record:
    """Record the receipts of a night.

    Args:
        settings: Where state lives.
        run_date: The night.
        mode: night or replay.
    """
    return record(settings, "files_received", _received(settings, run_date, mode=mode))


def registered(settings: Settings, run_date: date, *, mode: str) -> Record:
    """Record what became of each file of a night."""
    columns = ["file_no", "file_id", "file_name", "state", "records", "loaded", "quarantined", "reason"]
    rows = pq.ParquetFile(files_path(settings, run_date)).read(columns=columns).to_pylist()
    return record(settings, "files_registered", {"run_date": run_date, "mode": mode, "files": rows})


def prepared(settings: Settings, manifest: Manifest, *, mode: str) -> Record:
    """Record what a night is about to publish, and with what it was made."""
    facts = _outputs(settings, manifest, mode=mode) | {"environment": environment(settings)}
    return record(settings, "night_prepared", facts)


def published(settings: Settings, manifest: Manifest, *, mode: str) -> Record:
    """Record that a night is done, and write the head of the log to its anchors.

    An anchor that cannot be written does not undo a good night: it is a warning, and the next night's line covers
    this one.
    """
    done = record(settings, "night_published", _shown(settings, manifest, mode=mode))
    for path in anchor_files(settings):
        try:
            write_anchor(path, done, manifest.run_date)
        except OSError as error:
            log.warning("%s: the head of the audit log could not be written: %s", path, error)
    return done


def manifest_sha256(manifest: Manifest) -> str:
    """SHA-256 of the manifest as its file holds it."""
    return hashlib.sha256(manifest_text(manifest).encode()).hexdigest()


def validation_files(settings: Settings, run_date: date) -> Iterator[Path]:
    """The verdicts of Great Expectations for a night, as they are kept."""
    yield from sorted((settings.state / "gx" / "results").glob(f"*/{run_date}/*/*.json"))
    yield from (settings.state / "gx" / "rules").glob(f"{run_date}.json")


def _received(settings: Settings, run_date: date, *, mode: str) -> dict[str, Any]:
    folder = settings.archive / "receipts" / f"run_date={run_date}"
    files = []
    for receipt in read_receipts(settings, run_date):
        one = asdict(receipt)
        del one["run_date"]
        files.append(one | {"receipt_sha256": sha256_of(folder / f"{receipt.file_no:08d}.json")})
    facts: dict[str, Any] = {"run_date": run_date, "mode": mode, "files": files}
    if decided := decision_ids(settings, run_date):
        facts |= {
            "case_decisions": decided,
            "case_decisions_sha256": sha256_of(list_path(settings, run_date)),
        }
    return facts


def _outputs(settings: Settings, manifest: Manifest, *, mode: str) -> dict[str, Any]:
    return {
        "run_date": manifest.run_date,
        "mode": mode,
        "previous_run_date": manifest.previous_run_date,
        "manifest_sha256": manifest_sha256(manifest),
        "digest": manifest.digest(),
        "inputs": [
            {"file_no": receipt.file_no, "sha256": receipt.sha256}
            for receipt in read_receipts(settings, manifest.run_date)
        ],
        "tables": {
            name: {"file": part.file, "rows": part.rows, "sha256": part.sha256}
            for name, part in manifest.tables.items()
        },
        "state": manifest.state,
    }


def _shown(settings: Settings, manifest: Manifest, *, mode: str) -> dict[str, Any]:
    shown = [*report_paths(settings, manifest.run_date), *validation_files(settings, manifest.run_date)]
    return {
        "run_date": manifest.run_date,
        "mode": mode,
        "manifest": str(manifest_path(settings, manifest.run_date).relative_to(settings.home)),
        "manifest_sha256": manifest_sha256(manifest),
        "files": {str(path.relative_to(settings.home)): sha256_of(path) for path in shown if path.exists()},
    }
