"""What people decided about breaks in dispute cases: kept in the archive, read by the next night and by every replay.

Cases stand outside the nights, and no night reads them. Their decisions come in as files do: each is written once into
the archive, under the SHA-256 of its content; a night takes in those that were made after the night before it, and a
list among its receipts says which. So a rebuilt night reads what it read, whatever became of the cases since.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from posrecon.errors import NightError
from posrecon.files import json_text, sha256_of, write_json, write_text
from posrecon.landing.outcomes import put_table
from posrecon.settings import Settings

REOPENED = "reopened"
"""The outcome that takes back what was decided before."""

_COLUMNS: dict[str, pa.DataType] = {
    "decision_id": pa.string(),
    "break_id": pa.string(),
    "case_no": pa.string(),
    "event_no": pa.int64(),
    "outcome": pa.string(),
    "decided_by": pa.string(),
    "decided_at": pa.timestamp("us", tz="UTC"),
    "reason": pa.string(),
}


@dataclass(frozen=True, kw_only=True)
class CaseDecision:
    """One decision of one case.

    Attributes:
        case_no: The case as people write it: C-12.
        event_no: Number of the step in the history of the case.
        outcome: won, lost or written_off close the breaks; reopened takes that back.
        break_ids: The breaks that it is about, sorted.
        after_night: The newest night that was published then: only later ones read it, so that a night which is run
            again reads what it read.
        reason: As the person gave it, card numbers masked.
        decided_by: Who.
        decided_at: When, aware.
    """

    case_no: str
    event_no: int
    outcome: str
    break_ids: tuple[str, ...]
    after_night: date
    reason: str
    decided_by: str
    decided_at: datetime

    @property
    def text(self) -> str:
        """The decision as its file holds it: the same decision is the same text."""
        return json_text(asdict(self) | {"decided_at": self.decided_at.isoformat()})

    @property
    def facts(self) -> dict[str, Any]:
        """What the audit log keeps of it."""
        return asdict(self) | {"decision_id": self.decision_id, "decided_at": self.decided_at.isoformat()}

    @property
    def decision_id(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def decision_path(settings: Settings, decision_id: str) -> Path:
    """Where a decision lies."""
    return settings.archive / "case_decisions" / f"{decision_id}.json"


def list_path(settings: Settings, run_date: date) -> Path:
    """Where a night's receipts say which decisions it read; absent when it read none."""
    return settings.archive / "receipts" / f"run_date={run_date}" / "case_decisions.json"


def write_case_decision(settings: Settings, decision: CaseDecision) -> None:
    """Put a decision into the archive; one that is there already is the same."""
    path = decision_path(settings, decision.decision_id)
    if not path.exists():
        write_text(path, decision.text)


def archived_decisions(settings: Settings) -> dict[str, CaseDecision]:
    """Every decision of the archive, by id."""
    paths = sorted((settings.archive / "case_decisions").glob("[0-9a-f]*.json"))
    return {path.stem: _read(path) for path in paths}


def take_in(settings: Settings, run_date: date) -> None:
    """Write down which decisions a night reads: those of before it that no earlier night has read."""
    read: set[str] = set()
    for path in (settings.archive / "receipts").glob("run_date=*/case_decisions.json"):
        night = date.fromisoformat(path.parent.name.removeprefix("run_date="))
        if night != run_date:
            read.update(decision_ids(settings, night))
    waiting = [
        path.stem
        for path in sorted((settings.archive / "case_decisions").glob("[0-9a-f]*.json"))
        if path.stem not in read and _read(path).after_night < run_date
    ]
    if waiting:
        write_json(list_path(settings, run_date), {"decisions": waiting})


def decision_ids(settings: Settings, run_date: date) -> tuple[str, ...]:
    """Ids of the decisions that a night reads, sorted.

    Raises:
        NightError: The list cannot be read.
    """
    path = list_path(settings, run_date)
    if not path.exists():
        return ()
    try:
        return tuple(str(one) for one in json.loads(path.read_text(encoding="utf-8"))["decisions"])
    except (ValueError, TypeError, KeyError) as error:
        raise NightError(
            f"{path}: not a list of decisions: {error}.", next_step="Restore it from a backup."
        ) from None


def write_case_decisions(settings: Settings, run_date: date) -> None:
    """Write raw/case_decisions of a night: one row per decision and break.

    Raises:
        NightError: A decision that the night reads is missing or was changed.
    """
    found = [(one, _read(decision_path(settings, one))) for one in decision_ids(settings, run_date)]
    put_table(_rows(found), settings.raw / "case_decisions" / f"run_date={run_date}.parquet")


def _rows(found: Sequence[tuple[str, CaseDecision]]) -> pa.Table:
    rows = [
        {
            "decision_id": decision_id, "break_id": break_id, "case_no": decision.case_no,
            "event_no": decision.event_no, "outcome": decision.outcome, "decided_by": decision.decided_by,
            "decided_at": decision.decided_at, "reason": decision.reason,
        }
        for decision_id, decision in found
        for break_id in decision.break_ids
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=pa.schema(_COLUMNS))


def _read(path: Path) -> CaseDecision:
    try:
        if sha256_of(path) != path.stem:
            raise ValueError("its content is not what its name says")
        fields = json.loads(path.read_text(encoding="utf-8"))
        return CaseDecision(
            **{
                **fields,
                "break_ids": tuple(fields["break_ids"]),
                "after_night": date.fromisoformat(fields["after_night"]),
                "decided_at": datetime.fromisoformat(fields["decided_at"]),
            }
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NightError(
            f"{path}: not a decision of a case: {error}.", next_step="Restore it from a backup."
        ) from None
