"""The one door to Airflow: nothing else in this package imports it.

DAG files import this module at parse time, so it stays light: whatever a night really does is imported inside
the step that needs it.
"""

import json
import logging
import os
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from airflow.sdk import Asset, BaseHook, BaseOperator, ExceptionRetryPolicy, Param, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowRuntimeError

from posrecon import orchestration, redaction
from posrecon.errors import PosreconError, UsageError
from posrecon.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from posrecon.landing import Outcome
    from posrecon.landing.arrival import Look, Remote
    from posrecon.landing.transport import Transport

log = logging.getLogger("posrecon.night")

# DAG files import this module, so every process that runs a task of ours starts with it.
redaction.install()

ZONE = os.environ.get("POSRECON_ZONE", orchestration.DEFAULT_ZONE)
NIGHTLY_DAG_ID = "nightly_reconciliation"
REPLAY_DAG_ID = "replay_reconciliation"
HOUSEKEEPING_DAG_ID = "housekeeping"
CASES_DAG_ID = "dispute_cases"

WEBHOOK_CONNECTION = "posrecon_webhook"
SMTP_CONNECTION = "posrecon_smtp"
NOTIFY_TIMEOUT_S = 10
SFTP_SILENCE_S = 120
NIGHT_GOES_ON = "the night goes on without what it would have fetched"

# ---------------------------------------------------------------- assets
PUBLISHED_TABLES = (
    "fct_reconciliation",
    "fct_reconciliation_history",
    "fct_breaks",
    "fct_break_decisions",
    "dispute_candidates",
    "fct_payouts",
    "fct_withdrawals",
    "fct_payout_parts",
    "fct_match_suggestions",
    "rpt_daily_control",
    "rpt_terminal_health",
    "fct_files",
    "fct_statement_gaps",
    "dim_merchants",
    "dim_terminals",
    "dim_break_types",
)
TABLE_ASSETS = tuple(
    Asset(name=f"posrecon.marts.{table}", uri=f"posrecon://published/marts/{table}", group="posrecon")
    for table in PUBLISHED_TABLES
)
CANDIDATES_ASSET = TABLE_ASSETS[PUBLISHED_TABLES.index("dispute_candidates")]
DATA_DOCS_ASSET = Asset(name="posrecon.data_docs", uri="posrecon://published/data_docs", group="posrecon")

# ---------------------------------------------------------------- retries
# A second try heals a drop zone that is away for a moment, and a process that was lost (no exception reaches
# a policy then, so the count alone decides). It does not heal data: every other exception fails at once.
RETRY_INPUT = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=OSError, action=RetryAction.RETRY, reason="input or output failed; trying again")
    ],
    default=RetryAction.FAIL,
)
RETRY_LOST_PROCESS_ONLY = ExceptionRetryPolicy(rules=[], default=RetryAction.FAIL)

TASK_DEFAULTS: dict[str, Any] = {
    "owner": "finance-data",
    "retries": 1,
    "retry_delay": timedelta(seconds=30),
    "retry_policy": RETRY_LOST_PROCESS_ONLY,
    "execution_timeout": timedelta(hours=6),
}
INPUT_RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2,
    "retry_policy": RETRY_INPUT,
}


def date_param(description: str, *, required: bool) -> Param:
    """Return a DAG parameter that holds an ISO date, checked by Airflow before the run starts."""
    if required:
        return Param(type="string", format="date", description=description)
    return Param(None, type=["null", "string"], format="date", description=description)


# ---------------------------------------------------------------- a step of the night
def run_date_in(context: Mapping[str, Any]) -> date:
    """Return the run date of the task's DAG run.

    Raises:
        UsageError: The run has neither a logical date nor the parameter.
    """
    logical_date: datetime | None = context.get("logical_date")
    return orchestration.run_date_of(logical_date, context["params"].get("run_date"), zone=ZONE)


@contextmanager
def night_step(
    context: Mapping[str, Any], *, consequence: str = orchestration.NOTHING_PUBLISHED
) -> Iterator[tuple[Settings, date]]:
    """Give a task its settings and run date; an error made for people makes the task fail at once.

    Args:
        context: The task's context.
        consequence: What a failure of the task means for the night.

    Yields:
        Settings and run date.

    Raises:
        AirflowFailException: The night cannot go on; trying again would not help.
    """
    # Great Expectations tells of its own start in hundreds of lines; the task's log is for the night.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with readable_failure(context, consequence=consequence):
        run_date = run_date_in(context)
        log.info("Night of %s: %s", run_date.isoformat(), _task_name(context))
        yield Settings(), run_date


@contextmanager
def readable_failure(
    context: Mapping[str, Any], *, consequence: str = orchestration.NOTHING_PUBLISHED
) -> Iterator[None]:
    """Log what, where, expected, got and the next step of whatever a task raises.

    Raises:
        AirflowFailException: In place of an error that posrecon raises on purpose: it is not tried again.
    """
    try:
        yield
    except PosreconError as error:
        text = _failure_text(context, error, consequence)
        log.error("%s", text)  # noqa: TRY400 - for people; Airflow adds the traceback itself
        raise AirflowFailException(text) from error
    except Exception as error:
        log.error("%s", _failure_text(context, error, consequence))  # noqa: TRY400 - as above
        raise


def other_runs(context: Mapping[str, Any], dag_id: str) -> int:
    """Return how many runs of another DAG are under way (the ones that only wait do not count)."""
    count: int = context["ti"].get_dr_count(dag_id=dag_id, states=["running"])
    return count


def record_events(
    context: Mapping[str, Any], assets: Sequence[Asset], extra: Mapping[str, Any] | None = None
) -> None:
    """Attach facts to the asset events of the task; by default the run date."""
    facts = dict(extra) if extra is not None else {"run_date": run_date_in(context).isoformat()}
    for asset in assets:
        context["outlet_events"][asset].extra = facts


def forget_models(settings: Settings) -> None:
    """Remove the results of the dbt process before, so that a failed start cannot show them as its own."""
    orchestration.run_results_path(settings).unlink(missing_ok=True)


def log_models(settings: Settings) -> list[dict[str, Any]]:
    """Write what dbt did, model by model, to the task's log.

    Returns:
        One entry per model for the task's return value, slowest first; empty when dbt did not get that far.
    """
    path = orchestration.run_results_path(settings)
    if not path.exists():
        return []
    runs = orchestration.read_run_results(path)
    log.info("dbt, node by node:\n%s", orchestration.model_table(runs))
    return [
        {"model": run.name, "status": run.status, "seconds": round(run.seconds, 3), "rows": run.rows}
        for run in runs
        if run.kind != "test"
    ]


def log_outcome(outcome: "Outcome") -> None:
    """Write to the task's log what became of one file."""
    log.info(
        "%s: %s; %d records, %d loaded, %d in quarantine%s",
        outcome.file_name,
        outcome.state,
        outcome.records,
        outcome.loaded,
        outcome.quarantined,
        f"; {outcome.reason}" if outcome.reason else "",
    )


@contextmanager
def noting(where: str) -> Iterator[None]:
    """Add where it happened to whatever is raised inside; the failure text shows it."""
    try:
        yield
    except Exception as error:
        error.add_note(where)
        raise


# ---------------------------------------------------------------- arrival
class PullSource(BaseOperator):
    """Fetch what a source has ready into the inbox; wait for what is expected, without a worker, to its deadline.

    Args:
        source: Name of a source with a transport or a deadline.
        arguments: As for every operator.
    """

    def __init__(self, *, source: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.source = source

    def execute(self, context: "Context") -> None:
        """Look for the first time."""
        self._look(context, is_first=True)

    def look_again(self, context: "Context", event: Any = None) -> None:
        """Look again, at the instant that the look before named; called by Airflow."""
        self._look(context, is_first=False)

    def _look(self, context: "Context", *, is_first: bool) -> None:
        with (
            night_step(context, consequence=NIGHT_GOES_ON) as (settings, run_date),
            noting(f"source {self.source}"),
        ):
            found = look_for(settings, self.source, run_date, is_first=is_first)
            log_look(self.source, found)
        if found.again is None:
            return
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        self.defer(trigger=DateTimeTrigger(moment=found.again), method_name="look_again")


def look_for(
    settings: Settings,
    source_name: str,
    run_date: date,
    *,
    is_first: bool,
    again_for: frozenset[str] = frozenset(),
) -> "Look":
    """Look once for the files of a source, through the Airflow connection that its transport names.

    Args:
        settings: The home.
        source_name: A source with a transport or a deadline.
        run_date: The night.
        is_first: See `posrecon.landing.arrival.look`.
        again_for: Names to fetch although they were fetched before.

    Returns:
        What was found.

    Raises:
        OSError: The server cannot be reached, and the deadline has passed: worth trying again.
        PosreconError: Trying again would not help.
    """
    from posrecon.landing import arrival

    source = arrival.awaited_source(settings, source_name)
    # The clock decides how long the night waits. What it then received is in its receipts.
    now = datetime.now(UTC)
    return arrival.look(
        settings, source, run_date, connect=connected, now=now, is_first=is_first, again_for=again_for
    )


def log_look(source_name: str, found: "Look") -> None:
    """Write to the task's log what a look found."""
    for what, names in (
        ("fetched", found.fetched),
        ("upload not finished", found.unsettled),
        ("held, another file of the name is in the inbox", found.held),
        ("not here", found.missing),
    ):
        if names:
            log.info("%s: %s: %s", source_name, what, ", ".join(names))
    if found.again is not None:
        log.info("%s: looking again at %s", source_name, found.again.isoformat(timespec="seconds"))
    elif found.missing:
        log.warning("%s: the night goes on without %s", source_name, ", ".join(found.missing))


@contextmanager
def connected(transport: "Transport") -> "Iterator[Remote]":
    """Open the connection of a transport; the host key of a server must be known, unless it says otherwise.

    Raises:
        UsageError: No such connection, an unknown host key, a refused login, or no right to read.
        OSError: The server cannot be reached, or the line broke.
    """
    where = f"{transport.kind} {transport.connection or transport.path}"
    try:
        # Asked for first: for want of a connection the S3 hook would try whatever credentials the machine has.
        connection = BaseHook.get_connection(transport.connection) if transport.connection else None
    except (AirflowNotFoundException, AirflowRuntimeError):
        raise UsageError(
            f"{where}: Airflow knows no connection of this id.",
            next_step=f"Add it (airflow connections add {transport.connection} …), or correct the source YAML.",
        ) from None
    try:
        if transport.kind == "sftp":
            with _sftp(str(transport.connection), where) as remote:
                yield remote
        elif transport.kind == "s3":
            with _s3(str(transport.connection), where) as remote:
                yield remote
        else:
            yield _folder(str(connection.extra_dejson.get("path", "")) if connection is not None else "")
    except PermissionError as error:
        raise UsageError(
            f"{where}: not allowed: {error}.", next_step="Ask the owner for the right to list and to read."
        ) from error


@contextmanager
def _sftp(conn_id: str, where: str) -> "Iterator[Remote]":
    import paramiko
    from airflow.providers.sftp.hooks.sftp import SFTPHook

    from posrecon.landing.remotes import SftpRemote

    try:
        # One attempt: Airflow tries the task again, and says so.
        hook = SFTPHook(ssh_conn_id=conn_id, conn_retry_attempts=1)
        with hook.get_managed_conn() as client:
            # A server that falls silent must not hold the task until its own time is up.
            client.get_channel().settimeout(SFTP_SILENCE_S)
            yield SftpRemote(client)
    except paramiko.BadHostKeyException:
        raise _unknown_host(where, "has another host key than the one that is known") from None
    except paramiko.AuthenticationException as error:
        raise UsageError(
            f"{where}: the server refused the login: {error}",
            next_step="Correct login, password or private_key of the connection.",
        ) from None
    except paramiko.SSHException as error:
        if "not found in known_hosts" in str(error):
            raise _unknown_host(where, "has a host key that is not known") from None
        raise ConnectionError(f"{where}: {error}") from error
    except EOFError as error:
        raise ConnectionError(f"{where}: the server closed the connection") from error


def _unknown_host(where: str, what: str) -> UsageError:
    return UsageError(
        f"{where}: the server {what}: it may be another machine.",
        next_step="Ask its owner for the host key, and put it into the extra of the connection as host_key "
        '("ssh-ed25519 AAAA…").',
    )


@contextmanager
def _s3(conn_id: str, where: str) -> "Iterator[Remote]":
    from airflow.sdk import ObjectStoragePath
    from botocore.exceptions import BotoCoreError, ClientError

    from posrecon.landing.remotes import StoreRemote

    try:
        yield StoreRemote(ObjectStoragePath("s3://", conn_id=conn_id).fs)
    except (BotoCoreError, ClientError) as error:
        raise ConnectionError(f"{where}: {error}") from error


def _folder(base: str) -> "Remote":
    from fsspec.implementations.local import LocalFileSystem

    from posrecon.landing.remotes import StoreRemote

    return StoreRemote(LocalFileSystem(), base)


# ---------------------------------------------------------------- notifications
def notify_pull_failure(context: Mapping[str, Any]) -> None:
    """Tell people that a source could not be asked; called by Airflow once the last try is spent."""
    notify(f"posrecon: {_task_name(context)} failed", _failure_in(context, NIGHT_GOES_ON))


def notify_failure(context: Mapping[str, Any]) -> None:
    """Tell people that a task of the night failed. Called by Airflow once the last try is spent."""
    notify(f"posrecon: {_task_name(context)} failed", _failure_in(context, orchestration.NOTHING_PUBLISHED))


def _failure_in(context: Mapping[str, Any], consequence: str) -> str:
    error = context.get("exception")
    if isinstance(error, AirflowFailException):
        return str(error)
    if not isinstance(error, BaseException):
        error = RuntimeError(str(error or "the process of the task was lost"))
    return _failure_text(context, error, consequence)


def notify_success(context: Mapping[str, Any]) -> None:
    """Tell people that the night is published, with its figures."""
    from posrecon.reporting.night_report import notification, report_paths
    from posrecon.warehouse.manifests import read_manifest

    settings, run_date = Settings(), run_date_in(context)
    text = notification(read_manifest(settings, run_date).summary, report=report_paths(settings, run_date)[1])
    notify(f"posrecon: night of {run_date.isoformat()} published", text)


def notify(subject: str, text: str) -> None:
    """Send a text to the log, and to the webhook and mail address that Airflow connections name.

    A message that cannot be sent is a warning in the log: the night has been decided already.
    """
    log.info("%s\n%s", subject, text)
    webhook = _connection(WEBHOOK_CONNECTION)
    if webhook is not None:
        try:
            _post(webhook, f"{subject}\n{text}")
        except (URLError, OSError, ValueError) as error:
            log.warning("Not sent to connection %s: %s", WEBHOOK_CONNECTION, type(error).__name__)
    mail = _connection(SMTP_CONNECTION)
    if mail is not None:
        try:
            _send_mail(mail, subject, text)
        except (smtplib.SMTPException, OSError, KeyError) as error:
            log.warning("Not sent to connection %s: %s", SMTP_CONNECTION, type(error).__name__)


def _connection(conn_id: str) -> Any | None:
    try:
        return BaseHook.get_connection(conn_id)
    except (AirflowNotFoundException, AirflowRuntimeError):
        return None


def _post(connection: Any, text: str) -> None:
    # Robot addresses carry their key in the URL, so the whole URL belongs in the masked password field.
    url = connection.password or connection.host
    if not str(url).startswith(("https://", "http://")):
        raise ValueError("the address is no http(s) URL")
    style = connection.extra_dejson.get("style", "text")
    body = {"msgtype": "text", "text": {"content": text}} if style == "msgtype" else {"text": text}
    headers = {"Content-Type": "application/json; charset=utf-8"}
    request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - the scheme is checked above
    with urlopen(request, timeout=NOTIFY_TIMEOUT_S) as response:  # noqa: S310 - as above
        response.read()


def _send_mail(connection: Any, subject: str, text: str) -> None:
    extra = connection.extra_dejson
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, extra["from"], extra["to"]
    message.set_content(text)
    server = smtplib.SMTP_SSL if extra.get("ssl") else smtplib.SMTP
    with server(connection.host, connection.port or 25, timeout=NOTIFY_TIMEOUT_S) as smtp:
        if extra.get("starttls"):
            smtp.starttls()
        if connection.login:
            smtp.login(connection.login, connection.password or "")
        smtp.send_message(message)


def _task_name(context: Mapping[str, Any]) -> str:
    task_instance = context.get("ti")
    if task_instance is None:
        return str(context.get("run_id", "run"))
    map_index = getattr(task_instance, "map_index", -1)
    name = str(task_instance.task_id)
    return f"{name}[{map_index}]" if map_index is not None and map_index >= 0 else name


def _failure_text(
    context: Mapping[str, Any], error: BaseException, consequence: str = orchestration.NOTHING_PUBLISHED
) -> str:
    try:
        run_date = run_date_in(context)
    except (PosreconError, KeyError):
        run_date = None
    return orchestration.describe_failure(
        error, task=_task_name(context), run_date=run_date, consequence=consequence
    )


# ---------------------------------------------------------------- the embedded default
def prepare() -> None:
    """Create or migrate Airflow's own database and the one-slot pool of the warehouse writer."""
    from airflow.models.pool import Pool
    from airflow.utils import db

    db.initdb()
    Pool.create_or_update_pool(
        orchestration.WAREHOUSE_WRITER_POOL,
        slots=1,
        description="DuckDB has one writing process: whoever writes warehouse.duckdb holds this slot.",
        include_deferred=False,
    )


def clean_database(*, before: datetime) -> None:
    """Remove old runs from Airflow's own database, when that is the SQLite file of the embedded default.

    A task is not given the address of any other database, on purpose; whoever runs that one schedules
    `airflow db clean` beside it.

    Args:
        before: Aware instant; what happened before it goes.

    Raises:
        UsageError: The clean-up ended with an error; its last words are in the message.
    """
    database = Path(os.environ.get("AIRFLOW_HOME", "")) / "airflow.db"
    if not database.is_absolute() or not database.exists():
        log.info("Airflow's database is not the embedded one: schedule `airflow db clean` where it runs.")
        return
    address = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}"}
    command = [sys.executable, "-m", "airflow", "db", "clean", "--skip-archive", "--yes"]
    done = subprocess.run(
        [*command, "--clean-before-timestamp", before.isoformat()],
        env=os.environ | address,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UsageError(
            f"airflow db clean of {database}: expected exit code 0, got {done.returncode}: "
            f"{done.stderr[-500:]}",
            next_step="Run it by hand with the same home; the nights are not affected.",
        )


def run_nights(
    dags_folder: Path, instants: Sequence[datetime], tell: Callable[[Mapping[str, Any]], None]
) -> int:
    """Run nights one after the other in this process, as `airflow dags test` does: same DAG, same task code.

    Args:
        dags_folder: Folder of the DAG files.
        instants: Logical dates (aware), oldest first. None may lie in the future: Airflow would wait for it.
        tell: Called with {event: task | failure | night, …} as things happen.

    Returns:
        0 when every night succeeded; stops after the first that did not.
    """
    from airflow.dag_processing.dagbag import DagBag

    prepare()
    bag = DagBag(dag_folder=dags_folder, bundle_name="dags-folder")
    if bag.import_errors:
        tell({"event": "failure", "text": "\n".join(bag.import_errors.values())})
        return 1
    nightly = bag.dags[NIGHTLY_DAG_ID]
    watcher = _Watcher(tell)
    watched = (logging.getLogger("airflow.sdk.definitions.dag"), log)
    for logger in watched:
        logger.addHandler(watcher)
    try:
        return 0 if all(_run_night(nightly, instant, tell) for instant in instants) else 1
    finally:
        for logger in watched:
            logger.removeHandler(watcher)


def _run_night(nightly: Any, instant: datetime, tell: Callable[[Mapping[str, Any]], None]) -> bool:
    started = time.monotonic()
    run = nightly.test(logical_date=instant)
    success = str(run.state) == "success"
    tell(
        {
            "event": "night",
            "run_date": instant.date().isoformat(),
            "success": success,
            "seconds": time.monotonic() - started,
        }
    )
    return success


class _Watcher(logging.Handler):
    """Tells of tasks that start, from Airflow's own record, and of failures, from ours."""

    def __init__(self, tell: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == log.name:
            if record.levelno >= logging.ERROR:
                self._tell({"event": "failure", "text": record.getMessage()})
        elif (
            isinstance(record.msg, str)
            and record.msg.startswith("[DAG TEST] starting task_id")
            and record.args
        ):
            task_id, map_index = record.args[0], record.args[1]  # type: ignore[index]
            name = (
                f"{task_id}[{map_index}]" if isinstance(map_index, int) and map_index >= 0 else str(task_id)
            )
            self._tell({"event": "task", "task": name})
