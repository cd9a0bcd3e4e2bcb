"""How files get into the inbox, and how long a night waits, with a folder as the server and a clock of the test's."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import yaml
from fsspec.implementations.local import LocalFileSystem

from posrecon.errors import PosreconError, UsageError
from posrecon.landing.arrival import Look, Remote, awaited_sources, look
from posrecon.landing.remotes import StoreRemote
from posrecon.landing.sources import Source, load_source
from posrecon.landing.transport import Transport
from posrecon.night import sources_to_pull
from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.landing.files import (
    MER_ID,
    MERCHANTS,
    NIGHT,
    ZM_NAME,
    event,
    land,
    log_of,
    put,
    registry,
    zm_record,
)

# 20:00 in Shanghai on the run date.
NOW = datetime(2026, 11, 12, 12, 0, tzinfo=UTC)
STABLE = timedelta(seconds=60)
SECOND = ZM_NAME.replace(MER_ID, "898110000000038")


class Away(StoreRemote):
    """A folder whose line breaks in the middle of the first file."""

    def fetch(self, location: str, target: BinaryIO) -> None:
        target.write(Path(location).read_bytes()[:10])
        raise ConnectionResetError("the line broke")


class Cut(StoreRemote):
    """A server that ends too early without saying so."""

    def fetch(self, location: str, target: BinaryIO) -> None:
        target.write(Path(location).read_bytes()[:10])


class Growing(StoreRemote):
    """A folder in which the sender writes on while we read."""

    def fetch(self, location: str, target: BinaryIO) -> None:
        super().fetch(location, target)
        with Path(location).open("ab") as file:
            file.write(b"more")


class Sender:
    """The folder of a sender, a source that fetches from it, and the looks of one night."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        folder.mkdir()
        self.remote: type[StoreRemote] = StoreRemote
        self.transport: dict[str, Any] = {"kind": "folder", "path": str(folder)}
        self.expected: dict[str, Any] | None = None
        self.name = "unionpay_zm"

    @property
    def source(self) -> Source:
        path = self.settings.sources_dir / f"{self.name}.yml"
        document = yaml.safe_load(
            (PROJECT_ROOT / "include" / "sources" / path.name).read_text(encoding="utf-8")
        )
        document["transport"] = self.transport
        document["expected"] = self.expected
        path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        return load_source(path)

    def send(self, name: str, content: bytes, *, at: float = 1_000_000.0) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (at, at))
        return path

    def look(self, now: datetime = NOW, *, night: date = NIGHT, first: bool = True, **more: Any) -> Look:
        @contextmanager
        def connect(transport: Transport) -> Iterator[Remote]:
            yield self.remote(LocalFileSystem())

        return look(self.settings, self.source, night, connect=connect, now=now, is_first=first, **more)

    def looks(self, now: datetime = NOW, **more: Any) -> Look:
        """The two looks that a finished upload takes."""
        self.look(now, **more)
        return self.look(now + STABLE, first=False, **more)

    @property
    def inbox(self) -> dict[str, bytes]:
        folder = self.settings.inbox / self.source.feed
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


@pytest.fixture
def sender(settings: Settings, tmp_path: Path) -> Sender:
    shutil.copytree(PROJECT_ROOT / "include" / "sources", tmp_path / "project" / "include" / "sources")
    own = settings.model_copy(update={"project_dir": tmp_path / "project"})
    return Sender(own, tmp_path / "sender")


# -------------------------------------------------------------------------------- finished or not
def test_a_file__is_fetched_when_two_looks_saw_it_the_same(sender: Sender) -> None:
    sender.send(ZM_NAME, zm_record())
    first = sender.look()
    assert (first.fetched, first.unsettled, first.again) == ((), (ZM_NAME,), NOW + STABLE)
    assert sender.inbox == {}
    assert sender.look(NOW + STABLE - timedelta(seconds=1), first=False).fetched == ()
    second = sender.look(NOW + STABLE, first=False)
    assert (second.fetched, second.unsettled, second.again) == ((ZM_NAME,), (), None)
    assert sender.inbox == {ZM_NAME: zm_record()}


def test_a_file_that_grows__is_not_fetched_and_holds_the_night_up_only_once(sender: Sender) -> None:
    sender.send(ZM_NAME, zm_record()[:100])
    assert sender.look().again == NOW + STABLE
    sender.send(ZM_NAME, zm_record()[:200])
    second = sender.look(NOW + STABLE, first=False)
    assert (second.fetched, second.unsettled, second.again) == ((), (ZM_NAME,), None)
    assert sender.inbox == {}


def test_the_same_size_with_another_time__is_not_yet_stable(sender: Sender) -> None:
    sender.send(ZM_NAME, b"a" * 100, at=1_000_000)
    sender.look()
    sender.send(ZM_NAME, b"b" * 100, at=1_000_001)
    assert sender.look(NOW + STABLE, first=False).fetched == ()


def test_a_look_of_an_earlier_night__counts(sender: Sender) -> None:
    sender.send(ZM_NAME, zm_record())
    sender.look(NOW - timedelta(days=1), night=date(2026, 11, 11))
    assert sender.look().fetched == (ZM_NAME,)


@pytest.mark.parametrize(
    ("marker", "name"), [("{name}.done", f"{ZM_NAME}.done"), ("{stem}.ok", f"{ZM_NAME}.ok")]
)
def test_a_file_with_a_marker__is_fetched_without_it(sender: Sender, marker: str, name: str) -> None:
    sender.transport |= {"ready": {"rule": "marker", "name": marker}, "pattern": "INN.*"}
    sender.send(ZM_NAME, zm_record())
    waiting = sender.look()
    assert (waiting.fetched, waiting.unsettled, waiting.again) == ((), (ZM_NAME,), None)
    sender.send(name, b"")
    assert sender.look().fetched == (ZM_NAME,)
    assert sender.inbox == {ZM_NAME: zm_record()}


def test_a_marker_of_an_earlier_upload__does_not_count(sender: Sender) -> None:
    sender.transport["ready"] = {"rule": "marker"}
    sender.send(f"{ZM_NAME}.done", b"", at=1_000_000)
    sender.send(ZM_NAME, zm_record(), at=1_000_100)
    assert sender.look().unsettled == (ZM_NAME,)
    sender.send(f"{ZM_NAME}.done", b"", at=1_000_100)
    assert sender.look().fetched == (ZM_NAME,)


def test_at_once__is_one_look(sender: Sender) -> None:
    sender.transport["ready"] = {"rule": "at_once"}
    sender.send(ZM_NAME, zm_record())
    assert sender.look().fetched == (ZM_NAME,)


@pytest.mark.parametrize(
    "name", [f".{ZM_NAME}", f"{ZM_NAME}.part", f"{ZM_NAME}.filepart", "notes.txt", "INN"]
)
def test_a_name_that_is_not_the_source_s__is_left(sender: Sender, name: str) -> None:
    sender.transport |= {"ready": {"rule": "at_once"}}
    sender.send(name, b"x")
    assert sender.look() == Look()


def test_packed_and_encrypted_names__are_the_source_s__a_zip_when_its_pattern_says_so(sender: Sender) -> None:
    sender.transport["ready"] = {"rule": "at_once"}
    for name in (f"{ZM_NAME}.gz", f"{ZM_NAME}.pgp", f"{ZM_NAME}.gz.gpg", "day.zip"):
        sender.send(name, name.encode())
    assert sender.look().fetched == (f"{ZM_NAME}.gz", f"{ZM_NAME}.gz.gpg", f"{ZM_NAME}.pgp")
    sender.transport["pattern"] = r"day\.zip"
    assert sender.look().fetched == ("day.zip",)


# -------------------------------------------------------------------------------- once, and whole
def test_a_fetched_file__is_not_fetched_again__also_after_the_night_took_it(sender: Sender) -> None:
    sender.send(ZM_NAME, zm_record())
    sender.looks()
    land(sender.settings)
    assert sender.looks(NOW + timedelta(days=1), night=date(2026, 11, 13)) == Look()
    assert sender.inbox == {}


def test_other_content_under_the_same_name__is_fetched_and_becomes_a_conflict(sender: Sender) -> None:
    sender.send(ZM_NAME, zm_record())
    sender.looks()
    land(sender.settings)
    sender.send(ZM_NAME, zm_record(amount="000000009999"), at=1_000_500)
    assert sender.looks(NOW + timedelta(days=1), night=date(2026, 11, 13)).fetched == (ZM_NAME,)
    land(sender.settings, date(2026, 11, 13))
    assert [file["state"] for file in registry(sender.settings, date(2026, 11, 13))] == ["conflict"]


def test_other_content_while_the_first_is_still_in_the_inbox__replaces_nothing(sender: Sender) -> None:
    sender.send(ZM_NAME, b"first")
    sender.looks()
    sender.send(ZM_NAME, b"second", at=1_000_500)
    held = sender.looks(NOW + timedelta(hours=1))
    assert (held.fetched, held.held) == ((), (ZM_NAME,))
    assert sender.inbox == {ZM_NAME: b"first"}
    (sender.settings.inbox / "unionpay" / ZM_NAME).unlink()
    assert sender.look(NOW + timedelta(hours=2)).fetched == (ZM_NAME,)


def test_the_same_content_that_somebody_put_there__is_no_trouble(sender: Sender) -> None:
    put(sender.settings, "unionpay", ZM_NAME, zm_record())
    sender.send(ZM_NAME, zm_record())
    assert sender.looks().fetched == (ZM_NAME,)
    assert sender.inbox == {ZM_NAME: zm_record()}


def test_again__fetches_what_was_fetched(sender: Sender) -> None:
    sender.send(ZM_NAME, zm_record())
    sender.looks()
    (sender.settings.inbox / "unionpay" / ZM_NAME).unlink()
    assert sender.looks(NOW + timedelta(hours=1), again_for=frozenset({ZM_NAME})).fetched == (ZM_NAME,)


@pytest.mark.parametrize("remote", [Away, Cut])
def test_a_line_that_breaks__leaves_nothing__and_the_next_try_fetches_it(
    sender: Sender, remote: type[StoreRemote]
) -> None:
    sender.send(ZM_NAME, zm_record())
    sender.look()
    sender.remote = remote
    with pytest.raises(OSError, match=r"the line broke|10 bytes came, expected 609"):
        sender.look(NOW + STABLE, first=False)
    assert sender.inbox == {}
    sender.remote = StoreRemote
    assert sender.look(NOW + STABLE).fetched == (ZM_NAME,)


def test_a_file_that_changes_while_it_is_fetched__leaves_nothing(sender: Sender) -> None:
    sender.transport["ready"] = {"rule": "at_once"}
    sender.send(ZM_NAME, zm_record())
    sender.remote = Growing
    found = sender.look()
    assert (found.fetched, found.unsettled) == ((), (ZM_NAME,))
    assert sender.inbox == {}


def test_what_a_killed_process_left__is_no_file_of_the_night_and_goes_at_the_next_look(
    sender: Sender,
) -> None:
    left = put(sender.settings, "unionpay", ".0123456789abcdef.unionpay_zm.arriving", b"half")
    assert land(sender.settings) == []
    sender.look()
    assert not left.exists()


def test_a_lost_ledger__costs_a_duplicate_and_nothing_else(sender: Sender) -> None:
    sender.send(ZM_NAME, zm_record())
    sender.looks()
    land(sender.settings)
    (sender.settings.arrival / "ledger.sqlite").unlink()
    next_night = date(2026, 11, 13)
    assert sender.looks(NOW + timedelta(days=1), night=next_night).fetched == (ZM_NAME,)
    land(sender.settings, next_night)
    assert [file["state"] for file in registry(sender.settings, next_night)] == ["duplicate"]


def test_nothing_is_deleted_by_default(sender: Sender) -> None:
    path = sender.send(ZM_NAME, zm_record())
    sender.looks()
    land(sender.settings)
    sender.looks(NOW + timedelta(days=1))
    assert path.exists()


def test_delete__removes_a_file_only_when_the_archive_holds_it(sender: Sender) -> None:
    sender.transport |= {"after": "delete", "ready": {"rule": "marker"}}
    path, marker = sender.send(ZM_NAME, zm_record()), sender.send(f"{ZM_NAME}.done", b"")
    assert sender.look().fetched == (ZM_NAME,)
    sender.look()
    assert path.exists()
    land(sender.settings)
    sender.look()
    assert not path.exists()
    assert not marker.exists()


def test_delete__keeps_a_file_that_came_anew(sender: Sender) -> None:
    sender.transport |= {"after": "delete", "ready": {"rule": "at_once"}}
    path = sender.send(ZM_NAME, zm_record())
    sender.look()
    land(sender.settings)
    sender.send(ZM_NAME, zm_record(amount="000000009999"), at=1_000_500)
    assert sender.look().fetched == (ZM_NAME,)
    assert path.exists()


# -------------------------------------------------------------------------------- folders
def test_a_dated_path__is_looked_into_for_the_last_days__a_missing_day_is_no_error(sender: Sender) -> None:
    sender.transport |= {"path": f"{sender.folder}/%Y%m%d", "ready": {"rule": "at_once"}, "days": 3}
    for day in (8, 9, 11, 12):
        name = ZM_NAME.replace("261111", f"2611{day:02d}")
        sender.send(f"202611{day:02d}/{name}", zm_record())
    fetched = sender.look().fetched
    assert fetched == (ZM_NAME.replace("261111", "261109"), ZM_NAME)


def test_a_path_that_is_not_there__is_said_with_its_name(sender: Sender) -> None:
    sender.transport["path"] = str(sender.folder / "none")
    with pytest.raises(UsageError, match=r"unionpay_zm: folder .*no folder .*none"):
        sender.look()


def test_a_name_that_is_no_plain_file_name__is_not_fetched(sender: Sender) -> None:
    sender.transport |= {"ready": {"rule": "at_once"}, "pattern": "(?s).*"}
    sender.send("a\nb", b"x")
    sender.send("a\\..\\b", b"x")
    assert sender.look() == Look()


# -------------------------------------------------------------------------------- waiting
def waiting(sender: Sender, deadline: str = "22:00") -> None:
    sender.transport |= {"ready": {"rule": "at_once"}, "look_every_s": 120}
    sender.expected = {"calendar": "daily", "deadline": deadline}


def test_a_file_that_is_expected__is_waited_for_until_the_deadline(sender: Sender) -> None:
    waiting(sender)
    found = sender.look()
    assert found.missing == ("unionpay_zm/2026-11-11",)
    assert found.again == NOW + timedelta(seconds=120)
    deadline = datetime(2026, 11, 12, 14, 0, tzinfo=UTC)
    assert sender.look(deadline - timedelta(seconds=30), first=False).again == deadline
    last = sender.look(deadline, first=False)
    assert (last.missing, last.again) == (("unionpay_zm/2026-11-11",), None)


def test_a_file_that_comes_late__ends_the_wait(sender: Sender) -> None:
    waiting(sender)
    sender.expected = {"calendar": "daily", "deadline": "22:00", "per": "unionpay_mer_id"}
    assert sender.look().again is not None
    sender.send(ZM_NAME, zm_record())
    found = sender.look(NOW + timedelta(minutes=2), first=False)
    assert (found.fetched, found.missing, found.again) == ((ZM_NAME,), (), None)


def test_a_file_of_another_day__does_not_end_the_wait(sender: Sender) -> None:
    waiting(sender)
    sender.send(ZM_NAME.replace("261111", "261110"), zm_record())
    found = sender.look()
    assert len(found.fetched) == 1
    assert found.again is not None


def test_a_file_that_a_person_put_into_the_inbox__ends_the_wait_too(sender: Sender) -> None:
    sender.name = "terminal_log"
    waiting(sender)
    assert sender.look().again is not None
    put(sender.settings, "terminal_log", "log.csv", log_of(event()))
    assert sender.look(NOW + timedelta(minutes=2), first=False) == Look()


def test_with_a_list_of_merchants__the_file_of_each_is_waited_for(sender: Sender) -> None:
    put(sender.settings, "reference", "merchants.csv", MERCHANTS)
    land(sender.settings, date(2026, 11, 11))
    waiting(sender)
    sender.expected = {"calendar": "daily", "deadline": "22:00", "per": "unionpay_mer_id"}
    sender.send(ZM_NAME, zm_record())
    found = sender.look()
    assert (found.fetched, found.missing) == ((ZM_NAME,), ("unionpay_zm/898110000000038/2026-11-11",))
    sender.send(SECOND, zm_record(mer_id="898110000000038"))
    assert sender.look(NOW + timedelta(minutes=2), first=False).again is None


def test_a_file_that_came_in_an_earlier_try_of_the_night__is_not_missing(sender: Sender) -> None:
    waiting(sender)
    sender.send(ZM_NAME, zm_record())
    sender.look()
    land(sender.settings)
    assert sender.look() == Look()


def test_a_past_night__waits_for_nothing(sender: Sender) -> None:
    waiting(sender)
    found = sender.look(NOW + timedelta(days=40))
    assert (found.missing, found.again) == (("unionpay_zm/2026-11-11",), None)


def test_a_day_without_an_expected_file__is_not_waited_for(sender: Sender) -> None:
    waiting(sender)
    sender.expected = {"calendar": "banking_days", "deadline": "22:00"}
    sunday = date(2026, 11, 16)
    assert sender.look(datetime(2026, 11, 16, 2, 0, tzinfo=UTC), night=sunday) == Look()


def test_a_source_without_a_deadline__is_not_waited_for(sender: Sender) -> None:
    sender.expected = {"calendar": "daily"}
    assert sender.look().again is None


def test_a_deadline__is_a_wall_clock_of_the_source_s_zone(sender: Sender) -> None:
    waiting(sender)
    source = sender.source.model_copy(update={"zone": "America/New_York"})
    assert source.deadline_of(date(2026, 11, 12)) == datetime(2026, 11, 13, 3, 0, tzinfo=UTC)
    assert source.deadline_of(date(2026, 7, 12)) == datetime(2026, 7, 13, 2, 0, tzinfo=UTC)


def test_an_upload_first_seen_at_the_deadline__gets_its_second_look(sender: Sender) -> None:
    waiting(sender)
    sender.transport["ready"] = {"rule": "stable", "seconds": 60}
    sender.look()
    deadline = datetime(2026, 11, 12, 14, 0, tzinfo=UTC)
    sender.send(ZM_NAME, zm_record())
    assert sender.look(deadline, first=False).again == deadline + STABLE
    assert sender.look(deadline + STABLE, first=False).fetched == (ZM_NAME,)


def test_a_server_that_is_away__is_waited_for_until_the_deadline__then_it_is_an_error(sender: Sender) -> None:
    waiting(sender)
    sender.send(ZM_NAME, zm_record())
    sender.remote = Away
    found = sender.look()
    assert found.trouble == "the line broke"
    assert found.again == NOW + timedelta(seconds=120)
    with pytest.raises(ConnectionResetError):
        sender.look(datetime(2026, 11, 12, 14, 0, tzinfo=UTC), first=False)


# -------------------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"transport": {"kind": "ftp", "path": "/x"}}, "transport.kind: Input should be"),
        ({"transport": {"kind": "sftp", "path": "/x"}}, "transport: .*connection: expected with sftp"),
        ({"transport": {"kind": "folder", "path": "x"}}, "transport: .*expected an absolute path"),
        ({"transport": {"kind": "s3", "connection": "c", "path": "/b/x"}}, ".*expected bucket/prefix"),
        (
            {"transport": {"kind": "s3", "connection": "c", "path": "s3://b"}},
            "transport.path: .*without a scheme",
        ),
        ({"transport": {"kind": "folder", "path": "/a/../b"}}, "transport.path: .*expected a path without"),
        ({"transport": {"kind": "folder", "path": "/a/%H"}}, "transport.path: .*expected after %"),
        (
            {"transport": {"kind": "folder", "path": "/a", "pattern": "("}},
            "transport.pattern: .*not a regular",
        ),
        ({"transport": {"kind": "folder", "path": "/a", "user": "x"}}, "transport.user: Extra inputs"),
        ({"transport": {"kind": "folder", "path": "/a", "ready": {"rule": "soon"}}}, "transport.ready: "),
        (
            {"transport": {"kind": "folder", "path": "/a", "ready": {"rule": "marker", "name": "done"}}},
            r"transport.ready.marker.name: .*expected \{name\}",
        ),
        ({"expected": {"calendar": "daily", "deadline": 630}}, "expected.deadline: .*in quotes"),
        ({"expected": {"calendar": "daily", "deadline": "10:30+08:00"}}, "expected.deadline: .*in quotes"),
        ({"pgp": {"signed_by": ["ABCD"]}}, "pgp.signed_by: .*whole fingerprint"),
    ],
)
def test_a_wrong_key__is_named_with_its_file(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    document = yaml.safe_load((PROJECT_ROOT / "include/sources/unionpay_zm.yml").read_text(encoding="utf-8"))
    path = tmp_path / "unionpay_zm.yml"
    path.write_text(yaml.safe_dump(document | keys, allow_unicode=True), encoding="utf-8")
    with pytest.raises(PosreconError, match=rf"(?s)unionpay_zm\.yml: {said}"):
        load_source(path)


def test_a_night_that_may_not_run__asks_nobody(sender: Sender) -> None:
    assert sender.source.is_awaited
    assert sources_to_pull(sender.settings, NIGHT) == ["unionpay_zm"]
    assert [source.name for source in awaited_sources(sender.settings)] == ["unionpay_zm"]
    (sender.settings.archive / "receipts" / "run_date=2026-11-11").mkdir(parents=True)
    assert sources_to_pull(sender.settings, NIGHT) == []
