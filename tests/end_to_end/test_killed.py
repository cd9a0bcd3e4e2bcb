"""A night that is killed at any point is simply run again, and readers never notice."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from posrecon.warehouse.connection import night_lock
from posrecon.warehouse.manifests import published_digest, published_nights
from tests.end_to_end.homes import NIGHT_1, NIGHT_2, Home, kill, wait_for_step

WAIT_S = 120
ASKED = "select max(run_date)::varchar, count(*), sum(hash(fct_reconciliation::varchar))::varchar "
ASKED += "from marts.fct_reconciliation"

# Each point: the step, and what must have appeared on disk before the kill, so that it hits the middle of the step.
Condition = Callable[[Path], bool]
TONIGHT = f"run_date={NIGHT_2}"
POINTS: dict[str, tuple[str, Condition]] = {
    "parse, first file done": ("parse", lambda home: any((home / "raw").glob(f"outcomes/{TONIGHT}/*.json"))),
    "dbt, tables half built": ("intermediate", lambda home: (home / "warehouse.duckdb.wal").exists()),
    "great expectations, Data Docs begun": (
        "validate",
        lambda home: any((home / "published").rglob(f"*{NIGHT_2}*")),
    ),
    "publish, first table written": (
        "publish",
        lambda home: any((home / "published" / "tables").glob(f"*/{TONIGHT}/*.parquet")),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False], ids=["with its children", "alone"])
@pytest.mark.parametrize("point", POINTS)
def test_night__killed__the_next_run_ends_with_the_same_bytes(
    point: str, whole_group: bool, one: Home, two: Home
) -> None:
    step, reached = POINTS[point]
    before, after = one.ask(ASKED), two.ask(ASKED)
    night = one.start_night(NIGHT_2)
    wait_for_step(night, NIGHT_2, step)
    _wait_until(lambda: reached(one.path) or night.poll() is not None)

    kill(night, whole_group=whole_group)

    # Readers saw the last good night, whole; a kill after the swap is a night that is done.
    assert one.ask(ASKED) in (before, after)
    assert published_nights(one.settings) in ([NIGHT_1], [NIGHT_1, NIGHT_2])
    if step != "publish":
        assert one.ask(ASKED) == before
        assert published_nights(one.settings) == [NIGHT_1]

    # What a kill leaves is no fault: nothing was changed, and the log says what is unfinished.
    assert one.run("audit", "verify")["sound"]

    again = one.run("night", "--date", str(NIGHT_2))

    proven = one.run("audit", "verify")
    assert proven["sound"]
    assert proven["notes"] == []
    assert again["digest"] == published_digest(two.settings)
    assert one.published_files() == two.published_files()
    assert one.ask(ASKED) == after


@pytest.mark.slow
def test_replay__killed_between_two_nights__readers_keep_what_they_had_and_it_must_be_finished(
    two: Home, tmp_path: Path
) -> None:
    home = two.copy_to(tmp_path / "home")
    before = home.ask(ASKED)
    replay = home.start("replay", "--from", str(NIGHT_1))
    wait_for_step(replay, NIGHT_2, "parse")

    kill(replay, whole_group=True)

    assert home.ask(ASKED) == before
    refused = home.run("night", "--date", str(NIGHT_2), expect=2)["stderr"]
    assert f"Finish it first: posrecon replay --from {NIGHT_1}" in refused
    with night_lock(home.settings):
        pass

    again = home.run("replay", "--from", str(NIGHT_1))

    assert again["digest"] == published_digest(two.settings)
    assert home.ask(ASKED) == before


def _wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition on disk; fails when it does not come true in time."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)
