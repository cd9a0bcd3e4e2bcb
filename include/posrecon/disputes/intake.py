"""From candidates to cases: what the newest published night leaves to people.

Run after every night, or as often as one likes: the same night changes nothing a second time. It opens cases for breaks
that are in none, adds breaks to the case of their cause while that has not been submitted, settles breaks that are
explained or withdrawn, and lets cases close themselves. It only reads what was published, and no night reads it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, TypeVar

import duckdb
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from posrecon.disputes.causes import FILE, cause_of, cause_text
from posrecon.disputes.database import open_engine, writing
from posrecon.disputes.decisions import decided_lately, hand_over, returning
from posrecon.disputes.desk import Actor, close_if_explained, remind, reopened
from posrecon.disputes.journal import Journal
from posrecon.disputes.models import Case, CaseBreak, Register
from posrecon.disputes.routes import RouteBook
from posrecon.disputes.states import OPEN_STATES, Action, State
from posrecon.errors import UsageError
from posrecon.reporting.lookup import open_published, rows_of
from posrecon.settings import Settings
from posrecon.warehouse.manifests import published_nights

INTAKE = "posrecon"
"""Who the intake is in the history."""

# A case that was submitted was sent as it is; later breaks of its cause open a new one.
_GROWING = (State.NEW, State.ASSIGNED, State.EVIDENCE)
Value = TypeVar("Value")

# SQLite takes some thousands of values in one query.
_LOADED_AT_ONCE = 500
_SEVERITY_ORDER = ("high", "medium", "low")
_KEPT = frozenset(column.name for column in CaseBreak.__table__.columns)

_OPEN_CANDIDATES = """
select
    c.break_id, c.candidate_id, c.validation_id, c.rule_id, c.break_type, c.severity, c.run_date as marked_on,
    false as file_missing, b.item_id, b.opened_on, coalesce(cast(c.txn_time as date), b.opened_on) as happened_on,
    c.amount_at_risk_minor as amount_minor, c.currency, c.merchant_id, c.terminal_id, c.location,
    c.txn_time as txn_at, c.acquirer, c.channel, c.payout_id, c.terminal_file, c.terminal_line, c.settlement_file,
    c.settlement_line, c.bank_file, c.bank_line, b.detail
from dispute_candidates as c
inner join fct_breaks as b on b.break_id = c.break_id
where c.status = 'open'
order by c.run_date, c.break_id
"""
_WAITING_FOR_FILES = """
select
    b.break_id, null as candidate_id, null as validation_id, null as rule_id, b.break_type, null as severity,
    b.opened_on as marked_on, true as file_missing, b.item_id, b.opened_on,
    coalesce(cast(b.txn_at as date), b.opened_on) as happened_on, b.amount_at_risk_minor as amount_minor, b.currency,
    b.merchant_id, b.terminal_id, null as location, b.txn_at, b.acquirer, b.channel, b.payout_id, b.terminal_file,
    b.terminal_line, b.settlement_file, b.settlement_line, b.bank_file, b.bank_line, b.detail
from fct_breaks as b
where b.status = 'open' and b.file_missing
order by b.opened_on, b.break_id
"""
# What became of breaks that cases still hold open.
_SETTLED = """
select k.break_id, b.status, b.closed_by, b.file_missing, c.withdrawn_reason
from known as k
left join fct_breaks as b on b.break_id = k.break_id
left join dispute_candidates as c on c.break_id = k.break_id
order by k.break_id
"""


@dataclass(frozen=True)
class Published:
    """What the newest night left.

    Attributes:
        run_date: That night.
        wanted: Breaks that belong into a case, by break id, in the order in which they are placed.
        settled: For breaks that cases hold and the night does not want in one: status and reason.
    """

    run_date: date
    wanted: dict[str, dict[str, Any]]
    settled: dict[str, tuple[str, str]]


@dataclass
class Intake:
    """What an intake did.

    Attributes:
        run_date: The night that it read.
        opened: Cases opened; likewise reopened and closed.
        breaks_added: Breaks put into a case.
        breaks_settled: Breaks of cases that are closed, withdrawn or moved since.
        held: Cases that would have closed, had nobody held them.
        cases: Numbers of the cases that changed.
    """

    run_date: date
    opened: int = 0
    reopened: int = 0
    closed: int = 0
    breaks_added: int = 0
    breaks_settled: int = 0
    held: int = 0
    cases: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def take_in(settings: Settings) -> Intake:
    """Bring the cases to the newest published night.

    Raises:
        UsageError: Nothing is published, or the database cannot be reached.
    """
    book = RouteBook.load(settings)
    journal = Journal(settings, INTAKE)
    with open_engine(settings) as engine, writing(engine) as session:
        # From here on there is one intake at a time, so what it reads is the newest night until it has written.
        register = session.get(Register, 1, with_for_update=True)
        if register is None:
            raise UsageError("The register of the cases is empty.", next_step="Run: posrecon cases upgrade.")
        held = list(session.scalars(select(CaseBreak.break_id).where(CaseBreak.status == "open")))
        published = _read(settings, book, held)
        actor = Actor(INTAKE, settings.night_instant(published.run_date))
        done = Intake(published.run_date)
        _Sorter(session, book, journal, actor, published, register, done).run()
        session.flush()
        decided = decided_lately(session)
        facts = {name: value for name, value in done.as_dict().items() if name != "cases"}
        journal.publish_summary(facts)
    hand_over(settings, decided)
    return done


class _Sorter:
    """One intake inside its transaction; the register is locked, so there is one at a time."""

    def __init__(
        self, session: Session, book: RouteBook, journal: Journal, actor: Actor, published: Published,
        register: Register, done: Intake,
    ) -> None:  # fmt: skip
        self._session = session
        self._book = book
        self._journal = journal
        self._actor = actor
        self._published = published
        self._register = register
        self._done = done
        self._changed: dict[int, Case] = {}
        self._returning: set[tuple[int, str]] = set()

    def run(self) -> None:
        """Settle, place, close."""
        held = self._held()
        self._returning = self._taken_up_again({one.case_no for one in held if not self._still_here(one)})
        gone = {one.break_id for one in held if not self._still_here(one)}
        standing = {one.break_id for one in held} - gone
        by_cause: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for break_id, row in self._published.wanted.items():
            if break_id not in standing:
                by_cause.setdefault(cause_of(row), []).append(row)
        # All locks at once and in the order of the numbers, as people's bulk actions take them.
        numbers = {one.case_no for one in held if one.break_id in gone}
        numbers |= self._numbers_of({key for _, key in by_cause})
        cases = self._locked(sorted(numbers))
        self._settle(cases)
        self._place(cases, by_cause)
        for case_no in sorted(self._changed):
            found = self._changed[case_no]
            _summarise(found)
            if close_if_explained(self._session, found, self._journal, self._actor):
                self._done.closed += 1
            elif _would_close(found):
                self._done.held += 1
            remind(self._book, found)
            self._done.cases.append(found.label)

    def _held(self) -> list[CaseBreak]:
        """Breaks that some case holds open."""
        query = (
            select(CaseBreak)
            .where(CaseBreak.status == "open")
            .order_by(CaseBreak.case_no, CaseBreak.break_id)
        )
        return list(self._session.scalars(query))

    def _still_here(self, one: CaseBreak) -> bool:
        """Whether the break is still what the case took it for, or comes back with the next night."""
        if (one.case_no, one.break_id) in self._returning:
            return True
        row = self._published.wanted.get(one.break_id)
        return row is not None and bool(row["file_missing"]) == one.file_missing

    def _taken_up_again(self, case_nos: set[int]) -> set[tuple[int, str]]:
        """Breaks that a decision closed and that the next night opens again, because their case was reopened."""
        found: set[tuple[int, str]] = set()
        for some in _chunks(sorted(case_nos)):
            found |= returning(self._session, some, self._published.run_date)
        return found

    def _settle(self, cases: Sequence[Case]) -> None:
        run_date = self._published.run_date
        for found in cases:
            breaks = [one for one in found.breaks if one.status == "open" and not self._still_here(one)]
            if not breaks:
                continue
            for one in breaks:
                one.status, one.status_reason = self._outcome(one)
                one.status_on = run_date
            reasons = sorted({one.status_reason or "" for one in breaks})
            why = f"{_count(breaks)}: {reasons[0]}" + (
                f" and {len(reasons) - 1} other reasons" if len(reasons) > 1 else ""
            )
            statuses = {
                status: sum(1 for one in breaks if one.status == status)
                for status in sorted({one.status for one in breaks})
            }
            self._note(found, Action.SETTLE_BREAKS, why, {"breaks": statuses})
            self._done.breaks_settled += len(breaks)

    def _outcome(self, one: CaseBreak) -> tuple[str, str]:
        if one.break_id in self._published.wanted:
            came = (
                "the file came without it"
                if one.file_missing
                else "its file is missing, so nobody is to blame yet"
            )
            return "moved", came
        return self._published.settled.get(one.break_id, ("withdrawn", "the break is no longer published"))

    def _place(
        self, cases: Sequence[Case], by_cause: Mapping[tuple[str, str], Sequence[dict[str, Any]]]
    ) -> None:
        same: dict[str, list[Case]] = {}
        for one in cases:
            same.setdefault(one.cause_key, []).insert(0, one)
        for (kind, key), rows in by_cause.items():
            found = self._case_of(same.get(key, []), {row["break_id"] for row in rows})
            if found is None:
                self._open(kind, key, rows)
            else:
                self._add(found, rows)

    def _case_of(self, same: Sequence[Case], break_ids: set[str]) -> Case | None:
        """Of the cases of a cause, newest first: the one that may still grow, or that held one of these very breaks."""
        for found in same:
            if found.state in _GROWING:
                return found
            back = found.state in (State.SUBMITTED, State.CLOSED)
            if back and any(one.break_id in break_ids for one in found.breaks):
                return found
        return None

    def _open(self, kind: str, key: str, rows: Sequence[dict[str, Any]]) -> None:
        self._register.last_case_no += 1
        found = Case(
            case_no=self._register.last_case_no, state=State.NEW, cause_kind=kind, cause_key=key, topic="money",
            severity="low", opened_on=self._published.run_date, event_count=0, attachment_count=0,
        )  # fmt: skip
        self._session.add(found)
        found.breaks = [self._new_break(found, row) for row in rows]
        why = f"night {self._published.run_date}: {_count(rows)} of one cause, {kind} {cause_text(kind, key)}"
        self._journal.add(
            self._session, found, Action.OPEN, self._actor, why, before=None, details=_facts(rows)
        )
        self._changed[found.case_no] = found
        self._done.opened += 1
        self._done.breaks_added += len(rows)

    def _add(self, found: Case, rows: Sequence[dict[str, Any]]) -> None:
        known = {one.break_id: one for one in found.breaks}
        for row in rows:
            again = known.get(row["break_id"])
            if again is None:
                found.breaks.append(self._new_break(found, row))
            else:
                again.status, again.status_on, again.status_reason = "open", None, None
                again.candidate_id, again.validation_id = row["candidate_id"], row["validation_id"]
        if found.state == State.CLOSED:
            details = reopened(found)
            before, found.state = State.CLOSED, State.ASSIGNED if found.assignee else State.NEW
            why = f"night {self._published.run_date}: {_count(rows)} of it open again"
            self._journal.add(
                self._session,
                found,
                Action.REOPEN,
                self._actor,
                why,
                before=before,
                details=details | _facts(rows),
            )
            self._done.reopened += 1
        else:
            self._note(
                found,
                Action.ADD_BREAKS,
                f"night {self._published.run_date}: {_count(rows)} more",
                _facts(rows),
            )
        self._changed[found.case_no] = found
        self._done.breaks_added += len(rows)

    def _new_break(self, found: Case, row: dict[str, Any]) -> CaseBreak:
        values = {name: value for name, value in row.items() if name in _KEPT}
        return CaseBreak(**values, case_no=found.case_no, status="open", added_on=self._published.run_date)

    def _note(self, found: Case, action: Action, why: str, details: dict[str, Any]) -> None:
        state = State(found.state)
        self._journal.add(self._session, found, action, self._actor, why, before=state, details=details)
        self._changed[found.case_no] = found

    def _numbers_of(self, keys: Iterable[str]) -> set[int]:
        """Numbers of the cases of some causes."""
        found: set[int] = set()
        for some in _chunks(sorted(keys)):
            found.update(self._session.scalars(select(Case.case_no).where(Case.cause_key.in_(some))))
        return found

    def _locked(self, numbers: Sequence[int]) -> list[Case]:
        """Cases with their breaks, locked in the order given, as they are now."""
        found: list[Case] = []
        for some in _chunks(numbers):
            query = (
                select(Case)
                .where(Case.case_no.in_(some))
                .order_by(Case.case_no)
                .with_for_update()
                .options(selectinload(Case.breaks))
                # What was read before the lock may be older than the lock.
                .execution_options(populate_existing=True)
            )
            found += self._session.scalars(query)
        return found


def _chunks(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    for begin in range(0, len(values), _LOADED_AT_ONCE):
        yield values[begin : begin + _LOADED_AT_ONCE]


def _read(settings: Settings, book: RouteBook, held_open: Iterable[str]) -> Published:
    """What the newest night says about breaks that belong into a case, and about those that are in one."""
    nights = published_nights(settings)
    with open_published(settings) as published:
        candidates = rows_of(published, _OPEN_CANDIDATES)
        waiting = rows_of(published, _WAITING_FOR_FILES)
        for row in waiting:
            row["rule_id"], row["severity"] = book.rule_of(row["break_type"])
        wanted = {row["break_id"]: row for row in [*candidates, *waiting]}
        settled = _settled(published, [break_id for break_id in held_open if break_id not in wanted])
    return Published(nights[-1], wanted, settled)


def _settled(published: duckdb.DuckDBPyConnection, break_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    published.execute("create or replace temp table known (break_id varchar)")
    if break_ids:
        published.execute("insert into known select unnest($1)", [list(break_ids)])
    found: dict[str, tuple[str, str]] = {}
    for row in rows_of(published, _SETTLED):
        if row["status"] == "closed":
            found[row["break_id"]] = ("closed", f"break closed: {row['closed_by'] or 'no reason given'}")
        elif row["status"] is None:
            found[row["break_id"]] = ("withdrawn", "the break is no longer published")
        else:
            found[row["break_id"]] = ("withdrawn", row["withdrawn_reason"] or "it is no candidate any more")
    return found


def _summarise(found: Case) -> None:
    """Bring the columns of a case in line with its breaks: the open ones, or all when none is open."""
    counted = [one for one in found.breaks if one.status == "open"] or list(found.breaks)
    present = {one.severity for one in counted}
    found.severity = next((word for word in _SEVERITY_ORDER if word in present), found.severity)
    for name in ("merchant_id", "terminal_id", "payout_id", "acquirer"):
        values = {getattr(one, name) for one in counted}
        setattr(found, name, values.pop() if len(values) == 1 else None)


def _would_close(found: Case) -> bool:
    return (
        found.state in OPEN_STATES
        and found.held_by is not None
        and not any(one.status == "open" for one in found.breaks)
    )


def _facts(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Count and money of some breaks."""
    money: dict[str, int] = {}
    for row in rows:
        money[row["currency"] or ""] = money.get(row["currency"] or "", 0) + (row["amount_minor"] or 0)
    return {"breaks": len(rows), "money_minor": dict(sorted(money.items()))}


def _count(rows: Sequence[object]) -> str:
    return f"{len(rows):,} break{'s' if len(rows) != 1 else ''}"


__all__ = ["FILE", "INTAKE", "Intake", "take_in"]
