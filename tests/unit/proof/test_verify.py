"""Every change is found and named; what a crash leaves is not taken for a change."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from posrecon.audit.anchor import anchor_files
from posrecon.audit.log import NO_RECORD, Record, log_files, read_records, record
from posrecon.errors import UsageError
from posrecon.landing.archive import blob_path
from posrecon.landing.decisions import Decision, write_decision
from posrecon.landing.receipts import read_receipts
from posrecon.proof import nights
from posrecon.proof.verify import Fault, verify
from posrecon.settings import Settings
from posrecon.warehouse.manifests import manifest_path, read_manifest
from posrecon.warehouse.revisions import keep_manifests
from tests.unit.proof.year import FIRST, settings_of, small_night, small_nights


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_of(tmp_path / "home")
    small_nights(settings, 3)
    return settings


def flip(path: Path, at: int) -> None:
    """Change one bit of one byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def first_fault(settings: Settings) -> Fault:
    verdict = verify(settings)
    assert len(verdict.faults) == 1
    return verdict.faults[0]


def test_untouched__is_sound_and_counts_everything(settings: Settings) -> None:
    verdict = verify(settings)

    assert verdict.sound
    assert verdict.notes == []
    assert (verdict.nights, verdict.received, verdict.records) == (3, 9, 13)
    assert verdict.anchors == 3
    assert verdict.anchored == verdict.head[0] == 13
    # per night: 3 receipts, 5 tables, 1 state, 2 reports
    assert verdict.published == 33


def test_night_run_again_and_replayed__is_sound(settings: Settings) -> None:
    small_night(settings, FIRST)
    small_night(settings, FIRST, mode="replay")

    verdict = verify(settings)

    assert (verdict.faults, verdict.notes) == ([], [])
    assert verdict.records == 21


@pytest.mark.parametrize("at", [0, 10, 24, 60, 90, -1])
def test_archive__one_bit_of_one_byte__is_found_and_named(settings: Settings, at: int) -> None:
    receipt = read_receipts(settings, FIRST)[1]
    flip(blob_path(settings, receipt.sha256), at)

    fault = first_fault(settings)

    assert fault.file == f"archive/blobs/{receipt.sha256}.enc ({receipt.file_name})"
    assert fault.what == "the archived file was changed"
    assert receipt.sha256 in fault.expected
    assert fault.record == 2


@pytest.mark.parametrize("seq", [1, 5, 13])
@pytest.mark.parametrize("part", [b'"payload"', b'"hash":"', b'"at":"20', b'"seq"', b'"previous":"'])
def test_log__one_bit_of_one_byte_anywhere__names_file_line_and_record(
    settings: Settings, seq: int, part: bytes
) -> None:
    path = log_files(settings)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    at = sum(len(line) for line in lines[: seq - 1]) + lines[seq - 1].index(part) + len(part) + 1
    flip(path, at)

    fault = first_fault(settings)

    assert fault.file == f"audit/log/{path.name}:{seq}"
    assert fault.expected != fault.got


def test_parquet__one_bit_of_one_byte__is_found_and_named(settings: Settings) -> None:
    part = read_manifest(settings, FIRST).tables["fct_payouts"]
    flip(settings.published / part.file, 700)

    fault = first_fault(settings)

    assert fault.file == f"published/{part.file}"
    assert fault.expected == f"SHA-256 {part.sha256}"
    assert fault.what == "the file was changed"
    assert next(one for one in read_records(settings) if one.seq == fault.record).kind == "night_prepared"


CHANGES: dict[str, tuple[Callable[[Settings], Path], str]] = {
    "receipt": (
        lambda settings: min((settings.archive / "receipts").rglob("*.json")),
        "archive/receipts/run_date=2026-01-01/00000001.json",
    ),
    "manifest": (lambda settings: manifest_path(settings, FIRST), "published/nights/2026-01-01.json"),
    "state": (lambda settings: min(settings.state.rglob("*.parquet")), "state/items/run_date=2026-01-01.parquet"),
    "report": (lambda settings: min((settings.published / "reports").glob("*.md")), "published/reports/2026-01-01.md"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("deleted", [False, True], ids=["changed", "deleted"])
def test_file__changed_or_deleted__is_found_and_named(settings: Settings, kind: str, deleted: bool) -> None:
    choose, name = CHANGES[kind]
    path = choose(settings)
    if deleted:
        path.unlink()
    else:
        flip(path, 5)
        if kind == "receipt":  # a receipt that reads well and says something else
            path.write_text(path.read_text().replace('"file_no": 1', '"file_no": 9'))

    fault = first_fault(settings)

    if kind == "manifest" and deleted:
        assert fault.what == "the manifest is missing"
    assert fault.file == name
    assert ("no file" in fault.got) == deleted


def test_blob_deleted__is_found_and_named(settings: Settings) -> None:
    receipt = read_receipts(settings, FIRST)[0]
    blob_path(settings, receipt.sha256).unlink()

    fault = first_fault(settings)

    assert receipt.sha256 in fault.file
    assert fault.got == "no file"


def test_receipt_added__is_found_and_named(settings: Settings) -> None:
    folder = settings.archive / "receipts" / f"run_date={FIRST}"
    (folder / "00000099.json").write_text((folder / "00000001.json").read_text())

    assert first_fault(settings).what == "a receipt that no record knows"


def test_first_thing_changed__is_the_earliest_night_s(settings: Settings) -> None:
    for night in (3, 2):
        part = read_manifest(settings, FIRST.replace(day=night)).tables["fct_breaks"]
        flip(settings.published / part.file, 3)

    assert "run_date=2026-01-02" in first_fault(settings).file
    faults = verify(settings, all_faults=True).faults
    assert [fault.file.split("run_date=")[1][:10] for fault in faults] == ["2026-01-02", "2026-01-03"]


def test_log_truncated_by_whole_records__the_anchor_knows_more(settings: Settings) -> None:
    path = log_files(settings)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:9]))

    fault = first_fault(settings)

    assert "truncated" in fault.what
    assert "audit-anchor.txt:6" in fault.what
    assert fault.expected == "record 13"
    assert fault.got == "a log that ends at 9"


def test_log_truncated_and_anchor_too__the_published_night_has_no_record(settings: Settings) -> None:
    path, anchor = log_files(settings)[0], anchor_files(settings)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:9]))
    anchor.write_text("".join(anchor.read_text().splitlines(keepends=True)[:-1]))

    fault = first_fault(settings)

    assert fault.file == "archive/receipts/run_date=2026-01-03/00000007.json"
    assert fault.what == "a receipt that no record knows"


def test_log_deleted__is_found(settings: Settings) -> None:
    log_files(settings)[0].unlink()

    assert first_fault(settings).what == "the audit log is gone"


def test_records_reordered__are_found(settings: Settings) -> None:
    path = log_files(settings)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4], lines[5] = lines[5], lines[4]
    path.write_bytes(b"".join(lines))

    fault = first_fault(settings)

    assert fault.file.endswith(":5")
    assert (fault.expected, fault.got) == ("record 5", "record 6")


def test_record_taken_out__is_found(settings: Settings) -> None:
    path = log_files(settings)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:6] + lines[7:]))

    fault = first_fault(settings)

    assert fault.what == "records are missing before it"
    assert (fault.expected, fault.got) == ("record 7", "record 8")


def rewrite(settings: Settings, change: Callable[[Record], dict[str, object]]) -> None:
    """Write the whole log anew with hashes that fit, as someone who knows how would."""
    previous, lines = NO_RECORD, []
    for one in read_records(settings):
        payload = change(one)
        made = Record(**{**one.__dict__, "payload": payload, "previous": previous, "hash": ""})
        made = Record(**{**made.__dict__, "hash": made.expected_hash()})
        previous = made.hash
        lines.append(made.line())
    log_files(settings)[0].write_bytes(b"".join(lines))


def test_log_written_anew_with_hashes_that_fit__does_not_fit_the_anchor(settings: Settings) -> None:
    kept = anchor_files(settings)[0].read_text()
    rewrite(settings, lambda one: {**one.payload, "mode": "quiet"})

    fault = first_fault(settings)

    assert "written anew" in fault.what
    assert "audit-anchor.txt:4" in fault.what
    # The anchor inside the home can be rewritten too; the copy that was kept elsewhere cannot.
    elsewhere = settings.home.parent / "kept.txt"
    elsewhere.write_text(kept)
    anchor_files(settings)[0].unlink()
    alone = verify(settings)
    assert alone.sound
    assert "No anchor" in alone.notes[0]
    assert "written anew" in verify(settings, anchors=(elsewhere,)).faults[0].what


def test_torn_last_line__is_a_note_and_the_next_record_repairs_it(settings: Settings) -> None:
    record(settings, "export", {"what": "something long enough to be torn"})
    path = log_files(settings)[0]
    path.write_bytes(path.read_bytes()[:-20])

    torn = verify(settings)
    assert torn.sound
    assert "torn" in torn.notes[0]

    record(settings, "export", {"what": "next"})
    repaired = verify(settings)
    assert (repaired.faults, repaired.notes) == ([], [])
    assert repaired.records == 15


def test_interrupted_before_the_manifest__is_a_note(settings: Settings) -> None:
    run_date = FIRST.replace(day=4)
    small_night(settings, run_date)
    path = log_files(settings)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))  # published was not reached
    anchor = anchor_files(settings)[0]
    anchor.write_text("".join(anchor.read_text().splitlines(keepends=True)[:-1]))
    manifest_path(settings, run_date).unlink()

    verdict = verify(settings)

    assert verdict.sound
    assert verdict.notes == [f"Night {run_date} was interrupted before it was published."]


def test_interrupted_between_manifest_and_last_record__is_sound_and_says_so(settings: Settings) -> None:
    small_night(settings, FIRST.replace(day=4))
    path = log_files(settings)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    anchor = anchor_files(settings)[0]
    anchor.write_text("".join(anchor.read_text().splitlines(keepends=True)[:-1]))

    verdict = verify(settings)

    assert verdict.sound
    assert verdict.notes == ["Night 2026-01-04 was run again and interrupted; run it again."]


def test_home_of_an_older_release__is_taken_over_once(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home")
    small_nights(settings, 2)
    log_files(settings)[0].unlink()
    anchor_files(settings)[0].unlink()

    nights.begin(settings)
    nights.begin(settings)

    kinds = [one.kind for one in read_records(settings)]
    assert kinds == ["files_received"] * 2 + ["night_prepared", "night_published"] * 2 + ["log_started"]
    assert verify(settings).sound
    flip(settings.published / read_manifest(settings, FIRST).tables["fct_breaks"].file, 0)
    assert not verify(settings).sound


def decided(settings: Settings) -> Path:
    """A decision about a held file, as a night that is decided about leaves it; returns its file."""
    decision = Decision(
        decision_no=1, action="reject", file_id="aaaa", file_name="log.csv", sha256="aa", run_date=FIRST,
        logical_name="log", superseded_file_id=None, superseded_file_name=None, superseded_run_date=None,
        reason="sent by mistake", decided_by="li", decided_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    )  # fmt: skip
    write_decision(settings, decision)
    return settings.archive / "decisions" / "00000001.json"


def test_decision__without_a_record__is_a_fault_until_a_night_records_it(settings: Settings) -> None:
    decided(settings)
    assert first_fault(settings).what == "a decision that no record knows"

    nights.begin(settings)
    nights.begin(settings)

    assert verify(settings).sound
    made = [one for one in read_records(settings) if one.kind == "file_decided"]
    assert [(one.by, one.payload["reason"]) for one in made] == [("li", "sent by mistake")]


@pytest.mark.parametrize("deleted", [False, True], ids=["changed", "deleted"])
def test_decision__changed_or_deleted__is_found_and_named(settings: Settings, deleted: bool) -> None:
    path = decided(settings)
    nights.begin(settings)
    if deleted:
        path.unlink()
    else:
        path.write_text(path.read_text().replace("by mistake", "on purpose"))

    fault = first_fault(settings)

    assert fault.file == "archive/decisions/00000001.json"
    assert ("missing" in fault.what) == deleted
    assert fault.record == 14


def test_manifest_from_before_a_decision__is_proven_too(settings: Settings) -> None:
    keep_manifests(settings, 1)
    assert verify(settings).sound
    kept = settings.published / "revisions" / "00000001" / f"{FIRST}.json"
    whole = kept.read_text()
    kept.write_text(whole.replace("small", "large"))

    assert first_fault(settings).what == "a manifest that was never recorded"


def test_empty_home__has_nothing_to_prove(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no audit log"):
        verify(settings_of(tmp_path / "home"))


def test_archive_read_with_another_key__is_a_fault_not_a_crash(settings: Settings) -> None:
    other = Settings(home=settings.home, archive_key="33" * 32)  # type: ignore[arg-type]

    assert "another archive key" in verify(other).faults[0].got


def test_night_record__says_with_what_it_was_made(settings: Settings) -> None:
    prepared = next(one for one in read_records(settings) if one.kind == "night_prepared")

    facts = prepared.payload
    assert facts["environment"]["packages"]["duckdb"]
    assert {table["rows"] for table in facts["tables"].values()} == {200}
    assert len(facts["inputs"]) == 3
    assert "2222222222" not in json.dumps(facts)


@pytest.mark.slow
def test_a_year_of_nights__is_verified_in_under_a_minute(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home")
    small_nights(settings, 365, files=8)
    started = time.perf_counter()

    verdict = verify(settings)

    assert time.perf_counter() - started < 60
    assert verdict.sound
    assert (verdict.nights, verdict.received) == (365, 2920)
    assert verdict.anchored == verdict.records == 365 * 4 + 1
