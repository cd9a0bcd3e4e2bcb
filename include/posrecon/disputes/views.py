"""Cases as others read them: plain values, the same on every database."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, select
from sqlalchemy.orm import Session

from posrecon.disputes.causes import cause_text
from posrecon.disputes.models import Attachment, Case, CaseBreak, CaseEvent
from posrecon.disputes.routes import NextStep, RouteBook
from posrecon.disputes.states import OPEN_STATES, State, legal_actions

_SEVERITIES = {"high": 0, "medium": 1, "low": 2}
_BREAK_COLUMNS = tuple(column.name for column in CaseBreak.__table__.columns if column.name != "case_no")


@dataclass(frozen=True)
class CaseFilter:
    """Which cases; every part that is given must hold.

    Attributes:
        states: One of these states.
        ended: False = open cases only, True = ended ones only.
        assignee: Given to this person.
        unassigned: True = given to nobody.
        merchant_id: About this merchant; likewise terminal_id, acquirer, severity and cause_kind.
        break_type: Holds a break of this type.
        rule_id: Holds a break of this rule.
        route: Lies at this door.
        held: True = held by somebody.
        overdue_on: Its limit is before this day.
    """

    states: tuple[State, ...] = ()
    ended: bool | None = None
    assignee: str | None = None
    unassigned: bool = False
    merchant_id: str | None = None
    terminal_id: str | None = None
    acquirer: str | None = None
    severity: str | None = None
    cause_kind: str | None = None
    break_type: str | None = None
    rule_id: str | None = None
    route: str | None = None
    held: bool = False
    overdue_on: date | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter as SQL conditions."""
        found: list[ColumnElement[bool]] = []
        if self.states:
            found.append(Case.state.in_(self.states))
        if self.ended is not None:
            is_open = Case.state.in_(OPEN_STATES)
            found.append(~is_open if self.ended else is_open)
        for name in ("assignee", "acquirer", "severity", "cause_kind", "route"):
            wanted = getattr(self, name)
            if wanted is not None:
                found.append(getattr(Case, name) == wanted)
        # A case may hold breaks of several merchants or terminals.
        for name in ("merchant_id", "terminal_id", "break_type", "rule_id"):
            wanted = getattr(self, name)
            if wanted is not None:
                same = (CaseBreak.case_no == Case.case_no) & (getattr(CaseBreak, name) == wanted)
                found.append(exists().where(same))
        if self.unassigned:
            found.append(Case.assignee.is_(None))
        if self.held:
            found.append(Case.held_by.is_not(None))
        if self.overdue_on is not None:
            found.append(Case.state.in_(OPEN_STATES) & (Case.respond_by < self.overdue_on))
        return found


def find(session: Session, wanted: CaseFilter, *, limit: int = 0) -> tuple[list[Case], int]:
    """Cases in the order of the work: what is overdue or due first on top, ended ones last.

    Args:
        session: Open.
        wanted: Which.
        limit: How many at most; 0 = all.

    Returns:
        The cases, and how many there are in all.
    """
    conditions = wanted.conditions()
    total = session.scalar(select(func.count()).select_from(Case).where(*conditions)) or 0
    query = (
        select(Case)
        .where(*conditions)
        .order_by(
            case((Case.state.in_(OPEN_STATES), 0), else_=1),
            Case.respond_by.asc().nulls_last(),
            case(_SEVERITIES, value=Case.severity, else_=len(_SEVERITIES)),
            Case.case_no,
        )
    )
    return list(session.scalars(query.limit(limit) if limit else query)), total


def money_of(session: Session, case_nos: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Money at risk of each case by currency: all of its breaks, and those that are open."""
    is_open = CaseBreak.status == "open"
    query = (
        select(
            CaseBreak.case_no,
            CaseBreak.currency,
            func.count(),
            func.coalesce(func.sum(CaseBreak.amount_minor), 0),
            func.coalesce(func.sum(case((is_open, 1), else_=0)), 0),
            func.coalesce(func.sum(case((is_open, CaseBreak.amount_minor), else_=0)), 0),
        )
        .where(CaseBreak.case_no.in_(case_nos))
        .group_by(CaseBreak.case_no, CaseBreak.currency)
        .order_by(CaseBreak.case_no, CaseBreak.currency)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for case_no, currency, count, amount_minor, open_count, open_minor in session.execute(query):
        found.setdefault(case_no, []).append(
            {
                "currency": currency,
                "breaks": int(count),
                "amount_minor": int(amount_minor),
                "open_breaks": int(open_count),
                "open_minor": int(open_minor),
            }
        )
    return found


def break_types_of(session: Session, case_nos: Sequence[int]) -> dict[int, list[str]]:
    """The types of the breaks of each case."""
    query = (
        select(CaseBreak.case_no, CaseBreak.break_type)
        .where(CaseBreak.case_no.in_(case_nos))
        .distinct()
        .order_by(CaseBreak.case_no, CaseBreak.break_type)
    )
    found: dict[int, list[str]] = {}
    for case_no, break_type in session.execute(query):
        found.setdefault(case_no, []).append(break_type)
    return found


def summary(
    found: Case, *, money: list[dict[str, Any]], break_types: Sequence[str], as_of: date
) -> dict[str, Any]:
    """One case as a line of a list."""
    running = found.state in OPEN_STATES and found.respond_by is not None
    return {
        "case": found.label,
        "case_no": found.case_no,
        "version": found.version,
        "state": found.state,
        "overdue": bool(running and found.respond_by is not None and found.respond_by < as_of),
        "respond_by": _day(found.respond_by) if running else None,
        "respond_clock": found.respond_clock if running else None,
        "severity": found.severity,
        "topic": found.topic,
        "cause_kind": found.cause_kind,
        "cause": cause_text(found.cause_kind, found.cause_key),
        "break_types": list(break_types),
        "breaks": sum(row["breaks"] for row in money),
        "open_breaks": sum(row["open_breaks"] for row in money),
        "money": money,
        "merchant_id": found.merchant_id,
        "terminal_id": found.terminal_id,
        "payout_id": found.payout_id,
        "acquirer": found.acquirer,
        "assignee": found.assignee,
        "held_by": found.held_by,
        "route": found.route,
        "submitted_on": _day(found.submitted_on),
        "opened_on": _day(found.opened_on),
        "ended_on": _day(found.ended_on),
    }


def whole(session: Session, found: Case, book: RouteBook, as_of: date) -> dict[str, Any]:
    """One case with its limit, next step, doors, breaks, history and attachments, as of a day."""
    breaks = list(found.breaks)
    limit = book.limit(found, breaks)
    content = summary(
        found,
        money=money_of(session, [found.case_no]).get(found.case_no, []),
        break_types=sorted({one.break_type for one in breaks}),
        as_of=as_of,
    )
    content |= {
        "as_of": as_of.isoformat(),
        "limit": _plain(asdict(limit)) if limit else None,
        "next_step": _step(book.next_step(found, breaks, as_of)),
        "legal_actions": [str(action) for action in legal_actions(State(found.state))],
        "doors": [asdict(door) for door in book.chain(found, breaks, as_of)],
        "remedies": book.remedies(one.rule_id for one in breaks),
    }
    return content | history(found)


def history(found: Case) -> dict[str, Any]:
    """What a case holds and what happened to it; depends on no day and no database."""
    return {
        "case_breaks": [
            _plain({name: getattr(one, name) for name in _BREAK_COLUMNS}) for one in found.breaks
        ],
        "events": [event_view(event) for event in found.events],
        "attachments": [attachment_view(one) for one in found.attachments],
    }


def event_view(event: CaseEvent) -> dict[str, Any]:
    """One event."""
    return {
        "event_no": event.event_no,
        "at": event.at.isoformat(timespec="seconds"),
        "who": event.who,
        "action": event.action,
        "state_before": event.state_before,
        "state_after": event.state_after,
        "why": event.why,
        "details": dict(sorted(event.details.items())),
    }


def attachment_view(one: Attachment) -> dict[str, Any]:
    """One attachment."""
    return {
        "attachment_no": one.attachment_no,
        "event_no": one.event_no,
        "file_name": one.file_name,
        "sha256": one.sha256,
        "size_bytes": one.size_bytes,
    }


def _step(step: NextStep | None) -> dict[str, Any] | None:
    return _plain(asdict(step)) if step is not None else None


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in content.items()
    }


def _day(value: date | None) -> str | None:
    return value.isoformat() if value is not None else None
