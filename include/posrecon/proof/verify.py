"""Hold everything that the audit log says against what is on disk, and name the first thing that was changed.

In this order: the chain of the log itself, its anchors, then, record by record as they were written, the receipts and
archived files of each night, its manifest, published Parquet, state, reports and verdicts. What happened first is
named first.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from posrecon.audit.anchor import Anchor, anchor_files, read_anchors
from posrecon.audit.log import NO_RECORD, AuditError, Record, log_files, log_folder, parse, read_lines
from posrecon.errors import UsageError
from posrecon.files import sha256_of
from posrecon.landing.archive import ArchiveError, attachments_vault, blob_path, key_path, read_frames
from posrecon.landing.case_decisions import decision_path, list_path
from posrecon.settings import Settings
from posrecon.warehouse.manifests import held_nights, manifest_path, published_nights

# Called with the things verified so far and their total.
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it was recorded.

    Attributes:
        what: changed, missing, not recorded, out of order, …: one sentence.
        file: The file, relative to the home where it lies in it, with a line where it has lines.
        record: Number of the record that knows how it was; None for a fault of the chain's end.
        expected: Hash or fact as recorded.
        got: Hash or fact as found.
    """

    what: str
    file: str
    record: int | None
    expected: str
    got: str

    def text(self) -> str:
        """The fault in one line."""
        by = f" (audit record {self.record})" if self.record is not None else ""
        return f"{self.file}: {self.what}{by}: expected {self.expected}, got {self.got}"


@dataclass
class Verdict:
    """What a verification found.

    Attributes:
        faults: In order of time; the first alone, unless all were asked for.
        records: Records of the log.
        head: Number and hash of the last record.
        anchors: Anchor lines compared.
        anchored: Number of the last record that an anchor holds; 0 when none does.
        received: Files of the archive decrypted and compared.
        attachments: Files attached to cases, likewise.
        shredded: Files of the archive whose keys were destroyed by retention, as recorded.
        published: Files under published/ and state/ compared.
        nights: Published nights.
        notes: What is unfinished, not wrong.
    """

    faults: list[Fault] = field(default_factory=list)
    records: int = 0
    head: tuple[int, str] = (0, NO_RECORD)
    anchors: int = 0
    anchored: int = 0
    received: int = 0
    attachments: int = 0
    shredded: int = 0
    published: int = 0
    nights: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """True when nothing was changed."""
        return not self.faults


@dataclass
class _Story:
    """The log, gathered: what should be where, and which record says so.

    Attributes:
        receipts: (night, file number) → (record, facts); the last word.
        prepared: Night → records of kind night_prepared since the last night_published, and the one that it names.
        published: Night → its last night_published.
        manifests: SHA-256 of every manifest that was ever prepared → the record.
        rerun: Nights that received again after they were published and have not come to their end.
        decided: Decision about a held file → record that knows it.
        of_cases: Id of a decision in a dispute case → record that knows it.
        read: Night → its last record of what it received, when it read decisions of cases.
        attached: SHA-256 of a file → record that attached it to a case first.
        shredded: SHA-256 of a file → record that destroyed its key.
        removed: Path below the home → record that removed it.
    """

    receipts: dict[tuple[str, int], tuple[Record, dict[str, Any]]] = field(default_factory=dict)
    prepared: dict[str, list[Record]] = field(default_factory=dict)
    published: dict[str, Record] = field(default_factory=dict)
    manifests: dict[str, Record] = field(default_factory=dict)
    rerun: set[str] = field(default_factory=set)
    decided: dict[int, Record] = field(default_factory=dict)
    of_cases: dict[str, Record] = field(default_factory=dict)
    read: dict[str, Record] = field(default_factory=dict)
    attached: dict[str, Record] = field(default_factory=dict)
    shredded: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Add one record."""
        facts = record.payload
        if record.kind == "files_received":
            for file in facts["files"]:
                key = (facts["run_date"], file["file_no"])
                if key not in self.receipts:
                    self.shredded.pop(file["sha256"], None)  # shredded once, received again
                self.receipts[key] = (record, file)
            if "case_decisions" in facts:
                self.read[facts["run_date"]] = record
            if facts["run_date"] in self.published:
                self.rerun.add(facts["run_date"])
        elif record.kind == "night_prepared":
            self.prepared.setdefault(facts["run_date"], []).append(record)
            self.manifests.setdefault(facts["manifest_sha256"], record)
        elif record.kind == "night_published":
            night = facts["run_date"]
            self.published[night] = record
            self.prepared[night] = [
                known
                for known in self.prepared.get(night, [])
                if known.payload["manifest_sha256"] == facts["manifest_sha256"]
            ][-1:]
            self.rerun.discard(night)
        elif record.kind == "file_decided":
            self.decided[facts["decision_no"]] = record
        elif record.kind == "case_decided":
            self.of_cases.setdefault(facts["decision_id"], record)
        elif record.kind == "case_changed" and facts["action"] == "attach":
            self.attached.setdefault(facts["details"]["sha256"], record)
        elif record.kind == "archive_shredded":
            self.shredded |= {file["sha256"]: record.seq for file in facts["files"]}
        elif record.kind == "retention_removed":
            self.removed |= {file["file"]: record.seq for file in facts["files"]}


def verify(
    settings: Settings,
    *,
    anchors: tuple[Path, ...] = (),
    all_faults: bool = False,
    tell: Tell | None = None,
) -> Verdict:
    """Prove the log, the archive and what was published untouched, or say what was changed.

    Args:
        settings: Where state lives; the archive key is needed to read the archive.
        anchors: Anchor files kept elsewhere, beside the ones that the home knows.
        all_faults: Go on after the first fault.
        tell: Called with the files verified so far and their total.

    Raises:
        UsageError: There is no log and nothing that it could prove.
        AuditError: An anchor cannot be read.
    """
    verdict = Verdict()
    for fault in _faults(settings, anchors, verdict, tell or (lambda done, total: None)):
        verdict.faults.append(fault)
        if not all_faults:
            break
    return verdict


def _faults(settings: Settings, anchors: tuple[Path, ...], verdict: Verdict, tell: Tell) -> Iterator[Fault]:
    nights = published_nights(settings)
    verdict.nights = len(nights)
    known = [path for path in anchor_files(settings) if path.exists()]
    lines = [line for path in [*known, *anchors] for line in read_anchors(path)]
    if not log_files(settings):
        if not nights and not lines and not held_nights(settings):
            raise UsageError(
                f"{settings.home}: no audit log, and no night that it could prove.",
                next_step="Run a night first, or set POSRECON_HOME.",
            )
        place = _place(settings, log_folder(settings))
        yield Fault("the audit log is gone", place, None, f"records of {len(nights)} nights", "no file")
        return
    story, hashes = _Story(), {0: NO_RECORD}
    yield from _chain_faults(settings, verdict, story, hashes)
    yield from _anchor_faults(settings, verdict, lines, hashes)
    checks = _Checks(settings, verdict, story, tell, nights)
    yield from checks.faults()


# ------------------------------------------------------------------------------------------------ chain


def _chain_faults(
    settings: Settings, verdict: Verdict, story: _Story, hashes: dict[int, str]
) -> Iterator[Fault]:
    """Walk the log; fills the story and the hash of each record as it goes."""
    seq, previous = 0, NO_RECORD
    last = log_files(settings)[-1]
    for path, number, line in read_lines(settings):
        where = f"{_place(settings, path)}:{number}"
        if not line.endswith(b"\n"):
            if path == last:
                verdict.notes.append(f"{where}: the last line is torn (a crash); the next record repairs it.")
            else:
                yield Fault("a line without an end", where, seq + 1, "a whole record", f"{len(line)} bytes")
            continue
        try:
            found = parse(line, where=where)
        except AuditError:
            seq += 1
            yield Fault("the record was changed", where, seq, "an audit record", repr(line[:60]))
            continue
        if found.seq != seq + 1:
            what = "records are missing before it" if found.seq > seq + 1 else "the record is out of order"
            yield Fault(what, where, found.seq, f"record {seq + 1}", f"record {found.seq}")
        expected = found.expected_hash()
        if found.hash != expected or found.line() != line:
            yield Fault("the record was changed", where, found.seq, f"hash {found.hash}", f"hash {expected}")
        elif found.previous != previous:
            what = "the record does not follow the one before"
            yield Fault(what, where, found.seq, f"previous {previous}", f"previous {found.previous}")
        seq, previous = found.seq, found.hash
        hashes[seq] = found.hash
        verdict.records += 1
        verdict.head = (seq, found.hash)
        story.take(found)


def _anchor_faults(
    settings: Settings, verdict: Verdict, lines: list[Anchor], hashes: dict[int, str]
) -> Iterator[Fault]:
    for line in sorted(lines, key=lambda line: line.seq):
        verdict.anchors += 1
        got = hashes.get(line.seq)
        if got == line.hash:
            verdict.anchored = max(verdict.anchored, line.seq)
            continue
        where = _place(settings, log_files(settings)[-1])
        if got is None:
            what = f"the log was truncated: the anchor {line.where} knows a later record"
            yield Fault(what, where, line.seq, f"record {line.seq}", f"a log that ends at {verdict.head[0]}")
        else:
            what = f"the log was written anew: it does not fit the anchor {line.where} of {line.run_date}"
            yield Fault(what, where, line.seq, f"hash {line.hash}", f"hash {got}")
    if not lines:
        verdict.notes.append(
            "No anchor was compared: a log that was written anew as a whole would not be seen."
        )


# ------------------------------------------------------------------------------------------------ files


class _Checks:
    """What the log says about files, one check each, in the order of the records."""

    def __init__(
        self, settings: Settings, verdict: Verdict, story: _Story, tell: Tell, nights: list[date]
    ) -> None:
        self._settings, self._verdict, self._story, self._tell = settings, verdict, story, tell
        self._nights = [str(night) for night in nights]
        self._blobs: set[str] = set()
        self._replaying = (settings.published / "replay.json").exists()
        if self._replaying:
            verdict.notes.append("A replay stopped half-way: state and reports of its nights are not judged.")

    def faults(self) -> Iterator[Fault]:
        """Every check; nights in order, each with what it received before what it published."""
        by_night: dict[str, list[tuple[Record, dict[str, Any]]]] = {}
        for (night, _), entry in sorted(self._story.receipts.items()):
            by_night.setdefault(night, []).append(entry)
        nights = sorted(
            {*by_night, *self._story.read, *self._story.published, *self._story.prepared, *self._nights}
        )
        total = len(self._story.receipts) + len(nights)
        done = 0
        yield from self._decisions()
        yield from self._decisions_of_cases()
        yield from self._attachments()
        for night in nights:
            for record, facts in by_night.get(night, []):
                yield from self._received(night, record, facts)
                done += 1
            yield from self._unrecorded_receipts(night)
            yield from self._read_decisions(night)
            yield from self._published(night)
            done += 1
            self._tell(done, total)
        yield from self._revisions()

    def _decisions(self) -> Iterator[Fault]:
        """What people decided about held files: every decision as it was recorded, and no other."""
        folder = self._settings.archive / "decisions"
        found = {int(path.stem): path for path in sorted(folder.glob("[0-9]*.json"))}
        for number, record in sorted(self._story.decided.items()):
            path = found.pop(number, folder / f"{number:08d}.json")
            place = _place(self._settings, path)
            if not path.exists():
                yield Fault("the decision is missing", place, record.seq, "a decision", "no file")
                continue
            try:
                got = json.loads(path.read_bytes())
            except ValueError:
                got = None
            # The file has the time to the second, the record to the microsecond.
            expected = record.payload | {"decided_at": None}
            facts = got | {"decided_at": None} if isinstance(got, dict) else got
            if facts != expected:
                yield Fault("the decision was changed", place, record.seq, str(expected), str(facts))
        for path in found.values():
            if self._replaying:
                self._verdict.notes.append(
                    f"{_place(self._settings, path)}: not recorded yet; finish the replay."
                )
                continue
            yield Fault(
                "a decision that no record knows", _place(self._settings, path), None, "no file", "a file"
            )

    def _decisions_of_cases(self) -> Iterator[Fault]:
        """What people decided in dispute cases: every decision as it was recorded, and no other."""
        for decision_id, record in self._story.of_cases.items():
            yield from self._compare(decision_path(self._settings, decision_id), decision_id, record)
        for path in sorted((self._settings.archive / "case_decisions").glob("*.json")):
            if path.stem not in self._story.of_cases:
                place = _place(self._settings, path)
                if self._replaying:
                    self._verdict.notes.append(f"{place}: not recorded yet; finish the replay.")
                    continue
                yield Fault("a decision that no record knows", place, None, "no file", "a file")

    def _attachments(self) -> Iterator[Fault]:
        """What people attached to cases; the fault names the case."""
        vault = attachments_vault(self._settings) if self._story.attached else self._settings
        for sha256, record in self._story.attached.items():
            name = f"{record.payload['details']['file_name']}, {record.payload['case']}"
            yield from self._kept(vault, sha256, record, name, "attachment")
            self._verdict.attachments += 1

    def _read_decisions(self, night: str) -> Iterator[Fault]:
        """Which decisions a night read."""
        path = list_path(self._settings, date.fromisoformat(night))
        record = self._story.read.get(night)
        if record is not None:
            yield from self._compare(path, record.payload["case_decisions_sha256"], record)
        elif path.exists() and night in self._nights:
            place = _place(self._settings, path)
            yield Fault("a list of decisions that no record knows", place, None, "no file", sha256_of(path))

    def _received(self, night: str, record: Record, facts: dict[str, Any]) -> Iterator[Fault]:
        settings = self._settings
        path = settings.archive / "receipts" / f"run_date={night}" / f"{facts['file_no']:08d}.json"
        yield from self._compare(path, facts["receipt_sha256"], record)
        for sha256 in (facts["sha256"], facts["container"]):
            if sha256 is not None and sha256 not in self._blobs:
                self._blobs.add(sha256)
                yield from self._archived(sha256, record, facts["file_name"])

    def _archived(self, sha256: str, record: Record, name: str) -> Iterator[Fault]:
        blob, key = blob_path(self._settings, sha256), key_path(self._settings, sha256)
        place = f"{_place(self._settings, blob)} ({name})"
        if sha256 in self._story.shredded:
            by = self._story.shredded[sha256]
            left = [path.name for path in (blob, key) if path.exists()]
            if left:
                what = "retention shredded this file, but it is there; run posrecon retention apply again"
                yield Fault(what, place, by, "neither blob nor key", ", ".join(left))
            self._verdict.shredded += 1
            return
        yield from self._kept(self._settings, sha256, record, name, "archived file")
        self._verdict.received += 1

    def _kept(self, vault: Settings, sha256: str, record: Record, name: str, what: str) -> Iterator[Fault]:
        """One encrypted file: read it whole."""
        blob = blob_path(vault, sha256)
        place = f"{_place(self._settings, blob)} ({name})"
        if not blob.exists():
            yield Fault(f"the {what} is missing", place, record.seq, f"SHA-256 {sha256}", "no file")
            return
        try:
            for _ in read_frames(vault, sha256):
                pass
        except ArchiveError as error:
            got = error.what.removeprefix(f"{blob}: ").replace(f"{self._settings.home}/", "")
            yield Fault(f"the {what} was changed", place, record.seq, f"content {sha256}", got)

    def _unrecorded_receipts(self, night: str) -> Iterator[Fault]:
        folder = self._settings.archive / "receipts" / f"run_date={night}"
        unknown = [
            path
            for path in sorted(folder.glob("[0-9]*.json"))
            if (night, int(path.stem)) not in self._story.receipts
        ]
        if night not in self._nights:
            if unknown:
                self._verdict.notes.append(
                    f"Night {night} was interrupted: {len(unknown)} receipts are not recorded yet; run it again."
                )
            return
        for path in unknown:
            place = _place(self._settings, path)
            yield Fault("a receipt that no record knows", place, None, "no file", sha256_of(path))

    def _published(self, night: str) -> Iterator[Fault]:
        settings = self._settings
        run_date = date.fromisoformat(night)
        path = manifest_path(settings, run_date)
        done, prepared = self._story.published.get(night), self._story.prepared.get(night, [])
        if not path.exists():
            if done is not None:
                expected = f"SHA-256 {done.payload['manifest_sha256']}"
                yield Fault("the manifest is missing", _place(settings, path), done.seq, expected, "no file")
            elif prepared:
                self._verdict.notes.append(f"Night {night} was interrupted before it was published.")
            return
        got = sha256_of(path)
        facts = next((known for known in reversed(prepared) if known.payload["manifest_sha256"] == got), None)
        if facts is None:
            if done is None and not prepared:
                yield Fault("a night that no record knows", _place(settings, path), None, "no file", got)
                return
            last = done or prepared[-1]
            expected = last.payload["manifest_sha256"]
            yield Fault("the manifest was changed", _place(settings, path), last.seq, expected, got)
            return
        for table in facts.payload["tables"].values():
            yield from self._compare(settings.published / table["file"], table["sha256"], facts)
        if self._replaying:
            return
        if night in self._story.rerun or done is None:
            self._verdict.notes.append(f"Night {night} was run again and interrupted; run it again.")
            return
        for name, sha256 in facts.payload["state"].items():
            yield from self._compare(settings.state / name / f"run_date={night}.parquet", sha256, facts)
        for name, sha256 in done.payload["files"].items():
            yield from self._compare(settings.home / name, sha256, done)

    def _revisions(self) -> Iterator[Fault]:
        """What was believed before each decision: manifests that were recorded once, and their tables."""
        for path in sorted((self._settings.published / "revisions").glob("*/????-??-??.json")):
            got = sha256_of(path)
            record = self._story.manifests.get(got)
            if record is None:
                place = _place(self._settings, path)
                yield Fault(
                    "a manifest that was never recorded", place, None, "a recorded one", f"SHA-256 {got}"
                )
                continue
            for table in record.payload["tables"].values():
                yield from self._compare(self._settings.published / table["file"], table["sha256"], record)

    def _compare(self, path: Path, sha256: str, record: Record) -> Iterator[Fault]:
        place = _place(self._settings, path)
        removed = self._story.removed.get(place)
        if removed is not None:
            if path.exists():
                yield Fault(
                    "retention removed this file, but it is there", place, removed, "no file", "a file"
                )
            return
        self._verdict.published += 1
        if not path.exists():
            yield Fault("the file is missing", place, record.seq, f"SHA-256 {sha256}", "no file")
            return
        got = sha256_of(path)
        if got != sha256:
            yield Fault("the file was changed", place, record.seq, f"SHA-256 {sha256}", f"SHA-256 {got}")


def _place(settings: Settings, path: Path) -> str:
    """A path relative to the home where it lies in it."""
    return str(path.relative_to(settings.home)) if path.is_relative_to(settings.home) else str(path)
