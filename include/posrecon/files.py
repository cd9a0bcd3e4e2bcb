"""Files that appear whole or not at all: written aside, flushed, then renamed."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it over `target` when the block succeeds.

    The temporary name starts with a dot and carries the process id, so that readers and listings of
    whole files never take it for one. It is removed when the block fails; a killed process leaves it behind
    for housekeeping.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{target.name}.{os.getpid()}.tmp"
    aside.unlink(missing_ok=True)
    try:
        yield aside
        put_in_place(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def put_in_place(temporary: Path, final: Path) -> None:
    """Rename a finished file to where it is read; readers see the old file or the new one, never a part."""
    final.parent.mkdir(parents=True, exist_ok=True)
    flush(temporary)
    temporary.replace(final)
    flush(final.parent)


def write_json(target: Path, content: Any, *, sort_keys: bool = True) -> None:
    """Write readable JSON atomically; the same content gives the same bytes. Dates are ISO text.

    Args:
        target: The file.
        content: What `json` takes, and dates.
        sort_keys: False where the order of the keys is meant for people.
    """
    write_text(target, json_text(content, sort_keys=sort_keys))


def json_text(content: Any, *, sort_keys: bool = True) -> str:
    """Readable JSON; see `write_json`."""
    return json.dumps(content, ensure_ascii=False, indent=2, sort_keys=sort_keys, default=_iso_date) + "\n"


def write_once(target: Path, content: Any) -> None:
    """Write readable JSON that appears whole or not at all, and never replaces what is there.

    Raises:
        FileExistsError: The name is taken.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{target.name}.{os.getpid()}.tmp"
    with aside.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1, default=_iso_date)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, target)
    finally:
        aside.unlink()
    flush(target.parent)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with written_aside(target) as aside:
        aside.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Force a file or folder to disk: a rename must not outlive its content in a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _iso_date(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no JSON")
