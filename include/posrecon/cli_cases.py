"""`posrecon cases`: from candidates to settled disputes; every step keeps who, when and why."""

import getpass
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from posrecon.console import (
    CsvOption,
    JsonOption,
    new_table,
    print_csv,
    print_json,
    screen,
    settings_of_process,
)
from posrecon.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from posrecon.disputes.desk import Actor, Desk
    from posrecon.disputes.views import CaseFilter
    from posrecon.settings import Settings

BREAKS_SHOWN_MAX = 15
BULK_SHOWN_MAX = 20

app = typer.Typer(
    name="cases",
    help="Dispute cases: what to do, where, until when, and what was done.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Outcome(StrEnum):
    """How a case is resolved."""

    WON = "won"
    LOST = "lost"
    WRITTEN_OFF = "written_off"


class BulkAction(StrEnum):
    """What can be done to many cases at once."""

    ASSIGN = "assign"
    EVIDENCE = "evidence"
    SUBMIT = "submit"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    NOTE = "note"
    HOLD = "hold"
    RELEASE = "release"


CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="C-17 or 17.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who does it; default POSRECON_USER, else the user of the system.")
]
WhyOption = Annotated[str, typer.Option("--why", help="The reason; kept in the history.")]
VersionOption = Annotated[
    int | None, typer.Option("--if-version", help="Only if the case is still at this version (see show).")
]
AsOfOption = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="Day on which limits are judged; default the newest published night.",
    ),
]
StateOption = Annotated[
    list[str] | None, typer.Option("--state", help="One of these states; may be repeated.")
]
AssigneeOption = Annotated[str | None, typer.Option("--assignee", help="Given to this person.")]
UnassignedOption = Annotated[bool, typer.Option("--unassigned", help="Given to nobody.")]
MerchantOption = Annotated[str | None, typer.Option("--merchant", help="One merchant id.")]
TerminalOption = Annotated[str | None, typer.Option("--terminal", help="One terminal id.")]
AcquirerOption = Annotated[str | None, typer.Option("--acquirer", help="unionpay, wechat or alipay.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="Holds a break of this type.")]
RuleOption = Annotated[str | None, typer.Option("--rule", help="Holds a break of this rule.")]
SeverityOption = Annotated[str | None, typer.Option("--severity", help="high, medium or low.")]
CauseOption = Annotated[
    str | None,
    typer.Option("--cause", help="file, payout, terminal, fees, lateness, group, unsettled, transaction."),
]
RouteOption = Annotated[str | None, typer.Option("--at", help="Lies at this door, e.g. acquirer.")]
OverdueOption = Annotated[bool, typer.Option("--overdue", help="Only what is overdue.")]
HeldOption = Annotated[bool, typer.Option("--held", help="Only what somebody holds.")]
SentOption = Annotated[
    datetime | None,
    typer.Option(
        "--on", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Day on which it was sent; default today."
    ),
]


# ------------------------------------------------------------------------------------------------ reading


@app.command("list")
def list_(
    state: StateOption = None,
    all_: Annotated[bool, typer.Option("--all", help="Ended cases too.")] = False,
    assignee: AssigneeOption = None,
    unassigned: UnassignedOption = False,
    merchant: MerchantOption = None,
    terminal: TerminalOption = None,
    acquirer: AcquirerOption = None,
    break_type: TypeOption = None,
    rule: RuleOption = None,
    severity: SeverityOption = None,
    cause: CauseOption = None,
    at: RouteOption = None,
    overdue: OverdueOption = False,
    held: HeldOption = False,
    as_of: AsOfOption = None,
    limit: Annotated[int, typer.Option(min=0, help="Cases at most; 0 = all.")] = 50,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List cases: what is overdue on top, then what is due first."""
    from posrecon.disputes.desk import desk

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other.", next_step="Choose one.")
    settings = settings_of_process()
    day = _as_of(settings, as_of)
    wanted = _filter(
        state, assignee, unassigned, merchant, terminal, acquirer, break_type, rule, severity, cause, at, overdue,
        held, day, open_only=not all_,
    )  # fmt: skip
    with desk(settings) as cases:
        rows, total = cases.find(wanted, as_of=day, limit=limit)
    if as_json:
        print_json({"as_of": day, "total": total, "cases": rows})
    elif as_csv:
        print_csv([_flat(row) for row in rows])
    elif not rows:
        print("No case fits.")
    else:
        late = sum(row["overdue"] for row in rows)
        screen().print(_cases_table(f"Cases as of {day}" + (f": {late:,} overdue" if late else ""), rows))
        if total > len(rows):
            print(f"{len(rows):,} of {total:,} cases; --limit 0 shows all.")


@app.command()
def show(case: CaseArgument, as_of: AsOfOption = None, as_json: JsonOption = False) -> None:
    """Show one case: next step, limits, money, breaks with their evidence, history."""
    from posrecon.disputes.desk import case_number, desk

    settings = settings_of_process()
    number = case_number(case)
    with desk(settings) as cases:
        found = cases.show(number, as_of=_as_of(settings, as_of))
    if as_json:
        print_json(found)
    else:
        _show(found, ZoneInfo(settings.zone))


@app.command()
def clocks(as_of: AsOfOption = None, as_json: JsonOption = False) -> None:
    """List the limits in force, each with its source and how far it can be trusted; checks the tables."""
    from posrecon.disputes.routes import RouteBook

    settings = settings_of_process()
    book = RouteBook.load(settings)
    day = _as_of(settings, as_of)
    rows = book.clocks(day)
    if as_json:
        print_json(rows)
        return
    shown = new_table(f"Limits in force on {day}")
    for name in ("route", "clock", "duty", "days", "counted from", "confidence", "source"):
        shown.add_column(name, justify="right" if name == "days" else "left", overflow="fold")
    for row in rows:
        kind = " banking" if row["day_kind"] == "banking" else ""
        cells = (row["route"], row["clock"], row["duty"], f"{row['days']}{kind}", row["starts_at"])
        shown.add_row(*(str(cell) for cell in cells), str(row["confidence"]), str(row["source"]))
    screen().print(shown)


# ------------------------------------------------------------------------------------------------ opening


@app.command("open")
def open_(
    from_candidates: Annotated[
        bool, typer.Option("--from-candidates", help="Bring all cases to the newest published night.")
    ] = False,
    topic: Annotated[str | None, typer.Option("--topic", help="By hand: money or data_leak.")] = None,
    title: Annotated[str, typer.Option("--title", help="By hand: what it is about.")] = "",
    why: WhyOption = "",
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open cases from the newest night's candidates (safe to repeat), or one by hand."""
    from posrecon.disputes.desk import desk
    from posrecon.disputes.intake import take_in

    if from_candidates == (topic is not None):
        raise UsageError(
            "Cases are opened --from-candidates, or one by hand with --topic, --title and --why.",
            next_step="Choose one of the two.",
        )
    settings = settings_of_process()
    if topic is not None:
        with desk(settings) as cases:
            actor = _actor(settings, by)
            _told(
                settings, cases, cases.open_case(topic, title, actor=actor, why=why), actor, as_json=as_json
            )
        return
    done = take_in(settings)
    if as_json:
        print_json(done.as_dict())
        return
    print(
        f"Night {done.run_date}: {done.opened:,} cases opened, {done.reopened:,} reopened, {done.closed:,} closed "
        f"themselves; {done.breaks_added:,} breaks added, {done.breaks_settled:,} settled."
    )
    if done.held:
        print(f"{done.held:,} would have closed, but somebody holds them: posrecon cases list --held")


# ------------------------------------------------------------------------------------------------ acting


@app.command()
def assign(
    case: CaseArgument,
    to: Annotated[str, typer.Option("--to", help="Who works on it.")],
    why: WhyOption = "",
    take_over: Annotated[bool, typer.Option("--take-over", help="Though somebody else has it.")] = False,
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a case to somebody."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.assign([number], to, actor=actor, why=why, take_over=take_over, if_version=if_version)


@app.command()
def evidence(
    case: CaseArgument,
    why: WhyOption = "",
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin to collect the own records of an assigned case."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.start_evidence([number], actor=actor, why=why, if_version=if_version)


@app.command()
def submit(
    case: CaseArgument,
    why: WhyOption = "",
    to: Annotated[
        str | None, typer.Option("--to", help="The door; default the next one of its rules.")
    ] = None,
    on: SentOption = None,
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lay a case at the next door: acquirer, payment institution, regulator, court."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.submit(
            [number], actor=actor, why=why, route=to, on=on.date() if on else None, if_version=if_version
        )


@app.command()
def resolve(
    case: CaseArgument,
    outcome: Annotated[Outcome, typer.Argument(help="won, lost or written_off.")],
    why: WhyOption = "",
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a case: won or lost once it was submitted, written off at any time."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.resolve([number], outcome, actor=actor, why=why, if_version=if_version)


@app.command()
def reopen(
    case: CaseArgument,
    why: WhyOption = "",
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an ended case up again."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.reopen([number], actor=actor, why=why, if_version=if_version)


@app.command()
def note(
    case: CaseArgument,
    text: Annotated[str, typer.Argument(help="Whole card numbers are masked.")],
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write something down in a case."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.note([number], text, actor=actor, if_version=if_version)


@app.command()
def attach(
    case: CaseArgument,
    file: Annotated[
        Path, typer.Argument(help="Any file, up to POSRECON_ATTACHMENT_BYTES_MAX; kept encrypted.")
    ],
    why: Annotated[str, typer.Option("--note", help="What it shows.")] = "",
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Attach a file to a case."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.attach(number, file, actor=actor, note=why, if_version=if_version)


@app.command()
def fetch(
    case: CaseArgument,
    attachment: Annotated[int, typer.Argument(min=1, help="Its number (see show).")],
    out: Annotated[Path, typer.Option("--out", help="File to write; must not exist.")],
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an attachment out again, byte for byte as it was attached."""
    from posrecon.disputes.desk import case_number, desk

    settings = settings_of_process()
    number = case_number(case)
    with desk(settings) as cases:
        written = cases.fetch(number, attachment, out, actor=_actor(settings, by))
    if as_json:
        print_json(written | {"out": str(out)})
    else:
        print(f"{out}: {written['size_bytes']:,} bytes, SHA-256 {written['sha256']}")


@app.command()
def hold(
    case: CaseArgument,
    why: WhyOption = "",
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a case open even when all its breaks are explained."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.hold([number], actor=actor, why=why, if_version=if_version)


@app.command()
def release(
    case: CaseArgument,
    why: WhyOption = "",
    by: ByOption = None,
    if_version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a held case close itself again."""
    with _work(case, by, as_json) as (cases, number, actor):
        cases.release([number], actor=actor, why=why, if_version=if_version)


@app.command()
def bulk(
    action: Annotated[BulkAction, typer.Argument(help="What to do with every case that fits.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only show which cases fit.")] = False,
    to: Annotated[str | None, typer.Option("--to", help="assign: the person. submit: the door.")] = None,
    outcome: Annotated[
        Outcome | None, typer.Option("--as", help="resolve: won, lost or written_off.")
    ] = None,
    text: Annotated[str, typer.Option("--text", help="note: the text.")] = "",
    why: WhyOption = "",
    take_over: Annotated[
        bool, typer.Option("--take-over", help="assign: though somebody else has it.")
    ] = False,
    on: SentOption = None,
    state: StateOption = None,
    assignee: AssigneeOption = None,
    unassigned: UnassignedOption = False,
    merchant: MerchantOption = None,
    terminal: TerminalOption = None,
    acquirer: AcquirerOption = None,
    break_type: TypeOption = None,
    rule: RuleOption = None,
    severity: SeverityOption = None,
    cause: CauseOption = None,
    at: RouteOption = None,
    overdue: OverdueOption = False,
    held: HeldOption = False,
    as_of: AsOfOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do one thing to every case that fits the filter: to all of them, or to none."""
    from posrecon.disputes.desk import desk

    settings = settings_of_process()
    day = _as_of(settings, as_of)
    wanted = _filter(
        state, assignee, unassigned, merchant, terminal, acquirer, break_type, rule, severity, cause, at, overdue,
        held, day, open_only=action != BulkAction.REOPEN,
    )  # fmt: skip
    with desk(settings) as cases:
        rows, total = cases.find(wanted, as_of=day)
        numbers = [row["case_no"] for row in rows]
        if not yes or not numbers:
            if as_json:
                print_json(
                    {"action": action, "done": False, "total": total, "cases": [row["case"] for row in rows]}
                )
            elif not rows:
                print("No case fits.")
            else:
                screen().print(_cases_table(f"{action} would change {total:,} cases", rows[:BULK_SHOWN_MAX]))
                print("Nothing was changed; --yes does it.")
            return
        actor = _actor(settings, by)
        _bulk(cases, action, numbers, actor, to, outcome, text, why, take_over, on.date() if on else None)
    if as_json:
        print_json({"action": action, "done": True, "total": total, "cases": [row["case"] for row in rows]})
    else:
        print(f"{action}: {total:,} cases changed.")


@app.command()
def upgrade(as_json: JsonOption = False) -> None:
    """Bring the tables of the cases to this release; an empty database gets them by itself."""
    from posrecon.disputes.database import upgrade as migrate

    before, now = migrate(settings_of_process())
    if as_json:
        print_json({"before": before, "now": now})
    else:
        print(
            f"The tables of the cases are at {now}"
            + (f", were at {before}." if before else ", made just now.")
        )


def pack(
    case: CaseArgument,
    out: Annotated[Path, typer.Option(help="Folder for the zip.", file_okay=False)] = Path(),
    by: ByOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the complaint pack of a case: pages in Chinese and English, CSV, lines as received, hashes."""
    from posrecon.disputes.complaint import complaint_of
    from posrecon.disputes.desk import case_number, desk
    from posrecon.disputes.pack import build_pack

    settings = settings_of_process()
    actor = _actor(settings, by)
    with desk(settings) as cases:
        complaint = complaint_of(cases.show(case_number(case), as_of=_as_of(settings, as_of)))
    made = build_pack(settings, complaint, out, by=actor.name)
    if as_json:
        print_json({**made.facts, "path": str(made.path), "told": made.told, "lacking": made.lacking})
        return
    print(f"{made.path}\n  {made.breaks} breaks of the night {made.run_date}, {made.told} told one by one")
    print(f"  SHA-256 {made.sha256}")
    if made.lacking:
        print(
            f"  The font lacks {made.lacking}: they are printed as 〓. POSRECON_PDF_FONT names another font.",
            file=sys.stderr,
        )


# ------------------------------------------------------------------------------------------------ inside


@contextmanager
def _work(case: str, by: str | None, as_json: bool) -> "Iterator[tuple[Desk, int, Actor]]":
    """Open the desk for one case; print the case after the action."""
    from posrecon.disputes.desk import case_number, desk

    settings = settings_of_process()
    number, actor = case_number(case), _actor(settings, by)
    with desk(settings) as cases:
        yield cases, number, actor
        _told(settings, cases, number, actor, as_json=as_json)


def _bulk(
    cases: "Desk", action: BulkAction, numbers: Sequence[int], actor: "Actor", to: str | None,
    outcome: Outcome | None, text: str, why: str, take_over: bool, on: date | None,
) -> None:  # fmt: skip
    if action == BulkAction.ASSIGN:
        cases.assign(numbers, to or "", actor=actor, why=why, take_over=take_over)
    elif action == BulkAction.EVIDENCE:
        cases.start_evidence(numbers, actor=actor, why=why)
    elif action == BulkAction.SUBMIT:
        cases.submit(numbers, actor=actor, why=why, route=to, on=on)
    elif action == BulkAction.RESOLVE:
        cases.resolve(numbers, outcome or "", actor=actor, why=why)
    elif action == BulkAction.REOPEN:
        cases.reopen(numbers, actor=actor, why=why)
    elif action == BulkAction.NOTE:
        cases.note(numbers, text, actor=actor)
    elif action == BulkAction.HOLD:
        cases.hold(numbers, actor=actor, why=why)
    else:
        cases.release(numbers, actor=actor, why=why)


def _actor(settings: "Settings", by: str | None) -> "Actor":
    """Who acts: --by, POSRECON_USER, or the user of the system; the instant is that of the act."""
    from posrecon.disputes.desk import NAME_MAX, Actor

    name = (by or settings.user or _system_user()).strip()
    if not 0 < len(name) <= NAME_MAX:
        raise UsageError(
            f"{name[:20] or 'Nobody'}: is no name.",
            next_step="Say who you are with --by, or set POSRECON_USER.",
        )
    return Actor(name, datetime.now(UTC).replace(microsecond=0))


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _as_of(settings: "Settings", given: datetime | None) -> date:
    from posrecon.warehouse.manifests import published_nights

    if given is not None:
        return given.date()
    nights = published_nights(settings)
    if not nights:
        raise UsageError(
            f"{settings.published}: nothing is published yet, so no night says which day it is.",
            next_step="Give the day with --as-of YYYY-MM-DD, or set POSRECON_HOME.",
        )
    return nights[-1]


def _filter(
    state: list[str] | None, assignee: str | None, unassigned: bool, merchant: str | None, terminal: str | None,
    acquirer: str | None, break_type: str | None, rule: str | None, severity: str | None, cause: str | None,
    at: str | None, overdue: bool, held: bool, day: date, *, open_only: bool,
) -> "CaseFilter":  # fmt: skip
    from posrecon.disputes.states import State
    from posrecon.disputes.views import CaseFilter

    known = {str(one): one for one in State}
    wrong = [word for word in state or [] if word not in known]
    if wrong:
        raise UsageError(
            f"--state {wrong[0]}: there is no such state.", next_step=f"Choose {', '.join(known)}."
        )
    states = tuple(known[word] for word in state or [])
    return CaseFilter(
        states=states, ended=False if open_only and not states else None, assignee=assignee, unassigned=unassigned,
        merchant_id=merchant, terminal_id=terminal, acquirer=acquirer, severity=severity, cause_kind=cause,
        break_type=break_type, rule_id=rule, route=at, held=held, overdue_on=day if overdue else None,
    )  # fmt: skip


def _told(settings: "Settings", cases: "Desk", number: int, actor: "Actor", *, as_json: bool) -> None:
    """Say how a case stands after an action: judged on the newest night, else on the day of the action."""
    from posrecon.warehouse.manifests import published_nights

    nights = published_nights(settings)
    found = cases.show(number, as_of=nights[-1] if nights else actor.at.date())
    if as_json:
        print_json(found)
        return
    event = found["events"][-1]
    print(
        f"{found['case']} {found['state']} (version {found['version']}): {event['action']} by {event['who']}"
    )
    if found["next_step"]:
        print(f"Next: {found['next_step']['text']}")


# ------------------------------------------------------------------------------------------------ tables


def _cases_table(title: str, rows: Sequence[dict[str, Any]]) -> "Table":
    from rich.text import Text

    shown = new_table(title)
    for name in (
        "case",
        "respond by",
        "severity",
        "state",
        "cause",
        "what",
        "breaks",
        "open money",
        "who",
        "lies at",
    ):
        right = name in ("breaks", "open money")
        shown.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=name == "case")
    for row in rows:
        types = row["break_types"]
        what = types[0] + (f" +{len(types) - 1}" if len(types) > 1 else "") if types else row["topic"]
        who = (row["assignee"] or "") + (" (held)" if row["held_by"] else "")
        cells = (
            row["case"], _due(row), row["severity"], row["state"], f"{row['cause_kind']} {row['cause']}", what,
            f"{row['open_breaks']:,}", _money(row["money"], "open_minor"), who, row["route"] or "",
        )  # fmt: skip
        shown.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells))
    return shown


def _due(row: dict[str, Any]) -> "Text":
    from rich.text import Text

    if row["respond_by"] is None:
        return Text("")
    return (
        Text(f"{row['respond_by']} OVERDUE", style="bold red") if row["overdue"] else Text(row["respond_by"])
    )


def _money(money: Sequence[dict[str, Any]], name: str) -> str:
    from posrecon.money import format_money

    return "; ".join(format_money(row[name], row["currency"]) for row in money)


def _show(found: dict[str, Any], zone: ZoneInfo) -> None:
    from rich.text import Text

    out = screen()
    head = new_table(f"{found['case']}: {found['cause_kind']} {found['cause']}", show_header=False)
    head.add_column()
    head.add_column(overflow="fold")
    step, limit = found["next_step"], found["limit"]
    lines: dict[str, Any] = {
        "state": found["state"] + (f" since {found['ended_on']}" if found["ended_on"] else ""),
        "next step": step and Text(step["text"], style="bold red" if step["overdue"] else "bold"),
        "respond by": limit and Text.assemble(_due(found), f" ({limit['clock']}, {limit['confidence']})"),
        "severity": found["severity"],
        "money at risk": _money(found["money"], "amount_minor"),
        "still open": _money(found["money"], "open_minor"),
        "assigned to": found["assignee"],
        "held by": found["held_by"],
        "lies at": found["route"] and f"{found['route']} since {found['submitted_on']}",
        "doors": " → ".join(door["route"] for door in found["doors"]),
        "version": str(found["version"]),
    }
    for name, value in lines.items():
        if value:
            head.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    out.print(head)
    for remedy in found["remedies"]:
        out.print(Text(f"{remedy['rule_id']}: {remedy['remedy_en']}\n{remedy['remedy_zh']}"), soft_wrap=True)
    _show_breaks(found["case_breaks"])
    history = new_table("History")
    for name in ("at", "who", "did", "state", "why"):
        history.add_column(name, overflow="fold")
    for event in found["events"]:
        at = datetime.fromisoformat(event["at"]).astimezone(zone)
        cells = (f"{at:%Y-%m-%d %H:%M}", event["who"], event["action"], event["state_after"], event["why"])
        history.add_row(*(Text(cell) for cell in cells))
    out.print(history)
    for one in found["attachments"]:
        out.print(
            Text(
                f"attachment {one['attachment_no']}: {one['file_name']}, {one['size_bytes']:,} bytes, {one['sha256']}"
            ),
            soft_wrap=True,
        )


def _show_breaks(breaks: Sequence[dict[str, Any]]) -> None:
    from rich.text import Text

    from posrecon.money import format_money

    if not breaks:
        return
    shown = new_table(f"Breaks ({len(breaks):,})")
    for name in ("type", "status", "happened", "money", "terminal", "evidence", "settled by"):
        shown.add_column(name, justify="right" if name == "money" else "left", overflow="fold")
    for one in breaks[:BREAKS_SHOWN_MAX]:
        places = [
            f"{one[f'{side}_file']} line {one[f'{side}_line']}"
            for side in ("terminal", "settlement", "bank")
            if one[f"{side}_file"]
        ]
        cells = (
            one["break_type"], one["status"], one["happened_on"],
            format_money(one["amount_minor"] or 0, one["currency"]), one["terminal_id"] or "",
            "\n".join(places), one["status_reason"] or "",
        )  # fmt: skip
        shown.add_row(*(Text(cell) for cell in cells))
    screen().print(shown)
    if len(breaks) > BREAKS_SHOWN_MAX:
        print(f"{BREAKS_SHOWN_MAX} of {len(breaks):,} breaks; --json lists all.")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A case as one line of CSV; money of several currencies side by side."""
    plain = {name: value for name, value in row.items() if not isinstance(value, list)}
    return plain | {
        "break_types": " ".join(row["break_types"]),
        "money": _money(row["money"], "amount_minor"),
        "open_money": _money(row["money"], "open_minor"),
    }
