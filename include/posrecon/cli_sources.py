"""`posrecon sources`: check the source YAMLs, and try how a file would be read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posrecon.console import print_json

if TYPE_CHECKING:
    from posrecon.landing.trial import Trial

BAD_LINES_SHOWN_MAX = 20

app = typer.Typer(
    name="sources",
    help="The feeds: one YAML each under include/sources.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(as_json: JsonOption = False) -> None:
    """Check every source YAML; names file and key of whatever is wrong."""
    from posrecon.landing.trial import check_sources
    from posrecon.settings import Settings

    found, problems = check_sources(Settings().sources_dir)
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
    from dataclasses import asdict

    from posrecon.landing.trial import try_file
    from posrecon.settings import Settings

    trials = try_file(Settings(), file, source)
    if as_json:
        print_json([asdict(trial) for trial in trials])
    else:
        for trial in trials:
            print("\n".join(_lines(trial)))
    raise typer.Exit(3 if any(trial.reason or trial.quarantined for trial in trials) else 0)


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
