"""PGP messages, opened with GnuPG: in memory, within limits, with the keys of one ring and nothing from a network."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from posrecon.errors import LayoutError, NightError
from posrecon.landing import containers
from posrecon.landing.archive import held
from posrecon.settings import Settings

ARMOUR = b"-----BEGIN PGP MESSAGE-----"

# Nothing but the ring decides: no configuration of a user, no key server, no trust database.
_OPTIONS = (
    "--no-options",
    "--no-auto-key-locate",
    "--no-auto-key-retrieve",
    "--disable-dirmngr",
    "--no-auto-check-trustdb",
    "--trust-model",
    "always",
)
# What GnuPG says of a signature that does not count.
_BAD_SIGNATURE = {
    "EXPKEYSIG": "its signing key has expired",
    "REVKEYSIG": "its signing key was revoked",
    "EXPSIG": "its signature has expired",
    "NO_PUBKEY": "the public key of its signer is not in the key ring",
    "ERRSIG": "its signature cannot be checked",
}


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What protected a file.

    Attributes:
        signers: Fingerprints of the keys with a valid signature: the signing key's and its primary key's.
        fault: Why a signature does not count; empty when there is none, or it counts.
    """

    signers: frozenset[str]
    fault: str = ""


@contextmanager
def open_sealed(settings: Settings, path: Path, file_name: str) -> Iterator[tuple[Path, Seal]]:
    """The clear content of a PGP-encrypted file, while the context is open, and who signed it.

    Raises:
        LayoutError: Not encrypted to us, changed on its way, or it grows beyond the limits: the file is refused.
        NightError: GnuPG is missing or cannot work here: no file is to blame.
    """
    if not settings.gnupg.is_dir():
        raise _refused(
            file_name,
            "is encrypted with PGP, and there is no key ring",
            f"Import our secret key into {settings.gnupg}; then put the file into the inbox again.",
        )
    with held(settings, "pgp", ()) as content:
        packed = path.stat().st_size
        limit = min(containers.BYTES_MAX, max(containers.RATIO_FREE_BYTES, containers.RATIO_MAX * packed))
        result = _decrypt(settings, path, content, limit)
        yield content, _seal_of(settings, result, file_name, limit)


def _decrypt(settings: Settings, path: Path, content: Path, limit: int) -> Any:
    import gnupg

    if not _has_gnupg():
        raise NightError(
            "gpg: not found, and a file of the inbox is encrypted with PGP.",
            next_step="Install GnuPG (Debian: apt-get install gnupg), then run this again.",
        )
    passphrase = settings.pgp_passphrase.get_secret_value() if settings.pgp_passphrase else ""
    # Without a passphrase nobody may be asked for one: the night would wait for a window on no screen.
    options = [*_OPTIONS, *(() if passphrase else ("--pinentry-mode", "error"))]
    # English, since its words are read below; and no more of the environment than it needs, which has our keys.
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(settings.gnupg), "LC_ALL": "C"}
    gpg = gnupg.GPG(gnupghome=str(settings.gnupg), options=options, env=env)
    with content.open("wb") as target:

        def keep(chunk: bytes) -> bool:
            target.write(chunk)
            return False  # not in the result as well

        gpg.on_data = keep
        # python-gnupg writes Latin-1; what was typed is UTF-8.
        typed = passphrase.encode().decode("latin-1") or None
        return gpg.decrypt_file(str(path), passphrase=typed, extra_args=["--max-output", str(limit)])


@lru_cache(maxsize=1)
def _has_gnupg() -> bool:
    return shutil.which("gpg") is not None


def _seal_of(settings: Settings, result: Any, file_name: str, limit: int) -> Seal:
    """Judge what GnuPG said; its words, not its exit code: a signer that it does not know is a failure to it."""
    told = [line.split()[1:] for line in result.stderr.splitlines() if line.startswith("[GNUPG:] ")]
    words = {line[0] for line in told if line}
    if re.search(r"can't connect to the (?:gpg-)?agent|No agent running", result.stderr):
        raise NightError(
            f"{settings.gnupg}: gpg-agent cannot work with this key ring.",
            next_step="A socket's path must be shorter than 100 characters: set POSRECON_GNUPG_HOME to a short one, "
            "and see that gpg-agent is installed.",
        )
    keys = ", ".join(line[1] for line in told if line[0] == "ENC_TO")
    if "NO_SECKEY" in words and "DECRYPTION_OKAY" not in words:
        raise _refused(
            file_name,
            f"is encrypted to the key {keys}, which is not in the key ring",
            "Import the secret key, or ask the sender to encrypt to our key; then put the file into the inbox again.",
        )
    if re.search(r"(?i)bad passphrase|no pinentry|operation cancelled", result.stderr):
        raise _refused(
            file_name,
            f"is encrypted to the key {keys}, whose passphrase is missing or wrong",
            "Set POSRECON_PGP_PASSPHRASE, then put the file into the inbox again.",
        )
    if not words & {"ENC_TO", "BEGIN_DECRYPTION"}:
        raise _refused(file_name, "is not encrypted with PGP, as its name or its source says")
    if "exceeded --max-output" in result.stderr:
        raise _refused(file_name, f"grows to more than {limit} bytes")
    if "DECRYPTION_OKAY" not in words or "BADSIG" in words:
        raise _refused(file_name, "was changed on its way or is damaged: PGP does not verify")
    faults = [text for word, text in _BAD_SIGNATURE.items() if word in words]
    if result.returncode and not faults:
        raise _refused(file_name, "cannot be opened: PGP found more than one message or broken data")
    signers = {
        line[place] for line in told if line[0] == "VALIDSIG" for place in (1, 10) if len(line) > place
    }
    return Seal(signers=frozenset() if faults else frozenset(signers), fault=faults[0] if faults else "")


def _refused(file_name: str, what: str, next_step: str = "Ask the sender for the file again.") -> LayoutError:
    return LayoutError(f"{file_name}: {what}.", next_step=next_step)
