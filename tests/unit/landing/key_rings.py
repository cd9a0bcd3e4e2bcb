"""Throw-away PGP keys, made by GnuPG itself, and messages as a bank's own gpg writes them."""

import subprocess
from pathlib import Path

PASSPHRASE = "tür-门-7"


class KeyRing:
    """A key ring in a folder of its own. The path must be short: gpg-agent's socket lies in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)

    def run(self, *arguments: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.folder), "--batch", "--no-tty", "--quiet", *arguments]
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    def make_key(
        self, user: str, *, passphrase: str = "", expires: str = "never", at: str = "20200101T000000"
    ) -> str:
        """A new key that signs, with a subkey that encrypts; returns its fingerprint."""
        protect = ["--pinentry-mode", "loopback", "--passphrase", passphrase, "--faked-system-time", at]
        self.run(*protect, "--quick-generate-key", user, "ed25519", "sign", expires)
        listed = self.run("--with-colons", "--list-keys", f"={user}").decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
        self.run(*protect, "--quick-add-key", fingerprint, "cv25519", "encr", expires)
        return fingerprint

    def give(self, other: "KeyRing", user: str) -> None:
        """Give a public key to another ring."""
        other.run("--import", data=self.run("--export", f"={user}"))

    def encrypt(
        self, content: bytes, *, to: str, signed_by: str = "", armour: bool = False, at: str = ""
    ) -> bytes:
        options = ["--trust-model", "always", "--recipient", to]
        options += ["--sign", "--local-user", signed_by] if signed_by else []
        options += ["--armor"] if armour else []
        options += ["--faked-system-time", at] if at else []
        return self.run(*options, "--encrypt", data=content)

    def close(self) -> None:
        """End the agent that GnuPG started for the ring."""
        subprocess.run(["gpgconf", "--homedir", str(self.folder), "--kill", "gpg-agent"], check=False)
