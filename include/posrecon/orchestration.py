"""What a scheduler has to know about a night, without knowing any scheduler.

The DAG files only wire; the decisions behind the wiring (which date, how many parse tasks, whether the night
may start, how a failure reads) are plain functions here, so that they can be tested without Airflow.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from posrecon.errors import LayoutError, NightError, PosreconError, UsageError
from posrecon.settings import Settings
from posrecon.warehouse.manifests import held_nights, published_nights

NIGHTLY_CRON = "30 22 * * *"
HOUSEKEEPING_CRON = "0 12 * * 0"
DEFAULT_ZONE = "Asia/Shanghai"
WAREHOUSE_WRITER_POOL = "warehouse_writer"
LAYERS = ("staging", "intermediate", "marts")

PARSE_TASKS_MAX = 8
"""A mapped task costs a process start of seconds, a small file milliseconds: files share a bounded number."""


def run_date_of(logical_date: datetime | None, param: str | None, *, zone: str) -> date:
    """Return the run date that one DAG run stands for.

    Args:
        logical_date: Aware instant of the run: 22:30 local time of the run date when scheduled.
        param: The run's `run_date` parameter (ISO date); wins over the logical date.
        zone: Zone in which a date begins and ends.

    Raises:
        UsageError: Neither is given, or the parameter is no date.
    """
    if param:
        try:
            return date.fromisoformat(param)
        except ValueError as error:
            raise UsageError(
                f'Parameter run_date: expected a date like 2026-11-12, got "{param}".',
                next_step="Trigger the run again with a valid date.",
            ) from error
    if logical_date is None:
        raise UsageError(
            "This run has neither a logical date nor a run_date parameter, so it stands for no night.",
            next_step="Trigger it again with a logical date, or with run_date set.",
        )
    return logical_date.astimezone(ZoneInfo(zone)).date()


@dataclass(frozen=True)
class ReceivedFile:
    """One received file, as its receipt tells.

    Attributes:
        file_id: Stable id of the file.
        name: Base name as received.
        size: Bytes.
    """

    file_id: str
    name: str
    size: int


def received_files(settings: Settings, run_date: date) -> list[ReceivedFile]:
    """Return the files that a night reads in the order of receipt, accepted ones of later nights included."""
    from posrecon.landing.receipts import receipts_to_read

    return [
        ReceivedFile(receipt.file_id, receipt.file_name, receipt.bytes)
        for receipt in receipts_to_read(settings, run_date)
    ]


def share_out(
    files: Sequence[ReceivedFile], file_ids: Sequence[str], *, tasks_max: int = PARSE_TASKS_MAX
) -> list[list[str]]:
    """Share files out over at most `tasks_max` parse tasks, so that each has about the same bytes to read.

    The largest files are placed first, each on the task with the least so far; equal sizes by file id, so the
    same files are always shared out in the same way.

    Args:
        files: What is known of the received files.
        file_ids: The files to parse; one that is not in `files` counts as empty.
        tasks_max: Upper bound of the number of tasks.

    Returns:
        Non-empty lists of file ids; an empty list when there is nothing to parse.
    """
    size_of = {file.file_id: file.size for file in files}
    largest_first = sorted(file_ids, key=lambda file_id: (-size_of.get(file_id, 0), file_id))
    shares: list[list[str]] = [[] for _ in range(min(tasks_max, len(largest_first)))]
    loads = [0] * len(shares)
    for file_id in largest_first:
        lightest = min(range(len(shares)), key=lambda index: (loads[index], len(shares[index]), index))
        shares[lightest].append(file_id)
        loads[lightest] += size_of.get(file_id, 0)
    return shares


def share_label(files: Sequence[ReceivedFile], share: Sequence[str]) -> str:
    """Return how one parse task is named in the grid: the one file, or the first one and how many more."""
    name_of = {file.file_id: file.name for file in files}
    names = [name_of.get(file_id, file_id) for file_id in share]
    if not names:
        return "no files"
    return names[0] if len(names) == 1 else f"{names[0]} + {len(names) - 1} more"


def require_earlier_nights_published(settings: Settings, run_date: date) -> None:
    """Refuse a night while an earlier one has received files but has not been published.

    The files of a night belong to its run date for ever, so a night that starts before an earlier one is good
    would leave out what that one received. Refusing at once also leaves the one active run free, so that the
    earlier night can be repaired; a run that only waited would block its own repair.

    Raises:
        NightError: Names the unfinished night and how to go on.
    """
    done = set(published_nights(settings))
    unfinished = [night for night in held_nights(settings) if night < run_date and night not in done]
    if unfinished:
        first = unfinished[0].isoformat()
        raise NightError(
            f"Night of {run_date.isoformat()}: expected every earlier night published, but {first} received "
            f"files and was not published ({len(unfinished)} unfinished in all).",
            next_step=f"Repair {first} first (clear its failed tasks), then clear this run.",
        )


NOTHING_PUBLISHED = "nothing of this night is published"


def describe_failure(
    error: BaseException, *, task: str, run_date: date | None, consequence: str = NOTHING_PUBLISHED
) -> str:
    """Return the text of one failed task: what, where, expected and got, and the next step.

    Args:
        error: What the task raised. Errors that posrecon raises on purpose carry their own words.
        task: Task id, with the map index where there is one.
        run_date: The night, when it is known.
        consequence: What the failure means for the night.
    """
    night = run_date.isoformat() if run_date else "unknown"
    if isinstance(error, PosreconError):
        what, next_step = error.what, error.next_step
    else:
        what, next_step = f"{type(error).__name__}: {error}", ""
    where = "; ".join(getattr(error, "__notes__", ()))
    lines = [f"Night of {night}: task {task} failed; {consequence}.", f"What: {what}"]
    if where:
        lines.append(f"Where: {where}")
    if isinstance(error, LayoutError):
        lines += error.listing()
    if not next_step:
        next_step = (
            "Remove the cause, then clear this task; what was done before it is kept and not repeated."
        )
    lines.append(f"Next step: {next_step}")
    return "\n".join(lines)


@dataclass(frozen=True)
class ModelRun:
    """What dbt did with one node of a layer.

    Attributes:
        name: Model, seed or test.
        kind: model, seed, test or snapshot.
        status: dbt's word: success, pass, fail, error, skipped.
        seconds: Execution time.
        rows: Rows affected or failing, when dbt knows.
        message: dbt's message.
    """

    name: str
    kind: str
    status: str
    seconds: float
    rows: int | None
    message: str


def read_run_results(path: Path) -> list[ModelRun]:
    """Read what one dbt process did, node by node, from its `run_results.json`; slowest first."""
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    runs = [
        ModelRun(
            name=result["unique_id"].split(".", 2)[2],
            kind=result["unique_id"].split(".", 1)[0],
            status=result["status"],
            seconds=float(result["execution_time"]),
            rows=_rows(result),
            message=result.get("message") or "",
        )
        for result in results
    ]
    return sorted(runs, key=lambda run: (-run.seconds, run.name))


def _rows(result: dict[str, object]) -> int | None:
    failures = result.get("failures")
    if isinstance(failures, int):
        return failures
    response = result.get("adapter_response")
    affected = response.get("rows_affected") if isinstance(response, dict) else None
    return affected if isinstance(affected, int) and affected >= 0 else None


def model_table(runs: Sequence[ModelRun]) -> str:
    """Return a plain table of nodes for a task log; tests that passed are summed in one line."""
    tests = [run for run in runs if run.kind == "test"]
    bad_tests = [run for run in tests if run.status not in {"pass", "success"}]
    lines = [f"{'seconds':>8}  {'status':<8} {'rows':>10}  node"]
    for run in [run for run in runs if run.kind != "test"] + bad_tests:
        rows = "" if run.rows is None else str(run.rows)
        lines.append(f"{run.seconds:8.2f}  {run.status:<8} {rows:>10}  {run.name}")
    passed = len(tests) - len(bad_tests)
    lines.append(f"{sum(run.seconds for run in tests):8.2f}  {passed} of {len(tests)} data tests passed")
    return "\n".join(lines)


def replay_range(first: str, last: str) -> tuple[date, date]:
    """Return the run dates of a replay, checked.

    Raises:
        UsageError: One is no date, or the last lies before the first.
    """
    try:
        dates = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError as error:
        raise UsageError(
            f'Replay: expected dates like 2026-11-12, got from "{first}" to "{last}".',
            next_step="Trigger the replay again with valid dates.",
        ) from error
    if dates[1] < dates[0]:
        raise UsageError(
            f"Replay: expected from ≤ to, got from {first} to {last}.",
            next_step="Trigger the replay again with the earlier date first.",
        )
    return dates


def run_results_path(settings: Settings) -> Path:
    """Where the last dbt process left its results."""
    return settings.home / "dbt" / "target" / "run_results.json"


def sweep_folder(folder: Path, *, before: datetime) -> list[Path]:
    """Remove the files of a scratch folder that have not changed since `before`; returns them in order.

    Args:
        folder: Holds nothing that lasts. May be missing.
        before: Aware instant.
    """
    stale = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_mtime < before.timestamp()
    ]
    for path in stale:
        path.unlink()
    return stale
