"""Receipts: what arrived, in which night, under which number. Together with the blobs they are the archive."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path

from posrecon.errors import NightError
from posrecon.files import write_once
from posrecon.landing.decisions import read_decisions
from posrecon.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One received file. `file_no` numbers files for ever; `file_id` names this arrival.

    Attributes:
        container: SHA-256 of the zip or PGP message that held the file, which is in the archive too; None when it
            came bare.
        refused: Why it could not be opened when it was received (zip, PGP); None when it could. A replay says the
            same, whatever keys there are then.
        remedy: What to do about it.
    """

    file_no: int
    file_id: str
    run_date: date
    feed: str
    file_name: str
    sha256: str
    bytes: int
    container: str | None = None
    refused: str | None = None
    remedy: str = ""


def file_id_of(run_date: date, feed: str, file_name: str, sha256: str) -> str:
    """Stable id of an arrival: the same file that arrives in the same night again is the same arrival."""
    return hashlib.sha256(f"{run_date}|{feed}|{file_name}|{sha256}".encode()).hexdigest()[:16]


def _folder(settings: Settings, run_date: date) -> Path:
    return settings.archive / "receipts" / f"run_date={run_date}"


def read_receipts(settings: Settings, run_date: date) -> tuple[Receipt, ...]:
    """Receipts of one night, by file number: what it received."""
    return tuple(_read(path) for path in sorted(_folder(settings, run_date).glob("[0-9]*.json")))


def receipts_to_read(settings: Settings, run_date: date) -> tuple[Receipt, ...]:
    """Receipts of the files that a night reads, by file number.

    Besides those it received: files of later nights that were accepted in place of one of its own. They keep
    their number and id, so evidence still names the arrival.
    """
    accepted = tuple(
        replace(read_receipt(settings, decision.run_date, decision.file_id), run_date=run_date)
        for decision in read_decisions(settings)
        if decision.action == "supersede"
        and decision.superseded_run_date == run_date
        and decision.run_date != run_date
    )
    return (*read_receipts(settings, run_date), *sorted(accepted, key=lambda receipt: receipt.file_no))


def read_receipt(settings: Settings, run_date: date, file_id: str) -> Receipt:
    """The receipt of one file that a night received.

    Raises:
        NightError: There is none.
    """
    return _one_of(read_receipts(settings, run_date), settings, run_date, file_id)


def receipt_to_read(settings: Settings, run_date: date, file_id: str) -> Receipt:
    """The receipt of one file that a night reads, see `receipts_to_read`.

    Each file of a night asks for its own, so they are found by an index: looking through all receipts for each of
    them would take longer than reading the files.

    Raises:
        NightError: There is none.
    """
    folder = _folder(settings, run_date)
    if folder.is_dir():
        path = _paths_by_id(folder, folder.stat().st_mtime_ns).get(file_id)
        if path is not None:
            return _read(path)
    return _one_of(receipts_to_read(settings, run_date), settings, run_date, file_id)


@lru_cache(maxsize=4)
def _paths_by_id(folder: Path, changed_ns: int) -> dict[str, Path]:
    """Where the receipt of each file id lies. A receipt is never replaced, and a new one changes the folder."""
    return {_read(path).file_id: path for path in sorted(folder.glob("[0-9]*.json"), reverse=True)}


def _one_of(receipts: tuple[Receipt, ...], settings: Settings, run_date: date, file_id: str) -> Receipt:
    for receipt in receipts:
        if receipt.file_id == file_id:
            return receipt
    raise NightError(
        f"{_folder(settings, run_date)}: no receipt has the file id {file_id}.",
        next_step="Run the night from its start.",
    )


def _read(path: Path) -> Receipt:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Receipt(**{**fields, "run_date": date.fromisoformat(fields["run_date"])})
    except (ValueError, TypeError, KeyError) as error:
        raise NightError(f"{path}: not a receipt: {error}.", next_step="Restore it from a backup.") from None


def highest_file_no(settings: Settings) -> int:
    """The last number given out in any night; 0 when none was."""
    names = (settings.archive / "receipts").glob("run_date=*/[0-9]*.json")
    return max((int(path.stem) for path in names), default=0)


def write_receipt(settings: Settings, receipt: Receipt) -> None:
    """Write a receipt once; it appears whole or not at all, and is never replaced.

    Raises:
        NightError: The number is taken: two nights receive files at the same time.
    """
    final = _folder(settings, receipt.run_date) / f"{receipt.file_no:08d}.json"
    try:
        write_once(final, asdict(receipt))
    except FileExistsError:
        raise NightError(
            f"{final}: the file number is taken: another process receives files into this home.",
            next_step="Let one night run at a time.",
        ) from None
