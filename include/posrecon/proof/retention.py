"""What is kept how long, what a legal hold keeps longer, and how the rest goes for good.

`expectations/reference/retention.csv` says how many days each kind of file is kept, counted from its night. Nothing
goes by itself: `apply` is called by a person, shows first what it would do, and is recorded before it is done.

- A file of the archive is shredded: its own data key is destroyed, then its blob. A copy of the blob in any backup
  stays unreadable, with whatever archive key. Its receipt stays, and verification finds it shredded as recorded.
- Everything else is removed: partitions of raw, state, quarantine, published tables, verdicts, reports and the pages
  of Data Docs.

Nothing goes that a hold names, or that an open break still stands on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from posrecon.audit.log import read_records, record
from posrecon.errors import UsageError
from posrecon.files import sha256_of
from posrecon.landing.archive import blob_path, key_path, shred, shredded_path
from posrecon.landing.receipts import Receipt, read_receipts
from posrecon.proof.nights import validation_files
from posrecon.reference_tables import Column, ReferenceRow, TableSpec, in_force, read_table
from posrecon.reporting.lookup import open_published
from posrecon.reporting.night_report import report_paths
from posrecon.settings import Settings
from posrecon.validation.auditor_pages import forget
from posrecon.validation.data_docs import pages_of_nights
from posrecon.warehouse.connection import night_lock
from posrecon.warehouse.manifests import (
    held_nights,
    note_removed,
    published_nights,
    read_manifest,
)
from posrecon.warehouse.publish import swap_views
from posrecon.warehouse.revisions import kept_decisions, kept_manifests

RETENTION = TableSpec(
    "retention",
    (
        Column("subject"),
        Column("keep_days", "int", minimum=1),
        Column("source"),
        Column("confidence", choices=("sourced", "secondary", "unverified")),
    ),
    key=("subject",),
)
KINDS = ("archive", "quarantine", "raw", "state", "table", "verdicts")
# Typed copies of transactions. Reference lists and registries stay: a night of today still reads them.
RAW_DATASETS = (
    "bank_entries",
    "bank_statements",
    "batch_closes",
    "ledger_entries",
    "settlement_lines",
    "terminal_events",
)


@dataclass(frozen=True)
class Hold:
    """A legal hold: what it names is kept until it is released.

    Attributes:
        hold_no: Number of the audit record that placed it.
        first: First night that it names.
        last: Last one.
        feed: Only files of this feed; empty = everything of the nights.
        file: Only this file (name, file id or SHA-256); empty = every file.
        reason: As the person gave it.
        by: Who placed it.
    """

    hold_no: int
    first: date
    last: date
    feed: str
    file: str
    reason: str
    by: str

    def names_night(self, run_date: date) -> bool:
        """Whether everything of a night is held."""
        return self.first <= run_date <= self.last

    def names_file(self, receipt: Receipt) -> bool:
        """Whether a received file is held."""
        return (
            self.names_night(receipt.run_date)
            and self.feed in ("", receipt.feed)
            and self.file in ("", receipt.file_name, receipt.file_id, receipt.sha256)
        )


@dataclass(frozen=True)
class Expired:
    """One file whose time is over.

    Attributes:
        subject: Row of the retention table that says so.
        run_date: Its night; of a file that came in several nights the last one.
        file: Below the home; of the archive, the name as received.
        sha256: Of an archived file; empty otherwise.
        keep_days: As the row says.
        kept_by: Why it stays all the same; empty when it goes.
    """

    subject: str
    run_date: date
    file: str
    sha256: str
    keep_days: int
    kept_by: str


# ------------------------------------------------------------------------------------------------ holds


def place_hold(
    settings: Settings,
    *,
    first: date,
    last: date,
    reason: str,
    feed: str = "",
    file: str = "",
    by: str | None = None,
) -> Hold:
    """Keep what is named until the hold is released.

    Raises:
        UsageError: No reason, or the nights are in the wrong order.
    """
    if not reason.strip():
        raise UsageError("A hold needs a reason.", next_step="Give it with --reason.")
    if last < first:
        raise UsageError(
            f"The hold ends on {last}, before it starts on {first}.", next_step="Swap the dates."
        )
    what = (
        f"nights {first} to {last}" + (f", feed {feed}" if feed else "") + (f", file {file}" if file else "")
    )
    facts = {"what": what, "first": first, "last": last, "feed": feed, "file": file, "reason": reason}
    made = record(settings, "hold_placed", facts, by=by)
    return Hold(made.seq, first, last, feed, file, reason, made.by)


def release_hold(settings: Settings, hold_no: int, *, reason: str, by: str | None = None) -> None:
    """End a hold; what it kept goes with the next `apply`.

    Raises:
        UsageError: No reason, or there is no such hold.
    """
    if not reason.strip():
        raise UsageError("Releasing a hold needs a reason.", next_step="Give it with --reason.")
    if hold_no not in {hold.hold_no for hold in holds(settings)}:
        raise UsageError(
            f"There is no hold {hold_no} in force.", next_step="posrecon retention holds lists them."
        )
    facts = {"what": f"hold {hold_no}", "hold_no": hold_no, "reason": reason}
    record(settings, "hold_released", facts, by=by)


def holds(settings: Settings) -> list[Hold]:
    """The holds in force, from the audit log."""
    found: dict[int, Hold] = {}
    for one in read_records(settings, frozenset({"hold_placed", "hold_released"})):
        facts = one.payload
        if one.kind == "hold_released":
            found.pop(facts["hold_no"], None)
            continue
        found[one.seq] = Hold(
            one.seq,
            date.fromisoformat(facts["first"]),
            date.fromisoformat(facts["last"]),
            facts["feed"],
            facts["file"],
            facts["reason"],
            one.by,
        )
    return list(found.values())


# ------------------------------------------------------------------------------------------------ plan


def plan(settings: Settings, as_of: date) -> list[Expired]:
    """Every file whose time is over on a day, those that stay all the same included, by subject and night.

    Raises:
        UsageError: The retention table does not fit: unknown subject, or less than nights themselves look back.
    """
    rules = _rules(settings, as_of)
    held = holds(settings)
    found = [*_archived(settings, as_of, rules, held), *_others(settings, as_of, rules, held)]
    return sorted(found, key=lambda one: (one.subject, one.run_date, one.file))


def apply(settings: Settings, as_of: date, *, by: str | None = None) -> list[Expired]:
    """Shred and remove what is over; recorded first, so a kill in between is finished by the next call.

    Returns:
        What was done, and what stays all the same.

    Raises:
        UsageError: A night is at work, or the retention table does not fit.
    """
    with night_lock(settings):
        found = plan(settings, as_of)
        going = [one for one in found if not one.kept_by]
        for subject in sorted({one.subject for one in going if one.sha256}):
            _shred(settings, as_of, [one for one in going if one.subject == subject], by)
        removed = [one for one in going if not one.sha256]
        if removed:
            _remove(settings, as_of, removed, by)
        return found


def _shred(settings: Settings, as_of: date, files: Sequence[Expired], by: str | None) -> None:
    subject, days = files[0].subject, files[0].keep_days
    facts: dict[str, Any] = {
        "subject": subject,
        "as_of": as_of,
        "keep_days": days,
        "files": [{"sha256": one.sha256, "file": one.file, "run_date": one.run_date} for one in files],
    }
    made = record(settings, "archive_shredded", facts, by=by)
    note = f"on {as_of}, kept {days} days by {subject}, audit record {made.seq}"
    for one in files:
        shred(settings, one.sha256, note)


def _remove(settings: Settings, as_of: date, files: Sequence[Expired], by: str | None) -> None:
    named = [
        {"file": one.file, "sha256": sha256_of(settings.home / one.file), "subject": one.subject}
        for one in files
    ]
    subjects = sorted({one.subject for one in files})
    facts = {"subject": ", ".join(subjects), "as_of": as_of, "files": named}
    record(settings, "retention_removed", facts, by=by)
    published = settings.published.relative_to(settings.home)
    note_removed(
        settings,
        [str(Path(one.file).relative_to(published)) for one in files if one.subject.startswith("table:")],
    )
    # Readers lose the old nights first, then the files go: no view ever names a file that is not there.
    if published_nights(settings):
        swap_views(settings)
    pages = {settings.home / one.file for one in files if one.file.endswith(".html")}
    for one in files:
        if settings.home / one.file not in pages:
            (settings.home / one.file).unlink(missing_ok=True)
    if pages:
        forget(settings, pages)


def _rules(settings: Settings, as_of: date) -> dict[str, ReferenceRow]:
    rows = in_force(read_table(settings.expectations_dir / "reference", RETENTION), as_of)
    rules: dict[str, ReferenceRow] = {}
    for row in rows:
        subject = row.values["subject"]
        kind, colon, name = subject.partition(":")
        if kind not in KINDS or not colon or not name:
            raise UsageError(
                f"retention.csv: line {row.line_no}: subject is {subject}, expected one of "
                f"{', '.join(f'{known}:*' for known in KINDS)}, or a name in place of the star.",
                next_step="Correct the cell.",
            )
        if kind in ("raw", "state") and row.values["keep_days"] <= settings.lookback_days:
            raise UsageError(
                f"retention.csv: line {row.line_no}: {subject} is kept {row.values['keep_days']} days, but nights "
                f"look back {settings.lookback_days} days.",
                next_step="Keep it longer than POSRECON_LOOKBACK_DAYS.",
            )
        rules[subject] = row
    return rules


def _rule(rules: dict[str, ReferenceRow], kind: str, name: str) -> tuple[str, int] | None:
    """The row for a name, or the one for all of its kind; None = kept for ever."""
    for subject in (f"{kind}:{name}", f"{kind}:*"):
        if subject in rules:
            return subject, int(rules[subject].values["keep_days"])
    return None


def _is_over(run_date: date, days: int, as_of: date) -> bool:
    return run_date + timedelta(days=days) < as_of


def _archived(
    settings: Settings, as_of: date, rules: dict[str, ReferenceRow], held: Sequence[Hold]
) -> Iterator[Expired]:
    """Contents of the archive that every receipt which names them has outlived; a zip goes with its members."""
    naming: dict[str, list[Receipt]] = {}
    for night in held_nights(settings):
        for receipt in read_receipts(settings, night):
            naming.setdefault(receipt.sha256, []).append(receipt)
            if receipt.container is not None:
                naming.setdefault(receipt.container, []).append(receipt)
    needed = _evidence_files(settings)
    for sha256, receipts in naming.items():
        if _is_shredded(settings, sha256):
            continue
        limits = [_rule(rules, "archive", receipt.feed) for receipt in receipts]
        if not all(
            limit is not None and _is_over(receipt.run_date, limit[1], as_of)
            for receipt, limit in zip(receipts, limits, strict=True)
        ):
            continue
        last = max(receipts, key=lambda receipt: (receipt.run_date, receipt.file_no))
        subject, days = _rule(rules, "archive", last.feed) or ("", 0)
        name = last.file_name if last.sha256 == sha256 else last.file_name.partition("!")[0]
        kept_by = next(
            (
                f"hold {hold.hold_no}: {hold.reason}"
                for hold in held
                if any(hold.names_file(one) for one in receipts)
            ),
            "",
        )
        if not kept_by and any(receipt.file_name in needed for receipt in receipts):
            kept_by = "evidence of an open break"
        yield Expired(subject, last.run_date, name, sha256, days, kept_by)


def _is_shredded(settings: Settings, sha256: str) -> bool:
    left = blob_path(settings, sha256).exists() or key_path(settings, sha256).exists()
    return shredded_path(settings, sha256).exists() and not left


def _evidence_files(settings: Settings) -> set[str]:
    """Names of received files that open breaks point to."""
    if not published_nights(settings):
        return set()
    columns = ("terminal_file", "settlement_file", "bank_file")
    query = " union ".join(f"select {column} from fct_breaks where status = 'open'" for column in columns)
    with open_published(settings) as published:
        return {row[0] for row in published.execute(query).fetchall() if row[0] is not None}


def _others(
    settings: Settings, as_of: date, rules: dict[str, ReferenceRow], held: Sequence[Hold]
) -> Iterator[Expired]:
    """Files of nights: everything but the archive."""
    newest = published_nights(settings)[-1:]
    for kind, name, run_date, path in _night_files(settings):
        rule = _rule(rules, kind, name)
        if rule is None or not _is_over(run_date, rule[1], as_of):
            continue
        kept_by = next(
            (
                f"hold {hold.hold_no}: {hold.reason}"
                for hold in held
                # A hold on single files needs the file alone; its rows can be read from it again.
                if hold.names_night(run_date) and not hold.file and not hold.feed
            ),
            "",
        )
        if not kept_by and run_date in newest:
            kept_by = "the last published night"
        yield Expired(rule[0], run_date, str(path.relative_to(settings.home)), "", rule[1], kept_by)


def _night_files(settings: Settings) -> Iterator[tuple[str, str, date, Path]]:
    """(kind, name, night, path) of every file that is of one night and can be done without later."""
    for name in RAW_DATASETS:
        for path in sorted((settings.raw / name).glob("run_date=*/*.parquet")):
            yield "raw", name, _night_of(path.parent.name), path
    for path in sorted(settings.quarantine.glob("run_date=*/*")):
        if path.is_file():
            yield "quarantine", path.suffix.removeprefix("."), _night_of(path.parent.name), path
    before = [one for number in kept_decisions(settings) for one in kept_manifests(settings, number)]
    now = [read_manifest(settings, night) for night in published_nights(settings)]
    tables = {
        part.file: (name, manifest.run_date)
        for manifest in (*before, *now)
        for name, part in manifest.tables.items()
    }
    for file, (name, night) in tables.items():
        path = settings.published / file
        if path.exists():
            yield "table", name, night, path
    for manifest in now:
        night = manifest.run_date
        for name in manifest.state:
            path = settings.state / name / f"run_date={night}.parquet"
            if path.exists():
                yield "state", name, night, path
        for path in (*report_paths(settings, night), *validation_files(settings, night)):
            if path.exists():
                yield "verdicts", path.suffix.removeprefix("."), night, path
    for night, path in pages_of_nights(settings):
        yield "verdicts", "html", night, path


def _night_of(folder: str) -> date:
    return date.fromisoformat(folder.removeprefix("run_date="))


def as_rows(found: Sequence[Expired]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(one) for one in found]
