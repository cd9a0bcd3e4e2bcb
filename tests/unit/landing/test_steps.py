import csv
import io
import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from posrecon.errors import NightError
from posrecon.landing import parse_file, receive, register, steps
from posrecon.landing.archive import ArchiveError, blob_path
from posrecon.landing.receipts import read_receipts
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import (
    MER_ID,
    MERCHANTS,
    NIGHT,
    PAN,
    ZM_NAME,
    event,
    land,
    log_of,
    put,
    raw,
    registry,
    rows,
    settings_of,
    statement,
    zm_record,
)

NEXT = NIGHT + timedelta(days=1)
LOG = "terminal_log_20261111.csv"


def states(settings: Settings, night: date = NIGHT) -> list[tuple[str, str]]:
    return [(row["file_name"], row["state"]) for row in registry(settings, night)]


def full_inbox(settings: Settings) -> None:
    put(settings, "terminal_log", LOG, log_of(event(card_no=PAN), event(card_no=PAN, amount="x")))
    put(settings, "unionpay", ZM_NAME, zm_record() + zm_record(stan="000002"))
    put(settings, "bank", "MT940_310500161836_20261111.sta", statement(closing="C261111CNY100,00").encode())
    put(settings, "reference", "merchants.csv", MERCHANTS)


# -------------------------------------------------------------------------------- receive
def test_receive__numbers_files_by_feed_and_name__and_empties_the_inbox(settings: Settings) -> None:
    full_inbox(settings)
    receive(settings, NIGHT)

    receipts = read_receipts(settings, NIGHT)
    assert [(receipt.file_no, receipt.feed) for receipt in receipts] == [
        (1, "bank"), (2, "reference"), (3, "terminal_log"), (4, "unionpay"),
    ]  # fmt: skip
    assert [path for path in settings.inbox.rglob("*") if path.is_file()] == []


def test_receive__numbers_continue_in_the_next_night(settings: Settings) -> None:
    full_inbox(settings)
    receive(settings, NIGHT)
    put(settings, "unionpay", ZM_NAME.replace("261111", "261112"), zm_record())
    receive(settings, NEXT)
    assert [receipt.file_no for receipt in read_receipts(settings, NEXT)] == [5]


@pytest.mark.parametrize("name", [".hidden.csv", "a.csv.part", "a.csv.tmp", "a.CSV.filepart"])
def test_receive__an_unfinished_upload__stays(settings: Settings, name: str) -> None:
    path = put(settings, "terminal_log", name, log_of(event()))
    assert receive(settings, NIGHT) == []
    assert path.exists()


def test_receive__early_files__wait_for_their_night(settings: Settings) -> None:
    early = [
        put(settings, "terminal_log", "a.csv", log_of(event(txn_time="2026-11-12T00:10:00"))),
        put(settings, "unionpay", ZM_NAME.replace("261111", "261112"), zm_record()),
        put(settings, "bank", "x.sta", statement(closing="C261112CNY100,00").encode()),
    ]
    assert receive(settings, NIGHT) == []
    assert all(path.exists() for path in early)
    assert len(receive(settings, NEXT)) == 3


@pytest.mark.parametrize(
    "name", ["terminal_log_20261112.csv", "terminal_log_20261112.jsonl", "terminal_log_20261112.parquet"]
)
def test_receive__a_log_that_begins_with_a_late_record__waits_for_the_night_of_most_records(
    settings: Settings, name: str
) -> None:
    times = (
        "2026-11-11T23:59:00",
        "2026-11-11T16:10:00Z",
        "2026-11-12T09:00:00+08:00",
        "2026-11-12 10:00:00",
    )
    lines = [event(stan=f"{number:06d}", txn_time=time) for number, time in enumerate(times, 1)]
    records = list(csv.DictReader(io.StringIO(log_of(*lines).decode())))
    if name.endswith("csv"):
        content = log_of(*lines)
    elif name.endswith("jsonl"):
        content = "".join(json.dumps(record) + "\n" for record in records).encode()
    else:
        written = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(records), written)
        content = written.getvalue()
    put(settings, "terminal_log", name, content)

    assert receive(settings, NIGHT) == []
    assert len(receive(settings, NEXT)) == 1


def test_receive__with_an_unrecognised_name__the_file_is_rejected_and_kept(settings: Settings) -> None:
    put(settings, "unionpay", "readme.txt", b"hello")
    (outcome,) = land(settings)

    assert states(settings) == [("readme.txt", "rejected")]
    assert "no source reads a file of this name in the folder unionpay" in str(outcome.reason)
    assert blob_path(settings, outcome.sha256).exists()


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def killing(function: Callable[..., Any], *, at_call: int, before: bool) -> Callable[..., Any]:
    """`function`, but the process 'dies' before or after its nth call."""
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at_call and before:
            raise Killed
        result = function(*args, **kwargs)
        if calls == at_call:
            raise Killed
        return result

    return call


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("at_call", [1, 2, 4])
@pytest.mark.parametrize("step", ["store", "write_receipt"])
def test_receive__killed_at_any_point__the_next_run_loses_and_doubles_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, at_call: int, before: bool
) -> None:
    undisturbed = settings_of(tmp_path / "undisturbed")
    for home in (settings, undisturbed):
        full_inbox(home)
    land(undisturbed)
    with monkeypatch.context() as patch:
        patch.setattr(steps, step, killing(getattr(steps, step), at_call=at_call, before=before))
        with pytest.raises(Killed):
            receive(settings, NIGHT)

    land(settings)

    assert read_receipts(settings, NIGHT) == read_receipts(undisturbed, NIGHT)
    assert registry(settings) == registry(undisturbed)


@pytest.mark.parametrize("at_call", [1, 2, 3])
@pytest.mark.parametrize("step", ["put_in_place", "write_outcome"])
def test_parse__killed_at_any_point__the_next_run_gives_the_same_bytes(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, at_call: int
) -> None:
    undisturbed = settings_of(tmp_path / "undisturbed")
    for home in (settings, undisturbed):
        full_inbox(home)
    land(undisturbed)
    with monkeypatch.context() as patch:
        patch.setattr(steps, step, killing(getattr(steps, step), at_call=at_call, before=True))
        with pytest.raises(Killed):
            land(settings)

    land(settings)

    assert contents(settings.raw) == contents(undisturbed.raw)
    assert list(settings.tmp.rglob("*.parquet")) == []


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_receive__a_file_replaced_after_it_was_archived__keeps_the_new_content(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(settings, "terminal_log", LOG, log_of(event()))
    real = steps.write_receipt

    def replaced(*args: Any) -> None:
        real(*args)
        path.write_bytes(log_of(event(), event()))

    monkeypatch.setattr(steps, "write_receipt", replaced)
    receive(settings, NIGHT)
    assert path.read_bytes() == log_of(event(), event())


def test_receive__an_unfinished_blob_of_a_killed_run__is_cleared_away(settings: Settings) -> None:
    partial = settings.archive / "blobs" / f".{'0' * 64}.enc.4711.tmp"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"part")
    receive(settings, NIGHT)
    assert not partial.exists()


def test_replay__from_archive__ignores_the_inbox_and_rebuilds_the_same_bytes(
    settings: Settings, tmp_path: Path
) -> None:
    full_inbox(settings)
    land(settings)
    other = settings_of(tmp_path / "other")
    shutil.copytree(settings.archive, other.archive)
    put(other, "terminal_log", "late.csv", log_of(event()))

    for file_id in receive(other, NIGHT, from_archive=True):
        parse_file(other, NIGHT, file_id)
    register(other, NIGHT)

    assert contents(other.raw) == contents(settings.raw)
    assert (other.inbox / "terminal_log" / "late.csv").exists()


# -------------------------------------------------------------------------------- parse
def test_no_whole_card_number__anywhere_under_home_after_landing(settings: Settings) -> None:
    full_inbox(settings)
    put(
        settings,
        "terminal_log",
        "terminal_log_20261111_b.csv",
        log_of(event(card_no=PAN), header="card_no," * 2),
    )
    put(settings, "unionpay", ZM_NAME[:-1] + "8", zm_record(card=PAN) + zm_record(card=PAN, amount="x"))
    land(settings)

    everything = contents(settings.home)
    assert len(everything) > 10
    assert [name for name, data in everything.items() if PAN.encode() in data] == []
    for path in settings.home.rglob("*.parquet"):
        assert PAN not in str(rows(path))


def test_a_changed_blob__stops_the_night_and_is_no_bad_file(settings: Settings) -> None:
    put(settings, "terminal_log", LOG, log_of(event()))
    (file_id,) = receive(settings, NIGHT)
    blob = blob_path(settings, read_receipts(settings, NIGHT)[0].sha256)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)

    with pytest.raises(ArchiveError, match=blob.name):
        parse_file(settings, NIGHT, file_id)


def test_bad_files__do_not_stop_the_others(settings: Settings) -> None:
    full_inbox(settings)
    put(settings, "unionpay", ZM_NAME[:-1] + "8", b"")
    put(settings, "terminal_log", "other.csv", zm_record())
    land(settings)

    assert sorted(states(settings)) == [
        (ZM_NAME, "loaded"), (ZM_NAME[:-1] + "8", "rejected"), ("MT940_310500161836_20261111.sta", "loaded"),
        ("merchants.csv", "loaded"), ("other.csv", "rejected"), (LOG, "loaded"),
    ]  # fmt: skip


# -------------------------------------------------------------------------------- register
def test_the_same_content_again__is_a_duplicate_without_effect(settings: Settings) -> None:
    put(settings, "terminal_log", LOG, log_of(event()))
    land(settings)
    put(settings, "terminal_log", "again.csv", log_of(event()))
    land(settings, NEXT)

    (row,) = registry(settings, NEXT)
    assert (row["state"], row["loaded"]) == ("duplicate", 0)
    assert LOG in row["reason"]
    assert len(raw(settings, "terminal_events")) == 1


def test_other_content_of_the_same_file__is_a_conflict_and_held(settings: Settings) -> None:
    put(settings, "unionpay", ZM_NAME, zm_record())
    land(settings)
    put(settings, "unionpay", ZM_NAME, zm_record() * 2)
    (outcome,) = land(settings, NEXT)

    (row,) = registry(settings, NEXT)
    assert (row["state"], row["loaded"]) == ("conflict", 0)
    assert "1 records then, 2 now" in row["reason"]
    assert "posrecon files accept" in str(read_note(settings, NEXT, outcome.file_id)["next_step"])
    assert len(raw(settings, "settlement_lines")) == 1


def test_a_file_after_a_rejected_one__simply_loads(settings: Settings) -> None:
    put(settings, "unionpay", ZM_NAME, zm_record()[:100])
    land(settings)
    put(settings, "unionpay", ZM_NAME, zm_record())
    land(settings, NEXT)
    assert states(settings, NEXT) == [(ZM_NAME, "loaded")]


def test_a_rejected_name_sent_again_under_its_right_name__loads(settings: Settings) -> None:
    put(settings, "unionpay", "wrong", zm_record())
    land(settings)
    put(settings, "unionpay", ZM_NAME, zm_record())
    land(settings, NEXT)
    assert states(settings, NEXT) == [(ZM_NAME, "loaded")]


def test_a_night_run_again__gives_the_same_registry(settings: Settings) -> None:
    full_inbox(settings)
    put(settings, "unionpay", ZM_NAME[:-1] + "8", zm_record()[:9])
    land(settings)
    before = contents(settings.raw)
    land(settings)
    assert contents(settings.raw) == before


def test_several_logs_of_one_day__have_distinct_logical_names(settings: Settings) -> None:
    put(settings, "terminal_log", "terminal_log_20261111.csv", log_of(event()))
    put(settings, "terminal_log", "terminal_log_20261111_b.csv", log_of(event(stan="2")))
    land(settings)

    assert [(row["logical_name"], row["state"]) for row in registry(settings)] == [
        ("terminal_log/2026-11-11", "loaded"), ("terminal_log/2026-11-11/b", "loaded"),
    ]  # fmt: skip


def test_a_reference_list__returns_to_last_week_s_content__and_is_in_force_again(settings: Settings) -> None:
    for offset, content in enumerate(
        (MERCHANTS, MERCHANTS.replace(b"M000002", b"M000003"), MERCHANTS, MERCHANTS)
    ):
        put(settings, "reference", "merchants.csv", content)
        land(settings, NIGHT + timedelta(days=offset))

    nights = [registry(settings, NIGHT + timedelta(days=offset))[0]["state"] for offset in range(4)]
    assert nights == ["loaded", "loaded", "loaded", "duplicate"]


def test_expected_files__come_from_the_calendars_and_the_merchants_in_force(settings: Settings) -> None:
    put(settings, "reference", "merchants.csv", MERCHANTS)
    land(settings)
    register(settings, date(2026, 11, 15))  # for Saturday the 14th: banks do not work

    names = {
        night: [
            row["logical_name"] for row in rows(settings.raw / "expected_files" / f"run_date={night}.parquet")
        ]
        for night in (NIGHT, date(2026, 11, 15))
    }
    daily = [f"unionpay_zm/{MER_ID}", f"unionpay_zm/{MER_ID[:-1]}8"]
    assert names[NIGHT] == [
        "bank/310500161836/2026-11-11", "terminal_log/2026-11-11", *(f"{name}/2026-11-11" for name in daily),
    ]  # fmt: skip
    assert names[date(2026, 11, 15)] == ["terminal_log/2026-11-14", *(f"{name}/2026-11-14" for name in daily)]


def test_an_expected_file__is_fulfilled_by_source_key_and_date(settings: Settings) -> None:
    full_inbox(settings)
    land(settings)

    keys = ("source", "logical_key", "business_date")
    here = {tuple(row[key] for key in keys) for row in registry(settings)}
    expected = {
        tuple(row[key] for key in keys)
        for row in rows(settings.raw / "expected_files" / f"run_date={NIGHT}.parquet")
    }
    assert expected - here == {("unionpay_zm", MER_ID[:-1] + "8", date(2026, 11, 11))}


def test_register__a_file_that_was_not_parsed__is_an_error(settings: Settings) -> None:
    full_inbox(settings)
    receive(settings, NIGHT)
    with pytest.raises(NightError, match="but not parsed"):
        register(settings, NIGHT)
