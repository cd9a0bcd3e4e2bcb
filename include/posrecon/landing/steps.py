"""The three landing steps of a night: receive, parse each file, register.

A kill at any point loses nothing and doubles nothing: a file leaves the inbox only when its blob and its
receipt are on disk; a parse writes aside and renames; the registry is computed anew from outcomes.
"""

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from posrecon.errors import LayoutError, NightError
from posrecon.files import put_in_place, sha256_of, write_json
from posrecon.landing import case_decisions
from posrecon.landing.archive import ArchiveError, open_plain, store
from posrecon.landing.containers import open_content
from posrecon.landing.decisions import Decision, read_decisions
from posrecon.landing.inbox import InboxFile, business_date_of, fitting, scan_inbox
from posrecon.landing.opening import arrives_as_itself, contents, recognise
from posrecon.landing.outcomes import (
    Outcome,
    read_files_before,
    read_outcome,
    write_expected,
    write_files,
    write_outcome,
)
from posrecon.landing.receipts import (
    Receipt,
    file_id_of,
    highest_file_no,
    read_receipts,
    receipt_to_read,
    receipts_to_read,
    write_receipt,
)
from posrecon.landing.sources import NameParts, Source, load_sources
from posrecon.settings import Settings

log = logging.getLogger(__name__)

MERCHANTS = "merchants"
ACQUIRER_MERCHANTS = "acquirer_merchants"


# -------------------------------------------------------------------------------- receive
def receive(settings: Settings, run_date: date, *, from_archive: bool = False) -> list[str]:
    """Take the due files of the inbox into the archive, each with a receipt, and what people decided in cases.

    Args:
        settings: The home.
        run_date: The night.
        from_archive: Replay: the receipts alone say what the night received; the inbox is not looked at.

    Returns:
        File ids of all files that the night reads, by file number: all of them are parsed (again), since a night
        is computed anew from what it received and from what was accepted in place of it.
    """
    shutil.rmtree(settings.tmp / "parse", ignore_errors=True)  # left by a run that was killed
    if not from_archive:
        _take_in(settings, run_date)
        case_decisions.take_in(settings, run_date)
    return [receipt.file_id for receipt in receipts_to_read(settings, run_date)]


def _take_in(settings: Settings, run_date: date) -> None:
    for partial in settings.archive.glob("*/**/.*.tmp"):
        partial.unlink()  # a blob or receipt that a kill left unfinished
    sources = load_sources(settings.sources_dir)
    known = {receipt.file_id for receipt in read_receipts(settings, run_date)}
    due: list[tuple[str, str, str, InboxFile, os.stat_result]] = []
    for file in scan_inbox(settings, run_date):
        if file.state != "due":
            log.info("%s/%s: %s, left in the inbox", file.feed, file.path.name, file.state)
            continue
        before = file.path.stat()
        due.append((file.feed, file.path.name, sha256_of(file.path), file, before))
    file_no = highest_file_no(settings)
    for feed, file_name, sha256, file, before in sorted(due, key=lambda item: item[:3]):
        try:
            store(settings, file.path, sha256)
        except ArchiveError as error:
            if not _changed(file.path, before):
                raise
            log.warning("%s", error)
            continue
        for arrival in _arrivals(settings, sources, file, sha256, before.st_size):
            file_id = file_id_of(run_date, feed, arrival.file_name, arrival.sha256)
            if file_id not in known:
                file_no += 1
                write_receipt(
                    settings,
                    Receipt(
                        file_no=file_no, file_id=file_id, run_date=run_date, feed=feed, **asdict(arrival)
                    ),
                )
                known.add(file_id)
        if _changed(file.path, before):
            log.warning(
                "%s/%s: changed after it was archived; the new content stays in the inbox", feed, file_name
            )
            continue
        file.path.unlink()


@dataclass(frozen=True, kw_only=True)
class _Arrival:
    """What a receipt says beside the night: a bare file, or what was in a zip or a PGP message."""

    file_name: str
    sha256: str
    bytes: int
    container: str | None = None
    refused: str | None = None
    remedy: str = ""


def _arrivals(
    settings: Settings, sources: tuple[Source, ...], file: InboxFile, sha256: str, size: int
) -> list[_Arrival]:
    """The file itself; of a zip its members, of a PGP message its clear content, each archived too.

    What cannot be opened arrives as it was received, with the reason.
    """
    file_name, feed = file.path.name, file.feed
    whole = _Arrival(file_name=file_name, sha256=sha256, bytes=size)
    if arrives_as_itself(file.path, file_name, feed=feed, sources=sources):
        return [whole]
    found: list[_Arrival] = []
    try:
        with open_plain(settings, sha256) as path:
            for content in contents(settings, path, file_name, feed=feed, sources=sources):
                if content.path == path:
                    found.append(_refused_as(whole, content.refusal))
                    continue
                digest = sha256_of(content.path)
                store(settings, content.path, digest)
                inner = _Arrival(
                    file_name=content.file_name,
                    sha256=digest,
                    bytes=content.path.stat().st_size,
                    container=sha256,
                )
                found.append(_refused_as(inner, content.refusal))
    except LayoutError as error:
        log.warning("%s", error)
        return [_refused_as(whole, error)]
    return found


def _refused_as(arrival: _Arrival, error: LayoutError | None) -> _Arrival:
    return arrival if error is None else replace(arrival, refused=error.what, remedy=error.next_step)


def _changed(path: Path, before: os.stat_result) -> bool:
    now = path.stat()
    return (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns)


# -------------------------------------------------------------------------------- parse
def parse_file(settings: Settings, run_date: date, file_id: str) -> Outcome:
    """Turn one archived file into raw Parquet, or refuse it whole. A bad file is an outcome, not an error.

    Safe to run again and at the same time as the parse of other files.

    Raises:
        ArchiveError: The blob is missing or was changed: the night must not go on as if the file were bad.
        NightError: No receipt has this file id.
    """
    receipt = receipt_to_read(settings, run_date, file_id)
    matches = recognise(load_sources(settings.sources_dir), receipt.feed, receipt.file_name)
    if receipt.refused is not None:
        source, name = matches[0] if len(matches) == 1 else (None, None)
        error = LayoutError(receipt.refused, next_step=receipt.remedy)
        with open_plain(settings, receipt.sha256):
            return _refuse(settings, receipt, error, source, name, name.business_date if name else None)
    if not matches:
        with open_plain(settings, receipt.sha256):
            return _refuse(settings, receipt, _unrecognised(receipt, matches), None, None, None)
    try:
        with open_content(settings, receipt.sha256, receipt.file_name) as path:
            matches = fitting(matches, path)
            if len(matches) != 1:
                return _refuse(settings, receipt, _unrecognised(receipt, matches), None, None, None)
            return _parse_content(settings, receipt, path, *matches[0])
    except LayoutError as error:  # the gzip around it cannot be opened
        source, name = matches[0]
        return _refuse(settings, receipt, error, source, name, name.business_date)


def _parse_content(
    settings: Settings, receipt: Receipt, path: Path, source: Source, name: NameParts
) -> Outcome:
    from posrecon.formats import LAYOUTS, Job

    run_date, file_id = receipt.run_date, receipt.file_id
    scratch = settings.tmp / "parse" / f"{run_date}-{file_id}-{os.getpid()}"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        parsed = LAYOUTS[source.layout].parse(
            Job(
                path=path,
                file_name=receipt.file_name,
                file_no=receipt.file_no,
                source=source,
                name=name,
                scratch=scratch,
                settings=settings,
            )
        )
        _drop_results(settings, receipt, keep=set(parsed.datasets))
        for dataset, result in parsed.datasets.items():
            put_in_place(result, _partition(settings, dataset, receipt))
        if parsed.quarantine is not None:
            put_in_place(parsed.quarantine, _quarantine(settings, receipt, "parquet"))
    except LayoutError as error:
        return _refuse(settings, receipt, error, source, name, business_date_of(path, source, name))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    # Reference lists have no date of their own: a list is the one of the night that received it.
    day = parsed.business_date
    logical_day = run_date if source.is_snapshot else day
    outcome = Outcome(
        **_identity(receipt),
        source=source.name,
        logical_name=source.logical_name(parsed.logical_key, logical_day, name.part or parsed.logical_part),
        logical_key=parsed.logical_key,
        business_date=day,
        state="loaded",
        records=parsed.records,
        loaded=parsed.loaded,
        quarantined=parsed.quarantined,
        declared_minor=parsed.declared_minor,
        computed_minor=parsed.computed_minor,
        encoding=parsed.encoding,
        reason=None,
    )
    write_outcome(settings, run_date, outcome)
    return outcome


def _unrecognised(receipt: Receipt, matches: tuple[tuple[Source, NameParts], ...]) -> LayoutError:
    if matches:
        names = ", ".join(source.name for source, _ in matches)
        return LayoutError(
            f"{receipt.file_name}: the name fits several sources: {names}.",
            next_step="Make the patterns of the source YAMLs exclude each other.",
        )
    return LayoutError(
        f"{receipt.file_name}: no source reads a file of this name in the folder {receipt.feed}.",
        next_step="Put it into the folder of its feed, or give its source YAML a pattern that fits.",
    )


def _refuse(
    settings: Settings,
    receipt: Receipt,
    error: LayoutError,
    source: Source | None,
    name: NameParts | None,
    day: date | None,
) -> Outcome:
    """Record a refused file: outcome, and a quarantine note with every bad line."""
    _drop_results(settings, receipt, keep=set())
    key = name.key if name else ""
    if source is not None:
        logical = source.logical_name(
            key, receipt.run_date if source.is_snapshot else day, name.part if name else ""
        )
    else:
        logical = f"{receipt.feed}/{receipt.file_name}"
    outcome = Outcome(
        **_identity(receipt),
        source=source.name if source else "",
        logical_name=logical,
        logical_key=key,
        business_date=day,
        state="rejected",
        records=0,
        loaded=0,
        quarantined=0,
        declared_minor=None,
        computed_minor=None,
        encoding=None,
        reason=error.what,
    )
    _write_note(settings, receipt, "rejected", error)
    write_outcome(settings, receipt.run_date, outcome)
    return outcome


def _identity(receipt: Receipt) -> dict[str, Any]:
    """The fields of an outcome that the receipt gives."""
    fields = asdict(receipt)
    for name in ("run_date", "container", "refused", "remedy"):
        del fields[name]
    return fields


def _write_note(settings: Settings, receipt: Receipt, state: str, error: LayoutError) -> None:
    write_json(
        _quarantine(settings, receipt, "json"),
        {
            "state": state,
            **asdict(receipt),
            "reason": error.what,
            "next_step": error.next_step,
            "bad_lines": [asdict(line) for line in error.bad_lines],
        },
        sort_keys=False,
    )


def _partition(settings: Settings, dataset: str, receipt: Receipt) -> Path:
    return settings.raw / dataset / f"run_date={receipt.run_date}" / f"{receipt.file_id}.parquet"


def _quarantine(settings: Settings, receipt: Receipt, suffix: str) -> Path:
    return settings.quarantine / f"run_date={receipt.run_date}" / f"{receipt.file_id}.{suffix}"


def _drop_results(settings: Settings, receipt: Receipt, *, keep: set[str]) -> None:
    """Remove what an earlier parse of this file left and this one does not replace."""
    for path in settings.raw.glob(f"*/run_date={receipt.run_date}/{receipt.file_id}.parquet"):
        if path.parent.parent.name not in keep:
            path.unlink(missing_ok=True)
    for suffix in ("json", "parquet"):
        _quarantine(settings, receipt, suffix).unlink(missing_ok=True)


# -------------------------------------------------------------------------------- register
def register(settings: Settings, run_date: date) -> None:
    """Decide what each file of the night is, against all files before it, and which files were expected.

    What people decided in dispute cases since the night before becomes rows as well.

    Same content as a file before: duplicate, no effect. Same logical file with other content while the one before
    is loaded: conflict, held until a person decides; then the decision says what either file is. When the one
    before was rejected, the new one loads. A reference list is compared with the newest list alone: the list of
    last week may come into force again.

    Raises:
        NightError: A file of the night was received but not parsed, or a decision that it reads is not there.
    """
    sources = {source.name: source for source in load_sources(settings.sources_dir)}
    earlier = read_files_before(settings, run_date)
    decisions = read_decisions(settings)
    seen = list(earlier)
    resolved: list[Outcome] = []
    for receipt in receipts_to_read(settings, run_date):
        outcome = read_outcome(settings, run_date, receipt.file_id)
        if outcome is None:
            raise NightError(
                f"{receipt.file_name}: received as file {receipt.file_no}, but not parsed.",
                next_step="Run the night again; it parses every file.",
            )
        if outcome.state == "loaded":
            outcome = _decided(outcome, run_date, decisions) or _judged(
                outcome,
                seen,
                is_snapshot=sources[outcome.source].is_snapshot,
                rejected={decision.file_id for decision in decisions if decision.action == "reject"},
            )
            if outcome.state != "loaded":
                _drop_results(settings, receipt, keep=set())
            if outcome.state in ("conflict", "rejected"):
                _write_note(settings, receipt, outcome.state, _held_or_rejected(outcome))
        seen.append((run_date, outcome))
        resolved.append(outcome)
    write_files(settings, run_date, resolved)
    case_decisions.write_case_decisions(settings, run_date)
    write_expected(settings, run_date, expected_files(settings, run_date, tuple(sources.values()), seen))


def _held_or_rejected(outcome: Outcome) -> LayoutError:
    """What the quarantine note of a held file, or of one that a person rejected, says."""
    if outcome.state == "rejected":
        return LayoutError(outcome.reason or "", next_step="Nothing: it was decided.")
    decide = " … or ".join(
        f"posrecon files {way} {outcome.file_id}{more} --reason"
        for way, more in (("accept", " --supersede"), ("reject", ""))
    )
    return LayoutError(outcome.reason or "", next_step=f"Decide with: {decide} …")


def _decided(outcome: Outcome, run_date: date, decisions: tuple[Decision, ...]) -> Outcome | None:
    """What people decided about a file in this night; None when nobody decided anything."""
    for decision in reversed(decisions):
        why = f"by {decision.decided_by} (decision {decision.decision_no}): {decision.reason}"
        if decision.superseded_file_id == outcome.file_id and decision.superseded_run_date == run_date:
            by = f"superseded by {decision.file_name} of the night of {decision.run_date}, accepted {why}"
            return replace(outcome, state="superseded", loaded=0, quarantined=0, reason=by)
        if decision.file_id != outcome.file_id:
            continue
        if decision.action == "reject":
            return replace(outcome, state="rejected", loaded=0, quarantined=0, reason=f"rejected {why}")
        if decision.superseded_run_date == run_date:
            return replace(outcome, reason=f"supersedes {decision.superseded_file_name}, accepted {why}")
        where = f"loaded in the night of {decision.superseded_run_date} in place of "
        reason = f"{where}{decision.superseded_file_name}, accepted {why}"
        return replace(outcome, state="duplicate", loaded=0, quarantined=0, reason=reason)
    return None


def _judged(
    outcome: Outcome, seen: list[tuple[date, Outcome]], *, is_snapshot: bool, rejected: set[str]
) -> Outcome:
    """Duplicate, conflict or loaded, against the files before, given by file number.

    What a person rejected stays rejected: the same content again is its duplicate. A file without records says
    nothing that could be repeated, so it is a duplicate under its own logical name only: bills of two quiet days may
    be the same bytes, and both days have come.
    """
    same_source = [(night, other) for night, other in seen if other.source == outcome.source]
    in_force = [pair for pair in same_source if pair[1].state == "loaded"]
    rivals = (
        in_force[-1:]
        if is_snapshot
        else [
            pair
            for pair in same_source
            if pair[1].state in ("loaded", "conflict") or pair[1].file_id in rejected
        ]
    )
    for night, other in reversed(rivals):
        if other.sha256 == outcome.sha256 and (outcome.records or other.logical_name == outcome.logical_name):
            held = {"conflict": ", which is held as a conflict", "rejected": ", which was rejected"}.get(
                other.state, ""
            )
            return _without_effect(
                outcome,
                "duplicate",
                f"same content as {other.file_name} received in the night of {night}{held}",
            )
    for night, other in reversed(in_force):
        if other.logical_name == outcome.logical_name:
            return _without_effect(
                outcome,
                "conflict",
                f"other content than {other.file_name} of the night of {night}, which is loaded as "
                f"{other.logical_name}: {other.records} records then, {outcome.records} now",
            )
    return outcome


def _without_effect(outcome: Outcome, state: str, reason: str) -> Outcome:
    if state == "duplicate":
        return replace(outcome, state="duplicate", loaded=0, quarantined=0, reason=reason)
    return replace(
        outcome, state="conflict", loaded=0, quarantined=0, reason=f"{outcome.file_name}: {reason}."
    )


def expected_files(
    settings: Settings, run_date: date, sources: tuple[Source, ...], seen: list[tuple[date, Outcome]]
) -> list[tuple[str, str, str, str, date]]:
    """Files that the calendars of the sources expect for the business date before the night.

    An expected file is here when a loaded file has its (source, logical_key, business_date): the logical name may
    have a further part when a day comes in several files.
    """
    day = run_date - timedelta(days=1)
    rows: list[tuple[str, str, str, str, date]] = []
    for source in sources:
        expected = source.expected
        if expected is None or not expected.falls_on(day):
            continue
        keys = [""] if expected.per is None else _merchant_keys(settings, seen, expected.per, source.acquirer)
        # Whose rows are missing is what a reader asks: the acquirer, whichever folder its files come through.
        feed = source.acquirer or source.feed
        rows += [(source.name, feed, source.logical_name(key, day), key, day) for key in keys]
    return rows


def _merchant_keys(
    settings: Settings, seen: list[tuple[date, Outcome]], column: str, acquirer: str | None
) -> list[str]:
    """Distinct values of one field of the merchants in force: all of them, or those of one acquirer."""
    dataset = ACQUIRER_MERCHANTS if column == "acquirer_merchant_id" else MERCHANTS
    lists = [(night, file) for night, file in seen if file.source == dataset and file.state == "loaded"]
    for night, file in lists[-1:]:
        path = settings.raw / dataset / f"run_date={night}" / f"{file.file_id}.parquet"
        rows = pq.ParquetFile(path).read().to_pylist()
        return sorted(
            {row[column] for row in rows if row[column] and row.get("acquirer", acquirer) == acquirer}
        )
    return []


def read_note(settings: Settings, run_date: date, file_id: str) -> dict[str, object]:
    """The quarantine note of a refused or held file: reason, next step, every bad line."""
    path = settings.quarantine / f"run_date={run_date}" / f"{file_id}.json"
    note: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return note
