import gzip
import io
import os
import shutil
import stat
import struct
import subprocess
import zipfile
from datetime import date
from pathlib import Path

import pytest

from posrecon.landing import containers, parse_file, receive
from posrecon.landing.archive import blob_path
from posrecon.landing.receipts import read_receipts
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.formats.test_alipay_bill import NAME as ALIPAY_NAME
from tests.unit.formats.test_alipay_bill import PID, a_bill
from tests.unit.formats.test_unionpay_zme import NAME as ZME_NAME
from tests.unit.formats.test_unionpay_zme import zme_record
from tests.unit.landing.files import (
    MER_ID,
    MERCHANTS,
    NIGHT,
    ZM_NAME,
    land,
    parse_one,
    put,
    quarantined,
    raw,
    registry,
    zm_record,
)

ZIP = f"{MER_ID}_20261111.zip"
RD_NAME = f"RD202626111101_{MER_ID}"


def zip_of(members: dict[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    pairs = members.items() if isinstance(members, dict) else members
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return target.getvalue()


def unflagged(content: bytes, name: str, encoding: str = "gbk") -> bytes:
    """A zip whose one member has a name of `encoding` and no flag that says so, as Windows tools write it."""
    stand_in = "?" * len(name.encode(encoding))
    return zip_of({stand_in: content}).replace(stand_in.encode(), name.encode(encoding))


def test_a_delivered_zip__each_member_is_a_file_of_its_own(settings: Settings) -> None:
    members = {
        ZM_NAME: zm_record() + zm_record(amount="x"),
        ZME_NAME: zme_record(),
        RD_NAME: "汇总".encode("gbk"),
    }
    path = put(settings, "unionpay", ZIP, zip_of(members))
    content = path.read_bytes()

    outcomes = {outcome.source: outcome for outcome in land(settings)}

    assert {outcome.file_name for outcome in outcomes.values()} == {f"{ZIP}!{name}" for name in members}
    zm, zme, rd = outcomes["unionpay_zm"], outcomes["unionpay_zme"], outcomes["unionpay_rd"]
    assert [(file.state, file.records, file.loaded, file.quarantined) for file in (zm, zme, rd)] == [
        ("loaded", 2, 1, 1), ("loaded", 1, 1, 0), ("loaded", 0, 0, 0)
    ]  # fmt: skip
    assert zm.logical_name == f"unionpay_zm/{MER_ID}/2026-11-11"
    assert zm.bytes == len(members[ZM_NAME])
    assert {line["file_no"] for line in raw(settings, "settlement_lines")} == {zm.file_no, zme.file_no}
    assert [bad["file_no"] for bad in quarantined(settings)] == [zm.file_no]
    assert not path.exists()
    containers_named = {receipt.container for receipt in read_receipts(settings, NIGHT)}
    assert len(containers_named) == 1
    assert blob_path(settings, str(containers_named.pop())).exists()
    assert content not in b"".join(blob.read_bytes() for blob in (settings.archive / "blobs").iterdir())


def test_a_zip__replayed_from_the_archive__gives_the_same_files(settings: Settings) -> None:
    put(settings, "unionpay", ZIP, zip_of({ZM_NAME: zm_record()}))
    land(settings)
    before = raw(settings, "settlement_lines")

    (file_id,) = receive(settings, NIGHT, from_archive=True)
    parse_file(settings, NIGHT, file_id)

    assert raw(settings, "settlement_lines") == before


def test_a_kill_before_the_zip_left_the_inbox__doubles_nothing(settings: Settings) -> None:
    content = zip_of({ZM_NAME: zm_record(), ZME_NAME: zme_record()})
    put(settings, "unionpay", ZIP, content)
    first = receive(settings, NIGHT)
    put(settings, "unionpay", ZIP, content)
    assert receive(settings, NIGHT) == first


def test_a_member_that_came_bare_before__is_a_duplicate(settings: Settings) -> None:
    put(settings, "unionpay", ZM_NAME, zm_record())
    put(settings, "unionpay", ZIP, zip_of({ZM_NAME: zm_record()}))
    land(settings)
    assert sorted(file["state"] for file in registry(settings)) == ["duplicate", "loaded"]


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
def test_an_alipay_zip__with_unflagged_names__is_read(settings: Settings, encoding: str) -> None:
    content = unflagged(a_bill().encode("gbk"), ALIPAY_NAME, encoding)
    outcome = parse_one(settings, "alipay", f"{PID}0156_20261111.csv.zip", content)
    assert outcome.file_name == f"{PID}0156_20261111.csv.zip!{ALIPAY_NAME}"
    assert (outcome.state, outcome.loaded) == ("loaded", 2)


# How other tools write a zip of everything in the working folder; with a password where they can.
ZIP_TOOLS: dict[str, tuple[list[str], list[str]]] = {
    "zip": (["zip", "-q", "-r"], ["-P", "secret"]),
    "7zz": (["7zz", "a", "-bd"], ["-psecret", "-mem=AES256"]),
    "jar": (["jar", "--create", "--file"], []),
}


def _written_by(tool: str, folder: Path, *options: str) -> bytes:
    if shutil.which(tool) is None:
        pytest.skip(
            f"{tool} is not installed here: zips of another tool than Python's are not tested with it"
        )
    target = folder.parent / "written.zip"
    command, place = ZIP_TOOLS[tool][0], [str(target), "."]
    subprocess.run([*command, *place[:1], *options, *place[1:]], cwd=folder, check=True, capture_output=True)
    return target.read_bytes()


@pytest.mark.parametrize("tool", ZIP_TOOLS)
def test_a_zip_that_another_tool_wrote__is_read(settings: Settings, tmp_path: Path, tool: str) -> None:
    folder = tmp_path / "day"
    (folder / "账单").mkdir(parents=True)
    (folder / ZM_NAME).write_bytes(zm_record() * 3)
    (folder / "账单" / ZME_NAME).write_bytes(zme_record())
    put(settings, "unionpay", ZIP, _written_by(tool, folder))
    outcomes = {outcome.file_name: (outcome.state, outcome.loaded) for outcome in land(settings)}
    assert outcomes.pop(f"{ZIP}!{ZM_NAME}") == ("loaded", 3)
    assert outcomes.pop(f"{ZIP}!账单/{ZME_NAME}") == ("loaded", 1)
    assert all(name.endswith("MANIFEST.MF") and state == "rejected" for name, (state, _) in outcomes.items())


@pytest.mark.parametrize("tool", [tool for tool, (_, password) in ZIP_TOOLS.items() if password])
def test_a_zip_with_a_password_of_another_tool__is_refused(
    settings: Settings, tmp_path: Path, tool: str
) -> None:
    folder = tmp_path / "day"
    folder.mkdir()
    (folder / ZM_NAME).write_bytes(zm_record())
    content = _written_by(tool, folder, *ZIP_TOOLS[tool][1])
    outcome = parse_one(settings, "unionpay", ZIP, content)
    assert (outcome.state, outcome.file_name) == ("rejected", ZIP)
    assert "is encrypted" in str(outcome.reason)


def test_folders_and_what_macos_adds__are_no_files(settings: Settings) -> None:
    members = {
        "day/": b"",
        f"day/{ZM_NAME}": zm_record(),
        f"__MACOSX/day/._{ZM_NAME}": b"x",
        "day/.DS_Store": b"x",
    }
    outcome = parse_one(settings, "unionpay", ZIP, zip_of(members))
    assert (outcome.file_name, outcome.state) == (f"{ZIP}!day/{ZM_NAME}", "loaded")


def test_an_unknown_member__is_refused__the_others_load(settings: Settings) -> None:
    put(settings, "unionpay", ZIP, zip_of({ZM_NAME: zm_record(), "notes.txt": b"x", "inner.zip": zip_of({})}))
    states = {outcome.file_name.split("!")[1]: outcome.state for outcome in land(settings)}
    assert states == {ZM_NAME: "loaded", "notes.txt": "rejected", "inner.zip": "rejected"}


def test_a_zip_of_tonight__waits_for_its_night(settings: Settings) -> None:
    name = ZM_NAME.replace("261111", "261112")
    put(settings, "unionpay", f"{MER_ID}_20261112.zip", zip_of({name: zm_record()}))
    assert receive(settings, NIGHT) == []
    assert len(receive(settings, date(2026, 11, 13))) == 1


def _encrypted() -> bytes:
    content = bytearray(zip_of({ZM_NAME: zm_record()}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(mark) + place
        content[at : at + 2] = struct.pack("<H", struct.unpack("<H", content[at : at + 2])[0] | 1)
    return bytes(content)


def _link() -> bytes:
    info = zipfile.ZipInfo(ZM_NAME)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zip_of([(info, b"/etc/passwd")])


def _damaged() -> bytes:
    content = bytearray(zip_of({ZM_NAME: os.urandom(4000)}))
    content[500] ^= 0xFF
    return bytes(content)


def _overlapping() -> bytes:
    """Two directory entries of one content."""
    content = zip_of({"a": os.urandom(5000), "b": b""})
    start = content.index(b"PK\x01\x02")
    first = content[start : content.index(b"PK\x01\x02", start + 4)]
    second = first[:46] + b"b"
    end = content.index(b"PK\x05\x06")
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(first + second), start, 0)
    assert end > start
    return content[:start] + first + second + tail


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zip_of({ZM_NAME: b" " * (64 << 20)}), "grows more than 200 times"),
        (_encrypted(), "is encrypted"),
        (_link(), "is a link, expected a file"),
        (_damaged(), "is damaged or truncated"),
        (_overlapping(), "its members overlap"),
        (zip_of({f"../{ZM_NAME}": zm_record()}), "has a path that leaves its folder"),
        (zip_of({f"/etc/{ZM_NAME}": zm_record()}), "has a path that leaves its folder"),
        (zip_of({f"C:/{ZM_NAME}": zm_record()}), "has a path that leaves its folder"),
        (zip_of({f"a\\..\\{ZM_NAME}": zm_record()}), "has a path that leaves its folder"),
        (zip_of({ZM_NAME + "\nx": zm_record()}), "has a path that leaves its folder"),
        (
            zip_of({f"member{number}": b"" for number in range(1001)}),
            "holds 1001 members, expected at most 1000",
        ),
        (zip_of({}), "is an empty zip"),
        (zip_of({ZM_NAME: zm_record()})[:-30], "cannot be opened as a zip"),
        (zm_record(), "cannot be opened as a zip"),
        (b"", "cannot be opened as a zip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_or_broken_zip__is_refused_whole__with_its_reason(
    settings: Settings, content: bytes, said: str
) -> None:
    outcome = parse_one(settings, "unionpay", ZIP, content)

    assert (outcome.state, outcome.file_name) == ("rejected", ZIP)
    assert said in str(outcome.reason)
    assert read_note(settings, NIGHT, outcome.file_id)["next_step"]
    assert raw(settings, "settlement_lines") == []


def test_a_name_that_stands_twice__refuses_the_zip(settings: Settings) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zip_of([(ZM_NAME, zm_record()), (ZM_NAME, zm_record(stan="000002"))])
    outcome = parse_one(settings, "unionpay", ZIP, content)
    assert "stands twice" in str(outcome.reason)


def test_sizes_that_a_directory_states__are_not_believed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "RATIO_FREE_BYTES", 1000)
    monkeypatch.setattr(containers, "BYTES_MAX", 5000)
    outcome = parse_one(settings, "terminal_log", "a.csv.gz", gzip.compress(os.urandom(6000)))
    assert "grows to more than 5000 bytes" in str(outcome.reason)


def test_an_alipay_account__with_0156_in_the_list__is_expected_under_its_16_digits(
    settings: Settings,
) -> None:
    from tests.unit.landing.files import rows

    line = f"M000003,茶馆,北京,310500161836,,1900000109,{PID}0156,CNY\n"
    put(settings, "reference", "merchants.csv", MERCHANTS + line.encode())
    put(settings, "alipay", ALIPAY_NAME, a_bill().encode("gbk"))
    land(settings)

    expected = rows(settings.raw / "expected_files" / "*.parquet")
    wallets = {(row["source"], row["logical_key"]) for row in expected if row["feed"] in ("wechat", "alipay")}
    assert wallets == {("alipay_bill", PID), ("wechat_bill", "1900000109")}
    bills = {(row["source"], row["logical_key"]) for row in registry(settings) if row["feed"] == "alipay"}
    assert bills == {("alipay_bill", PID)}
