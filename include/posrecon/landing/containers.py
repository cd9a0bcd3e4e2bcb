"""Zip and gzip, opened in memory within limits and never unpacked to a path.

A zip is not a file of its own: each member is, under the name `outer.zip!member`. What a hostile zip can do (grow
without end, climb out of a folder, hide behind a password, list a member twice) refuses it whole.
"""

import gzip
import logging
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from posrecon.errors import LayoutError
from posrecon.landing.archive import held, open_plain
from posrecon.settings import Settings

log = logging.getLogger(__name__)

CHUNK = 4 * 1024 * 1024
MEMBERS_MAX = 1_000
# Deflate shrinks settlement files 5 to 40 times; a bomb 1 000 times. Small files of blanks may shrink more.
RATIO_MAX = 200
RATIO_FREE_BYTES = 16 * 1024 * 1024
BYTES_MAX = 2 * 1024 * 1024 * 1024

_SEALED = r"\.(?:pgp|gpg|asc)"
_MEMBER = re.compile(rf"^(?P<outer>.+\.zip(?:{_SEALED})?)!(?P<member>.+)$", re.IGNORECASE | re.DOTALL)
_GZIP = b"\x1f\x8b"
_ASK = "Ask the sender for the file again."


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file in a zip, by its place in the directory: names may be in any encoding."""

    place: int
    name: str


def is_zip(file_name: str) -> bool:
    """True for a zip as received, also one in PGP; False for a member, whatever its own name."""
    return unsealed_name(file_name).lower().endswith(".zip") and _MEMBER.match(file_name) is None


def is_sealed(file_name: str) -> bool:
    """True for a name that says: encrypted with PGP."""
    return unsealed_name(file_name) != file_name


def unsealed_name(file_name: str) -> str:
    """The name without .pgp, .gpg or .asc."""
    return re.sub(rf"(?i){_SEALED}$", "", file_name)


def pattern_name(file_name: str) -> str:
    """The name that patterns are held against: of a member its own, without folder, .pgp, .gpg, .asc and .gz."""
    found = _MEMBER.match(file_name)
    name = unsealed_name(found["member"].rsplit("/", 1)[-1] if found else file_name)
    return name[:-3] if name.lower().endswith(".gz") else name


def members_of(path: Path, file_name: str) -> tuple[Member, ...]:
    """The files of a zip, by name.

    Raises:
        LayoutError: No zip, encrypted, damaged, empty, too many or too large members, a path that climbs or is
            absolute, a link, or a name that stands twice. Names the member.
    """
    with _opened(path, file_name) as archive:
        infos = archive.infolist()
        if len(infos) > MEMBERS_MAX:
            raise _refused(file_name, f"holds {len(infos)} members, expected at most {MEMBERS_MAX}")
        if sum(info.compress_size for info in infos) > path.stat().st_size:
            raise _refused(file_name, "its members overlap: they are larger than the zip")
        found = tuple(
            Member(place=place, name=_checked_name(info, file_name))
            for place, info in enumerate(infos)
            if not _is_ignored(info)
        )
        if sum(infos[member.place].file_size for member in found) > BYTES_MAX:
            raise _refused(file_name, f"grows to more than {BYTES_MAX} bytes")
    names = [member.name for member in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _refused(file_name, f'member "{twice[0]}" stands twice')
    if not found:
        raise _refused(file_name, "is an empty zip")
    return tuple(sorted(found, key=lambda member: member.name))


@contextmanager
def open_member(settings: Settings, path: Path, file_name: str, member: Member) -> Iterator[Path]:
    """The content of one member as a path, while the context is open.

    Raises:
        LayoutError: Damaged, or it grows beyond the limits.
    """
    with _opened(path, file_name) as archive:
        info = archive.infolist()[member.place]
        what = f'member "{member.name}"'
        chunks = _limited(partial(archive.open, info), info.compress_size, file_name, what)
        with held(settings, "member", chunks) as content:
            yield content


@contextmanager
def open_unpacked(settings: Settings, path: Path, file_name: str) -> Iterator[Path]:
    """A file as a path; when its content is gzip, what is in it.

    Raises:
        LayoutError: The gzip is truncated or damaged, or grows beyond the limits.
    """
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP
    if not is_gzip:
        yield path
        return
    chunks = _limited(partial(gzip.GzipFile, path, "rb"), path.stat().st_size, file_name, "the gzip")
    with held(settings, "gunzip", chunks) as content:
        yield content


@contextmanager
def open_content(settings: Settings, sha256: str, file_name: str) -> Iterator[Path]:
    """What is in an archived file, unpacked when it came as gzip: the text whose lines evidence names.

    Raises:
        ArchiveError: The blob is missing or was changed.
        LayoutError: The gzip cannot be opened.
    """
    with open_plain(settings, sha256) as path, open_unpacked(settings, path, file_name) as content:
        yield content


@contextmanager
def _opened(path: Path, file_name: str) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise _refused(file_name, f"cannot be opened as a zip: {error}") from None
    with archive:
        yield archive


def _is_ignored(info: zipfile.ZipInfo) -> bool:
    """Folders, and what macOS adds beside the files."""
    return info.is_dir() or info.filename.startswith("__MACOSX/") or info.filename.endswith(".DS_Store")


def _checked_name(info: zipfile.ZipInfo, file_name: str) -> str:
    name = _decoded_name(info)
    if info.flag_bits & 0x1:
        raise _refused(file_name, f'member "{name}" is encrypted', next_step="Ask for it without a password.")
    parts = name.split("/")
    climbs = name.startswith("/") or "\\" in name or ":" in parts[0] or ".." in parts or "" in parts
    if climbs or any(ord(letter) < 32 for letter in info.orig_filename):
        raise _refused(
            file_name, f'member "{name!a}" has a path that leaves its folder, expected a plain name'
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise _refused(file_name, f'member "{name}" is a link, expected a file')
    if info.file_size > RATIO_FREE_BYTES and info.file_size > RATIO_MAX * max(info.compress_size, 1):
        raise _refused(file_name, f'member "{name}" grows more than {RATIO_MAX} times')
    return name


def _decoded_name(info: zipfile.ZipInfo) -> str:
    """Windows tools write GBK names without saying so; Python then reads them as code page 437."""
    if info.flag_bits & 0x800:
        return info.filename
    raw = info.filename.encode("cp437")
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _limited(
    open_it: Callable[[], IO[bytes] | gzip.GzipFile], packed: int, file_name: str, what: str
) -> Iterator[bytes]:
    """The content in chunks; what a directory states about sizes is not believed."""
    size = 0
    try:
        with open_it() as file:
            while chunk := file.read(CHUNK):
                size += len(chunk)
                if size > RATIO_FREE_BYTES and size > RATIO_MAX * max(packed, 1):
                    raise _refused(file_name, f"{what} grows more than {RATIO_MAX} times")
                if size > BYTES_MAX:
                    raise _refused(file_name, f"{what} grows to more than {BYTES_MAX} bytes")
                yield chunk
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise _refused(file_name, f"{what} is damaged or truncated: {error}") from None


def _refused(file_name: str, what: str, *, next_step: str = _ASK) -> LayoutError:
    return LayoutError(f"{file_name}: {what}.", next_step=next_step)
