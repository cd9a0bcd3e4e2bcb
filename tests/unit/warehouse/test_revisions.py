"""What readers saw before a decision about a file stays readable, beside what they see after it."""

import os
import shutil
import time

import duckdb

from posrecon.settings import Settings
from posrecon.warehouse.manifests import reader_database
from posrecon.warehouse.publish import publish, sweep
from posrecon.warehouse.revisions import changes, keep_manifests, kept_decisions, kept_manifests
from tests.unit.warehouse.small_night import NIGHT_1, NIGHT_2, built


def one_night(settings: Settings, run_date=NIGHT_1, *, rows: int = 10) -> None:  # noqa: ANN001
    with built(settings, run_date, rows=rows):
        pass
    publish(settings, run_date)


def counts(settings: Settings, schema: str) -> list[tuple[object, ...]]:
    query = (
        f"select run_date::varchar, count(*) from {schema}.fct_reconciliation_history group by 1 order by 1"
    )
    with duckdb.connect(str(reader_database(settings)), read_only=True) as reader:
        return reader.execute(query).fetchall()


def test_rebuilt_after_a_decision__both_beliefs_are_readable_side_by_side(settings: Settings) -> None:
    one_night(settings, NIGHT_1)
    one_night(settings, NIGHT_2)
    keep_manifests(settings, 1)
    one_night(settings, NIGHT_1, rows=12)
    one_night(settings, NIGHT_2, rows=13)

    assert counts(settings, "marts") == [(str(NIGHT_1), 12), (str(NIGHT_2), 13)]
    assert counts(settings, "before_decision_1") == [(str(NIGHT_1), 10), (str(NIGHT_2), 10)]


def test_changes__night_by_night__against_the_next_decision_or_today(settings: Settings) -> None:
    one_night(settings, NIGHT_1)
    one_night(settings, NIGHT_2)
    keep_manifests(settings, 1)
    one_night(settings, NIGHT_2, rows=13)
    keep_manifests(settings, 2)
    one_night(settings, NIGHT_2, rows=17)

    same, changed = changes(settings, 1, NIGHT_1)
    assert (same.run_date, same.digest_before) == (NIGHT_1, same.digest_after)
    assert changed.digest_before != changed.digest_after
    assert changed.states["matched"] == (10, 13)
    assert changed.breaks_open == (3, 3)
    assert changed.open_minor == {"CNY": (750, 750)}
    (later,) = changes(settings, 2, NIGHT_2)
    assert later.states["matched"] == (13, 17)


def test_sweep__a_file_that_only_a_kept_manifest_names__stays(settings: Settings) -> None:
    one_night(settings)
    keep_manifests(settings, 1)
    kept = settings.published / kept_manifests(settings, 1)[0].tables["fct_reconciliation_history"].file
    one_night(settings, rows=12)
    long_ago = time.time() - 10 * 86_400
    os.utime(kept, (long_ago, long_ago))

    sweep(settings, 7)
    assert kept.exists()

    shutil.rmtree(settings.published / "revisions")
    assert sweep(settings, 7) == [kept]


def test_keep__again_under_the_same_number__starts_anew(settings: Settings) -> None:
    one_night(settings, NIGHT_1)
    keep_manifests(settings, 1)
    one_night(settings, NIGHT_2)
    keep_manifests(settings, 1)

    assert kept_decisions(settings) == [1]
    assert [manifest.run_date for manifest in kept_manifests(settings, 1)] == [NIGHT_1, NIGHT_2]
