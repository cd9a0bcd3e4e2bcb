"""The history of a case, and its copy in the audit log."""

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from posrecon.disputes.models import Case, CaseEvent
from posrecon.disputes.states import Action, State
from posrecon.settings import Settings

if TYPE_CHECKING:
    from posrecon.disputes.desk import Actor


class Journal:
    """Collects the events of one transaction; they go to the audit log once the transaction stands."""

    def __init__(self, settings: Settings, who: str) -> None:
        self._settings = settings
        self._who = who
        self._made: list[dict[str, Any]] = []

    def add(
        self, session: Session, found: Case, action: Action, actor: "Actor", why: str, *, before: State | None,
        details: dict[str, Any],
    ) -> None:  # fmt: skip
        """Write down one event of a case."""
        found.event_count += 1
        session.add(
            CaseEvent(
                case_no=found.case_no, event_no=found.event_count, at=actor.at, who=actor.name, action=action,
                state_before=before, state_after=found.state, why=why, details=details,
            )
        )  # fmt: skip
        self._made.append(
            {
                "case": found.label, "event_no": found.event_count, "action": str(action),
                "state_before": str(before) if before is not None else None, "state_after": str(found.state),
                "why": why, "details": details,
            }
        )  # fmt: skip

    def taken_out(self, label: str, attachment: dict[str, Any]) -> None:
        """Write down that an attachment left the archive."""
        self._made.append({"case": label, "action": "fetch", "details": attachment})

    def publish(self) -> None:
        """Append the events to the audit log."""
