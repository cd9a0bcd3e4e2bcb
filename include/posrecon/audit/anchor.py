"""The anchor: the head of the log, written to a file that is kept elsewhere.

Whoever can write to the home could write the whole log anew, and every hash in it would fit. What they cannot
change is a line that left the house before: one line per night, short enough to print and sign.
"""

import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from posrecon.audit.log import AuditError, Record
from posrecon.files import flush
from posrecon.settings import Settings

HEADING = (
    "# posrecon audit anchor: night, number of the log's last record, its SHA-256, when it was written (UTC).\n"
    "# Keep a copy where nobody who can write to the home can write: print it, mail it, or set\n"
    "# POSRECON_AUDIT_ANCHOR to a file on another machine. posrecon audit verify --anchor FILE compares.\n"
)
_LINE = re.compile(r"(\d{4}-\d{2}-\d{2})\s+(\d+)\s+([0-9a-f]{64})\s+(\S+)")


@dataclass(frozen=True)
class Anchor:
    """One line of an anchor file.

    Attributes:
        run_date: The night after which it was written.
        seq: Number of the record.
        hash: Its hash.
        at: When the record was written.
        where: File and line of the anchor.
    """

    run_date: date
    seq: int
    hash: str
    at: str
    where: str


def anchor_files(settings: Settings) -> list[Path]:
    """Where the anchor of this home is written: among the reports, and where the settings say."""
    files = [settings.published / "reports" / "audit-anchor.txt"]
    if settings.audit_anchor is not None:
        files.append(settings.audit_anchor)
    return files


def line_of(head: Record, run_date: date) -> str:
    """The anchor line of a record."""
    return f"{run_date}  {head.seq:>8}  {head.hash}  {head.at}"


def write_anchor(path: Path, head: Record, run_date: date) -> None:
    """Append one line to an anchor file and flush it.

    Raises:
        OSError: The file cannot be written (a share that is away).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("ab+") as stream:
        stream.seek(0)
        before = stream.read()
        whole = before.rpartition(b"\n")
        stream.truncate(len(before) - len(whole[2]))  # a line that a crash left torn was never an anchor
        stream.write(((HEADING if not before else "") + line_of(head, run_date) + "\n").encode())
        stream.flush()
        os.fsync(stream.fileno())
    if is_new:
        flush(path.parent)


def read_anchors(path: Path) -> list[Anchor]:
    """Every line of an anchor file; blank lines and comments are passed over, as is a last line without an end.

    Raises:
        AuditError: A line is no anchor, or the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError(f"{path}: the anchor cannot be read: {error}.") from None
    found = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = _LINE.fullmatch(line.strip())
        if fields is None:
            if not line.endswith("\n"):
                continue  # torn by a crash; the line was never whole
            raise AuditError(
                f"{path}:{number}: expected an anchor (date, number, SHA-256, time), got {line.strip()[:60]!r}.",
                next_step="Compare with the printed copy.",
            )
        run_date, seq, digest, at = fields.groups()
        found.append(Anchor(date.fromisoformat(run_date), int(seq), digest, at, f"{path}:{number}"))
    return found
