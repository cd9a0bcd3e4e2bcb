"""The `posrecon` command. Only light imports here: help and wrong usage must answer at once."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posrecon.cli_audit import app as audit_app
from posrecon.cli_audit import report_app
from posrecon.cli_cases import app as cases_app
from posrecon.cli_cases import pack
from posrecon.cli_retention import app as retention_app
from posrecon.cli_sources import app as sources_app
from posrecon.console import (
    CsvOption,
    JsonOption,
    new_table,
    print_csv,
    print_json,
    screen,
    settings_of_process,
)
from posrecon.errors import LayoutError, PosreconError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from posrecon.landing.decisions import Action
    from posrecon.night import NightSummary, Step, WaitingFile
    from posrecon.warehouse.revisions import NightChange

WAITING_NAMES_SHOWN_MAX = 3

app = typer.Typer(
    name="posrecon",
    help="Nightly reconciliation of card terminals, acquirer settlement and bank payouts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="State lives under POSRECON_HOME (default ./var). Exit codes: 0 done; 1 the night failed, nothing "
    "was published; 2 wrong usage; 3 done, with files missing or refused. --debug shows tracebacks.",
)
app.add_typer(sources_app)
app.add_typer(audit_app)
app.add_typer(cases_app)
app.command()(pack)
files_app = typer.Typer(
    name="files",
    help="List the files that came, were refused or are missing; decide about those that are held.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(files_app)
app.add_typer(report_app)
app.add_typer(retention_app)


class Feeds(StrEnum):
    """In which layouts the simulator writes."""

    plain = "plain"
    mixed = "mixed"


LimitOption = Annotated[int, typer.Option(min=0, help="Rows at most; 0 = all.")]


def main() -> None:
    """Run the command line; errors end with their exit code, and with a traceback only under --debug."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    sys.exit(run([argument for argument in arguments if argument != "--debug"], debug=debug))


def run(arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name.
        debug: Let errors through with their traceback.

    Returns:
        The exit code.
    """
    from pydantic import ValidationError

    from posrecon import redaction

    redaction.install()
    try:
        app(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except UsageError as error:
        if debug:
            raise
        return _complain(error, 2)
    except PosreconError as error:
        if debug:
            raise
        return _complain(error, 1)
    except ValidationError as error:
        if debug:
            raise
        problems = "; ".join(
            f"POSRECON_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False)
        )
        return _complain(UsageError(problems, next_step="Correct the environment variable."), 2)
    except KeyboardInterrupt:
        print("Interrupted. Nothing was published; run the command again.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except Exception as error:
        # The outermost edge: a person reads this, not a traceback.
        if debug:
            raise
        first = str(error).strip().splitlines()
        what = f"Unexpected {type(error).__name__}: {first[0] if first else 'no message'}"
        next_step = "Run the command again with --debug and report it."
        return _complain(PosreconError(what, next_step=next_step), 1)
    return 0


def _complain(error: PosreconError, code: int) -> int:
    from posrecon.redaction import redacted

    print(f"Error: {redacted(error.what)}", file=sys.stderr)
    if isinstance(error, LayoutError):
        for line in error.listing():
            print(redacted(line), file=sys.stderr)
    if error.next_step:
        print(f"Next step: {error.next_step}", file=sys.stderr)
    return code


# ------------------------------------------------------------------------------------------------ nights


@app.command()
def night(
    run_date: Annotated[
        datetime, typer.Option("--date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Run date.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Run the whole night of a run date, as the scheduler does."""
    from posrecon.night import run_night

    settings = settings_of_process()
    with _progress() as observer:
        summary = run_night(settings, run_date.date(), observer=observer)
    if as_json:
        print_json(summary.as_dict())
    else:
        _show_summary(summary)
    raise typer.Exit(summary.exit_code)


@app.command()
def replay(
    first: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="First night.")
    ],
    last: Annotated[
        datetime | None,
        typer.Option(
            "--to", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last night; default the last one known."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild nights in order, from the archive alone; readers see them all at once."""
    from posrecon.night import replay as replay_nights

    settings = settings_of_process()
    if last is not None and last < first:
        raise UsageError(
            f"--to {last.date()} lies before --from {first.date()}.", next_step="Swap the two dates."
        )
    with _progress() as observer:
        summaries = replay_nights(settings, first.date(), last.date() if last else None, observer=observer)
    if as_json:
        nights = [summary.as_dict() for summary in summaries]
        print_json({"nights": nights, "digest": summaries[-1].digest})
    else:
        for summary in summaries:
            print(f"{summary.run_date}  {summary.night_digest}")
        _show_summary(summaries[-1])
    raise typer.Exit(max(summary.exit_code for summary in summaries))


@app.command()
def relocate(as_json: JsonOption = False) -> None:
    """Make the readers' views again after the home was moved or copied."""
    from posrecon.night import relocate as make_views_again
    from posrecon.warehouse.manifests import reader_database

    settings = settings_of_process()
    nights = make_views_again(settings)
    path = reader_database(settings)
    if as_json:
        print_json({"published": path, "nights": nights})
    else:
        print(f"{path} shows {len(nights)} night{'s' if len(nights) > 1 else ''} to {nights[-1]}.")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder to fill: an inbox, and truth.csv.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    nights: Annotated[int, typer.Option(min=1, help="Business dates.")] = 3,
    rows: Annotated[int, typer.Option(min=100, help="Terminal events per business date.")] = 2000,
    start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="First business date."),
    ] = None,
    feeds: Annotated[
        Feeds,
        typer.Option(
            help="mixed: some logs as ISO 8583, JSON lines or Parquet, some statements as camt.053, some merchants "
            "with another acquirer."
        ),
    ] = Feeds.plain,
    as_json: JsonOption = False,
) -> None:
    """Write labelled input files of made-up merchants."""
    from dataclasses import asdict, replace

    from posrecon.simulate.generator import DEFAULT_START
    from posrecon.simulate.generator import simulate as write_files

    first = start.date() if start else DEFAULT_START
    with _stages() as tell:
        written = write_files(out, seed=seed, nights=nights, rows=rows, start=first, progress=tell)
        if feeds is Feeds.mixed:
            from posrecon.simulate.mixed import mix_feeds

            written = replace(written, files=written.files + mix_feeds(written.out, written.truth))
    if as_json:
        print_json(asdict(written))
        return
    print(f"{written.files} files in {written.out}, labels in {written.truth}")
    print(
        f"{written.events:,} events, {written.settlement_lines:,} settlement lines, {written.pairs:,} pairs"
    )
    print(f"Nights {written.first_run_date} to {written.last_run_date} read them.")


@app.command()
def score(
    truth: Annotated[Path, typer.Option(help="truth.csv of the simulator.", exists=True, dir_okay=False)],
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 below 1.0.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what was found with the labels: precision and recall of pairs and of each break type."""
    from posrecon.simulate.score import render, to_dict
    from posrecon.simulate.score import score as compare

    result = compare(settings_of_process(), truth)
    if as_json:
        print_json(to_dict(result))
    else:
        screen().print(render(result))
    if strict and not result.perfect:
        raise typer.Exit(1)


# ------------------------------------------------------------------------------------------------ looking


@app.command()
def status(as_json: JsonOption = False, as_csv: CsvOption = False) -> None:
    """List the nights: what ran, what is open."""
    from posrecon.reporting.lookup import nights

    rows = nights(settings_of_process())
    _show_rows(
        rows,
        as_json=as_json,
        as_csv=as_csv,
        title="Nights",
        empty="No night has been run yet.",
        shown=(
            "run_date", "state", "files", "events", "matched", "pending", "unmatched", "breaks_open",
            "candidates", "explained_pct",
        ),
    )  # fmt: skip


@files_app.callback()
def files(
    context: typer.Context,
    run_date: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="One night.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="loaded, rejected, duplicate, conflict, superseded, missing …")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Name of a source.")] = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List the files that came, were refused or are missing; decide about those that are held."""
    if context.invoked_subcommand is not None:
        return
    from posrecon.reporting.lookup import files as find

    rows, total = find(
        settings_of_process(),
        run_date=run_date.date() if run_date else None,
        state=state,
        source=source,
        limit=limit,
    )
    _show_rows(
        rows,
        as_json=as_json,
        as_csv=as_csv,
        title="Files",
        empty="No file fits.",
        total=total,
        shown=("run_date", "state", "source", "file_name", "business_date", "records", "reason"),
    )


FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="Name of the held file, or its id where several have the name.")
]
ReasonOption = Annotated[str, typer.Option(help="Why; kept for ever.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who decides; by default the user of this machine.")
]


@files_app.command()
def accept(
    file: FileArgument,
    reason: ReasonOption,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="It takes the place of the file that is loaded.")
    ] = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a file that is held as a conflict; rebuilds every night that it touches from the archive."""
    if not supersede:
        raise UsageError(
            f"{file}: a held file can only be accepted in place of the one that is loaded.",
            next_step="Say so: add --supersede.",
        )
    _decide(file, action="supersede", reason=reason, by=by, as_json=as_json)


@files_app.command()
def reject(
    file: FileArgument, reason: ReasonOption, by: ByOption = None, as_json: JsonOption = False
) -> None:
    """Reject a file that is held as a conflict: it never has any effect."""
    _decide(file, action="reject", reason=reason, by=by, as_json=as_json)


@files_app.command()
def decisions(as_json: JsonOption = False, as_csv: CsvOption = False) -> None:
    """List what was decided about held files, by whom and why."""
    from dataclasses import asdict

    from posrecon.landing.decisions import read_decisions

    _show_rows(
        [asdict(decision) for decision in read_decisions(settings_of_process())],
        as_json=as_json,
        as_csv=as_csv,
        title="Decisions",
        empty="Nothing has been decided.",
        shown=(
            "decision_no", "action", "file_name", "run_date", "superseded_run_date", "decided_by", "decided_at",
            "reason",
        ),
    )  # fmt: skip


def _decide(file: str, *, action: "Action", reason: str, by: str | None, as_json: bool) -> None:
    from dataclasses import asdict
    from getpass import getuser
    from zoneinfo import ZoneInfo

    from posrecon.night import decide_file

    settings = settings_of_process()
    with _progress() as observer:
        decision, changes = decide_file(
            settings,
            file,
            action=action,
            reason=reason,
            decided_by=getuser() if by is None else by,
            decided_at=datetime.now(ZoneInfo(settings.zone)),
            observer=observer,
        )
    if as_json:
        print_json({"decision": asdict(decision), "nights": [asdict(change) for change in changes]})
        return
    what = (
        "rejected" if decision.superseded_file_name is None else f"supersedes {decision.superseded_file_name}"
    )
    print(
        f"Decision {decision.decision_no}: {decision.file_name} {what}, by {decision.decided_by}: "
        f"{decision.reason}"
    )
    _show_rows(
        [_change_row(change) for change in changes],
        as_json=False,
        as_csv=False,
        title="Nights rebuilt",
        empty="",
    )
    if any(change.digest_before != change.digest_after for change in changes):
        print(f"What was believed before stays readable: schema before_decision_{decision.decision_no}.")


def _change_row(change: "NightChange") -> dict[str, Any]:
    """One rebuilt night for people: what is the same stands once, what changed as before → after."""
    from posrecon.money import format_minor

    def shown(before: object, after: object) -> str:
        return str(before) if before == after else f"{before} → {after}"

    return {
        "night": change.run_date,
        "digest": shown(change.digest_before[:12], change.digest_after[:12]),
        **{name: shown(*change.states[name]) for name in ("matched", "pending", "unmatched", "ambiguous")},
        "open breaks": shown(*change.breaks_open),
        "at risk": ", ".join(
            f"{shown(format_minor(before, currency), format_minor(after, currency))} {currency}"
            for currency, (before, after) in change.open_minor.items()
        ),
    }


@app.command()
def breaks(
    break_type: Annotated[str | None, typer.Option("--type", help="One break type.")] = None,
    status: Annotated[str, typer.Option(help="open, closed or all.")] = "open",
    merchant: Annotated[str | None, typer.Option(help="One merchant id.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Opened on or after."),
    ] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List breaks, the most money at risk first."""
    from posrecon.reporting.lookup import breaks as find

    if status not in ("open", "closed", "all"):
        raise UsageError(f"--status {status}: expected open, closed or all.", next_step="Choose one of them.")
    rows, total = find(
        settings_of_process(),
        break_type=break_type,
        status=None if status == "all" else status,
        merchant=merchant,
        since=since.date() if since else None,
        limit=limit,
    )
    _show_rows(
        rows,
        as_json=as_json,
        as_csv=as_csv,
        title="Breaks",
        empty="No break fits.",
        total=total,
        shown=(
            "break_type", "status", "opened_on", "age_days", "amount_at_risk_minor", "currency",
            "merchant_id", "item_id", "payout_id",
        ),
    )  # fmt: skip


@app.command()
def explain(
    key: Annotated[
        str,
        typer.Argument(
            help="RRN, STAN (or terminal/STAN), order number, item id, payout id, bank reference, break id, or "
            "file:line of the evidence."
        ),
    ],
    limit: Annotated[int, typer.Option(min=1, help="Items at most.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Say why a transaction is matched or not: rules, dates, breaks, payout, bank, and the lines as received."""
    from posrecon.reporting.explain import as_text
    from posrecon.reporting.explain import explain as find

    found = find(settings_of_process(), key, limit=limit)
    if as_json:
        print_json(found)
    else:
        print(as_text(found))


# ------------------------------------------------------------------------------------------------ output


def _show_summary(summary: "NightSummary") -> None:
    from posrecon.money import format_money
    from posrecon.reporting.night_report import look_lines

    console = screen()
    figures = summary.figures
    items = new_table(f"Night of {summary.run_date}", show_header=False)
    items.add_column()
    items.add_column(justify="right")
    for state, count in figures["files"].items():
        items.add_row(f"files {state}", f"{count:,}")
    for name in ("events", "lines", "bank_entries", "quarantined_records"):
        items.add_row(name.replace("_", " "), f"{figures[name]:,}")
    for state, count in figures["states"].items():
        items.add_row(state, f"{count:,}")
    items.add_row("dispute candidates", f"{sum(row['candidates'] for row in figures['candidates']):,}")
    explained = figures["explained"]
    items.add_row("explained %", explained["pct"])
    items.add_row("explained % of items", explained["items_pct"])
    items.add_row("explained % of payouts", explained["payouts"]["pct"])
    console.print(items)
    if figures["breaks"]:
        table = new_table("Breaks")
        table.add_column("type")
        for name in ("opened tonight", "closed tonight", "open", "open amount"):
            table.add_column(name, justify="right")
        for row in figures["breaks"]:
            table.add_row(
                row["break_type"],
                f"{row['opened_tonight']:,}",
                f"{row['closed_tonight']:,}",
                f"{row['open']:,}",
                format_money(row["open_minor"], row["currency"]),
            )
        console.print(table)
    for line in look_lines(figures):
        console.print(line, markup=False, soft_wrap=True)
    for line in _waiting_lines(summary.waiting):
        console.print(f"WAIT {line}", markup=False, soft_wrap=True)
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in summary.seconds.items())
    print(f"Seconds: {steps}; total {sum(summary.seconds.values()):.1f}")
    for name, path in summary.paths.items():
        print(f"{name:<12} {path}")
    print(f"{'digest':<12} {summary.digest}")


def _waiting_lines(files: "Sequence[WaitingFile]") -> Iterator[str]:
    """One line for each reason to wait: how many files, why, and the first of them."""
    reasons: dict[str, list[str]] = {}
    for file in files:
        if file.state == "early":
            reason = f"for the night of {file.run_date}"
        elif file.state == "unfinished":
            reason = "unfinished: a sender is still writing"
        else:
            reason = "for the next night: arrived during this one"
        reasons.setdefault(reason, []).append(f"{file.feed}/{file.file_name}")
    for reason, names in sorted(reasons.items()):
        shown = ", ".join(names[:WAITING_NAMES_SHOWN_MAX])
        hidden = len(names) - WAITING_NAMES_SHOWN_MAX
        more = f" and {hidden:,} more" if hidden > 0 else ""
        yield f"{len(names):,} file{'s' if len(names) > 1 else ''} {reason}: {shown}{more}"


def _show_rows(
    rows: list[dict[str, Any]],
    *,
    as_json: bool,
    as_csv: bool,
    title: str,
    empty: str,
    total: int | None = None,
    shown: Sequence[str] | None = None,
) -> None:
    """Print rows as JSON, CSV (all columns both) or a table (the columns that fit a screen)."""
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other.", next_step="Choose one.")
    if as_json:
        print_json(rows)
        return
    if as_csv:
        print_csv(rows)
        return
    if not rows:
        print(empty)
        return
    from rich.text import Text

    from posrecon.money import format_minor

    names = [name for name in (shown or rows[0]) if name in rows[0]]
    table = new_table(title)
    for name in names:
        number = name.endswith("_minor") or isinstance(rows[0][name], int)
        label = name.removesuffix("_minor").replace("_", " ")
        table.add_column(label, justify="right" if number else "left", overflow="fold")
    for row in rows:
        cells = []
        for name in names:
            value = row[name]
            if name.endswith("_minor") and isinstance(value, int):
                cells.append(Text(format_minor(value, row.get("currency") or "CNY")))
            else:
                cells.append(Text("" if value is None else str(value)))
        table.add_row(*cells)
    screen().print(table)
    if total is not None and total > len(rows):
        print(f"{len(rows):,} of {total:,} rows; --limit 0 shows all.")


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar per stage on standard error when it is a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield tell


@contextmanager
def _progress() -> Iterator["_Bars"]:
    """Progress bars on standard error when it is a terminal; one line per step elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Bars(None)
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        yield _Bars(progress)


class _Bars:
    """Shows the steps of a night as they go."""

    def __init__(self, progress: "Progress | None") -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def started(self, run_date: date, step: "Step") -> None:
        """Open a bar for the step, or say that it begins."""
        if self._progress is None:
            print(f"{run_date} {step.name} …", file=sys.stderr, flush=True)
        else:
            self._tasks[step.name] = self._progress.add_task(f"{run_date} {step.title}", total=None)

    def progress(self, step: "Step", done: int, total: int) -> None:
        """Move the bar of the step."""
        if self._progress is not None:
            self._progress.update(self._tasks[step.name], completed=done, total=total)

    def finished(self, step: "Step", seconds: float) -> None:
        """Fill the bar of the step."""
        if self._progress is not None:
            task = self._tasks[step.name]
            total = next(t.total for t in self._progress.tasks if t.id == task) or 1
            self._progress.update(task, completed=total, total=total)


if __name__ == "__main__":
    main()
