"""What people do with cases: every action is one transaction, one event, and one record of the audit log.

An action reads the case under a lock, checks that it is legal there, and writes; of two people who act on one case at
once, the second sees what the first did and is refused when it no longer fits. `if_version` makes that strict: the
action is done only to the case that the person looked at.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from posrecon.disputes import attachments, decisions, views
from posrecon.disputes.database import ConflictError, open_engine, writing
from posrecon.disputes.journal import Journal
from posrecon.disputes.models import Attachment, Case, CaseEvent, Register
from posrecon.disputes.routes import RouteBook
from posrecon.disputes.states import ENDED_STATES, RESOLUTIONS, Action, State, after
from posrecon.errors import UsageError
from posrecon.files import written_aside
from posrecon.redaction import without_cards
from posrecon.settings import Settings

BULK_FAULTS_SHOWN_MAX = 5
NAME_MAX = 200
"""Characters of a person or a title."""
WORDS_MAX = 20_000
"""Characters of a reason or a note."""
TOPICS = ("money", "data_leak")


@dataclass(frozen=True)
class Actor:
    """Who acts, and when.

    Attributes:
        name: The person.
        at: The instant (aware).
    """

    name: str
    at: datetime


# What an action does to a case beyond its state; returns the reason and the details of the event.
Change = Callable[[Session, Case], tuple[str, dict[str, Any]]]


class Desk:
    """The cases of one home, open for work; see `desk`."""

    def __init__(self, settings: Settings, engine: Engine, book: RouteBook) -> None:
        self._settings = settings
        self._engine = engine
        self._book = book

    # ------------------------------------------------------------------------------------------ reading
    def find(
        self, wanted: views.CaseFilter, *, as_of: date, limit: int = 0
    ) -> tuple[list[dict[str, Any]], int]:
        """Cases in the order of the work, and how many there are in all."""
        with Session(self._engine) as session:
            cases, total = views.find(session, wanted, limit=limit)
            case_nos = [found.case_no for found in cases]
            money = views.money_of(session, case_nos)
            types = views.break_types_of(session, case_nos)
            rows = [
                views.summary(
                    found,
                    money=money.get(found.case_no, []),
                    break_types=types.get(found.case_no, []),
                    as_of=as_of,
                )
                for found in cases
            ]
        return rows, total

    def show(self, case_no: int, *, as_of: date) -> dict[str, Any]:
        """One case with everything that is known of it.

        Raises:
            UsageError: There is no such case.
        """
        with Session(self._engine) as session:
            return views.whole(session, _required(session, case_no), self._book, as_of)

    def fetch(self, case_no: int, attachment_no: int, out: Path, *, actor: Actor) -> dict[str, Any]:
        """Write an attachment as it was attached; the audit log keeps who took it out.

        Returns:
            What is known of the attachment.

        Raises:
            UsageError: There is no such case or attachment, or `out` exists.
            ArchiveError: The kept bytes were changed; nothing is written.
        """
        with Session(self._engine) as session:
            found = _required(session, case_no)
            one = next((one for one in found.attachments if one.attachment_no == attachment_no), None)
            if one is None:
                raise UsageError(
                    f"{found.label} has {found.attachment_count} attachments, none numbered {attachment_no}.",
                    next_step=f"posrecon cases show {found.label} lists them.",
                )
            known, label = views.attachment_view(one), found.label
        if out.exists():
            raise UsageError(f"{out}: is there already.", next_step="Choose another name.")
        journal = Journal(self._settings, actor.name)
        with written_aside(out) as aside, aside.open("wb") as target:
            for piece in attachments.clear_content(self._settings, one.sha256):
                target.write(piece)
        journal.taken_out(label, known)
        journal.publish()
        return known

    # ------------------------------------------------------------------------------------------ acting
    def open_case(self, topic: str, title: str, *, actor: Actor, why: str) -> int:
        """Open a case by hand, for what no break shows, such as a data leak; returns its number."""
        if topic not in TOPICS:
            raise UsageError(f"There is no topic {topic}.", next_step=f"Choose {' or '.join(TOPICS)}.")
        title, why = _words(title, "a title", NAME_MAX), _words(why, "a reason (--why)")
        journal = Journal(self._settings, actor.name)
        with writing(self._engine) as session:
            register = session.get(Register, 1, with_for_update=True)
            if register is None:
                raise UsageError(
                    "The register of the cases is empty.", next_step="Run: posrecon cases upgrade."
                )
            register.last_case_no += 1
            found = Case(
                case_no=register.last_case_no, state=State.NEW, cause_kind="by_hand",
                cause_key=f"by_hand:{title}", topic=topic, severity="high", opened_on=self._day(actor),
                event_count=0, attachment_count=0,
            )  # fmt: skip
            session.add(found)
            self._remind(found)
            journal.add(session, found, Action.OPEN, actor, why, before=None, details={"topic": topic})
            case_no = found.case_no
            session.flush()
            journal.publish()
        return case_no

    def assign(
        self, case_nos: Sequence[int], to: str, *, actor: Actor, why: str = "", take_over: bool = False,
        if_version: int | None = None,
    ) -> None:  # fmt: skip
        """Give cases to somebody; one that somebody else has is only taken over when that is said."""
        to = _words(to, "a person (--to)", NAME_MAX)

        def change(_session: Session, found: Case) -> tuple[str, dict[str, Any]]:
            before = found.assignee
            if before == to:
                raise UsageError(
                    f"{found.label} is already assigned to {to}.", next_step="Nothing is to be done."
                )
            if before is not None and not take_over:
                raise ConflictError(
                    f"{found.label} is already assigned to {before}; nothing was changed.",
                    next_step="Agree with them, then say so with --take-over.",
                )
            found.assignee = to
            return why or f"assigned to {to}", {"assignee_before": before, "assignee": to}

        self._act(case_nos, Action.ASSIGN, actor, change, if_version=if_version)

    def start_evidence(
        self, case_nos: Sequence[int], *, actor: Actor, why: str = "", if_version: int | None = None
    ) -> None:
        """Begin to collect the own records."""
        self._act(
            case_nos,
            Action.EVIDENCE,
            actor,
            lambda _s, _c: (why or "collecting evidence", {}),
            if_version=if_version,
        )

    def submit(
        self, case_nos: Sequence[int], *, actor: Actor, why: str, route: str | None = None, on: date | None = None,
        if_version: int | None = None,
    ) -> None:  # fmt: skip
        """Lay cases at a door: the first of their chain, or the next one; `on` is the day on which it was sent."""
        why = _words(why, "a reason (--why)")
        sent = on or self._day(actor)

        def change(_session: Session, found: Case) -> tuple[str, dict[str, Any]]:
            chain = [door.route for door in self._book.chain(found, found.breaks, sent)]
            ahead = chain[chain.index(found.route) + 1 :] if found.route in chain else chain
            target = route or (ahead[0] if ahead else None)
            if target is None:
                raise UsageError(
                    f"{found.label} lies at {found.route}, the last door of its rules.",
                    next_step="Resolve it: posrecon cases resolve CASE won|lost|written_off.",
                )
            if target not in ahead:
                raise UsageError(
                    f"{found.label}: {target} is no door ahead of it.",
                    next_step=f"Doors ahead: {', '.join(ahead) or 'none'}.",
                )
            if found.submitted_on is not None and sent < found.submitted_on:
                raise UsageError(
                    f"{found.label} was submitted to {found.route} on {found.submitted_on}, after {sent}.",
                    next_step="Correct --on.",
                )
            before, found.route, found.submitted_on = found.route, target, sent
            return why, {"route_before": before, "route": target, "submitted_on": sent.isoformat()}

        self._act(case_nos, Action.SUBMIT, actor, change, if_version=if_version)

    def resolve(
        self, case_nos: Sequence[int], outcome: str, *, actor: Actor, why: str, if_version: int | None = None
    ) -> None:
        """End cases as won, lost or written_off; the next night closes the breaks that they hold open."""
        why = _words(why, "a reason (--why)")
        action = next((one for one in RESOLUTIONS if one == outcome), None)
        if action is None:
            raise UsageError(
                f"{outcome} is no way to resolve a case.", next_step=f"Choose {', '.join(RESOLUTIONS)}."
            )
        self._act(
            case_nos,
            action,
            actor,
            lambda _s, found: (why, decisions.resolution(self._settings, found)),
            if_version=if_version,
        )

    def reopen(
        self, case_nos: Sequence[int], *, actor: Actor, why: str, if_version: int | None = None
    ) -> None:
        """Take ended cases up again, where they were before they were submitted.

        What their resolution closed is open in them at once, and in the tables after the next night.
        """
        why = _words(why, "a reason (--why)")

        def change(_session: Session, found: Case) -> tuple[str, dict[str, Any]]:
            withdrawn = decisions.withdrawal(self._settings, found)
            return why, reopened(found) | withdrawn

        self._act(case_nos, Action.REOPEN, actor, change, if_version=if_version)

    def note(
        self, case_nos: Sequence[int], text: str, *, actor: Actor, if_version: int | None = None
    ) -> None:
        """Write something down; whole card numbers are masked."""
        text = _words(text, "a text")
        self._act(case_nos, Action.NOTE, actor, lambda _s, _c: (text, {}), if_version=if_version)

    def hold(self, case_nos: Sequence[int], *, actor: Actor, why: str, if_version: int | None = None) -> None:
        """Keep cases open even when all their breaks are explained."""
        why = _words(why, "a reason (--why)")

        def change(_session: Session, found: Case) -> tuple[str, dict[str, Any]]:
            if found.held_by is not None:
                raise ConflictError(
                    f"{found.label} is already held by {found.held_by}.",
                    next_step="It stays open; nothing is to be done.",
                )
            found.held_by = actor.name
            return why, {"held_by": actor.name}

        self._act(case_nos, Action.HOLD, actor, change, if_version=if_version)

    def release(
        self, case_nos: Sequence[int], *, actor: Actor, why: str, if_version: int | None = None
    ) -> None:
        """Let held cases close themselves again; those whose breaks are all explained do so at once."""
        why = _words(why, "a reason (--why)")

        def change(_session: Session, found: Case) -> tuple[str, dict[str, Any]]:
            if found.held_by is None:
                raise UsageError(f"{found.label} is held by nobody.", next_step="Nothing is to be done.")
            before, found.held_by = found.held_by, None
            return why, {"held_by_before": before}

        self._act(case_nos, Action.RELEASE, actor, change, if_version=if_version)

    def attach(
        self, case_no: int, path: Path, *, actor: Actor, note: str = "", if_version: int | None = None
    ) -> None:
        """Attach a file.

        Raises:
            UsageError: The file is empty, too large or no file; or there is no such case.
        """
        with Session(self._engine) as session:
            _required(session, case_no)
        file = attachments.check(self._settings, path)

        def change(session: Session, found: Case) -> tuple[str, dict[str, Any]]:
            same = next((one for one in found.attachments if one.sha256 == file.sha256), None)
            if same is not None:
                raise UsageError(
                    f"{found.label} has the same content already: attachment {same.attachment_no}, {same.file_name}.",
                    next_step="Nothing is to be done.",
                )
            found.attachment_count += 1
            session.add(
                Attachment(
                    case_no=found.case_no, attachment_no=found.attachment_count, event_no=found.event_count + 1,
                    file_name=file.name, sha256=file.sha256, size_bytes=file.size_bytes,
                )
            )  # fmt: skip
            details = {
                "attachment_no": found.attachment_count, "file_name": file.name, "sha256": file.sha256,
                "size_bytes": file.size_bytes,
            }  # fmt: skip
            return _clean(note) or f"attached {file.name}", details

        with attachments.kept(self._settings, file):
            self._act([case_no], Action.ATTACH, actor, change, if_version=if_version)

    def case_nos(self, wanted: views.CaseFilter) -> list[int]:
        """Numbers of the cases that fit a filter, in the order of the work."""
        with Session(self._engine) as session:
            return [found.case_no for found in views.find(session, wanted)[0]]

    # ------------------------------------------------------------------------------------------ inside
    def _act(
        self,
        case_nos: Sequence[int],
        action: Action,
        actor: Actor,
        change: Change,
        *,
        if_version: int | None,
    ) -> None:
        """Do one action to every case, or to none of them."""
        journal = Journal(self._settings, actor.name)
        faults: list[UsageError] = []
        made: list[CaseEvent] = []
        with writing(self._engine) as session:
            # In the order of their numbers: two bulk actions never wait for each other in a circle.
            for case_no in sorted(case_nos):
                try:
                    made.append(self._act_on(session, journal, case_no, action, actor, change, if_version))
                except UsageError as error:
                    faults.append(error)
            if faults:
                raise _refusal(faults, len(case_nos))
            session.flush()
            journal.publish()
            handed = decisions.decided_in(made)
        decisions.hand_over(self._settings, handed)

    def _act_on(
        self, session: Session, journal: Journal, case_no: int, action: Action, actor: Actor, change: Change,
        if_version: int | None,
    ) -> CaseEvent:  # fmt: skip
        found = _required(session, case_no, lock=True)
        if if_version is not None and found.version != if_version:
            last = found.events[-1]
            raise ConflictError(
                f"{found.label} is at version {found.version}, you looked at {if_version}: {last.who} did "
                f"{last.action} at {last.at.isoformat(timespec='seconds')}. Nothing of your change was written.",
                next_step=f"Look at it again: posrecon cases show {found.label}.",
            )
        before = State(found.state)
        following = after(found.label, before, action)
        why, details = change(session, found)
        if action == Action.REOPEN and found.assignee is None:
            following = State.NEW
        found.state = following
        if following in ENDED_STATES and before not in ENDED_STATES:
            found.ended_on = self._day(actor)
        made = journal.add(session, found, action, actor, _clean(why), before=before, details=details)
        if action == Action.RELEASE:
            close_if_explained(session, found, journal, actor)
        self._remind(found)
        return made

    def _remind(self, found: Case) -> None:
        remind(self._book, found)

    def _day(self, actor: Actor) -> date:
        return actor.at.astimezone(ZoneInfo(self._settings.zone)).date()


@contextmanager
def desk(settings: Settings) -> Iterator[Desk]:
    """Open the cases of a home for work.

    Raises:
        UsageError: The database cannot be reached, or a reference table contradicts itself.
    """
    book = RouteBook.load(settings)
    with open_engine(settings) as engine:
        yield Desk(settings, engine, book)


def case_number(text: str) -> int:
    """`17`, `C-17` or `c17` → 17.

    Raises:
        UsageError: It is none of these.
    """
    # A database integer holds nine digits for sure.
    found = re.fullmatch(r"(?:C-?)?([0-9]{1,9})", text.strip(), flags=re.IGNORECASE)
    if found is None:
        raise UsageError(
            f'"{_clean(text)}" is no case.',
            next_step="Write C-17 or 17; posrecon cases list shows the numbers.",
        )
    return int(found[1])


def remind(book: RouteBook, found: Case) -> None:
    """Write down the earliest limit of a case, so that lists can be sorted by it."""
    limit = book.limit(found, found.breaks)
    found.respond_by = limit.due if limit else None
    found.respond_clock = limit.clock if limit else None


def reopened(found: Case) -> dict[str, Any]:
    """Put an ended case back to before it was submitted; returns what changed."""
    details = {
        "route_before": found.route,
        "ended_on_before": found.ended_on.isoformat() if found.ended_on else None,
    }
    found.route = found.submitted_on = found.ended_on = None
    return details


def close_if_explained(session: Session, found: Case, journal: Journal, actor: Actor) -> bool:
    """Close an open case none of whose breaks is open any more, unless somebody holds it; says why.

    Returns:
        Whether it closed.
    """
    before = State(found.state)
    if before in ENDED_STATES or found.held_by is not None or not found.breaks:
        return False
    if any(one.status == "open" for one in found.breaks):
        return False
    reasons = sorted({one.status_reason or one.status for one in found.breaks})
    more = f" and {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
    found.state = State.CLOSED
    found.ended_on = max(one.status_on for one in found.breaks if one.status_on is not None)
    found.respond_by = found.respond_clock = None
    why = f"every break is explained: {'; '.join(reasons[:3])}{more}"
    journal.add(
        session, found, Action.CLOSE, actor, why, before=before, details={"breaks": len(found.breaks)}
    )
    return True


def _required(session: Session, case_no: int, *, lock: bool = False) -> Case:
    found = session.get(Case, case_no, with_for_update=lock or None)
    if found is None:
        last = session.get(Register, 1)
        known = (
            f"the newest is C-{last.last_case_no}" if last and last.last_case_no else "there are no cases yet"
        )
        raise UsageError(
            f"There is no case C-{case_no}; {known}.", next_step="posrecon cases list --all shows them."
        )
    return found


def _refusal(faults: Sequence[UsageError], count: int) -> UsageError:
    """One error for all cases that could not be changed."""
    if count == 1:
        return faults[0]
    shown = " ".join(error.what for error in faults[:BULK_FAULTS_SHOWN_MAX])
    hidden = len(faults) - BULK_FAULTS_SHOWN_MAX
    more = f" And {hidden} more." if hidden > 0 else ""
    return UsageError(
        f"{len(faults)} of {count} cases cannot be changed, so none was: {shown}{more}",
        next_step="Narrow the filter, for instance with --state.",
    )


def _words(text: str, what: str, longest: int = WORDS_MAX) -> str:
    cleaned = _clean(text)
    if len(cleaned) > longest:
        raise UsageError(
            f"{what[0].upper()}{what[1:]} has {len(cleaned):,} characters, expected at most {longest:,}.",
            next_step="Attach the long text as a file.",
        )
    if not cleaned:
        raise UsageError(
            f"{what[0].upper()}{what[1:]} is needed.", next_step="Every step keeps who, when and why."
        )
    return cleaned


def _clean(text: str) -> str:
    """Free text without whole card numbers, and without NUL, which PostgreSQL cannot keep."""
    return without_cards(text.replace("\0", "").strip())
