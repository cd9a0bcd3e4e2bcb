"""What people decided about files that are held: kept in the archive, so that a replay decides the same.

A file that has the logical name of a loaded one and other content is held as a conflict. A person accepts it in place
of the loaded one, or rejects it. Each decision is written once, under the next number, and never changed.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from posrecon.errors import NightError, UsageError
from posrecon.files import write_once
from posrecon.landing.outcomes import Outcome
from posrecon.settings import Settings

Action = Literal["supersede", "reject"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision.

    Attributes:
        decision_no: 1-based, in the order in which they were made.
        action: supersede = the file takes the place of the loaded one; reject = it never has any effect.
        file_id, file_name, sha256, run_date: The file that was held, and the night that received it.
        logical_name: What both files claim to be.
        superseded_file_id, superseded_file_name, superseded_run_date: The loaded one and its night; None when the
            held file was rejected.
        reason: As the person gave it.
        decided_by: Who.
        decided_at: When, aware. No result depends on it.
    """

    decision_no: int
    action: Action
    file_id: str
    file_name: str
    sha256: str
    run_date: date
    logical_name: str
    superseded_file_id: str | None
    superseded_file_name: str | None
    superseded_run_date: date | None
    reason: str
    decided_by: str
    decided_at: datetime

    @property
    def first_night(self) -> date:
        """The first night whose results it changes."""
        return self.run_date if self.superseded_run_date is None else self.superseded_run_date


def read_decisions(settings: Settings) -> tuple[Decision, ...]:
    """All decisions in the order in which they were made.

    Raises:
        NightError: One cannot be read: no night may go on as if nothing had been decided.
    """
    return tuple(_read(path) for path in sorted(_folder(settings).glob("[0-9]*.json")))


def write_decision(settings: Settings, decision: Decision) -> None:
    """Write a decision once.

    Raises:
        UsageError: Its number is taken: somebody else decides at the same time.
    """
    path = _folder(settings) / f"{decision.decision_no:08d}.json"
    content = asdict(decision) | {"decided_at": decision.decided_at.isoformat(timespec="seconds")}
    try:
        write_once(path, content)
    except FileExistsError:
        raise UsageError(
            f"{path}: another decision was made meanwhile.",
            next_step="Look at it (posrecon files decisions), then decide again.",
        ) from None


def decide(
    settings: Settings,
    files: Sequence[tuple[date, Outcome]],
    wanted: str,
    *,
    action: Action,
    reason: str,
    decided_by: str,
    decided_at: datetime,
) -> Decision:
    """Make up the decision about one held file; nothing is written.

    Args:
        settings: Where earlier decisions are.
        files: Registered files of all published nights, by file number, with the night of each.
        wanted: Name of the held file, or its file id when several held files have the name.
        action: What is decided.
        reason: Not blank.
        decided_by: Who decides, not blank.
        decided_at: Aware instant.

    Raises:
        UsageError: No such file, not held, decided before, several of the name, or no reason or person is given.
    """
    if not reason.strip():
        raise UsageError("A decision needs a reason.", next_step='Give one: --reason "…".')
    if not decided_by.strip():
        raise UsageError("A decision needs a person.", next_step="Say who decides: --by NAME.")
    earlier = read_decisions(settings)
    named = [(night, file) for night, file in files if wanted in (file.file_id, file.file_name)]
    held = [(night, file) for night, file in named if file.state == "conflict"]
    if len(held) > 1:
        ids = ", ".join(f"{file.file_id} (night of {night})" for night, file in held)
        raise UsageError(
            f"{wanted}: several held files have this name: {ids}.", next_step="Name one by its id."
        )
    if not held:
        raise _not_held(wanted, named, earlier)
    night, file = held[0]
    superseded: tuple[date, Outcome] | None = None
    if action == "supersede":
        superseded = next(
            (on, other)
            for on, other in reversed(files)
            if other.state == "loaded"
            and (other.source, other.logical_name) == (file.source, file.logical_name)
        )
    return Decision(
        decision_no=len(earlier) + 1,
        action=action,
        file_id=file.file_id,
        file_name=file.file_name,
        sha256=file.sha256,
        run_date=night,
        logical_name=file.logical_name,
        superseded_file_id=superseded[1].file_id if superseded else None,
        superseded_file_name=superseded[1].file_name if superseded else None,
        superseded_run_date=superseded[0] if superseded else None,
        reason=reason.strip(),
        decided_by=decided_by.strip(),
        decided_at=decided_at,
    )


def _not_held(wanted: str, named: Sequence[tuple[date, Outcome]], earlier: Sequence[Decision]) -> UsageError:
    for decision in reversed(earlier):
        if wanted in (decision.file_id, decision.file_name):
            did = "accepted" if decision.action == "supersede" else "rejected"
            return UsageError(
                f"{wanted}: decided before: {did} by {decision.decided_by} (decision {decision.decision_no}): "
                f"{decision.reason}",
                next_step="A decision stands. If it was wrong, put the right file into the inbox: it is held again.",
            )
    if named:
        night, file = named[-1]
        return UsageError(
            f"{wanted}: expected a file that is held as a conflict, but it is {file.state} (night of {night}).",
            next_step="posrecon files --state conflict lists what is held.",
        )
    return UsageError(
        f"{wanted}: no file of this name or id has been received.",
        next_step="posrecon files --state conflict lists what is held.",
    )


def _folder(settings: Settings) -> Path:
    return settings.archive / "decisions"


def _read(path: Path) -> Decision:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        superseded_on = fields["superseded_run_date"]
        return Decision(
            **{
                **fields,
                "run_date": date.fromisoformat(fields["run_date"]),
                "superseded_run_date": date.fromisoformat(superseded_on) if superseded_on else None,
                "decided_at": datetime.fromisoformat(fields["decided_at"]),
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        raise NightError(f"{path}: not a decision: {error}.", next_step="Restore it from a backup.") from None
