"""Receipts: what arrived, in which night, under which number. Together with the blobs they are the archive."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from posrecon.errors import NightError
from posrecon.files import flush
from posrecon.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One received file. `file_no` numbers files for ever; `file_id` names this arrival.

    Attributes:
        container: SHA-256 of the zip that held the file, which is in the archive too; None when it came bare.
    """

    file_no: int
    file_id: str
    run_date: date
    feed: str
    file_name: str
    sha256: str
    bytes: int
    container: str | None = None


def file_id_of(run_date: date, feed: str, file_name: str, sha256: str) -> str:
    """Stable id of an arrival: the same file that arrives in the same night again is the same arrival."""
    return hashlib.sha256(f"{run_date}|{feed}|{file_name}|{sha256}".encode()).hexdigest()[:16]


def _folder(settings: Settings, run_date: date) -> Path:
    return settings.archive / "receipts" / f"run_date={run_date}"


def read_receipts(settings: Settings, run_date: date) -> tuple[Receipt, ...]:
    """Receipts of one night, by file number."""
    return tuple(_read(path) for path in sorted(_folder(settings, run_date).glob("[0-9]*.json")))


def read_receipt(settings: Settings, run_date: date, file_id: str) -> Receipt:
    """The receipt of one file of a night.

    Raises:
        NightError: There is none.
    """
    for receipt in read_receipts(settings, run_date):
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
    folder = _folder(settings, receipt.run_date)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{receipt.file_no:08d}.json"
    temporary = folder / f".{final.name}.{os.getpid()}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(receipt), file, ensure_ascii=False, indent=1, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, final)
    except FileExistsError:
        raise NightError(
            f"{final}: the file number is taken: another process receives files into this home.",
            next_step="Let one night run at a time.",
        ) from None
    finally:
        temporary.unlink()
    flush(folder)
