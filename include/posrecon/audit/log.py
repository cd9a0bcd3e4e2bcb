"""The audit log: append-only records, each with the hash of the one before.

One file per month of `home/audit/log`, one JSON object per line, in canonical form (sorted keys, no spaces, UTF-8,
no floats), so that a record has exactly one spelling and one hash:

    {"at": …, "by": …, "hash": …, "kind": …, "payload": {…}, "previous": …, "seq": …}

`hash` is the SHA-256 of the record without it; `previous` is the hash of the record before, 64 zeros for the first.
Records are appended under a lock and flushed before the call returns. A crash can leave a torn last line at most:
the next record finds it and puts a record of its repair (`log_repaired`, with what was torn) in its place.

The time of a record is the wall clock's: it says when something was done, and no result of a night depends on it.
"""

import fcntl
import getpass
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from posrecon.errors import PosreconError
from posrecon.files import flush, written_aside
from posrecon.settings import Settings

NO_RECORD = "0" * 64
"""What the first record has for the hash of the one before."""

TORN_TEXT_MAX = 2000
"""Characters of a torn line that its repair keeps; the hash covers all of it."""

LOG_MODE = 0o640
"""The owner writes, the group (auditors) reads."""

_KIND = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_FIELDS = frozenset({"at", "by", "hash", "kind", "payload", "previous", "seq"})
_TAIL = 64 * 1024


class AuditError(PosreconError):
    """The log cannot be continued, or a record cannot be written."""


@dataclass(frozen=True)
class Entry:
    """Something to record.

    Attributes:
        kind: What happened, in snake_case: files_received, night_published, case_changed, export, …
        payload: Facts, ready for JSON: text, integers, booleans, None, lists, dictionaries, dates. No floats, no
            card numbers, no names of cardholders.
    """

    kind: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """One record as it stands in the log.

    Attributes:
        seq: 1 for the first record of the home, then one more each.
        at: Instant of writing (aware, UTC, ISO text).
        kind: What happened.
        by: Who did it: a person, or the user that the process ran as.
        payload: The facts.
        previous: Hash of the record before.
        hash: SHA-256 of all of the above in canonical form.
    """

    seq: int
    at: str
    kind: str
    by: str
    payload: dict[str, Any]
    previous: str
    hash: str

    def line(self) -> bytes:
        """The record as its line of the log."""
        return canonical(self._content() | {"hash": self.hash}) + b"\n"

    def expected_hash(self) -> str:
        """The hash that the content has."""
        return hashlib.sha256(canonical(self._content())).hexdigest()

    def _content(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "at": self.at,
            "kind": self.kind,
            "by": self.by,
            "payload": self.payload,
            "previous": self.previous,
        }


def record(settings: Settings, kind: str, payload: Mapping[str, Any], *, by: str | None = None) -> Record:
    """Append one record; it is on disk when this returns.

    Args:
        settings: Says where the log is.
        kind: What happened, in snake_case.
        payload: Facts; see `Entry`.
        by: Who did it; by default the user that this process runs as.

    Raises:
        AuditError: The payload is no JSON, or the log was damaged so that nothing may follow it.
    """
    return record_all(settings, [Entry(kind, payload)], by=by)[-1]


def record_all(settings: Settings, entries: Sequence[Entry], *, by: str | None = None) -> list[Record]:
    """Append several records with one write; a crash keeps the first ones, in order.

    Raises:
        AuditError: A payload is no JSON, or the log was damaged so that nothing may follow it.
    """
    for entry in entries:
        if not _KIND.fullmatch(entry.kind):
            raise AuditError(f"{entry.kind!r}: a kind of record is lower_snake_case.")
        canonical(entry.payload)
    who = by or process_user()
    with _locked(settings):
        head = _sound_head(settings, who)
        written: list[Record] = []
        for entry in entries:
            head = _next(head, entry, who)
            written.append(head)
        if written:
            _append(_file_for(settings, written[0]), b"".join(made.line() for made in written))
        return written


def process_user() -> str:
    """The user that this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def head_of(settings: Settings) -> Record | None:
    """The last whole record; None when there is none.

    Raises:
        AuditError: The last line is no record.
    """
    files = log_files(settings)
    while files:
        kept, _ = _split_torn(files[-1])
        if kept:
            return parse(kept, where=f"{files[-1]}: last line")
        files.pop()
    return None


def log_folder(settings: Settings) -> Path:
    """Where the files of the log lie."""
    return settings.audit / "log"


def log_files(settings: Settings) -> list[Path]:
    """The files of the log, oldest first."""
    return sorted(log_folder(settings).glob("[0-9][0-9][0-9][0-9]-[0-9][0-9].jsonl"))


def read_lines(settings: Settings) -> Iterator[tuple[Path, int, bytes]]:
    """Every line of the log as it is: file, 1-based line, bytes with the newline where there is one."""
    for path in log_files(settings):
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                yield path, number, line


def read_records(settings: Settings, kinds: frozenset[str] | None = None) -> Iterator[Record]:
    """Whole records in order, without proof; a torn last line is passed over.

    Args:
        settings: Says where the log is.
        kinds: Only these.

    Raises:
        AuditError: A line is no record.
    """
    for path, number, line in read_lines(settings):
        if line.endswith(b"\n"):
            found = parse(line, where=f"{path}:{number}")
            if kinds is None or found.kind in kinds:
                yield found


def parse(line: bytes, *, where: str) -> Record:
    """One line of the log as a record; its hash is not judged here.

    Raises:
        AuditError: The line is no record.
    """
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or fields.keys() != _FIELDS or not isinstance(fields["payload"], dict):
        raise AuditError(
            f"{where}: expected an audit record (JSON with {', '.join(sorted(_FIELDS))}), got {line[:60]!r}.",
            next_step="Run posrecon audit verify; restore the file from a backup.",
        )
    return Record(**fields)


def canonical(content: Any) -> bytes:
    """The one spelling of some JSON content.

    Raises:
        AuditError: It holds a float, or something that is no JSON.
    """
    try:
        text = json.dumps(
            _plain(content), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        return text.encode()
    except (TypeError, ValueError) as error:
        raise AuditError(f"An audit record cannot hold this: {error}.") from None


def _plain(content: Any) -> Any:
    """JSON types only, so that what is read back is what was hashed."""
    if content is None or isinstance(content, str | bool | int):
        return content
    if isinstance(content, datetime | date):
        return content.isoformat()
    if isinstance(content, Path):
        return str(content)
    if isinstance(content, Mapping):
        for key in content:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not text")
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    raise TypeError(f"{type(content).__name__} {content!r} is no text, integer, boolean or date")


def _next(head: Record | None, entry: Entry, by: str) -> Record:
    unhashed = Record(
        seq=head.seq + 1 if head else 1,
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        kind=entry.kind,
        by=by,
        payload=_plain(entry.payload),
        previous=head.hash if head else NO_RECORD,
        hash="",
    )
    return Record(**{**unhashed.__dict__, "hash": unhashed.expected_hash()})


def _file_for(settings: Settings, first: Record) -> Path:
    """The file of the record's month; a clock that was set back never goes back a file."""
    month = log_folder(settings) / f"{first.at[:7]}.jsonl"
    return max([month, *log_files(settings)[-1:]])


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Hold the log; waits for whoever holds it, because a record takes milliseconds."""
    log_folder(settings).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.audit / "log.lock", os.O_RDWR | os.O_CREAT, LOG_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sound_head(settings: Settings, by: str) -> Record | None:
    """The record to go on from; a line that a crash left torn is replaced by the record of its repair first."""
    head = head_of(settings)
    if head is not None and head.hash != head.expected_hash():
        raise AuditError(
            f"{log_files(settings)[-1]}: the last record (number {head.seq}) was changed: expected hash "
            f"{head.expected_hash()}, got {head.hash}.",
            next_step="Run posrecon audit verify; restore the file from a backup. Nothing is added meanwhile.",
        )
    for path in log_files(settings)[-1:]:
        _, torn = _split_torn(path)
        if not torn:
            break
        whole = path.read_bytes()[: -len(torn)]
        facts = {
            "file": path.name,
            "cut_at_byte": len(whole),
            "bytes": len(torn),
            "sha256": hashlib.sha256(torn).hexdigest(),
            "text": torn.decode("utf-8", "replace")[:TORN_TEXT_MAX],
        }
        head = _next(head, Entry("log_repaired", facts), by)
        # One rename, so that a second crash leaves the torn line or its repair, never neither.
        with written_aside(path) as aside:
            aside.write_bytes(whole + head.line())
            aside.chmod(LOG_MODE)
    return head


def _split_torn(path: Path) -> tuple[bytes, bytes]:
    """The last whole line of a file, and what stands behind it without an end of line."""
    size = path.stat().st_size
    taken = 0
    tail = b""
    with path.open("rb") as stream:
        while taken < size:
            taken = min(size, max(_TAIL, taken * 2))
            stream.seek(size - taken)
            tail = stream.read(taken)
            body, newline, torn = tail.rpartition(b"\n")
            if newline and (b"\n" in body or taken == size):
                return body.rpartition(b"\n")[2] + b"\n", torn
    return b"", tail


def _append(path: Path, lines: bytes) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, LOG_MODE)
    try:
        view = memoryview(lines)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        flush(path.parent)
