"""Real servers on loopback for the tests: OpenSSH's sshd, and moto's S3."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(
    SSHD is None,
    reason="OpenSSH's sshd is not installed here (apt-get install openssh-server): SFTP is not tested",
)
START_TIMEOUT_S = 30


class SftpServer:
    """sshd with one key-only user (whoever runs the tests) and nothing but SFTP."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "remote"
        self.root.mkdir(parents=True)
        self._folder = folder
        for name in ("host", "user", "other"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        lines = [
            "ListenAddress 127.0.0.1",
            f"Port {self.port}",
            f"HostKey {folder / 'host'}",
            f"AuthorizedKeysFile {folder / 'authorized_keys'}",
            f"PidFile {folder / 'sshd.pid'}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "UsePAM no",
            "StrictModes no",
            "Subsystem sftp internal-sftp",
            f"ForceCommand internal-sftp -d {self.root}",
        ]
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(
                mode=0o755, exist_ok=True
            )  # where sshd, as root, puts its parts without rights
        with (self._folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self._folder / "sshd_config")], stdout=log, stderr=log
            )
        deadline, pause = time.monotonic() + START_TIMEOUT_S, threading.Event()
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            pause.wait(0.05)
        pytest.fail(f"sshd does not listen:\n{(self._folder / 'sshd.log').read_text()}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)

    @property
    def host_key(self) -> str:
        return " ".join((self._folder / "host.pub").read_text().split()[:2])

    @property
    def private_key(self) -> str:
        return (self._folder / "user").read_text()

    @property
    def other_private_key(self) -> str:
        return (self._folder / "other").read_text()

    @property
    def user(self) -> str:
        return pwd.getpwuid(os.geteuid()).pw_name

    def connection(self, **extra: Any) -> str:
        """An Airflow connection to it, as JSON; extra keys replace or, when None, remove the defaults."""
        fields = {"private_key": self.private_key, "host_key": self.host_key} | extra
        return json.dumps(
            {
                "conn_type": "sftp",
                "host": "127.0.0.1",
                "port": self.port,
                "login": self.user,
                "extra": {name: value for name, value in fields.items() if value is not None},
            }
        )


class S3Server:
    """moto's S3 in a thread, empty at its start."""

    LOGIN = "AKIATESTTESTTEST"
    SECRET = "secret-of-the-test-bucket"

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.address = f"http://{host}:{port}"
        # moto keeps buckets in the process, not in the server: an earlier one of this worker may have filled them
        with closing(HTTPConnection(host, port, timeout=START_TIMEOUT_S)) as reset:
            reset.request("POST", "/moto-api/reset")
            assert reset.getresponse().status == 200

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=self.LOGIN,
            aws_secret_access_key=self.SECRET,
            region_name="us-east-1",
        )

    def stop(self) -> None:
        self._server.stop()

    def connection(self) -> str:
        """An Airflow connection to it, as JSON."""
        extra = {"endpoint_url": self.address, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": self.LOGIN, "password": self.SECRET, "extra": extra})


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder with a short path, outside pytest's own: sockets and key files."""
    return tempfile.TemporaryDirectory(prefix="srv")
