"""The same looks against real servers: OpenSSH's sshd, and S3 as moto serves it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import paramiko
import pytest
from s3fs import S3FileSystem

from posrecon.landing.arrival import Remote, RemoteFile, look
from posrecon.landing.remotes import SftpRemote, StoreRemote
from posrecon.landing.sources import Source, load_source
from posrecon.landing.transport import Transport
from posrecon.settings import PROJECT_ROOT, Settings
from tests.servers import S3Server, SftpServer, needs_sshd, scratch_folder
from tests.unit.landing.files import NIGHT, ZM_NAME, zm_record

NOW = datetime(2026, 11, 12, 12, 0, tzinfo=UTC)
AT_ONCE = {"ready": {"rule": "at_once"}}
LARGE = os.urandom(3_000_000) * 4


@pytest.fixture(scope="module")
def sftp() -> Iterator[SftpServer]:
    with scratch_folder() as folder:
        server = SftpServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def client(sftp: SftpServer) -> Iterator[paramiko.SFTPClient]:
    ssh = paramiko.SSHClient()
    name, key = sftp.host_key.split()
    ssh.get_host_keys().add(
        f"[127.0.0.1]:{sftp.port}", name, paramiko.PKey.from_type_string(name, _bytes(key))
    )
    own = paramiko.Ed25519Key.from_private_key_file(str(sftp.root.parent / "user"))
    ssh.connect("127.0.0.1", sftp.port, sftp.user, pkey=own, look_for_keys=False, allow_agent=False)
    yield ssh.open_sftp()
    ssh.close()


def _bytes(key: str) -> bytes:
    from base64 import b64decode

    return b64decode(key)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    server.client().create_bucket(Bucket="bank")
    yield server
    server.stop()


@pytest.fixture
def store(s3: S3Server) -> StoreRemote:
    fs = S3FileSystem(key=s3.LOGIN, secret=s3.SECRET, endpoint_url=s3.address, skip_instance_cache=True)
    return StoreRemote(fs)


def source_of(**transport: object) -> Source:
    source = load_source(PROJECT_ROOT / "include" / "sources" / "unionpay_zm.yml")
    return source.model_copy(update={"transport": Transport.model_validate(transport), "expected": None})


def fetched(settings: Settings, source: Source, remote: Remote) -> tuple[str, ...]:
    @contextmanager
    def connect(transport: Transport) -> Iterator[Remote]:
        yield remote

    return look(settings, source, NIGHT, connect=connect, now=NOW, is_first=True).fetched


@needs_sshd
def test_sftp__a_file_is_fetched_whole_once_and_left(
    settings: Settings, sftp: SftpServer, client: paramiko.SFTPClient
) -> None:
    (sftp.root / "out" / "done").mkdir(parents=True)
    (sftp.root / "out" / ZM_NAME).write_bytes(LARGE)
    os.utime(sftp.root / "out" / ZM_NAME, (1_000_000, 1_000_000))
    (sftp.root / "out" / "link").symlink_to(sftp.root / "out" / ZM_NAME)
    source = source_of(kind="sftp", connection="c", path="out", pattern="INN.*|link", **AT_ONCE)
    remote = SftpRemote(client)

    listed = {file.name: file for file in remote.files("out")}
    assert set(listed) == {ZM_NAME}
    assert listed[ZM_NAME] == RemoteFile(
        name=ZM_NAME, location=f"out/{ZM_NAME}", size=len(LARGE), version="1000000", modified=1_000_000
    )
    assert fetched(settings, source, remote) == (ZM_NAME,)
    assert (settings.inbox / "unionpay" / ZM_NAME).read_bytes() == LARGE
    assert fetched(settings, source, remote) == ()
    assert (sftp.root / "out" / ZM_NAME).exists()


@needs_sshd
def test_sftp__a_file_that_is_gone__and_a_folder_that_never_was(
    sftp: SftpServer, client: paramiko.SFTPClient
) -> None:
    remote = SftpRemote(client)
    assert remote.file("nothing") is None
    with pytest.raises(FileNotFoundError):
        remote.files("nowhere")
    (sftp.root / "gone").write_bytes(b"x")
    remote.remove("gone")
    assert remote.file("gone") is None


def test_s3__an_object_is_fetched_whole_once__a_new_one_of_the_name_again(
    settings: Settings, s3: S3Server, store: StoreRemote
) -> None:
    bucket = s3.client()
    for key in (f"out/{ZM_NAME}", "out/sub/other", "elsewhere"):
        bucket.put_object(Bucket="bank", Key=key, Body=LARGE)
    source = source_of(kind="s3", connection="c", path="bank/out")

    assert [file.name for file in store.files("bank/out")] == [ZM_NAME]
    assert fetched(settings, source, store) == (ZM_NAME,)
    target = settings.inbox / "unionpay" / ZM_NAME
    assert target.read_bytes() == LARGE
    bucket.put_object(Bucket="bank", Key=f"out/{ZM_NAME}", Body=LARGE)  # the same content: the same ETag
    assert fetched(settings, source, store) == ()
    target.unlink()
    bucket.put_object(Bucket="bank", Key=f"out/{ZM_NAME}", Body=zm_record())
    assert fetched(settings, source, store) == (ZM_NAME,)
    assert target.read_bytes() == zm_record()


def test_s3__nothing_under_the_prefix_is_nothing_yet__no_bucket_is_an_error(store: StoreRemote) -> None:
    assert store.files("bank/not-yet") == []
    assert store.file("bank/not-yet/x") is None
    with pytest.raises(FileNotFoundError):
        store.files("nobody/out")


def test_fetch__writes_what_the_object_holds__in_one_pass(s3: S3Server, store: StoreRemote) -> None:
    s3.client().put_object(Bucket="bank", Key="whole", Body=LARGE)
    target = BytesIO()
    store.fetch("bank/whole", target)
    assert target.getvalue() == LARGE
    store.remove("bank/whole")
    assert store.file("bank/whole") is None
