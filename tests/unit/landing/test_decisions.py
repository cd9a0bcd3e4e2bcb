"""A file of the same logical name with other content is held until somebody decides, and then for ever."""

import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from posrecon.errors import NightError, UsageError
from posrecon.landing import parse_file, receive, register
from posrecon.landing.decisions import Action, Decision, decide, read_decisions, write_decision
from posrecon.landing.outcomes import read_files_before
from posrecon.landing.receipts import receipts_to_read
from posrecon.landing.steps import read_note
from posrecon.orchestration import received_files
from posrecon.settings import Settings
from tests.unit.landing.files import NIGHT, ZM_NAME, land, put, raw, registry, rows, settings_of, zm_record

NEXT = NIGHT + timedelta(days=1)
THIRD = NIGHT + timedelta(days=2)
AT = datetime(2026, 11, 16, 9, 30, tzinfo=UTC)


def held(settings: Settings, *, nights: tuple[date, ...] = (NEXT,)) -> None:
    """The file of one record is loaded in NIGHT; files of more and more records come in the nights after."""
    put(settings, "unionpay", ZM_NAME, zm_record())
    land(settings)
    for count, night in enumerate(nights, start=2):
        put(settings, "unionpay", ZM_NAME, b"".join(zm_record(stan=f"{n:06d}") for n in range(count)))
        land(settings, night)


def decided(
    settings: Settings,
    wanted: str = ZM_NAME,
    *,
    action: Action = "supersede",
    reason: str = "the acquirer sent it whole",
    by: str = "li",
) -> Decision:
    decision = decide(
        settings,
        read_files_before(settings, date.max),
        wanted,
        action=action,
        reason=reason,
        decided_by=by,
        decided_at=AT,
    )
    write_decision(settings, decision)
    return decision


def again(settings: Settings, *nights: date) -> None:
    """Land nights anew from the archive alone, in order."""
    for night in nights:
        for file_id in receive(settings, night, from_archive=True):
            parse_file(settings, night, file_id)
        register(settings, night)


def told(settings: Settings, night: date) -> list[tuple[int, str, int]]:
    return [(row["file_no"], row["state"], row["loaded"]) for row in registry(settings, night)]


def records(settings: Settings) -> dict[tuple[str, int], int]:
    """Loaded records by night and file number."""
    found: Counter[tuple[str, int]] = Counter()
    for path in (settings.raw / "settlement_lines").glob("*/*.parquet"):
        found.update((path.parent.name.removeprefix("run_date="), row["file_no"]) for row in rows(path))
    return dict(found)


def test_accepted__the_new_file_is_read_in_the_night_of_the_old_one__under_its_own_number(
    settings: Settings,
) -> None:
    held(settings)
    before = records(settings)
    decision = decided(settings)

    again(settings, NIGHT, NEXT)

    assert before == {(str(NIGHT), 1): 1}
    assert decision.first_night == NIGHT
    assert told(settings, NIGHT) == [(1, "superseded", 0), (2, "loaded", 2)]
    assert told(settings, NEXT) == [(2, "duplicate", 0)]
    assert records(settings) == {(str(NIGHT), 2): 2}
    old, new = registry(settings)
    assert old["reason"] == (
        f"superseded by {ZM_NAME} of the night of {NEXT}, accepted by li (decision 1): the acquirer sent it whole"
    )
    assert new["reason"].startswith(f"supersedes {ZM_NAME}, accepted by li")
    assert f"loaded in the night of {NIGHT}" in registry(settings, NEXT)[0]["reason"]


def test_accepted__from_the_archive_alone__decides_the_same(settings: Settings, tmp_path: Path) -> None:
    held(settings)
    decided(settings)
    again(settings, NIGHT, NEXT)
    other = settings_of(tmp_path / "other")
    shutil.copytree(settings.archive, other.archive)

    again(other, NIGHT, NEXT)

    assert read_decisions(other) == read_decisions(settings)
    for night in (NIGHT, NEXT):
        assert registry(other, night) == registry(settings, night)
    assert raw(other, "settlement_lines") == raw(settings, "settlement_lines")


def test_accepted__a_task_of_the_night_reads_it_like_any_other_file(settings: Settings) -> None:
    held(settings)
    decision = decided(settings)

    assert [receipt.file_no for receipt in receipts_to_read(settings, NIGHT)] == [1, 2]
    assert {receipt.run_date for receipt in receipts_to_read(settings, NIGHT)} == {NIGHT}
    assert [file.file_id for file in received_files(settings, NIGHT)][1] == decision.file_id
    assert receive(settings, NIGHT) == [file.file_id for file in received_files(settings, NIGHT)]
    assert [receipt.file_no for receipt in receipts_to_read(settings, NEXT)] == [2]


def test_accepted__both_came_in_one_night__the_first_is_superseded(settings: Settings) -> None:
    # The names differ in a field that the pattern allows to vary, the logical name does not.
    put(settings, "unionpay", ZM_NAME, zm_record())
    put(settings, "unionpay", f"{ZM_NAME}.gz", zm_record() + zm_record(stan="000002"))
    land(settings)
    assert [state for _, state, _ in told(settings, NIGHT)] == ["loaded", "conflict"]
    decision = decided(settings, f"{ZM_NAME}.gz")

    again(settings, NIGHT)

    assert (decision.run_date, decision.superseded_run_date) == (NIGHT, NIGHT)
    assert told(settings, NIGHT) == [(1, "superseded", 0), (2, "loaded", 2)]


def test_accepted__and_the_next_one_too__the_last_one_is_in_force(settings: Settings) -> None:
    held(settings, nights=(NEXT, THIRD))
    first = registry(settings, NEXT)[0]["file_id"]
    second = registry(settings, THIRD)[0]["file_id"]
    decided(settings, first)
    again(settings, NIGHT, NEXT, THIRD)
    assert told(settings, THIRD) == [(3, "conflict", 0)]
    assert "2 records then, 3 now" in registry(settings, THIRD)[0]["reason"]

    last = decided(settings, second)
    again(settings, NIGHT, NEXT, THIRD)

    assert (last.superseded_file_id, last.superseded_run_date) == (first, NIGHT)
    assert told(settings, NIGHT) == [(1, "superseded", 0), (2, "superseded", 0), (3, "loaded", 3)]
    assert told(settings, NEXT) == [(2, "duplicate", 0)]
    assert told(settings, THIRD) == [(3, "duplicate", 0)]
    assert records(settings) == {(str(NIGHT), 3): 3}


def test_rejected__has_no_effect__and_the_same_content_again_is_its_duplicate(settings: Settings) -> None:
    held(settings)
    decision = decided(settings, action="reject", reason="a test file of theirs")

    again(settings, NEXT)
    put(settings, "unionpay", ZM_NAME, b"".join(zm_record(stan=f"{n:06d}") for n in range(2)))
    land(settings, THIRD)

    assert decision.first_night == NEXT
    assert told(settings, NIGHT) == [(1, "loaded", 1)]
    assert told(settings, NEXT) == [(2, "rejected", 0)]
    (row,) = registry(settings, NEXT)
    assert row["reason"] == "rejected by li (decision 1): a test file of theirs"
    assert read_note(settings, NEXT, decision.file_id)["state"] == "rejected"
    (row,) = registry(settings, THIRD)
    assert row["state"] == "duplicate"
    assert row["reason"].endswith("which was rejected")
    assert records(settings) == {(str(NIGHT), 1): 1}


def test_held__the_note_names_both_ways_to_decide(settings: Settings) -> None:
    held(settings)
    (row,) = registry(settings, NEXT)
    next_step = str(read_note(settings, NEXT, row["file_id"])["next_step"])
    assert f"posrecon files accept {row['file_id']} --supersede --reason" in next_step
    assert f"posrecon files reject {row['file_id']} --reason" in next_step


@pytest.mark.parametrize(
    ("wanted", "reason", "by", "message", "next_step"),
    [
        (
            "nothing.csv",
            "r",
            "li",
            "nothing.csv: no file of this name or id",
            "posrecon files --state conflict",
        ),
        (ZM_NAME, "  ", "li", "A decision needs a reason", "--reason"),
        (ZM_NAME, "r", " ", "A decision needs a person", "--by"),
    ],
)
def test_decide__what_is_asked_makes_no_sense__says_so_and_decides_nothing(
    settings: Settings, wanted: str, reason: str, by: str, message: str, next_step: str
) -> None:
    held(settings)
    with pytest.raises(UsageError, match=message) as caught:
        decided(settings, wanted, reason=reason, by=by)
    assert next_step in caught.value.next_step
    assert read_decisions(settings) == ()


def test_decide__a_file_that_is_loaded__is_named_with_its_state(settings: Settings) -> None:
    put(settings, "unionpay", ZM_NAME, zm_record())
    land(settings)
    with pytest.raises(UsageError, match=rf"is loaded \(night of {NIGHT}\)"):
        decided(settings)


@pytest.mark.parametrize("action", ["supersede", "reject"])
def test_decide__twice__says_who_decided_and_why(settings: Settings, action: Action) -> None:
    held(settings)
    decided(settings, action=action)
    again(settings, NIGHT, NEXT)
    with pytest.raises(
        UsageError, match=r"decided before: .* by li \(decision 1\): the acquirer sent it whole"
    ):
        decided(settings)
    assert len(read_decisions(settings)) == 1


def test_decide__two_held_files_of_one_name__asks_for_the_id(settings: Settings) -> None:
    held(settings, nights=(NEXT, THIRD))
    ids = [registry(settings, night)[0]["file_id"] for night in (NEXT, THIRD)]
    with pytest.raises(UsageError, match="several held files have this name") as caught:
        decided(settings)
    assert all(one in caught.value.what for one in ids)
    assert decided(settings, ids[1]).run_date == THIRD


def test_decision__is_written_once_and_read_as_it_was(settings: Settings) -> None:
    held(settings)
    decision = decided(settings)
    assert read_decisions(settings) == (decision,)
    with pytest.raises(UsageError, match="another decision was made meanwhile"):
        write_decision(settings, replace(decision, reason="another"))
    assert read_decisions(settings) == (decision,)


def test_decision__damaged__stops_the_night(settings: Settings) -> None:
    held(settings)
    decided(settings)
    (path,) = (settings.archive / "decisions").glob("*.json")
    path.write_text('{"decision_no": 1}', encoding="utf-8")
    with pytest.raises(NightError, match="not a decision"):
        receive(settings, NIGHT, from_archive=True)
