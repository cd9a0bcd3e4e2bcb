"""What is over goes for good and is recorded; what is held, or still needed, stays."""

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from posrecon.audit.log import read_records
from posrecon.errors import UsageError
from posrecon.landing.archive import ArchiveError, blob_path, key_path, open_plain, shred
from posrecon.landing.receipts import read_receipts
from posrecon.night import replay
from posrecon.proof import nights, retention
from posrecon.proof.retention import Expired, apply, holds, place_hold, plan, release_hold
from posrecon.proof.verify import verify
from posrecon.settings import PROJECT_ROOT, Settings
from posrecon.warehouse.manifests import previous_night, read_manifest, removed_files
from tests.unit.proof.year import FIRST, settings_of, small_nights

HEADER = "subject,keep_days,effective_from,effective_to,source,confidence\n"
NIGHTS = 6
LAST = FIRST + timedelta(days=NIGHTS - 1)


@pytest.fixture(autouse=True)
def _without_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small nights have no real Parquet, so nobody reads their views here."""
    monkeypatch.setattr(retention, "swap_views", lambda settings: None)
    monkeypatch.setattr(retention, "_evidence_files", lambda settings: {f"terminal_log_{FIRST}_2.csv"})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    project = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT / "expectations" / "reference", project / "expectations" / "reference")
    home = settings_of(tmp_path / "home")
    settings = home.model_copy(update={"project_dir": project, "lookback_days": 1})
    small_nights(settings, NIGHTS)
    return settings


def rules(settings: Settings, *rows: str) -> None:
    """The retention table with these rows: subject and days."""
    text = HEADER + "".join(f"{row},2000-01-01,,test,sourced\n" for row in rows)
    (settings.expectations_dir / "reference" / "retention.csv").write_text(text, encoding="utf-8")


def going(found: list[Expired]) -> set[str]:
    return {one.file for one in found if not one.kept_by}


def test_table_in_the_repository__keeps_everything_of_a_young_home(settings: Settings) -> None:
    assert plan(settings, LAST) == []
    assert {one.subject.partition(":")[0] for one in plan(settings, LAST + timedelta(days=4000))} == {
        "archive", "state", "table", "verdicts",
    }  # fmt: skip


@pytest.mark.parametrize(("days", "first_kept"), [(3, 2), (4, 1), (5, 0)])
def test_archive__goes_on_the_day_after_its_last_day(settings: Settings, days: int, first_kept: int) -> None:
    rules(settings, f"archive:*,{days}")

    found = plan(settings, LAST)

    nights_over = {one.run_date for one in found}
    assert nights_over == {FIRST + timedelta(days=n) for n in range(first_kept)}


def test_apply__shreds_for_good__and_verification_finds_it_as_recorded(settings: Settings) -> None:
    rules(settings, "archive:terminal_log,4")
    blobs = {one.file_name: blob_path(settings, one.sha256) for one in read_receipts(settings, FIRST)}
    backup = {name: path.read_bytes() for name, path in blobs.items()}

    done = apply(settings, LAST, by="li")

    kept = f"terminal_log_{FIRST}_2.csv"
    assert going(done) == set(blobs) - {kept}
    assert [one.kept_by for one in done if one.file == kept] == ["evidence of an open break"]
    made = next(one for one in read_records(settings) if one.kind == "archive_shredded")
    assert made.by == "li"
    assert {file["file"] for file in made.payload["files"]} == set(blobs) - {kept}
    verdict = verify(settings)
    assert verdict.sound
    assert (verdict.shredded, verdict.received) == (2, 16)
    for receipt in read_receipts(settings, FIRST):
        if receipt.file_name == kept:
            continue
        # The blob comes back from a backup; nobody can read it.
        blobs[receipt.file_name].write_bytes(backup[receipt.file_name])
        with pytest.raises(ArchiveError, match="shredded"), open_plain(settings, receipt.sha256):
            pass
        assert "retention shredded this file, but it is there" in verify(settings).faults[0].what
        blobs[receipt.file_name].unlink()


def test_dry_run__changes_nothing(settings: Settings) -> None:
    rules(settings, "archive:*,1", "table:*,1", "state:*,2")
    before = sorted(path for path in settings.home.rglob("*"))

    assert len(going(plan(settings, LAST))) > 10

    assert sorted(path for path in settings.home.rglob("*")) == before
    assert verify(settings).sound


def test_apply__killed_half_way__is_finished_by_the_next_call(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules(settings, "archive:*,4")
    done: list[str] = []

    def power_cut(settings: Settings, sha256: str, note: str) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(sha256)
        shred(settings, sha256, note)

    with monkeypatch.context() as broken:
        broken.setattr(retention, "shred", power_cut)
        with pytest.raises(KeyboardInterrupt):
            apply(settings, LAST)
    assert "run posrecon retention apply again" in verify(settings).faults[0].what

    apply(settings, LAST)

    assert verify(settings).sound
    assert verify(settings).shredded == 2


def test_apply__tables_state_and_verdicts__are_removed_from_disk_and_views_and_verified_as_removed(
    settings: Settings,
) -> None:
    rules(settings, "table:*,3", "state:*,3", "verdicts:*,3")
    part = read_manifest(settings, FIRST).tables["fct_breaks"]

    apply(settings, LAST)

    assert not (settings.published / part.file).exists()
    assert part.file in removed_files(settings)
    assert not (settings.state / "items" / f"run_date={FIRST}.parquet").exists()
    assert (settings.state / "items" / f"run_date={LAST}.parquet").exists()
    verdict = verify(settings)
    assert verdict.sound
    (settings.published / part.file).write_bytes(b"back again")
    assert "retention removed this file, but it is there" in verify(settings).faults[0].what


def test_apply__the_last_published_night__stays_however_old(settings: Settings) -> None:
    rules(settings, "table:*,1", "archive:*,1")

    found = apply(settings, LAST + timedelta(days=100))

    assert {one.kept_by for one in found if one.run_date == LAST and one.subject == "table:*"} == {
        "the last published night"
    }
    assert (settings.published / read_manifest(settings, LAST).tables["fct_breaks"].file).exists()


def test_hold__keeps_what_it_names_until_it_is_released(settings: Settings) -> None:
    rules(settings, "archive:*,3", "table:*,3")
    placed = place_hold(settings, first=FIRST, last=FIRST, reason="court, case 12", by="counsel")
    single = place_hold(
        settings,
        first=FIRST,
        last=LAST,
        file=f"terminal_log_{FIRST + timedelta(days=1)}_1.csv",
        reason="audit",
    )
    assert [one.hold_no for one in holds(settings)] == [placed.hold_no, single.hold_no]

    found = apply(settings, LAST)

    held = {one.file: one.kept_by for one in found if one.kept_by}
    assert held[f"terminal_log_{FIRST}_1.csv"] == f"hold {placed.hold_no}: court, case 12"
    assert held[f"terminal_log_{FIRST + timedelta(days=1)}_1.csv"] == f"hold {single.hold_no}: audit"
    assert f"published/{read_manifest(settings, FIRST).tables['fct_breaks'].file}" in held
    assert f"terminal_log_{FIRST + timedelta(days=1)}_2.csv" in going(found)

    release_hold(settings, placed.hold_no, reason="settled", by="counsel")
    assert f"terminal_log_{FIRST}_1.csv" in going(apply(settings, LAST))
    assert verify(settings).sound
    with pytest.raises(UsageError, match="no hold"):
        release_hold(settings, placed.hold_no, reason="again")


@pytest.mark.parametrize(("first", "last", "reason"), [(LAST, FIRST, "why"), (FIRST, LAST, " ")])
def test_hold__without_reason_or_backwards__is_refused(
    settings: Settings, first: date, last: date, reason: str
) -> None:
    with pytest.raises(UsageError):
        place_hold(settings, first=first, last=last, reason=reason)
    assert holds(settings) == []


@pytest.mark.parametrize("row", ["shoes:*,10", "archive,10", "state:*,1", "raw:terminal_events,1"])
def test_table__that_makes_no_sense__is_refused_with_its_line(settings: Settings, row: str) -> None:
    rules(settings, row)

    with pytest.raises(UsageError, match=r"retention\.csv: line 2"):
        plan(settings, LAST)


def test_same_content_received_again_later__stays_until_the_later_one_is_over(settings: Settings) -> None:
    early, late = read_receipts(settings, FIRST)[0], FIRST + timedelta(days=4)
    folder = settings.archive / "receipts"
    source = folder / f"run_date={FIRST}" / f"{early.file_no:08d}.json"
    text = source.read_text().replace(f'"file_no": {early.file_no},', '"file_no": 99,')
    (folder / f"run_date={late}" / "00000099.json").write_text(text.replace(str(FIRST), str(late), 1))
    nights.received(settings, late, mode="night")
    rules(settings, "archive:*,3")

    assert early.file_name not in going(plan(settings, LAST))
    assert key_path(settings, early.sha256).exists()


def test_replay__of_a_night_whose_files_were_shredded__is_refused_before_it_touches_anything(
    settings: Settings,
) -> None:
    rules(settings, "archive:*,3", "state:*,2")
    apply(settings, LAST)

    with pytest.raises(UsageError, match="shredded by retention") as refused:
        replay(settings, FIRST)

    later = FIRST + timedelta(days=2)
    assert f"posrecon replay --from {later}" in refused.value.next_step
    assert previous_night(settings, later) is not None
    with pytest.raises(UsageError, match="starts from the state of"):
        replay(settings, later)
    assert not (settings.published / "replay.json").exists()
    assert verify(settings).sound
