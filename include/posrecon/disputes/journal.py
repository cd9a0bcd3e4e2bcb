"""The history of a case, and its copy in the audit log."""

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from posrecon.audit import Entry, record_all
from posrecon.audit.log import canonical
from posrecon.disputes.models import Case, CaseEvent
from posrecon.disputes.states import Action, State
from posrecon.settings import Settings

if TYPE_CHECKING:
    from posrecon.disputes.desk import Actor


class Journal:
    """Collects the events of one transaction for the audit log."""

    def __init__(self, settings: Settings, who: str) -> None:
        self._settings = settings
        self._who = who
        self._made: list[dict[str, Any]] = []

    def add(
        self, session: Session, found: Case, action: Action, actor: "Actor", why: str, *, before: State | None,
        details: dict[str, Any],
    ) -> CaseEvent:  # fmt: skip
        """Write down one event of a case."""
        found.event_count += 1
        event = CaseEvent(
            case_no=found.case_no, event_no=found.event_count, at=actor.at, who=actor.name, action=action,
            state_before=before, state_after=found.state, why=why, details=details,
        )  # fmt: skip
        session.add(event)
        self._made.append(
            {
                "case": found.label, "event_no": found.event_count, "action": str(action),
                "state_before": str(before) if before is not None else None, "state_after": str(found.state),
                "why": why, "details": details,
            }
        )  # fmt: skip
        return event

    def taken_out(self, label: str, attachment: dict[str, Any]) -> None:
        """Write down that an attachment left the archive."""
        self._made.append({"case": label, "action": "fetch", "details": attachment})

    def publish(self) -> None:
        """Append every event to the audit log.

        Called before the transaction is committed: nothing is done that could not be recorded.
        """
        record_all(self._settings, [Entry("case_changed", made) for made in self._made], by=self._who)

    def publish_summary(self, facts: dict[str, Any]) -> None:
        """Append one record for all events together, with their digest: a night may change thousands of cases."""
        if self._made:
            digest = hashlib.sha256(canonical(self._made)).hexdigest()
            payload = facts | {"events": len(self._made), "events_sha256": digest}
            record_all(self._settings, [Entry("cases_taken_in", payload)], by=self._who)
