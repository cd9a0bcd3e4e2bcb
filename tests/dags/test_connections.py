"""Airflow connections to real servers: what opens, what is refused, and in which words."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from posrecon.settings import PROJECT_ROOT
from tests.dags.conftest import airflow_environment, run_python
from tests.dags.test_scheduler import free_port
from tests.servers import S3Server, SftpServer, needs_sshd, scratch_folder
from tests.unit.landing.files import ZM_NAME, zm_record

pytestmark = needs_sshd


@pytest.fixture(scope="module")
def sftp() -> Iterator[SftpServer]:
    with scratch_folder() as folder:
        server = SftpServer(Path(folder))
        server.start()
        (server.root / ZM_NAME).write_bytes(zm_record())
        yield server
        server.stop()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    client = server.client()
    client.create_bucket(Bucket="bank")
    client.put_object(Bucket="bank", Key="out/1900000109_20261111.csv", Body=b"x")
    yield server
    server.stop()


def connections(sftp: SftpServer, s3: S3Server, folder: Path) -> dict[str, str]:
    kind, key = sftp.host_key.split()
    other = (sftp.root.parent / "other.pub").read_text().split()[1]
    assert other != key
    away = json.loads(sftp.connection()) | {"port": free_port()}
    base = json.dumps({"conn_type": "fs", "extra": {"path": str(folder)}})
    return {
        "AIRFLOW_CONN_GOOD": sftp.connection(),
        "AIRFLOW_CONN_UNCHECKED": sftp.connection(host_key=None, no_host_key_check="true"),
        "AIRFLOW_CONN_UNKNOWN_HOST": sftp.connection(host_key=None),
        "AIRFLOW_CONN_OTHER_HOST": sftp.connection(host_key=f"{kind} {other}"),
        "AIRFLOW_CONN_OTHER_KEY": sftp.connection(private_key=sftp.other_private_key),
        "AIRFLOW_CONN_AWAY": json.dumps(away),
        "AIRFLOW_CONN_STORE": s3.connection(),
        "AIRFLOW_CONN_STORE_AWAY": s3.connection().replace(s3.address, f"http://127.0.0.1:{free_port()}"),
        "AIRFLOW_CONN_SHARE": base,
    }


@pytest.fixture(scope="module")
def said(
    sftp: SftpServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, str]]:
    """How every transport of the cases ended, tried in one process."""
    folder = tmp_path_factory.mktemp("connections")
    (folder / "share" / "in").mkdir(parents=True)
    (folder / "share" / "in" / "a.csv").write_bytes(b"x")
    cases = {
        name: {"kind": "sftp", "connection": name, "path": str(sftp.root)}
        for name in ("good", "unchecked", "unknown_host", "other_host", "other_key", "away", "undefined")
    }
    cases["store"] = {"kind": "s3", "connection": "store", "path": "bank/out"}
    cases["store_away"] = {"kind": "s3", "connection": "store_away", "path": "bank/out"}
    cases["store_undefined"] = {"kind": "s3", "connection": "nobody", "path": "bank/out"}
    cases["share"] = {"kind": "folder", "connection": "share", "path": "in"}
    (folder / "cases.json").write_text(json.dumps(cases))
    # A home without known_hosts: whoever runs the tests may know 127.0.0.1.
    env = airflow_environment(folder / "home", HOME=str(folder), **connections(sftp, s3, folder / "share"))
    script = Path(__file__).with_name("connections.py")
    run_python([str(script), str(folder / "cases.json"), str(folder / "result.json")], env, timeout_s=300)
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("good", [ZM_NAME]),
        ("unchecked", [ZM_NAME]),
        ("store", ["1900000109_20261111.csv"]),
        ("share", ["a.csv"]),
    ],
)
def test_connection__that_is_right__lists_the_files(
    said: dict[str, tuple[str, str]], name: str, files: list[str]
) -> None:
    assert said[name] == ["listed", files]


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("unknown_host", "UsageError", "has a host key that is not known"),
        ("other_host", "UsageError", "has another host key than the one that is known"),
        ("other_key", "UsageError", "the server refused the login"),
        ("undefined", "UsageError", "Airflow knows no connection of this id"),
        ("store_undefined", "UsageError", "Airflow knows no connection of this id"),
        ("away", "OSError", "Unable to connect"),
        ("store_away", "OSError", "Could not connect"),
    ],
)
def test_connection__that_is_wrong__is_told_from_a_server_that_is_away(
    said: dict[str, tuple[str, str]], name: str, kind: str, text: str
) -> None:
    assert said[name][0] == kind
    assert text in said[name][1]


def test_pull__from_the_command_line__fetches_from_both__and_says_what_is_not_here(
    sftp: SftpServer, s3: S3Server, tmp_path: Path
) -> None:
    sources = tmp_path / "project" / "include" / "sources"
    shutil.copytree(PROJECT_ROOT / "include" / "sources", sources)
    for name, transport in (
        ("unionpay_zm", {"kind": "sftp", "path": str(sftp.root), "ready": {"rule": "stable", "seconds": 1}}),
        ("wechat_bill", {"kind": "s3", "path": "bank/out"}),
        ("alipay_bill", {"kind": "s3", "path": "bank/nothing-yet"}),
    ):
        path = sources / f"{name}.yml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["transport"] = transport | {"connection": "good" if transport["kind"] == "sftp" else "store"}
        path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    own = {
        "POSRECON_HOME": str(tmp_path / "home"),
        "POSRECON_PROJECT_DIR": str(tmp_path / "project"),
        "PYTHONPATH": str(PROJECT_ROOT / "include"),
        "HOME": str(tmp_path / "user"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "posrecon.cli", "sources", "pull", "--date", "2026-11-12", "--json"],
        env=os.environ | own | connections(sftp, s3, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert told["unionpay_zm"]["fetched"] == [ZM_NAME]
    assert told["wechat_bill"]["fetched"] == ["1900000109_20261111.csv"]
    assert told["alipay_bill"]["missing"] == ["alipay_bill/2026-11-11"]
    inbox = tmp_path / "home" / "inbox"
    assert (inbox / "unionpay" / ZM_NAME).read_bytes() == zm_record()
    assert not (tmp_path / "user").exists()  # Airflow makes no home of its own beside ours
    for secret in (s3.SECRET, sftp.private_key.splitlines()[2]):
        assert secret not in done.stdout + done.stderr
