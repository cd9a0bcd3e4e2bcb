"""`posrecon audit`: prove that nothing was changed, and show what was recorded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posrecon.console import JsonOption, print_json, settings_of_process

if TYPE_CHECKING:
    from posrecon.proof.verify import Verdict

app = typer.Typer(
    name="audit",
    help="The audit log: prove it, show it, follow a figure to the lines it came from.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

report_app = typer.Typer(
    name="report",
    help="Reports for controllers and auditors.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def verify(
    anchor: Annotated[
        list[Path] | None, typer.Option(help="An anchor file kept elsewhere; may be given several times.")
    ] = None,
    all_faults: Annotated[bool, typer.Option("--all", help="List every fault, not only the first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove log, archive and published files untouched, or name the first thing changed (exit code 1)."""
    from dataclasses import asdict

    from posrecon.proof.verify import verify as prove

    verdict = prove(settings_of_process(), anchors=tuple(anchor or ()), all_faults=all_faults)
    if as_json:
        print_json(asdict(verdict) | {"sound": verdict.sound})
    else:
        _show_verdict(verdict)
    raise typer.Exit(0 if verdict.sound else 1)


def _show_verdict(verdict: "Verdict") -> None:
    for fault in verdict.faults:
        print(f"CHANGED {fault.text()}")
    for note in verdict.notes:
        print(f"NOTE {note}")
    seq, digest = verdict.head
    print(f"{verdict.records:,} records, the last is {seq} {digest}")
    if verdict.anchored:
        print(f"{verdict.anchors:,} anchor lines; the log is anchored up to record {verdict.anchored}")
    shredded = f", {verdict.shredded:,} shredded as recorded" if verdict.shredded else ""
    attached = f", {verdict.attachments:,} attachments of cases" if verdict.attachments else ""
    print(f"{verdict.received:,} archived files{attached} decrypted and compared{shredded}")
    print(f"{verdict.published:,} receipts and published files compared, {verdict.nights:,} nights")
    print("Nothing was changed." if verdict.sound else "Something was changed: see the first line.")


@app.command()
def head(as_json: JsonOption = False) -> None:
    """Print the head of the log as one line to keep elsewhere: on paper, in a mail, in a safe."""
    from dataclasses import asdict

    from posrecon.audit.log import head_of
    from posrecon.errors import UsageError

    settings = settings_of_process()
    last = head_of(settings)
    if last is None:
        raise UsageError(f"{settings.audit}: there is no audit log yet.", next_step="Run a night first.")
    if as_json:
        print_json(asdict(last))
    else:
        print(f"{last.seq}  {last.hash}  {last.at}")


@app.command("log")
def log_(
    kind: Annotated[str | None, typer.Option(help="One kind of record.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="The last ones at most; 0 = all.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the last records, oldest first."""
    from collections import deque
    from dataclasses import asdict

    from posrecon.audit.log import Record, read_records

    kinds = frozenset({kind}) if kind else None
    found: deque[Record] = deque(read_records(settings_of_process(), kinds), maxlen=limit or None)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        print(f"{one.seq:>7}  {one.at[:19]}  {one.by:<12}  {one.kind:<18}  {_brief(one.payload)}")
    if not found:
        print("No record fits.")


@app.command()
def trace(
    key: Annotated[
        str,
        typer.Argument(
            help="Item, break, candidate or payout id; control:DATE/ACQUIRER/CHANNEL/CURRENCY/SIDE/COLUMN; "
            "report:MONTH/totals/… or report:MONTH/breaks/TYPE/CURRENCY/COLUMN; or FILE:LINE, to go back."
        ),
    ],
    limit: Annotated[int, typer.Option(min=0, help="Lines shown as received; 0 shows none.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Follow a published figure to the received lines that make it, or a line to the figures that use it."""
    from posrecon.proof.trace import as_text
    from posrecon.proof.trace import trace as follow

    found = follow(settings_of_process(), key, limit=limit)
    if as_json:
        print_json(found.as_dict())
    else:
        print(as_text(found))
    raise typer.Exit(1 if found.ties is False else 0)


@report_app.callback()
def reports() -> None:
    """Reports for controllers and auditors."""


@report_app.command()
def control(
    month: Annotated[str, typer.Option(help="Month of the nights, as YYYY-MM.")],
    as_json: JsonOption = False,
) -> None:
    """Write the control report of a month: PDF and JSON, Chinese and English."""
    from dataclasses import asdict

    from posrecon.proof.control_report import collect, write

    settings = settings_of_process()
    report = collect(settings, month)
    path = write(settings, report)
    if as_json:
        print_json({"file": str(path), **asdict(report)})
    else:
        print(f"{path}\n{path.with_suffix('.json')}")


def _brief(payload: dict[str, Any]) -> str:
    """Short facts of a record; lists and tables by their size."""
    parts = []
    for name, value in payload.items():
        if isinstance(value, list | dict):
            parts.append(f"{name}: {len(value):,}")
        elif value is not None:
            parts.append(f"{name} {str(value)[:60]}")
    return ", ".join(parts)
