"""`posrecon retention`: what is kept how long, holds, and what goes for good."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from posrecon.console import JsonOption, print_json, settings_of_process

if TYPE_CHECKING:
    from posrecon.proof.retention import Expired
    from posrecon.settings import Settings

app = typer.Typer(
    name="retention",
    help="How long files are kept (expectations/reference/retention.csv), legal holds, and shredding.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            metavar="YYYY-MM-DD",
            help="Day on which ages are counted; default the last published night.",
        ),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who does it; default the user of this process.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Shred archived files and remove others whose time is over. What is shredded can never be read again."""
    from posrecon.proof import retention

    settings = settings_of_process()
    day = as_of.date() if as_of else _last_night(settings)
    found = retention.plan(settings, day) if dry_run else retention.apply(settings, day, by=by)
    if as_json:
        print_json({"as_of": day, "dry_run": dry_run, "files": retention.as_rows(found)})
    else:
        _show(found, day, dry_run=dry_run)


@app.command()
def hold(
    first: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="First night.")
    ],
    last: Annotated[
        datetime, typer.Option("--to", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last night.")
    ],
    reason: Annotated[str, typer.Option(help="Why: a lawsuit, a request of a regulator, its number.")],
    feed: Annotated[str, typer.Option(help="Only files of this feed.")] = "",
    file: Annotated[str, typer.Option(help="Only this file: name, file id or SHA-256.")] = "",
    by: Annotated[str | None, typer.Option(help="Who places it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Place a legal hold: what it names is kept until it is released."""
    from dataclasses import asdict

    from posrecon.proof.retention import place_hold

    placed = place_hold(
        settings_of_process(),
        first=first.date(),
        last=last.date(),
        reason=reason,
        feed=feed,
        file=file,
        by=by,
    )
    if as_json:
        print_json(asdict(placed))
    else:
        print(f"Hold {placed.hold_no}: nights {placed.first} to {placed.last} are kept until it is released.")


@app.command()
def release(
    hold_no: Annotated[int, typer.Argument(help="Number of the hold.")],
    reason: Annotated[str, typer.Option(help="Why it ends.")],
    by: Annotated[str | None, typer.Option(help="Who releases it.")] = None,
) -> None:
    """Release a legal hold."""
    from posrecon.proof.retention import release_hold

    release_hold(settings_of_process(), hold_no, reason=reason, by=by)
    print(f"Hold {hold_no} is released; what it kept goes with the next posrecon retention apply.")


@app.command("holds")
def holds_(as_json: JsonOption = False) -> None:
    """List the holds in force."""
    from dataclasses import asdict

    from posrecon.proof.retention import holds

    found = holds(settings_of_process())
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        parts = [f"nights {one.first} to {one.last}"]
        parts += [f"feed {one.feed}"] if one.feed else []
        parts += [f"file {one.file}"] if one.file else []
        print(f"{one.hold_no:>7}  {', '.join(parts)}; {one.reason} ({one.by})")
    if not found:
        print("No hold is in force.")


def _last_night(settings: "Settings") -> date:
    from posrecon.errors import UsageError
    from posrecon.warehouse.manifests import published_nights

    nights = published_nights(settings)
    if not nights:
        raise UsageError("No night is published, so no day to count from.", next_step="Give it with --as-of.")
    return nights[-1]


def _show(found: "list[Expired]", day: date, *, dry_run: bool) -> None:
    """Counts per row of the table, then what stays all the same, with the reason."""
    counts: dict[str, int] = {}
    for one in found:
        if not one.kept_by:
            counts[one.subject] = counts.get(one.subject, 0) + 1
    word = "would go" if dry_run else "gone"
    for subject, count in sorted(counts.items()):
        verb = "shred" if subject.startswith("archive:") else "remove"
        print(f"{subject:<28} {count:>7,} files {word} ({verb})")
    for one in found:
        if one.kept_by:
            print(f"KEPT {one.subject} {one.run_date} {one.file}: {one.kept_by}")
    print(f"As of {day}: {sum(counts.values()):,} files {word}.")
