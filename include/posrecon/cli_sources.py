"""`posrecon sources`: check the source YAMLs, try how a file would be read, fetch what senders have left."""

import os
import threading
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posrecon.console import JsonOption, print_json, settings_of_process
from posrecon.errors import PosreconError

if TYPE_CHECKING:
    from posrecon.landing.arrival import Look
    from posrecon.landing.trial import Trial
    from posrecon.settings import Settings

BAD_LINES_SHOWN_MAX = 20

app = typer.Typer(
    name="sources",
    help="The feeds: one YAML each under include/sources.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def check(as_json: JsonOption = False) -> None:
    """Check every source YAML; names file and key of whatever is wrong."""
    from posrecon.landing.trial import check_sources

    found, problems = check_sources(settings_of_process().sources_dir)
    if as_json:
        rows = [
            {"name": one.name, "feed": one.feed, "layout": one.layout, "pattern": one.pattern}
            for one in found
        ]
        print_json({"sources": rows, "problems": problems})
    else:
        for one in found:
            print(f"{one.name:<20} {one.feed:<14} {one.layout}")
        for problem in problems:
            print(f"WRONG {problem}")
        print(f"{len(found)} sources, {len(problems)} problems")
    raise typer.Exit(2 if problems else 0)


@app.command("try")
def try_(
    file: Annotated[Path, typer.Argument(help="A file as received; a zip is opened.")],
    source: Annotated[
        str | None, typer.Option("--source", help="Read it as this source, whatever its name.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a file would be read: source, encoding, first rows, totals, what would be refused. Writes nothing."""
    from posrecon.landing.trial import try_file

    trials = try_file(settings_of_process(), file, source)
    if as_json:
        print_json([asdict(trial) for trial in trials])
    else:
        for trial in trials:
            print("\n".join(_lines(trial)))
    raise typer.Exit(3 if any(trial.reason or trial.quarantined for trial in trials) else 0)


@app.command()
def pull(
    run_date: Annotated[
        datetime,
        typer.Option("--date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The night they are for."),
    ],
    source: Annotated[
        list[str] | None, typer.Option("--source", help="One source; may be repeated. Default: all.")
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option("--again", metavar="NAME", help="Fetch this file although it was fetched before."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch what the sources have ready into the inbox, as the scheduler does, but wait for no deadline."""
    from posrecon import local_airflow
    from posrecon.landing.arrival import awaited_source, awaited_sources

    settings = settings_of_process()
    names = source or [one.name for one in awaited_sources(settings)]
    for name in names:
        awaited_source(settings, name)  # a wrong name is said before anything is fetched
    if "AIRFLOW_HOME" not in os.environ:
        # Without it Airflow would make its own home in the user's.
        os.environ.update(local_airflow.environment(settings))
    # Airflow logs to the standard output, where the result goes.
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    found = {name: _pulled(settings, name, run_date.date(), frozenset(again or ())) for name in names}
    if as_json:
        print_json({name: asdict(one) for name, one in found.items()})
    else:
        for name, one in found.items():
            print(f"{name}: {len(one.fetched)} fetched")
            for what, files in (
                ("fetched", one.fetched),
                ("upload not finished", one.unsettled),
                ("another file of this name is in the inbox", one.held),
                ("not here", one.missing),
            ):
                for file in files:
                    print(f"  {what}: {file}")
            if one.trouble:
                print(f"  WRONG {one.trouble}")
    is_whole = not any(one.missing or one.unsettled or one.held or one.trouble for one in found.values())
    raise typer.Exit(0 if is_whole else 3)


def _pulled(settings: "Settings", name: str, run_date: date, again_for: frozenset[str]) -> "Look":
    """Look for a source, and once more when an upload may be finished: that takes two looks."""
    from posrecon.airflow_adapter import look_for

    try:
        first = look_for(settings, name, run_date, is_first=True, again_for=again_for)
        if first.again is None or not first.unsettled:
            return first
        threading.Event().wait(max(0.0, (first.again - datetime.now(UTC)).total_seconds()))
        second = look_for(settings, name, run_date, is_first=False)
    except OSError as error:
        raise PosreconError(
            f"{name}: {error}.", next_step="Nothing was left half-done; run the command again."
        ) from error
    return replace(second, fetched=first.fetched + second.fetched)


def _lines(trial: "Trial") -> list[str]:
    """A trial for people."""
    lines = [trial.file_name]
    shown: dict[str, Any] = {
        "source": trial.source and f"{trial.source} ({trial.layout}, folder {trial.feed})",
        "encoding": trial.encoding,
        "business date": trial.business_date,
        "logical name": trial.logical_name,
    }
    lines += [f"  {name:<14} {value}" for name, value in shown.items() if value]
    if trial.reason is not None:
        lines.append(f"  WOULD BE REFUSED: {trial.reason}")
        lines += [
            f"    line {bad['line_no']}: {bad['reason']}" for bad in trial.bad_lines[:BAD_LINES_SHOWN_MAX]
        ]
        hidden = len(trial.bad_lines) - BAD_LINES_SHOWN_MAX
        lines += [f"    … and {hidden} more"] if hidden > 0 else []
        lines += [f"  Next step: {trial.next_step}"] if trial.next_step else []
        return lines
    lines.append(
        f"  {'records':<14} {trial.records:,}: {trial.loaded:,} would be loaded, "
        f"{trial.quarantined:,} would go to quarantine"
    )
    for name, minor in (("stated", trial.declared_minor), ("computed", trial.computed_minor)):
        lines += [f"  {name:<14} {minor:,} minor units"] if minor is not None else []
    for dataset, rows in trial.rows.items():
        lines.append(f"  first rows of {dataset}:")
        lines += [f"    {', '.join(f'{name}={value}' for name, value in row.items())}" for row in rows]
    lines += ["  first records for quarantine:"] if trial.refused else []
    lines += [f"    line {row['line_no']}: {row['reason']}" for row in trial.refused]
    return lines
