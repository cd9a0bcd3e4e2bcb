"""How files get from where their senders leave them into the inbox, and how long a night waits for them.

A file is fetched when its upload is finished, once, whole, and under a temporary name first. What was fetched is kept
in a ledger by place, size and version: the same name with other content is fetched again, and becomes a conflict.
Who calls says how to reach a server (`Connect`) and what time it is: nothing here knows Airflow or reads a clock.
"""

import fcntl
import hashlib
import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import BinaryIO, Literal, Protocol

from posrecon.errors import UsageError
from posrecon.files import flush, sha256_of
from posrecon.landing.archive import blob_path
from posrecon.landing.containers import pattern_name
from posrecon.landing.inbox import is_unfinished, recognised_in
from posrecon.landing.opening import recognise
from posrecon.landing.outcomes import read_files_before, read_outcome
from posrecon.landing.receipts import read_receipts
from posrecon.landing.sources import Source, load_sources
from posrecon.landing.steps import MERCHANTS, expected_files
from posrecon.landing.transport import AtOnce, Marker, Stable, Transport
from posrecon.settings import Settings

log = logging.getLogger(__name__)

# End of the names under which files are fetched; they begin with a dot, so no night reads them.
ARRIVING = ".arriving"
NAME_BYTES_MAX = 255
LOCK_TIMEOUT_S = 60
# Between two looks for a source that has a deadline and nothing to fetch from.
LOOK_EVERY = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file as its server lists it.

    Attributes:
        name: Base name.
        location: Whole path, unique within the connection.
        size: Bytes.
        version: Changes with the content: an ETag, or the time of change.
        modified: Time of change in seconds since 1970, when the server tells one.
    """

    name: str
    location: str
    size: int
    version: str
    modified: float | None = None


class Remote(Protocol):
    """An open connection to where files lie. Every method raises OSError when the server cannot be reached."""

    def files(self, folder: str) -> list[RemoteFile]:
        """The files of a folder, without sub-folders; FileNotFoundError when there is no such folder."""

    def file(self, location: str) -> RemoteFile | None:
        """One file as it is now; None when it is gone."""

    def fetch(self, location: str, target: BinaryIO) -> None:
        """Write the content to `target`."""

    def remove(self, location: str) -> None:
        """Remove the file from the server."""


Connect = Callable[[Transport], AbstractContextManager[Remote]]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look for the files of a source found.

    Attributes:
        fetched: Names that are in the inbox now.
        unsettled: Names whose upload does not seem to be finished.
        held: Names that differ from a file of the same name that is still in the inbox; fetched after it is read.
        missing: Logical names that the calendar expects tonight and that are not here.
        trouble: Why the server could not be asked; empty when it could.
        again: When to look again; None = the night goes on with what is here.
    """

    fetched: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    trouble: str = ""
    again: datetime | None = None


def awaited_sources(settings: Settings) -> tuple[Source, ...]:
    """The sources for which a night has something to fetch or to wait for, by name."""
    return tuple(source for source in load_sources(settings.sources_dir) if source.is_awaited)


def awaited_source(settings: Settings, name: str) -> Source:
    """One of them.

    Raises:
        UsageError: No such source, or nothing says from where its files come.
    """
    found = {source.name: source for source in awaited_sources(settings)}
    if name not in found:
        known = ", ".join(found) or "none yet"
        raise UsageError(
            f"{name}: no source of this name has a transport or a deadline.",
            next_step=f"Give it a transport in its YAML, or choose one of: {known}.",
        )
    return found[name]


# -------------------------------------------------------------------------------- one look
def look(
    settings: Settings,
    source: Source,
    run_date: date,
    *,
    connect: Connect,
    now: datetime,
    is_first: bool,
    again_for: frozenset[str] = frozenset(),
) -> Look:
    """Fetch what is finished, and say whether it is worth to look again for this night.

    Args:
        settings: The home.
        source: Whose files.
        run_date: The night.
        connect: Opens the connection that the transport names.
        now: The present instant (aware). It decides how long the night waits, never what a fetched file means.
        is_first: True for the first look of a task; what is unsettled then gets a second one, also after the deadline.
        again_for: Names to fetch although the ledger knows them.

    Returns:
        What was found. Nothing of a download that failed stays behind.

    Raises:
        OSError: The server cannot be reached, and the deadline has passed.
        PosreconError: The settings of the source or its connection are wrong; waiting would not help.
    """
    deadline = source.deadline_of(run_date)
    every = timedelta(seconds=source.transport.look_every_s) if source.transport else LOOK_EVERY
    with _turn_of(settings, source), closing(_Ledger(settings, source)) as ledger:
        started = ledger.first_look(run_date, now, is_first=is_first)
        # What is seen for the first time until then gets the second look that tells whether it is finished.
        until = max(started, deadline or started)
        try:
            pulled = _pull(settings, source, run_date, connect, ledger, now, until, again_for)
        except OSError as error:
            if deadline is None or now >= deadline:
                raise
            log.warning("%s: %s", source.name, error)
            missing = tuple(missing_files(settings, source, run_date))
            return Look(missing=missing, trouble=str(error), again=min(now + every, deadline))
    missing = tuple(missing_files(settings, source, run_date))
    instants = [instant for instant in pulled.unsettled.values() if instant is not None]
    if deadline is not None and missing and now < deadline:
        instants.append(min(now + every, deadline))
    return Look(
        fetched=tuple(pulled.fetched),
        unsettled=tuple(sorted(pulled.unsettled)),
        held=tuple(pulled.held),
        missing=missing,
        again=min(instants, default=None),
    )


@dataclass
class _Pulled:
    """What a pull did; `unsettled` says for each name when to look again, None = only if the night waits anyway."""

    fetched: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    unsettled: dict[str, datetime | None] = field(default_factory=dict)


def _pull(
    settings: Settings,
    source: Source,
    run_date: date,
    connect: Connect,
    ledger: "_Ledger",
    now: datetime,
    until: datetime,
    again_for: frozenset[str],
) -> _Pulled:
    pulled, transport = _Pulled(), source.transport
    if transport is None:
        return pulled
    rule = transport.ready_rule
    settle = timedelta(seconds=rule.seconds if isinstance(rule, Stable) else transport.look_every_s)
    inbox = settings.inbox / source.feed
    inbox.mkdir(parents=True, exist_ok=True)
    for leftover in inbox.glob(f".*.{source.name}{ARRIVING}"):
        leftover.unlink()  # of a process that was killed
    with connect(transport) as remote:
        for file, marker in _offered(source, transport, remote, run_date):
            known = None if file.name in again_for else ledger.fetched(file)
            if known is not None:
                if transport.after == "delete":
                    _remove(settings, remote, file, marker, known)
                continue
            again: datetime | None = None
            if isinstance(rule, Stable):
                again = ledger.seen(file, now) + settle
                finished = now >= again
            else:
                finished = isinstance(rule, AtOnce) or (marker is not None and _is_of(marker, file))
            if finished:
                state = _fetch(settings, source, remote, file, ledger, run_date)
                if state == "fetched":
                    pulled.fetched.append(file.name)
                    continue
                if state == "held":
                    pulled.held.append(file.name)
                    continue
                again = now + settle  # it changed while it was fetched
            is_in_time = again is not None and again - settle <= until
            pulled.unsettled[file.name] = again if is_in_time else None
    return pulled


def _offered(
    source: Source, transport: Transport, remote: Remote, run_date: date
) -> Iterator[tuple[RemoteFile, RemoteFile | None]]:
    """The files that are the source's, by folder and name, each with its marker."""
    rule = transport.ready_rule
    for folder in transport.folders(run_date):
        try:
            files = {file.name: file for file in remote.files(folder)}
        except FileNotFoundError:
            if transport.is_dated:
                continue
            raise UsageError(
                f"{source.name}: {transport.kind} {transport.connection or ''}: no folder {folder}.",
                next_step="Correct transport.path in the source YAML, or ask the sender for the folder.",
            ) from None
        markers = {name: rule.of(name) for name in files} if isinstance(rule, Marker) else {}
        for name in sorted(files.keys() - set(markers.values())):
            if _is_wanted(source, transport, name):
                yield files[name], files.get(markers.get(name, ""))


def _is_wanted(source: Source, transport: Transport, name: str) -> bool:
    if transport.pattern is not None:
        fits = re.fullmatch(transport.pattern, name) is not None
    else:
        fits = source.match(pattern_name(name)) is not None
    if not fits or is_unfinished(name):
        return False
    # A server may say anything; a name becomes a file name here.
    if re.search(r"[/\\\x00-\x1f\x7f]", name) or len(os.fsencode(name)) > NAME_BYTES_MAX:
        log.warning("%s: %r is no plain file name; it is not fetched", source.name, name)
        return False
    return True


def _is_of(marker: RemoteFile, file: RemoteFile) -> bool:
    """False for the marker of an earlier upload under the same name."""
    return marker.modified is None or file.modified is None or marker.modified >= file.modified


def _fetch(
    settings: Settings, source: Source, remote: Remote, file: RemoteFile, ledger: "_Ledger", run_date: date
) -> Literal["fetched", "changed", "held"]:
    """Fetch one file under a temporary name and put it into the inbox, whole, without replacing anything."""
    inbox = settings.inbox / source.feed
    target = inbox / file.name
    label = hashlib.sha256(file.location.encode()).hexdigest()[:16]
    temporary = inbox / f".{label}.{source.name}{ARRIVING}"
    try:
        with temporary.open("xb") as stream:
            remote.fetch(file.location, stream)
            stream.flush()
            os.fsync(stream.fileno())
        after = remote.file(file.location)
        if after is None or (after.size, after.version) != (file.size, file.version):
            log.warning("%s: %s changed while it was fetched", source.name, file.location)
            return "changed"
        if temporary.stat().st_size != file.size:
            raise ConnectionError(
                f"{file.location}: {temporary.stat().st_size} bytes came, expected {file.size}"
            )
        digest = sha256_of(temporary)
        try:
            os.link(temporary, target)  # a rename would replace a file that no night has read yet
        except FileExistsError:
            if sha256_of(target) != digest:
                log.warning("%s: another %s is still in the inbox", source.name, file.name)
                return "held"
        flush(inbox)
    finally:
        temporary.unlink(missing_ok=True)
    # Last: a kill before this line fetches the file once more, which is a duplicate and has no effect.
    ledger.add(file, digest, run_date)
    log.info("%s: %s fetched, %d bytes", source.name, file.location, file.size)
    return "fetched"


def _remove(
    settings: Settings, remote: Remote, file: RemoteFile, marker: RemoteFile | None, sha256: str
) -> None:
    """Remove a fetched file from the server, once its content is in the archive."""
    if not blob_path(settings, sha256).exists() or remote.file(file.location) != file:
        return
    for one in (file, marker):
        if one is not None:
            remote.remove(one.location)
            log.info("%s removed from the server: it is in the archive", one.location)


# -------------------------------------------------------------------------------- what is missing
def missing_files(settings: Settings, source: Source, run_date: date) -> list[str]:
    """Logical names that the calendar of a source expects tonight and that are neither in the inbox nor received.

    Only how long a night waits depends on this: what is missing in the end, `register` decides from what was read. A
    file whose name does not say whom it is about stands for any one that is missing. While no list of merchants was
    ever loaded, any one file of the day ends the wait.
    """
    if source.expected is None:
        return []
    day = run_date - timedelta(days=1)
    earlier = read_files_before(settings, run_date)
    rows = expected_files(settings, run_date, (source,), earlier)
    wanted = {key: logical_name for _, _, logical_name, key, _ in rows}
    is_listed = any(file.source == MERCHANTS and file.state == "loaded" for _, file in earlier)
    if source.expected.per is not None and not is_listed and source.expected.falls_on(day):
        wanted = {"": source.logical_name("", day)}
    keys = _keys_here(settings, source, run_date, day)
    missing = sorted(wanted.keys() - set(keys))
    others = sum(key not in wanted for key in keys)
    return [wanted[key] for key in missing[others:]]


def _keys_here(settings: Settings, source: Source, run_date: date, day: date) -> list[str]:
    """Whom the source's files of a day are about, as far as their names say it."""
    sources = load_sources(settings.sources_dir)
    keys: list[str] = []
    for receipt in read_receipts(settings, run_date):  # the night runs again
        outcome = read_outcome(settings, run_date, receipt.file_id)
        if outcome is not None:
            if outcome.source == source.name and outcome.business_date == day:
                keys.append(outcome.logical_key)
            continue
        matches = recognise(sources, receipt.feed, receipt.file_name)
        keys += [name.key for one, name in matches if one == source and name.business_date in (None, day)]
    inbox = settings.inbox / source.feed
    for path in sorted(inbox.iterdir()) if inbox.is_dir() else ():
        if path.is_file() and not is_unfinished(path.name):
            keys += [
                known.name.key
                for known in recognised_in(settings, path, source.feed, sources)
                if known.source == source and known.business_date in (None, day)
            ]
    return keys


# -------------------------------------------------------------------------------- the ledger
class _Ledger:
    """What was fetched from where, and what was seen when. Lost, it costs a download that ends as duplicates."""

    def __init__(self, settings: Settings, source: Source) -> None:
        settings.arrival.mkdir(parents=True, exist_ok=True)
        self._source = source.name
        connection = source.transport.connection if source.transport else None
        # Sources of one feed may look into one folder: a zip that two of them want is fetched once.
        self._place = f"{source.feed}:{connection or ''}"
        self._database = sqlite3.connect(
            settings.arrival / "ledger.sqlite", timeout=LOCK_TIMEOUT_S, isolation_level=None
        )
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def fetched(self, file: RemoteFile) -> str | None:
        """SHA-256 of what was fetched from there in this version; None when it was not."""
        row = self._database.execute(
            "select sha256 from fetched where place = ? and location = ? and size = ? and version = ?",
            (self._place, file.location, file.size, file.version),
        ).fetchone()
        return None if row is None else str(row[0])

    def add(self, file: RemoteFile, sha256: str, run_date: date) -> None:
        """Note that a file was fetched."""
        self._database.execute(
            "insert or replace into fetched values (?, ?, ?, ?, ?, ?)",
            (self._place, file.location, file.size, file.version, sha256, run_date.isoformat()),
        )
        self._database.execute(
            "delete from seen where place = ? and location = ?", (self._place, file.location)
        )

    def seen(self, file: RemoteFile, now: datetime) -> datetime:
        """When the file was first seen as it is now."""
        row = self._database.execute(
            "select seen_at from seen where place = ? and location = ? and size = ? and version = ?",
            (self._place, file.location, file.size, file.version),
        ).fetchone()
        if row is not None:
            return datetime.fromisoformat(row[0])
        self._database.execute(
            "insert or replace into seen values (?, ?, ?, ?, ?)",
            (self._place, file.location, file.size, file.version, now.isoformat()),
        )
        return now

    def first_look(self, run_date: date, now: datetime, *, is_first: bool) -> datetime:
        """When the present task began to look for a night."""
        key = (self._source, run_date.isoformat())
        row = self._database.execute(
            "select at from first_looks where source = ? and run_date = ?", key
        ).fetchone()
        if row is not None and not is_first:
            return datetime.fromisoformat(row[0])
        self._database.execute("insert or replace into first_looks values (?, ?, ?)", (*key, now.isoformat()))
        return now


_TABLES = """
create table if not exists fetched (
    place text, location text, size integer, version text, sha256 text not null, run_date text not null,
    primary key (place, location, size, version)
);
create table if not exists seen (
    place text, location text, size integer, version text, seen_at text not null, primary key (place, location)
);
create table if not exists first_looks (
    source text, run_date text, at text not null, primary key (source, run_date)
);
"""


@contextmanager
def _turn_of(settings: Settings, source: Source) -> Iterator[None]:
    """Let one process at a time look for a source; the next one waits for its turn."""
    settings.arrival.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.arrival / f"{source.name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
