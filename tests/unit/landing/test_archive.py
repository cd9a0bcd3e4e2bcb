import os
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posrecon.files import sha256_of
from posrecon.landing import archive
from posrecon.landing.archive import ArchiveError, blob_path, key_path, open_plain, shred, store
from posrecon.settings import Settings
from tests.unit.landing.files import settings_of


@pytest.fixture
def frames_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FRAME", 10)


def stored(settings: Settings, tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "received"
    path.write_bytes(content)
    digest = sha256_of(path)
    store(settings, path, digest)
    return digest


@pytest.mark.usefixtures("frames_of_ten")
@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 95])
def test_round_trip__any_size__gives_the_same_bytes(settings: Settings, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    digest = stored(settings, tmp_path, content)
    with open_plain(settings, digest) as path:
        assert path.read_bytes() == content


@pytest.mark.usefixtures("frames_of_ten")
def test_any_flipped_byte__is_found__and_the_blob_is_named(settings: Settings, tmp_path: Path) -> None:
    digest = stored(settings, tmp_path, b"twenty-five bytes of text")
    blob = blob_path(settings, digest)
    whole = blob.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        blob.write_bytes(changed)
        with pytest.raises(ArchiveError, match=digest), open_plain(settings, digest):
            pass


@pytest.mark.usefixtures("frames_of_ten")
@pytest.mark.parametrize("cut", [1, 26, 52, 70])
def test_a_blob_cut_short__is_found(settings: Settings, tmp_path: Path, cut: int) -> None:
    digest = stored(settings, tmp_path, b"x" * 30)
    blob = blob_path(settings, digest)
    blob.write_bytes(blob.read_bytes()[:-cut])
    with pytest.raises(ArchiveError, match="changed or damaged"), open_plain(settings, digest):
        pass


def test_a_blob_under_the_name_of_another__is_found(settings: Settings, tmp_path: Path) -> None:
    first, second = stored(settings, tmp_path, b"first"), stored(settings, tmp_path, b"second")
    blob_path(settings, second).write_bytes(blob_path(settings, first).read_bytes())
    with pytest.raises(ArchiveError, match=second), open_plain(settings, second):
        pass


def test_another_key__does_not_open_the_blob(settings: Settings, tmp_path: Path) -> None:
    digest = stored(settings, tmp_path, b"content")
    other = settings_of(settings.home).model_copy(update={"archive_key": settings.token_key})
    with pytest.raises(ArchiveError, match="another archive key"), open_plain(other, digest):
        pass


def test_a_missing_blob__is_named(settings: Settings) -> None:
    with pytest.raises(ArchiveError, match="the archived file is missing"), open_plain(settings, "0" * 64):
        pass


def test_a_blob_is_written_once(settings: Settings, tmp_path: Path) -> None:
    digest = stored(settings, tmp_path, b"content")
    before = blob_path(settings, digest).read_bytes()
    stored(settings, tmp_path, b"content")
    assert blob_path(settings, digest).read_bytes() == before


def test_a_file_that_changes_while_it_is_read__is_not_archived(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "received"
    path.write_bytes(b"first")
    digest = sha256_of(path)
    path.write_bytes(b"second")
    with pytest.raises(ArchiveError, match="changed while it was read"):
        store(settings, path, digest)
    assert list((settings.archive / "blobs").iterdir()) == []


def test_without_memfd__clear_text_is_a_private_file_that_goes_away(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = stored(settings, tmp_path, b"content")
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with open_plain(settings, digest) as path:
        assert path.read_bytes() == b"content"
        assert path.stat().st_mode & 0o777 == 0o600
    assert list(settings.tmp.iterdir()) == []


def test_the_archive_holds_no_clear_text(settings: Settings, tmp_path: Path) -> None:
    digest = stored(settings, tmp_path, b"6212345678901232" * 100)
    assert b"62123456" not in blob_path(settings, digest).read_bytes()


def test_any_flipped_byte_of_the_key__is_found__and_the_key_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    digest = stored(settings, tmp_path, b"content")
    key = key_path(settings, digest)
    whole = key.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        key.write_bytes(changed)
        with pytest.raises(ArchiveError, match="key does not verify"), open_plain(settings, digest):
            pass
    key.unlink()
    with (
        pytest.raises(ArchiveError, match="key of the archived file is missing"),
        open_plain(settings, digest),
    ):
        pass


def test_shredded__no_copy_of_the_blob_can_be_read__and_the_error_says_why(
    settings: Settings, tmp_path: Path
) -> None:
    digest = stored(settings, tmp_path, b"content")
    blob = blob_path(settings, digest)
    backup = blob.read_bytes()

    shred(settings, digest, "on 2034-01-01 by rule terminal_log")
    shred(settings, digest, "on 2034-01-01 by rule terminal_log")

    assert not blob.exists()
    assert not key_path(settings, digest).exists()
    for _ in range(2):
        with (
            pytest.raises(ArchiveError, match="was shredded: on 2034-01-01 by rule terminal_log"),
            open_plain(settings, digest),
        ):
            pass
        blob.write_bytes(backup)  # the blob comes back from a backup; its key does not


def test_shredded_and_received_again__is_there_again(settings: Settings, tmp_path: Path) -> None:
    digest = stored(settings, tmp_path, b"content")
    shred(settings, digest, "on 2034-01-01")

    stored(settings, tmp_path, b"content")

    with open_plain(settings, digest) as path:
        assert path.read_bytes() == b"content"


def test_killed_after_its_key_was_made__storing_again_uses_it(settings: Settings, tmp_path: Path) -> None:
    digest = stored(settings, tmp_path, b"content")
    key = key_path(settings, digest).read_bytes()
    blob_path(settings, digest).unlink()

    stored(settings, tmp_path, b"content")

    assert key_path(settings, digest).read_bytes() == key
    with open_plain(settings, digest) as path:
        assert path.read_bytes() == b"content"


def test_a_blob_of_an_older_release__that_holds_its_own_key__is_read(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "received"
    path.write_bytes(b"content")
    digest = sha256_of(path)
    magic, data_key, nonce, prefix = (
        b"PRARCH\x00\x01",
        AESGCM.generate_key(256),
        os.urandom(12),
        os.urandom(7),
    )
    wrapped = AESGCM(bytes.fromhex("22" * 32)).encrypt(nonce, data_key, magic + bytes.fromhex(digest))
    frame = AESGCM(data_key).encrypt(
        prefix + struct.pack(">I?", 0, True), b"content", bytes.fromhex(digest) + b"\1"
    )
    blob = blob_path(settings, digest)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(struct.pack(">8sI12s48s7s", magic, archive.FRAME, nonce, wrapped, prefix) + frame)

    with open_plain(settings, digest) as clear:
        assert clear.read_bytes() == b"content"
    shred(settings, digest, "on 2034-01-01")
    assert not blob.exists()
