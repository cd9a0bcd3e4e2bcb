"""The encrypted archive: every received file, byte for byte, named by the SHA-256 of its clear content.

Layout of a blob, `blobs/<sha256>.enc` (all integers big-endian):

    magic 8 | frame size u32 | nonce prefix 7 | frames …

and of its key, `keys/<sha256>.key`:

    magic 8 | wrap nonce 12 | wrapped data key 48

Each file has a data key of its own, wrapped by the archive key. A frame is AES-256-GCM over up to `FRAME`
bytes with the nonce prefix ‖ counter u32 ‖ last-frame flag, and the header, the file's SHA-256 and the flag as
associated data: nothing of a blob can be changed, moved, dropped or taken from another file (the STREAM
construction). The key lies beside the blob, not in it, so that destroying 68 bytes destroys the file in every copy of
the blobs (see `shred`). Blobs of an older release hold their wrapped key themselves and are still read.
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
from pydantic import SecretStr

from posrecon.errors import PosreconError
from posrecon.files import flush, put_in_place, write_text, written_aside
from posrecon.secrets import archive_key
from posrecon.settings import Settings

MAGIC = b"PRARCH\x00\x02"
KEY_MAGIC = b"PRARKEY\x01"
FRAME = 4 * 1024 * 1024
_HEADER = struct.Struct(">8sI7s")
_KEY = struct.Struct(">8s12s48s")
_TAG = 16

# The layout before keys lay beside their blobs: magic, frame size, wrap nonce, wrapped data key, nonce prefix.
_MAGIC_1 = b"PRARCH\x00\x01"
_HEADER_1 = struct.Struct(">8sI12s48s7s")


class ArchiveError(PosreconError):
    """A blob is missing, damaged, was changed, or belongs to another key."""


def attachments_vault(settings: Settings) -> Settings:
    """The settings under which the functions of this module find what is attached to cases.

    It lies apart from the files received, in an archive of its own under `home/attachments` with the same key.
    """
    own = {"home": settings.home / "attachments", "archive_key": SecretStr(archive_key(settings).hex())}
    return Settings(**(settings.model_dump() | own))


def blob_path(settings: Settings, sha256: str) -> Path:
    """Where the file with this content lies, or would lie."""
    return settings.archive / "blobs" / f"{sha256}.enc"


def key_path(settings: Settings, sha256: str) -> Path:
    """Where the wrapped data key of a blob lies, or would lie."""
    return settings.archive / "keys" / f"{sha256}.key"


def shredded_path(settings: Settings, sha256: str) -> Path:
    """Where it is noted that the data key of a blob was destroyed."""
    return settings.archive / "keys" / f"{sha256}.shredded"


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
    if final.exists() and not shredded_path(settings, sha256).exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    if shredded_path(settings, sha256).exists():  # received again: what a killed shredding left must not stay
        key_path(settings, sha256).unlink(missing_ok=True)
    header = _HEADER.pack(MAGIC, FRAME, os.urandom(7))
    prefix = header[-7:]
    cipher, digest = AESGCM(_data_key(settings, sha256)), hashlib.sha256()
    try:
        with path.open("rb") as source, temporary.open("wb") as target:
            target.write(header)
            frame, counter = source.read(FRAME), 0
            while True:
                following = source.read(FRAME)
                last = not following
                digest.update(frame)
                bound = _bound(header, sha256, last)
                target.write(cipher.encrypt(_nonce(prefix, counter, last), frame, bound))
                if last:
                    break
                frame, counter = following, counter + 1
        if digest.hexdigest() != sha256:
            raise ArchiveError(
                f"{path.name}: the file changed while it was read.",
                next_step="It stays in the inbox; let the upload end with a rename.",
            )
        put_in_place(temporary, final)
        shredded_path(settings, sha256).unlink(missing_ok=True)  # shredded once, received again
    finally:
        temporary.unlink(missing_ok=True)
    return final


def shred(settings: Settings, sha256: str, note: str) -> None:
    """Destroy the data key of a blob, then the blob: no copy of it can be read again, with whatever archive key.

    Safe to run again. The note stays, so that whoever looks for the file learns why it cannot be read.

    Args:
        settings: The home.
        sha256: The file.
        note: When and by which rule; part of the error that a reader gets.
    """
    write_text(shredded_path(settings, sha256), note + "\n")
    key = key_path(settings, sha256)
    if key.exists():
        with key.open("rb+") as stream:
            stream.write(bytes(_KEY.size))
            stream.flush()
            os.fsync(stream.fileno())
        key.unlink()
        flush(key.parent)
    blob_path(settings, sha256).unlink(missing_ok=True)


def _data_key(settings: Settings, sha256: str) -> bytes:
    """The data key of a file; made and wrapped when there is none. A kill leaves a key without its blob at most."""
    path = key_path(settings, sha256)
    if not path.exists():
        key, nonce = AESGCM.generate_key(256), os.urandom(12)
        wrapped = AESGCM(archive_key(settings)).encrypt(nonce, key, KEY_MAGIC + bytes.fromhex(sha256))
        with written_aside(path) as aside:
            aside.write_bytes(_KEY.pack(KEY_MAGIC, nonce, wrapped))
    return _unwrapped(settings, sha256)


def _unwrapped(settings: Settings, sha256: str) -> bytes:
    """The data key of a file.

    Raises:
        ArchiveError: It is missing, was changed, or belongs to another archive key.
    """
    path = key_path(settings, sha256)
    if not path.exists():
        raise ArchiveError(
            f"{path}: the key of the archived file is missing.", next_step="Restore it from a backup."
        )
    content = path.read_bytes()
    try:
        magic, nonce, wrapped = _KEY.unpack(content)
        return AESGCM(archive_key(settings)).decrypt(nonce, wrapped, magic + bytes.fromhex(sha256))
    except (struct.error, InvalidTag):
        raise ArchiveError(
            f"{path}: the key does not verify: it was changed or damaged, or belongs to another archive key.",
            next_step="Restore it from a backup, or set the archive key it was written with.",
        ) from None


def read_frames(settings: Settings, sha256: str) -> Iterator[bytes]:
    """Yield the clear content of a blob, each frame verified before it is given out.

    Raises:
        ArchiveError: Names the blob and what is wrong with it.
    """
    blob = blob_path(settings, sha256)
    shredded = shredded_path(settings, sha256)
    if shredded.exists():
        note = shredded.read_text(encoding="utf-8").strip()
        raise ArchiveError(f"{blob}: the file was shredded: {note}.")
    if not blob.exists():
        raise ArchiveError(f"{blob}: the archived file is missing.", next_step="Restore it from a backup.")
    with blob.open("rb") as file:
        yield from _frames(settings, file, blob, sha256)


def _frames(settings: Settings, file: BinaryIO, blob: Path, sha256: str) -> Iterator[bytes]:
    changed = ArchiveError(
        f"{blob}: the content does not verify: it was changed or damaged, or belongs to another archive key.",
        next_step="Restore the blob from a backup, or set the archive key it was written with.",
    )
    digest, counter = hashlib.sha256(), 0
    try:
        header, prefix, cipher = _opened(settings, file, sha256)
        frame = file.read(FRAME + _TAG)
        while True:
            following = file.read(FRAME + _TAG)
            last = not following
            clear = cipher.decrypt(_nonce(prefix, counter, last), frame, _bound(header, sha256, last))
            digest.update(clear)
            yield clear
            if last:
                break
            frame, counter = following, counter + 1
    except (InvalidTag, ValueError, struct.error):
        raise changed from None
    if digest.hexdigest() != sha256:
        raise changed


def _opened(settings: Settings, file: BinaryIO, sha256: str) -> tuple[bytes, bytes, AESGCM]:
    """Header as bound to the frames, nonce prefix and cipher of a blob; ValueError when the header is none."""
    header = file.read(_HEADER.size)
    magic, frame_size, prefix = _HEADER.unpack(header)
    if frame_size != FRAME:
        raise ValueError("frame size")
    if magic == MAGIC:
        return header, prefix, AESGCM(_unwrapped(settings, sha256))
    if magic != _MAGIC_1:
        raise ValueError("magic")
    header += file.read(_HEADER_1.size - _HEADER.size)
    _, _, nonce, wrapped, prefix = _HEADER_1.unpack(header)
    data_key = AESGCM(archive_key(settings)).decrypt(nonce, wrapped, magic + bytes.fromhex(sha256))
    return b"", prefix, AESGCM(data_key)


def _nonce(prefix: bytes, counter: int, last: bool) -> bytes:
    return prefix + struct.pack(">I?", counter, last)


def _bound(header: bytes, sha256: str, last: bool) -> bytes:
    return header + bytes.fromhex(sha256) + bytes([last])


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
