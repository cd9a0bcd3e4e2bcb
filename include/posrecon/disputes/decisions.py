"""What people decide about cases, handed to the archive, where the next night reads it.

The database of the cases says what was decided; the archive gets it after the change is committed. A crash between the
two loses nothing: the intake, which runs after every night, hands over whatever the archive lacks.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from posrecon.audit.log import record
from posrecon.disputes.models import Case, CaseEvent
from posrecon.disputes.states import RESOLUTIONS, Action
from posrecon.landing.case_decisions import REOPENED, CaseDecision, decision_path, write_case_decision
from posrecon.settings import Settings
from posrecon.warehouse.manifests import published_nights

_DECIDING = (*RESOLUTIONS, Action.REOPEN)
_CAUGHT_UP_DAYS = 45
"""How far back an intake looks for what was not handed over; it runs after every night."""


def resolution(settings: Settings, found: Case) -> dict[str, Any]:
    """Details of the event that resolves a case: the breaks that the next night closes."""
    return _decided(settings, [one.break_id for one in found.breaks if one.status == "open"])


def withdrawal(settings: Settings, found: Case) -> dict[str, Any]:
    """Details of the event that reopens a case: the breaks that its resolution closed are open in it again."""
    if found.state not in RESOLUTIONS:
        return {}
    last = next(one for one in reversed(found.events) if one.action in RESOLUTIONS)
    break_ids = last.details.get("decided", {}).get("breaks", [])
    for one in found.breaks:
        if one.break_id in break_ids:
            one.status, one.status_on, one.status_reason = "open", None, None
    return _decided(settings, break_ids)


def decided_in(events: Iterable[CaseEvent]) -> list[CaseDecision]:
    """The decisions that some events of cases hold."""
    return [
        CaseDecision(
            case_no=f"C-{one.case_no}",
            event_no=one.event_no,
            outcome=REOPENED if one.action == Action.REOPEN else str(one.action),
            break_ids=tuple(decided["breaks"]),
            after_night=date.fromisoformat(decided["after_night"]),
            reason=one.why,
            decided_by=one.who,
            decided_at=one.at.astimezone(UTC),
        )
        for one in events
        if (decided := one.details.get("decided"))
    ]


def hand_over(settings: Settings, decisions: Iterable[CaseDecision]) -> None:
    """Put decisions into the archive, those that are not there yet; the audit log knows each before it is."""
    for decision in decisions:
        if not decision_path(settings, decision.decision_id).exists():
            record(settings, "case_decided", decision.facts, by=decision.decided_by)
            write_case_decision(settings, decision)


def decided_lately(session: Session) -> list[CaseDecision]:
    """The decisions of the last weeks, whether they were handed over or not."""
    deciding = CaseEvent.action.in_(_DECIDING)
    newest = session.scalar(select(func.max(CaseEvent.at)).where(deciding))
    if newest is None:
        return []
    recent = CaseEvent.at >= newest - timedelta(days=_CAUGHT_UP_DAYS)
    query = select(CaseEvent).where(deciding, recent).order_by(CaseEvent.case_no, CaseEvent.event_no)
    return decided_in(session.scalars(query))


def returning(session: Session, case_nos: Sequence[int], run_date: date) -> set[tuple[int, str]]:
    """Breaks that a case took up again and the newest night could not know yet: (case, break id)."""
    query = select(CaseEvent).where(CaseEvent.action == Action.REOPEN, CaseEvent.case_no.in_(case_nos))
    return {
        (one.case_no, break_id)
        for one in session.scalars(query)
        if (decided := one.details.get("decided")) and date.fromisoformat(decided["after_night"]) >= run_date
        for break_id in decided["breaks"]
    }


def _decided(settings: Settings, break_ids: Sequence[str]) -> dict[str, Any]:
    nights = published_nights(settings)
    if not break_ids or not nights:
        return {}
    return {"decided": {"breaks": sorted(break_ids), "after_night": nights[-1].isoformat()}}
