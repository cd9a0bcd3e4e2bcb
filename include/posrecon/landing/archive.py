"""The encrypted archive: every received file, byte for byte, named by the SHA-256 of its clear content.

Layout of a blob (all integers big-endian):

    magic 8 | frame size u32 | wrap nonce 12 | wrapped data key 48 | nonce prefix 7 | frames …

Each file has a data key of its own, wrapped by the archive key. A frame is AES-256-GCM over up to `FRAME`
bytes with the nonce prefix ‖ counter u32 ‖ last-frame flag, and the file's SHA-256 and the flag as
associated data: no frame can be changed, moved, dropped or taken from another file (the STREAM construction).
"""

import hashlib
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posrecon.errors import PosreconError
from posrecon.files import put_in_place
from posrecon.secrets import archive_key
from posrecon.settings import Settings

MAGIC = b"PRARCH\x00\x01"
FRAME = 4 * 1024 * 1024
_HEADER = struct.Struct(">8sI12s48s7s")
_TAG = 16


class ArchiveError(PosreconError):
    """A blob is missing, damaged, was changed, or belongs to another key."""


def blob_path(settings: Settings, sha256: str) -> Path:
    """Where the file with this content lies, or would lie."""
    return settings.archive / "blobs" / f"{sha256}.enc"


def store(settings: Settings, path: Path, sha256: str) -> Path:
    """Encrypt `path` into the archive; a blob that is there already is left as it is.

    Args:
        settings: Says where the archive is and gives its key.
        path: The received file; read, never moved.
        sha256: Its digest, taken before; the bytes that are archived must still have it.

    Raises:
        ArchiveError: The file changed while it was read (an upload that is still running).
    """
    final = blob_path(settings, sha256)
    if final.exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    data_key, nonce, prefix = AESGCM.generate_key(256), os.urandom(12), os.urandom(7)
    wrapped = AESGCM(archive_key(settings)).encrypt(nonce, data_key, MAGIC + bytes.fromhex(sha256))
    cipher, digest = AESGCM(data_key), hashlib.sha256()
    try:
        with path.open("rb") as source, temporary.open("wb") as target:
            target.write(_HEADER.pack(MAGIC, FRAME, nonce, wrapped, prefix))
            frame, counter = source.read(FRAME), 0
            while True:
                following = source.read(FRAME)
                last = not following
                digest.update(frame)
                target.write(cipher.encrypt(_nonce(prefix, counter, last), frame, _bound(sha256, last)))
                if last:
                    break
                frame, counter = following, counter + 1
        if digest.hexdigest() != sha256:
            raise ArchiveError(
                f"{path.name}: the file changed while it was read.",
                next_step="It stays in the inbox; let the upload end with a rename.",
            )
        put_in_place(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
    return final


def read_frames(settings: Settings, sha256: str) -> Iterator[bytes]:
    """Yield the clear content of a blob, each frame verified before it is given out.

    Raises:
        ArchiveError: Names the blob and what is wrong with it.
    """
    blob = blob_path(settings, sha256)
    key = archive_key(settings)
    if not blob.exists():
        raise ArchiveError(f"{blob}: the archived file is missing.", next_step="Restore it from a backup.")
    with blob.open("rb") as file:
        yield from _frames(file, blob, key, sha256)


def _frames(file: BinaryIO, blob: Path, key: bytes, sha256: str) -> Iterator[bytes]:
    changed = ArchiveError(
        f"{blob}: the content does not verify: it was changed or damaged, or belongs to another archive key.",
        next_step="Restore the blob from a backup, or set the archive key it was written with.",
    )
    header = file.read(_HEADER.size)
    if len(header) != _HEADER.size:
        raise changed
    magic, frame_size, nonce, wrapped, prefix = _HEADER.unpack(header)
    if magic != MAGIC or not 0 < frame_size <= 64 * FRAME:
        raise changed
    digest, counter = hashlib.sha256(), 0
    try:
        cipher = AESGCM(AESGCM(key).decrypt(nonce, wrapped, MAGIC + bytes.fromhex(sha256)))
        frame = file.read(frame_size + _TAG)
        while True:
            following = file.read(frame_size + _TAG)
            last = not following
            clear = cipher.decrypt(_nonce(prefix, counter, last), frame, _bound(sha256, last))
            digest.update(clear)
            yield clear
            if last:
                break
            frame, counter = following, counter + 1
    except (InvalidTag, ValueError):
        raise changed from None
    if digest.hexdigest() != sha256:
        raise changed


def _nonce(prefix: bytes, counter: int, last: bool) -> bytes:
    return prefix + struct.pack(">I?", counter, last)


def _bound(sha256: str, last: bool) -> bytes:
    return bytes.fromhex(sha256) + bytes([last])


@contextmanager
def held(settings: Settings, label: str, chunks: Iterable[bytes]) -> Iterator[Path]:
    """A path under which DuckDB and Python can read some clear content while the context is open.

    On Linux the content is in memory (`memfd`) and never reaches a disk; elsewhere it is a 0600 file under
    `settings.tmp` that is removed at the end.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(f"posrecon-{label[:8]}")
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for chunk in chunks:
                _write_all(file.fileno(), chunk)
            yield Path(f"/proc/self/fd/{descriptor}")
        return
    settings.tmp.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(
        prefix=f"{label[:8]}.{os.getpid()}.", suffix=".clear", dir=settings.tmp
    )
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def open_plain(settings: Settings, sha256: str) -> Iterator[Path]:
    """The clear content of a blob as a path, while the context is open.

    Raises:
        ArchiveError: Names the blob and what is wrong with it; nothing unverified is given out.
    """
    with held(settings, sha256, read_frames(settings, sha256)) as path:
        yield path


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
