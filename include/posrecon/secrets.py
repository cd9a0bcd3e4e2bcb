"""The two secrets: the key of card tokens and the key of the archive.

A key comes from the environment (POSRECON_TOKEN_KEY, POSRECON_ARCHIVE_KEY; 64 hex digits) or from a file
under `home/secrets` that only its owner can read. The embedded default makes missing files itself, and
says so, since whoever loses them loses the archive.
"""

import logging
import os
import secrets as random_source
import stat
import sys
from pathlib import Path

from pydantic import SecretStr

from posrecon.errors import PosreconError
from posrecon.settings import Settings

log = logging.getLogger(__name__)

KEY_BYTES = 32


def token_key(settings: Settings) -> bytes:
    """Key of the HMAC that stands for a card number (32 bytes).

    Raises:
        PosreconError: The key is not 64 hex digits, or others can read its file.
    """
    return _key(settings, settings.token_key, "token")


def archive_key(settings: Settings) -> bytes:
    """Key that wraps the data keys of archived files (32 bytes).

    Raises:
        PosreconError: The key is not 64 hex digits, or others can read its file.
    """
    return _key(settings, settings.archive_key, "archive")


def _key(settings: Settings, given: SecretStr | None, name: str) -> bytes:
    if given is not None:
        return _decoded(given.get_secret_value(), where=f"POSRECON_{name.upper()}_KEY")
    path = settings.secrets / f"{name}.key"
    if not path.exists():
        _generate(path, name)
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise PosreconError(
            f"{path}: mode is {mode:04o}, expected 0600: others can read the key.",
            next_step=f"Run chmod 600 {path}, and change the key if it may have been read.",
        )
    return _decoded(path.read_text(encoding="ascii", errors="replace").strip(), where=str(path))


def _decoded(text: str, *, where: str) -> bytes:
    # The text itself is never part of a message: it may be a key with one wrong digit.
    next_step = "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise PosreconError(f"{where}: the key is not hex digits.", next_step=next_step) from None
    if len(key) != KEY_BYTES:
        raise PosreconError(
            f"{where}: the key has {len(key)} bytes, expected {KEY_BYTES} (64 hex digits).",
            next_step=next_step,
        )
    return key


def _generate(path: Path, name: str) -> None:
    """Write a fresh key; two processes that start at once end up with the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    candidate = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(random_source.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(candidate, path)  # fails when another process was first: its key stands
    except FileExistsError:
        return
    finally:
        candidate.unlink()
    loss = {
        "token": "card tokens no longer match earlier ones",
        "archive": "the archive can no longer be read",
    }[name]
    message = f"A new {name} key was made: {path}. Keep a copy in a safe place; without it {loss}."
    log.info(message)
    sys.stderr.write(f"WARNING: {message}\n")
