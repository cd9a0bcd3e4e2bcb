"""Files attached to cases: checked before they are read, hashed, and kept encrypted in the archive.

They lie apart from the files received, in an archive of their own under `home/attachments` with the same key and
layout, named by their SHA-256: a replay reads what was received and nothing else.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from posrecon.audit.log import read_records
from posrecon.disputes.states import Action
from posrecon.errors import UsageError
from posrecon.files import sha256_of
from posrecon.landing.archive import attachments_vault, blob_path, read_frames, store
from posrecon.redaction import without_cards
from posrecon.settings import Settings


@dataclass(frozen=True)
class CheckedFile:
    """A file that may be attached.

    Attributes:
        path: Where it lies.
        name: Its base name, whole card numbers masked.
        sha256: Of its bytes.
        size_bytes: How many they are.
    """

    path: Path
    name: str
    sha256: str
    size_bytes: int


def check(settings: Settings, path: Path) -> CheckedFile:
    """Look at a file before it is attached; its size is judged before a byte is read.

    Raises:
        UsageError: It is missing, no plain file, empty or too large.
    """
    limit = settings.attachment_bytes_max
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be attached: {error.strerror}.", next_step="Check the name of the file."
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path}: is no plain file.", next_step="Attach one file; zip a folder first.")
    if found.st_size == 0:
        raise UsageError(
            f"{path}: has 0 bytes, expected a file with content.",
            next_step="Save or scan it again, then attach it.",
        )
    if found.st_size > limit:
        raise UsageError(
            f"{path}: has {found.st_size:,} bytes, expected at most {limit:,}; it was not read.",
            next_step="Attach a smaller file, or raise POSRECON_ATTACHMENT_BYTES_MAX.",
        )
    return CheckedFile(path, without_cards(path.name), sha256_of(path), found.st_size)


@contextmanager
def kept(settings: Settings, file: CheckedFile) -> Iterator[None]:
    """Encrypt a file into the archive; taken out again when the block fails before the audit log knows of it.

    What the log names stays, even when the database then refused: `audit verify` looks for it.
    """
    vault = attachments_vault(settings)
    blob = blob_path(vault, file.sha256)
    was_there = blob.exists()
    store(vault, file.path, file.sha256)
    try:
        yield
    except BaseException:
        if not was_there and file.sha256 not in attached(settings):
            blob.unlink(missing_ok=True)
        raise


def attached(settings: Settings) -> set[str]:
    """SHA-256 of everything that the audit log knows as attached."""
    changes = read_records(settings, frozenset({"case_changed"}))
    return {one.payload["details"]["sha256"] for one in changes if one.payload["action"] == Action.ATTACH}


def clear_content(settings: Settings, sha256: str) -> Iterator[bytes]:
    """The bytes of an attachment, each piece verified before it is given out.

    Raises:
        ArchiveError: The blob is missing or was changed.
    """
    return read_frames(attachments_vault(settings), sha256)
