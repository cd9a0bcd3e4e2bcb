"""The embedded default: Airflow on SQLite under POSRECON_HOME/airflow, set up and run with one command.

`python -m posrecon.local_airflow nightly` runs nights and shows what they found; `up` runs scheduler and web
interface on the same home; `env` prints the environment, for `eval "$(…)"`.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from posrecon.errors import NightError, PosreconError, UsageError
from posrecon.files import write_json
from posrecon.money import format_minor
from posrecon.settings import Settings
from posrecon.warehouse.manifests import published_nights, read_manifest

SEED = 7
NIGHTS = 3
ROWS = 2_000
API_PORT = 8080
LABEL_WIDTH = len(" duplicate_in_terminal_log")
MATCH_STATES = ("matched", "pending", "unmatched", "ambiguous", "excluded")


def airflow_home(settings: Settings) -> Path:
    """Return AIRFLOW_HOME of the embedded default."""
    return settings.home / "airflow"


def log_path(settings: Settings) -> Path:
    """Return the file that takes what Airflow prints."""
    return airflow_home(settings) / "nightly.log"


def environment(settings: Settings, *, port: int = API_PORT) -> dict[str, str]:
    """Return the variables that make Airflow run on this home alone: loopback only, nothing sent anywhere.

    Args:
        settings: Where state lives.
        port: Of the web interface and API, on 127.0.0.1.
    """
    home = airflow_home(settings)
    include = str(settings.project_dir / "include")
    inherited = os.environ.get("PYTHONPATH", "")
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.project_dir / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(max(4, settings.threads)),
        # The one user is whoever can reach 127.0.0.1 on this machine. Production: another auth manager.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
        "POSRECON_HOME": str(settings.home),
        "POSRECON_PROJECT_DIR": str(settings.project_dir),
        "PYTHONPATH": f"{include}{os.pathsep}{inherited}" if inherited else include,
        # `airflow standalone` starts its parts as `airflow …`, so this environment's comes first.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


# ---------------------------------------------------------------- nights
def nightly(settings: Settings, console: Console) -> None:
    """Run three simulated nights in an empty home and show what they found; run again, continue or repeat.

    Args:
        settings: Where state lives.
        console: Where people look.

    Raises:
        PosreconError: A night failed, or the home holds other files than simulated ones.
    """
    run_dates = simulated_nights(settings, console)
    done = published_nights(settings)
    before = {night: read_manifest(settings, night).digest() for night in done}
    # A past night cannot run again once a later one stands on it; of a finished home the last one runs again.
    to_run = [night for night in run_dates if night not in done] or run_dates[-1:]
    _refuse_future(settings, to_run)
    if done:
        console.print(f"Published already: {', '.join(map(str, done))}.")

    run_in_airflow(settings, to_run, console)

    for night in to_run:
        if night in before:
            digest = read_manifest(settings, night).digest()
            same = "the same bytes" if before[night] == digest else "[bold red]other bytes than before[/]"
            console.print(f"Night of {night} ran again: {same} (SHA-256 {digest[:12]}…).")
    show(settings, console)


def simulated_nights(settings: Settings, console: Console) -> list[date]:
    """Return the run dates of the simulated nights; fill an empty inbox with them first.

    Raises:
        UsageError: The home holds files or nights that were not simulated here.
    """
    plan = settings.home / "simulated_nights.json"
    if plan.exists():
        known = json.loads(plan.read_text(encoding="utf-8"))
        if known["complete"]:
            return [date.fromisoformat(night) for night in known["run_dates"]]
    elif published_nights(settings) or any(path.is_file() for path in settings.inbox.glob("*/**/*")):
        raise UsageError(
            f"{settings.home} holds files that were not simulated here, so nothing says which nights to run.",
            next_step="Run one with `posrecon night --date D`, or choose an empty POSRECON_HOME.",
        )
    from posrecon.simulate import simulate

    # Noted before and after, so that a simulation that was interrupted is made again and never read half.
    write_json(plan, {"complete": False, "run_dates": []})
    console.print(
        f"Empty home {settings.home}: simulating {NIGHTS} nights, seed {SEED}, {ROWS:,} events a day."
    )
    summary = simulate(settings.inbox, seed=SEED, nights=NIGHTS, rows=ROWS)
    run_dates = [summary.start + timedelta(days=night + 1) for night in range(NIGHTS)]
    write_json(plan, {"complete": True, "run_dates": [night.isoformat() for night in run_dates]})
    return run_dates


def _refuse_future(settings: Settings, run_dates: Sequence[date]) -> None:
    # The wall clock decides only whether Airflow would wait; no result depends on it.
    late = [night for night in run_dates if settings.night_instant(night) > datetime.now(UTC)]
    if late:
        raise UsageError(
            f"The night of {late[0]} is still to come (it runs at {settings.night_instant(late[0])}), and "
            "Airflow runs no night before its time.",
            next_step=f"Wait for it, or run it now without Airflow: posrecon night --date {late[0]}.",
        )


def run_in_airflow(settings: Settings, run_dates: Sequence[date], console: Console) -> None:
    """Run nights in Airflow, in order, in one child process whose noise goes to the log file.

    Args:
        settings: Where state lives.
        run_dates: Oldest first.
        console: Shows the task that runs.

    Raises:
        NightError: A task failed; its own words, and where the log is.
    """
    airflow_home(settings).mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    finished = 0
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        bar = progress.add_task("starting Airflow", total=len(run_dates))
        for event in _child_events(settings, run_dates):
            if event["event"] == "task":
                progress.update(
                    bar,
                    description=f"night of {run_dates[min(finished, len(run_dates) - 1)]}: {event['task']}",
                )
            elif event["event"] == "failure":
                failures.append(event["text"])
            elif event["event"] == "night":
                finished += event["success"]
                progress.update(bar, completed=finished)
                if event["success"]:
                    progress.console.print(f"Night of {event['run_date']} done in {event['seconds']:.0f} s.")
    if finished < len(run_dates):
        words = (
            failures[0]
            if failures
            else f"Night of {run_dates[finished]}: Airflow ended before the night did."
        )
        raise NightError(words, next_step=f"Airflow's log: {log_path(settings)}")


def _child_events(settings: Settings, run_dates: Sequence[date]) -> Iterator[dict[str, Any]]:
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "posrecon.local_airflow", "child", "--events", str(writer)]
    with log_path(settings).open("ab") as noise:
        child = subprocess.Popen(
            [*command, *(night.isoformat() for night in run_dates)],
            env=os.environ | environment(settings),
            stdout=noise,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            pass_fds=[writer],
        )
    os.close(writer)
    try:
        with os.fdopen(reader, encoding="utf-8") as events:
            for line in events:
                yield json.loads(line)
    finally:
        # Reached early only when the reader gave up (Ctrl-C): then the child must not go on alone.
        if child.poll() is None:
            child.terminate()
        child.wait()


def _child(settings: Settings, run_dates: Sequence[date], events_fd: int) -> int:
    """Run nights in this process (in the embedded environment); tell what happens as JSON lines."""
    from posrecon import airflow_adapter

    with os.fdopen(events_fd, "w", encoding="utf-8", buffering=1) as events:

        def tell(content: Mapping[str, Any]) -> None:
            events.write(json.dumps(content, ensure_ascii=False) + "\n")

        return airflow_adapter.run_nights(
            settings.project_dir / "dags", [settings.night_instant(night) for night in run_dates], tell
        )


# ---------------------------------------------------------------- what the nights found
def show(settings: Settings, console: Console) -> None:
    """Print the published nights side by side, and where readers find them."""
    nights = published_nights(settings)
    console.print(nights_table([read_manifest(settings, night).summary for night in nights]))
    console.print(f"Data Docs:        {settings.published / 'data_docs' / 'index.html'}", soft_wrap=True)
    console.print(
        f"Published tables: {settings.published / 'posrecon.duckdb'} (schema marts)", soft_wrap=True
    )
    console.print(f"  as Parquet:     {settings.published / 'tables'}", soft_wrap=True)
    console.print(f"Airflow's log:    {log_path(settings)}", soft_wrap=True)


def nights_table(figures: Sequence[Mapping[str, Any]]) -> Table:
    """Return one table with a column per night, narrow enough for 80 characters and three nights.

    Args:
        figures: Summaries of the nights (see `posrecon.reporting.summary`), oldest first.
    """
    table = Table(title="What the nights found", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    # Names are never cut; large money goes on a second line where the terminal is narrow.
    table.add_column("night of", no_wrap=True, min_width=LABEL_WIDTH)
    for night in figures:
        table.add_column(night["run_date"], justify="right", overflow="fold")

    def row(label: str, cell: Callable[[Mapping[str, Any]], str], *, end_section: bool = False) -> None:
        table.add_row(label, *(cell(night) for night in figures), end_section=end_section)

    row("files loaded", lambda night: f"{night['files'].get('loaded', 0):,}")
    row("files missing or refused", lambda night: f"{len(night['file_problems']):,}")
    row("terminal events", lambda night: f"{night['events']:,}")
    row("settlement lines", lambda night: f"{night['lines']:,}")
    row("bank entries", lambda night: f"{night['bank_entries']:,}", end_section=True)
    for state in MATCH_STATES:
        row(state, _state_cell(state), end_section=state == MATCH_STATES[-1])
    kinds = {(line["currency"], line["break_type"]) for night in figures for line in night["breaks"]}
    for currency in sorted({currency for currency, _ in kinds}):
        table.add_row(f"open breaks · {currency}", style="bold")
        for break_type in sorted(kind for of, kind in kinds if of == currency):
            row(f" {break_type}", _break_cell(break_type, currency))
    row("opened tonight", _opened_tonight, end_section=True)
    row("dispute candidates", lambda night: f"{sum(line['candidates'] for line in night['candidates']):,}")
    row("explained", lambda night: f"{night['explained']['pct']} %")
    row(" of items", lambda night: f"{night['explained']['items_pct']} %")
    row(" of payouts", lambda night: f"{night['explained']['payouts']['pct']} %")
    return table


def _state_cell(state: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda night: f"{night['states'][state]:,}"


def _break_cell(break_type: str, currency: str) -> Callable[[Mapping[str, Any]], str]:
    def cell(night: Mapping[str, Any]) -> str:
        for line in night["breaks"]:
            if (line["break_type"], line["currency"]) == (break_type, currency):
                return f"{line['open']:,} · {format_minor(line['open_minor'], currency)}"
        return "0"

    return cell


def _opened_tonight(night: Mapping[str, Any]) -> str:
    opened = sum(line["opened_tonight"] for line in night["breaks"])
    return f"{opened:,} of {sum(line['open'] for line in night['breaks']):,}"


# ---------------------------------------------------------------- the whole of Airflow
def up(settings: Settings, console: Console, *, port: int) -> None:
    """Become scheduler, DAG processor and web interface on this home; does not return."""
    airflow_home(settings).mkdir(parents=True, exist_ok=True)
    variables = os.environ | environment(settings, port=port)
    subprocess.run([sys.executable, "-m", "posrecon.local_airflow", "prepare"], env=variables, check=True)
    console.print(
        f"Airflow on http://127.0.0.1:{port} (this machine only); DAGs start paused. Ctrl-C ends it."
    )
    # In place of this process, so that signals reach Airflow itself and it can end its parts.
    os.execve(sys.executable, [sys.executable, "-m", "airflow", "standalone"], variables)  # noqa: S606


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; exit code as for `posrecon`."""
    parser = argparse.ArgumentParser(prog="python -m posrecon.local_airflow", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("nightly", help="run nights in Airflow; three simulated ones in an empty home")
    run = commands.add_parser("up", help="run scheduler and web interface on this home")
    run.add_argument("--port", type=int, default=API_PORT)
    show_env = commands.add_parser("env", help="print the environment as export lines")
    show_env.add_argument("--port", type=int, default=API_PORT)
    commands.add_parser("prepare", help="create or migrate Airflow's database and pool (in that environment)")
    child = commands.add_parser("child", help="(internal) run nights in this process")
    child.add_argument("--events", type=int, required=True)
    child.add_argument("run_dates", nargs="+", type=date.fromisoformat)
    options = parser.parse_args(arguments)

    console = Console()
    settings = Settings()
    try:
        if options.command == "nightly":
            nightly(settings, console)
        elif options.command == "up":
            up(settings, console, port=options.port)
        elif options.command == "env":
            for name, value in environment(settings, port=options.port).items():
                console.out(f"export {name}={shlex.quote(value)}", highlight=False)
        elif options.command == "prepare":
            from posrecon import airflow_adapter

            airflow_adapter.prepare()
        else:
            return _child(settings, options.run_dates, options.events)
    except UsageError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except PosreconError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
