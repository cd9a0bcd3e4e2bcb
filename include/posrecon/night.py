"""The night as an ordered list of steps. The command line walks it in one process, the DAG in tasks."""

import json
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from posrecon.errors import NightError, UsageError
from posrecon.files import write_json
from posrecon.orchestration import ReceivedFile, received_files, require_earlier_nights_published
from posrecon.reporting.night_report import report_paths
from posrecon.settings import Settings
from posrecon.warehouse.connection import night_lock
from posrecon.warehouse.manifests import (
    Manifest,
    held_nights,
    previous_night,
    published_digest,
    published_nights,
    read_manifest,
)

if TYPE_CHECKING:
    from posrecon.landing import Outcome
    from posrecon.landing.decisions import Action, Decision
    from posrecon.transform.run import DbtSession
    from posrecon.validation.run import Validation
    from posrecon.warehouse.revisions import NightChange

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Hears how a night goes on; a progress display, a log, or nothing."""

    def started(self, run_date: date, step: "Step") -> None:
        """A step begins."""

    def progress(self, step: "Step", done: int, total: int) -> None:
        """`done` of `total` parts of the step are done."""

    def finished(self, step: "Step", seconds: float) -> None:
        """A step has ended well."""


class Silent:
    """An observer that says nothing."""

    def started(self, run_date: date, step: "Step") -> None:
        """Ignore."""

    def progress(self, step: "Step", done: int, total: int) -> None:
        """Ignore."""

    def finished(self, step: "Step", seconds: float) -> None:
        """Ignore."""


# Called by long steps with the parts done and their total.
Tell = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Say nothing."""


@dataclass
class Night:
    """One night at work.

    Attributes:
        settings: Where state lives.
        run_date: The night.
        from_archive: True in a replay: nothing is received, the archive alone is read.
        swap: False in a replay until its last night.
        tell: Called with (done, total) by long steps.
        dbt: The dbt process of the night.
    """

    settings: Settings
    run_date: date
    from_archive: bool = False
    swap: bool = True
    tell: Tell = _silent
    dbt: "DbtSession | None" = None


@dataclass(frozen=True)
class Step:
    """One step of the night.

    Attributes:
        name: Stable name; also the task id.
        title: For people.
        writes_warehouse: True when it needs the warehouse for itself (one writer at a time).
        run: Does it; idempotent, so that an interrupted night is simply run again.
    """

    name: str
    title: str
    writes_warehouse: bool
    run: Callable[[Night], None]


@dataclass(frozen=True)
class WaitingFile:
    """A file that a night has left in the inbox.

    Attributes:
        feed: Folder of the inbox.
        file_name: Name in it.
        state: early (dated on or after the run date), unfinished (still being written), or due (arrived while
            the night was at work).
        business_date: Date of an early file.
        run_date: The night that will read an early file.
    """

    feed: str
    file_name: str
    state: str
    business_date: date | None
    run_date: date | None


@dataclass(frozen=True)
class NightSummary:
    """What a night did.

    Attributes:
        run_date: The night.
        figures: Deterministic figures (see `posrecon.reporting.summary`).
        digest: SHA-256 over everything published so far; equal digests mean equal bytes.
        night_digest: SHA-256 over the tables and state of this night alone.
        seconds: Duration by step.
        paths: Where to look: report, published database, Data Docs.
        waiting: What is in the inbox after the night; it has no part in the figures.
    """

    run_date: date
    figures: dict[str, Any]
    digest: str
    night_digest: str
    seconds: dict[str, float]
    paths: dict[str, str]
    waiting: tuple[WaitingFile, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 when a file is missing or was refused tonight, else 0."""
        return 3 if self.figures["file_problems"] else 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.figures,
            "digest": self.digest,
            "night_digest": self.night_digest,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "paths": self.paths,
            "waiting": [asdict(file) for file in self.waiting],
            "exit_code": self.exit_code,
        }


def sources_to_pull(settings: Settings, run_date: date) -> list[str]:
    """Names of the sources that a scheduler asks for files before the night begins, in order.

    None for a night that may not run: its first step refuses it, at once instead of after a deadline.
    """
    from posrecon.landing.arrival import awaited_sources

    try:
        check_may_run(settings, run_date)
    except (NightError, UsageError) as error:
        log.warning("No source is asked: %s", error)
        return []
    return [source.name for source in awaited_sources(settings)]


# ------------------------------------------------------------------------------------------------ steps
# Each function is one task of the DAG. Heavy imports (dbt, Great Expectations, Arrow) stay inside the step
# that needs them. `run_night` holds the lock of the home throughout; a task holds it for its own step, so
# that a night started by hand and one of the scheduler cannot write at the same time.


def receive(settings: Settings, run_date: date) -> list[str]:
    """Take tonight's files into the archive; returns the ids of all files of the night that need parsing."""
    with night_lock(settings):
        return _receive(settings, run_date)


def parse_file(settings: Settings, run_date: date, file_id: str) -> "Outcome":
    """Parse one archived file into raw partitions; a bad file is an outcome, not an error. Needs no lock."""
    from posrecon.landing import parse_file

    return parse_file(settings, run_date, file_id)


def register(settings: Settings, run_date: date) -> None:
    """Decide duplicates and conflicts, and compare what came with what was expected."""
    with night_lock(settings):
        _register(settings, run_date)


def expose(settings: Settings, run_date: date) -> None:
    """Build tonight's warehouse: the doors `raw` and `opening`."""
    with night_lock(settings):
        check_may_run(settings, run_date)
        _expose(settings, run_date)


def transform(settings: Settings, run_date: date, layer: str) -> None:
    """Run one dbt layer with its data tests."""
    with night_lock(settings):
        from posrecon.transform.run import run_layer

        run_layer(settings, run_date, layer)


def validate(settings: Settings, run_date: date) -> "Validation":
    """Run the Great Expectations suites; writes marts.dispute_candidates."""
    with night_lock(settings):
        return _validate(settings, run_date)


def publish(settings: Settings, run_date: date) -> Manifest:
    """Publish the night and show it to readers."""
    with night_lock(settings):
        check_may_run(settings, run_date)
        return _publish(settings, run_date)


def _receive(settings: Settings, run_date: date, *, from_archive: bool = False) -> list[str]:
    from posrecon.landing import receive
    from posrecon.proof import nights

    nights.begin(settings)
    # Even a night without files leaves its folder, so that a replay knows that it was held.
    (settings.archive / "receipts" / f"run_date={run_date}").mkdir(parents=True, exist_ok=True)
    file_ids = receive(settings, run_date, from_archive=from_archive)
    nights.received(settings, run_date, mode=_mode(from_archive))
    return file_ids


def _register(settings: Settings, run_date: date, *, from_archive: bool = False) -> None:
    from posrecon.landing import register
    from posrecon.proof import nights

    register(settings, run_date)
    nights.registered(settings, run_date, mode=_mode(from_archive))


def _mode(from_archive: bool) -> str:
    return "replay" if from_archive else "night"


def _expose(settings: Settings, run_date: date) -> None:
    from posrecon.warehouse.expose import expose

    expose(settings, run_date)


def _validate(settings: Settings, run_date: date) -> "Validation":
    from posrecon.validation.run import validate

    return validate(settings, run_date)


def _publish(
    settings: Settings,
    run_date: date,
    *,
    from_archive: bool = False,
    swap: bool = True,
    tell: Tell = _silent,
) -> Manifest:
    from posrecon.proof import nights
    from posrecon.warehouse.publish import publish

    mode = _mode(from_archive)
    manifest = publish(
        settings,
        run_date,
        swap=swap,
        on_progress=tell,
        before_done=lambda manifest: nights.prepared(settings, manifest, mode=mode),
    )
    nights.published(settings, manifest, mode=mode)
    return manifest


def _step_receive(night: Night) -> None:
    _receive(night.settings, night.run_date, from_archive=night.from_archive)


def _step_parse(night: Night) -> None:
    files = received_files(night.settings, night.run_date)
    parse_files(night.settings, night.run_date, files, tell=night.tell)


def _step_register(night: Night) -> None:
    _register(night.settings, night.run_date, from_archive=night.from_archive)


def _step_layer(layer: str) -> Callable[[Night], None]:
    def run(night: Night) -> None:
        if night.dbt is None:
            raise ValueError("the night has no dbt session")
        night.dbt.run_layer(layer, night.tell)

    return run


def _step_validate(night: Night) -> None:
    _validate(night.settings, night.run_date)


def _step_publish(night: Night) -> None:
    _publish(
        night.settings, night.run_date, from_archive=night.from_archive, swap=night.swap, tell=night.tell
    )


STEPS: tuple[Step, ...] = (
    Step("receive", "Receive files", False, _step_receive),
    Step("parse", "Parse files", False, _step_parse),
    Step("register", "Register files", False, _step_register),
    Step("expose", "Open the warehouse", True, lambda night: _expose(night.settings, night.run_date)),
    Step("staging", "dbt: staging", True, _step_layer("staging")),
    Step("intermediate", "dbt: matching", True, _step_layer("intermediate")),
    Step("marts", "dbt: marts", True, _step_layer("marts")),
    Step("validate", "Great Expectations", True, _step_validate),
    Step("publish", "Publish", True, _step_publish),
)


# ------------------------------------------------------------------------------------------------ nights


def run_night(settings: Settings, run_date: date, *, observer: Observer | None = None) -> NightSummary:
    """Run the whole night for `run_date`, from the inbox to the published tables.

    An interrupted night is run again with the same call: every step is idempotent.

    Raises:
        UsageError: A later night is published already, a replay is unfinished, or another night is at work.
        NightError: The night failed; nothing is published and readers keep the last good night.
    """
    with night_lock(settings):
        check_may_run(settings, run_date)
        seconds = _walk(Night(settings, run_date), observer or Silent())
        summary = summary_of(settings, run_date, seconds)
        return replace(summary, waiting=waiting_files(settings, run_date))


def replay(
    settings: Settings, first: date, last: date | None = None, *, observer: Observer | None = None
) -> list[NightSummary]:
    """Rebuild the nights `first` to `last` in order, from the archive alone.

    Readers see the rebuilt nights all at once, when the last one is good.

    Args:
        settings: Where state lives.
        first: First night to rebuild.
        last: Last one; must not leave out a published night, because each night starts from the one before.
            By default the last night known.
        observer: Hears how it goes on.

    Raises:
        UsageError: There is nothing to rebuild in the range, or a later night would be left on an outdated
            state.
        NightError: A night failed; readers keep what was published before.
    """
    with night_lock(settings):
        return _rebuild(settings, _nights_to_replay(settings, first, last), observer)


def _rebuild(settings: Settings, nights: list[date], observer: Observer | None) -> list[NightSummary]:
    """Replay nights in order under the marker of an unfinished replay; the caller holds the lock."""
    _mark_replay(settings, nights)
    summaries = []
    for run_date in nights:
        night = Night(settings, run_date, from_archive=True, swap=run_date == nights[-1])
        seconds = _walk(night, observer or Silent())
        summaries.append((run_date, seconds))
    _replay_marker(settings).unlink()
    return [summary_of(settings, run_date, seconds) for run_date, seconds in summaries]


def decide_file(
    settings: Settings,
    wanted: str,
    *,
    action: "Action",
    reason: str,
    decided_by: str,
    decided_at: datetime,
    observer: Observer | None = None,
) -> "tuple[Decision, tuple[NightChange, ...]]":
    """Decide about a file that is held as a conflict, and rebuild every night that the decision touches.

    Accepted, the held file is read in the night of the file that it supersedes; rejected, it has no effect. The
    decision becomes part of the archive, so a replay from the archive alone decides the same.

    Args:
        settings: Where state lives.
        wanted: Name or file id of the held file.
        action: supersede or reject.
        reason: Not blank.
        decided_by: Who decides.
        decided_at: Aware instant; no result depends on it.
        observer: Hears how it goes on.

    Returns:
        The decision, and every rebuilt night before and after it.

    Raises:
        UsageError: The file is not held, or was decided before; a replay is unfinished or a night is at work.
        NightError: A night could not be rebuilt; the decision stands, readers keep what was published before, and
            `posrecon replay` finishes it.
    """
    from posrecon.audit.log import record
    from posrecon.landing.decisions import decide, write_decision
    from posrecon.landing.outcomes import read_files_before
    from posrecon.warehouse.revisions import changes, keep_manifests

    with night_lock(settings):
        _require_no_unfinished_replay(settings)
        published = published_nights(settings)
        decision = decide(
            settings,
            [pair for pair in read_files_before(settings, date.max) if pair[0] in published],
            wanted,
            action=action,
            reason=reason,
            decided_by=decided_by,
            decided_at=decided_at,
        )
        nights = _nights_to_replay(settings, decision.first_night, published[-1])
        keep_manifests(settings, decision.decision_no)
        # Marked first: killed from here on, the nights are not whole until a replay has gone over them.
        _mark_replay(settings, nights)
        write_decision(settings, decision)
        record(
            settings, "file_decided", asdict(decision) | {"decided_at": decided_at.isoformat()}, by=decided_by
        )
        _rebuild(settings, nights, observer)
        return decision, changes(settings, decision.decision_no, decision.first_night)


def relocate(settings: Settings) -> list[date]:
    """Make the readers' views again, for a home that was moved or copied: they name files by absolute path.

    Returns:
        The nights that readers see.

    Raises:
        UsageError: Nothing is published, a replay is unfinished, or a night is at work.
        NightError: A published file did not come along.
    """
    from posrecon.warehouse.publish import swap_views

    with night_lock(settings):
        nights = published_nights(settings)
        if not nights:
            raise UsageError(
                f"{settings.published}: nothing is published here.",
                next_step="Set POSRECON_HOME to the folder that the home was moved to.",
            )
        _require_no_unfinished_replay(settings)
        swap_views(settings)
        return nights


def waiting_files(settings: Settings, run_date: date) -> tuple[WaitingFile, ...]:
    """What the night of `run_date` leaves in the inbox, by feed and name."""
    from posrecon.landing.inbox import scan_inbox

    try:
        found = scan_inbox(settings, run_date)
    except OSError as error:
        # The night is done and good; a file that is taken away meanwhile must not make it look failed.
        log.warning("%s: the files that wait cannot be listed: %s", settings.inbox, error)
        return ()
    return tuple(
        WaitingFile(
            file.feed,
            file.path.name,
            file.state,
            file.business_date if file.state == "early" else None,
            file.business_date + timedelta(days=1) if file.state == "early" and file.business_date else None,
        )
        for file in found
    )


def check_may_run(settings: Settings, run_date: date) -> None:
    """Refuse a night that would contradict what is published.

    Raises:
        UsageError: A later night stands on this one, or a replay stopped half-way.
        NightError: An earlier night received files and is not published.
    """
    later = [night for night in published_nights(settings) if night > run_date]
    if later:
        raise UsageError(
            f"The night {run_date} cannot run alone: {len(later)} later "
            f"night{'s' if len(later) > 1 else ''} (first {later[0]}) started from it.",
            next_step=f"Rebuild it with all that follow: posrecon replay --from {run_date}.",
        )
    _require_no_unfinished_replay(settings)
    require_earlier_nights_published(settings, run_date)


def summary_of(settings: Settings, run_date: date, seconds: dict[str, float] | None = None) -> NightSummary:
    """The summary of a published night."""
    manifest: Manifest = read_manifest(settings, run_date)
    as_json, as_markdown = report_paths(settings, run_date)
    return NightSummary(
        run_date=run_date,
        figures=manifest.summary,
        digest=published_digest(settings),
        night_digest=manifest.digest(),
        seconds=seconds or {},
        paths={
            "published": str(settings.published / "posrecon.duckdb"),
            "report": str(as_markdown),
            "report_json": str(as_json),
            "data_docs": str(settings.published / "data_docs" / "index.html"),
        },
    )


def _walk(night: Night, observer: Observer) -> dict[str, float]:
    """Run every step in order; returns the seconds of each."""
    from posrecon.transform.run import DbtSession

    seconds: dict[str, float] = {}
    # dbt loads and parses its project while the files are parsed.
    with DbtSession(night.settings, night.run_date) as night.dbt:
        for step in STEPS:
            if step.name == "staging":
                # Great Expectations takes seconds to load; meanwhile this process only waits for dbt.
                threading.Thread(target=import_module, args=("posrecon.validation.datasource",)).start()
            if step.name == "validate":
                night.dbt.close()  # gives back its memory
            observer.started(night.run_date, step)
            night.tell = _teller(observer, step)
            started = time.perf_counter()
            step.run(night)
            seconds[step.name] = time.perf_counter() - started
            observer.finished(step, seconds[step.name])
    return seconds


def _teller(observer: Observer, step: Step) -> Tell:
    return lambda done, total: observer.progress(step, done, total)


def _replay_marker(settings: Settings) -> Path:
    return settings.published / "replay.json"


def _mark_replay(settings: Settings, nights: list[date]) -> None:
    write_json(_replay_marker(settings), {"from": nights[0].isoformat(), "to": nights[-1].isoformat()})


def _require_no_unfinished_replay(settings: Settings) -> None:
    marker = _replay_marker(settings)
    if marker.exists():
        unfinished = json.loads(marker.read_text(encoding="utf-8"))
        raise UsageError(
            f"A replay of {unfinished['from']} to {unfinished['to']} stopped half-way.",
            next_step=f"Finish it first: posrecon replay --from {unfinished['from']}.",
        )


def _nights_to_replay(settings: Settings, first: date, last: date | None) -> list[date]:
    published = published_nights(settings)
    known = sorted({*published, *held_nights(settings)})
    if published and last is not None and last < published[-1]:
        raise UsageError(
            f"A replay up to {last} would leave the night {published[-1]} on an outdated state.",
            next_step=f"Leave out --to, or use --to {published[-1]}.",
        )
    nights = [night for night in known if night >= first and (last is None or night <= last)]
    if not nights:
        span = f"{known[0]} to {known[-1]}" if known else "empty"
        until = f" to {last}" if last else ""
        raise UsageError(
            f"No night from {first}{until} is there to rebuild; the archive is {span}.",
            next_step="Choose a night of the archive (posrecon status lists them).",
        )
    marker = _replay_marker(settings)
    if marker.exists():
        unfinished = date.fromisoformat(json.loads(marker.read_text(encoding="utf-8"))["from"])
        if nights[0] > unfinished:
            raise UsageError(
                f"A replay from {unfinished} stopped half-way, so nights before {nights[0]} are not whole.",
                next_step=f"Start there: posrecon replay --from {unfinished}.",
            )
    behind = previous_night(settings, nights[0])
    skipped = [night for night in known if (behind is None or night > behind) and night < nights[0]]
    if skipped:
        raise UsageError(
            f"The night {skipped[0]} received files and is not published, and {nights[0]} starts from it.",
            next_step=f"Start there: posrecon replay --from {skipped[0]}.",
        )
    _require_what_they_start_from(settings, nights, behind)
    return nights


def _require_what_they_start_from(settings: Settings, nights: Sequence[date], behind: date | None) -> None:
    """Refuse a replay whose files were shredded, or whose opening state was removed, before it touches anything."""
    from posrecon.landing.archive import shredded_path
    from posrecon.landing.receipts import read_receipts

    for night in reversed(nights):
        gone = [one for one in read_receipts(settings, night) if shredded_path(settings, one.sha256).exists()]
        if gone:
            raise UsageError(
                f"The night {night} cannot be rebuilt: {len(gone)} of its files were shredded by retention, "
                f"first {gone[0].file_name}.",
                next_step=f"Rebuild from a later night: posrecon replay --from {night + timedelta(days=1)}.",
            )
    if behind is not None:
        missing = [
            name
            for name in read_manifest(settings, behind).state
            if not (settings.state / name / f"run_date={behind}.parquet").exists()
        ]
        if missing:
            raise UsageError(
                f"The night {nights[0]} starts from the state of {behind}, and {missing[0]} of it is not there.",
                next_step="Restore it from a backup, or rebuild from a night whose state is kept.",
            )


# ------------------------------------------------------------------------------------------------ parsing


def parse_files(
    settings: Settings,
    run_date: date,
    files: Sequence[ReceivedFile],
    *,
    tell: Tell = _silent,
) -> None:
    """Parse received files in parallel processes, largest first; no lock is needed.

    Raises:
        NightError: A parsing process was killed.
    """
    from posrecon.landing import parse_file

    ordered = sorted(files, key=lambda file: (-file.size, file.file_id))
    workers = min(settings.threads, len(ordered))
    if workers <= 1:
        for done, file in enumerate(ordered, start=1):
            parse_file(settings, run_date, file.file_id)
            tell(done, len(ordered))
        return
    # Spawned, not forked: a forked child would share the night's lock and DuckDB's threads.
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
    with pool:
        pending = {pool.submit(parse_file, settings, run_date, file.file_id): file for file in ordered}
        for done, future in enumerate(as_completed(pending), start=1):
            try:
                future.result()
            except BrokenProcessPool as error:
                raise NightError(
                    f"{pending[future].name}: a parsing process was killed, most often for want of memory.",
                    next_step="Free memory or set POSRECON_THREADS=1, then run the night again.",
                ) from error
            tell(done, len(pending))


def _end_with_parent() -> None:
    """Let a parsing process end when the night is killed, instead of waiting for work for ever; redact its logs."""
    from posrecon import redaction

    redaction.install()
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def step_names(steps: Iterable[Step] = STEPS) -> list[str]:
    """Names of the steps in order."""
    return [step.name for step in steps]
