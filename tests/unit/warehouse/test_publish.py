import json
import os
import time
from pathlib import Path

import duckdb
import pytest

from posrecon.errors import NightError
from posrecon.settings import Settings
from posrecon.warehouse import publish as publishing
from posrecon.warehouse.confidential import CONFIDENTIAL, partition_name
from posrecon.warehouse.manifests import (
    manifest_path,
    published_digest,
    published_nights,
    read_manifest,
    reader_database,
)
from posrecon.warehouse.publish import EXPORTED_TABLES, VIEWS, publish, swap_views, sweep
from tests.unit.warehouse.small_night import NIGHT_1, NIGHT_2, built, small_settings


def read(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(reader_database(settings)), read_only=True) as reader:
        return reader.execute(query).fetchall()


def one_night(settings: Settings, run_date=NIGHT_1, **options: object) -> None:  # noqa: ANN001
    with built(settings, run_date):
        pass
    publish(settings, run_date, **options)  # type: ignore[arg-type]


def test_publish__good_night__readers_get_every_promised_table(settings: Settings) -> None:
    one_night(settings)

    found = read(settings, "select table_name from information_schema.tables where table_schema = 'marts'")
    assert {name for (name,) in found} == {view.name for view in VIEWS}
    assert read(settings, "select count(*) from marts.fct_reconciliation") == [(10,)]


@pytest.mark.parametrize("threads", [1, 4])
def test_publish__any_number_of_threads_and_any_row_order__the_same_bytes(
    tmp_path: Path, threads: int
) -> None:
    digests = []
    for name, order, used in (("a", "i", 2), ("b", "hash(i)", threads)):
        settings = small_settings(tmp_path / name).model_copy(update={"threads": used})
        with built(settings, NIGHT_1) as warehouse:
            # More rows than one row group, so that writing can be shared between threads.
            warehouse.execute(
                "create or replace table marts.fct_reconciliation_history as select 'i' || i as item_id, "
                f"date '{NIGHT_1}' as run_date, date '{NIGHT_1}' as first_run_date, 'matched' as match_state, "
                "true as is_final, md5(i::varchar) as s "
                f"from range(300000) t(i) order by {order}"
            )
        publish(settings, NIGHT_1)
        digests.append(published_digest(settings))

    assert digests[0] == digests[1]


def test_publish__same_night_again__keeps_the_files_and_the_digest(settings: Settings) -> None:
    one_night(settings)
    before = {path: path.stat().st_ino for path in (settings.published / "tables").rglob("*.parquet")}
    digest = published_digest(settings)

    one_night(settings)

    assert {path: path.stat().st_ino for path in (settings.published / "tables").rglob("*.parquet")} == before
    assert published_digest(settings) == digest


def test_publish__file_is_named_by_its_content_and_listed_in_the_manifest(settings: Settings) -> None:
    one_night(settings)

    manifest = read_manifest(settings, NIGHT_1)
    apart = {partition_name(name) for name in CONFIDENTIAL}
    assert set(manifest.tables) == {*EXPORTED_TABLES, *apart}
    for part in manifest.tables.values():
        path = settings.published / part.file
        assert path.stem == part.sha256[:12] == publishing.sha256_of(path)[:12]
        assert path.parent.name == "run_date=2026-11-12"
    assert manifest.tables["fct_reconciliation_history"].rows == 10
    assert set(manifest.state) == {"items", "seen", "dispute_candidates"}


def test_publish__state__has_the_declared_columns_only(settings: Settings) -> None:
    one_night(settings)

    state = settings.state / "items" / "run_date=2026-11-12.parquet"
    with duckdb.connect() as connection:
        found = connection.execute(f"select column_name from (describe from '{state}')").fetchall()
    assert [name for (name,) in found] == ["item_key", "amount_minor", "txn_at"]


def test_views__two_nights__append_has_both_snapshot_the_latest_latest_the_final_ones(
    settings: Settings,
) -> None:
    one_night(settings, NIGHT_1)
    one_night(settings, NIGHT_2)

    by_night = "select run_date::varchar, count(*) from marts.{} group by 1 order by 1"
    assert read(settings, by_night.format("fct_reconciliation_history")) == [
        ("2026-11-12", 10),
        ("2026-11-13", 10),
    ]
    assert read(settings, by_night.format("fct_breaks")) == [("2026-11-13", 3)]
    assert read(settings, by_night.format("fct_reconciliation")) == [("2026-11-12", 5), ("2026-11-13", 10)]


def test_views__a_newer_release_adds_a_column__earlier_nights_stay_readable(settings: Settings) -> None:
    one_night(settings, NIGHT_1)
    with built(settings, NIGHT_2) as warehouse:
        warehouse.execute("alter table marts.rpt_daily_control add column note varchar default 'new'")
    publish(settings, NIGHT_2)

    assert read(settings, "select run_date::varchar, note from marts.rpt_daily_control order by 1") == [
        ("2026-11-12", None),
        ("2026-11-13", "new"),
    ]


def test_publish__a_reader_holds_the_old_file__it_keeps_the_last_night_and_blocks_nothing(
    settings: Settings,
) -> None:
    one_night(settings, NIGHT_1)
    held = settings.home / "held.duckdb"
    os.link(reader_database(settings), held)  # the file that an open reader holds, under a name of its own
    with duckdb.connect(str(held), read_only=True) as reader:
        before = reader.execute("select max(run_date)::varchar from marts.fct_breaks").fetchall()

        one_night(settings, NIGHT_2)

        after = reader.execute("select max(run_date)::varchar from marts.fct_breaks").fetchall()
    assert before == after == [("2026-11-12",)]
    assert read(settings, "select max(run_date)::varchar from marts.fct_breaks") == [("2026-11-13",)]


def test_publish__without_swap__the_night_is_done_but_readers_do_not_move(settings: Settings) -> None:
    one_night(settings, NIGHT_1)

    one_night(settings, NIGHT_2, swap=False)

    assert published_nights(settings) == [NIGHT_1, NIGHT_2]
    assert read(settings, "select max(run_date)::varchar from marts.fct_breaks") == [("2026-11-12",)]
    swap_views(settings)
    assert read(settings, "select max(run_date)::varchar from marts.fct_breaks") == [("2026-11-13",)]


def test_publish__stopped_before_the_manifest__the_night_is_not_done_and_readers_keep_the_last_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_night(settings, NIGHT_1)
    with built(settings, NIGHT_2):
        pass

    def stop(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(publishing, "write_manifest", stop)
    with pytest.raises(OSError, match="no space"):
        publish(settings, NIGHT_2)

    assert published_nights(settings) == [NIGHT_1]
    assert read(settings, "select max(run_date)::varchar from marts.fct_breaks") == [("2026-11-12",)]


def test_publish__a_mart_is_missing__fails_and_publishes_nothing(settings: Settings) -> None:
    with built(settings, NIGHT_1) as warehouse:
        warehouse.execute("drop table marts.dim_terminals")

    with pytest.raises(NightError, match=r"marts\.dim_terminals does not exist"):
        publish(settings, NIGHT_1)

    assert not manifest_path(settings, NIGHT_1).exists()
    assert not reader_database(settings).exists()


def test_publish__a_closing_model_lacks_a_declared_column__is_named(settings: Settings) -> None:
    with built(settings, NIGHT_1) as warehouse:
        warehouse.execute("alter table intermediate.int_recon__closing_items drop column txn_at")

    with pytest.raises(NightError, match=r"int_recon__closing_items: txn_at is declared for opening\.items"):
        publish(settings, NIGHT_1)


def test_publish__warehouse_of_another_night__is_refused(settings: Settings) -> None:
    with built(settings, NIGHT_1):
        pass

    with pytest.raises(NightError, match="holds the night 2026-11-12, expected 2026-11-13"):
        publish(settings, NIGHT_2)


def test_reader_database__is_written_in_the_storage_of_duckdb_1_2(settings: Settings) -> None:
    one_night(settings)

    with duckdb.connect() as connection:
        connection.execute(f"attach '{reader_database(settings)}' as reader (read_only)")
        tags = connection.execute(
            "select tags['storage_version'] from duckdb_databases() where database_name = 'reader'"
        ).fetchall()
    assert str(tags[0][0]).startswith("v1.2.0")


def test_report__same_figures__are_in_the_manifest_the_json_and_the_text(settings: Settings) -> None:
    one_night(settings)

    figures = read_manifest(settings, NIGHT_1).summary
    as_json = json.loads((settings.published / "reports" / "2026-11-12.json").read_text(encoding="utf-8"))
    text = (settings.published / "reports" / "2026-11-12.md").read_text(encoding="utf-8")
    assert as_json == {**figures, "digest": read_manifest(settings, NIGHT_1).digest()}
    assert figures["files"] == {"loaded": 1, "missing": 1}
    explained = figures["explained"]
    assert (explained["pct"], explained["items_pct"]) == ("99.00", "99.50")
    assert (explained["payouts"]["pct"], explained["payouts"]["items_pct"]) == ("80.00", "0.00")
    assert "99.00 % explained, of payouts 80.00 %." in text
    assert "| terminal | 99.00 | 99.50 |" in text
    assert "| payouts | 80.00 | 0.00 |" in text
    assert (
        "account ****1234: statement 316/1 of 2026-11-12 (b.sta) opens with 1,500.01, statement 314/1 of 2026-11-10 "
        "(a.sta) closed with 1,200.00: difference 300.01 CNY, 1 statement numbers between them, a statement expected "
        "between them has not come; open since 2026-11-12. Ask the bank" in text
    )
    assert "账户****1234:2026-11-12对账单 316/1(b.sta)期初余额1,500.01" in text
    assert "相差300.01 CNY,其间缺1个对账单号,其间应到的对账单未到;自2026-11-12起未解决" in text
    assert (
        "wechat 1900000109: withdrawal F1 of 2026-11-10 (fund.csv line 5), 110.00 CNY, due 2026-11-11: the only credit "
        "for it is 109.99 (a.sta entry 2), -0.01 apart. Ask the wallet" in text
    )
    assert (
        "due 2026-11-11: no credit at the bank; a statement of the account has not come. Ask the wallet"
        in text
    )
    assert "应于2026-11-11到账,唯一可能的入账为109.99(a.sta第2笔),相差-0.01。请向支付机构索取划款凭证" in text
    assert figures["statement_gaps"][0]["account"] == "****1234"
    assert "| amount_mismatch | 3 | 0 | 3 | 7.50 CNY |" in text
    assert "missing log (terminal_log): not here" in text


def test_views__a_published_file_was_removed__names_it_and_the_way_to_rebuild_it(settings: Settings) -> None:
    one_night(settings, NIGHT_1)
    lost = settings.published / read_manifest(settings, NIGHT_1).tables["rpt_daily_control"].file
    lost.unlink()

    with pytest.raises(NightError, match=lost.name) as caught:
        one_night(settings, NIGHT_2)

    assert "posrecon replay --from 2026-11-12" in caught.value.next_step
    assert read(settings, "select max(run_date)::varchar from marts.fct_breaks") == [("2026-11-12",)]


def test_sweep__superseded_file__goes_only_when_it_is_old_and_no_manifest_names_it(
    settings: Settings,
) -> None:
    one_night(settings)
    named = next((settings.published / "tables" / "fct_breaks").rglob("*.parquet"))
    old, fresh = named.with_name("0123456789ab.parquet"), named.with_name("ba9876543210.parquet")
    torn = named.with_name(".fct_breaks.1.tmp")
    for path in (old, fresh, torn):
        path.write_bytes(b"x")
    long_ago = time.time() - 10 * 86_400
    for path in (named, old, torn):
        os.utime(path, (long_ago, long_ago))

    removed = sweep(settings, 7)

    assert removed == sorted([old, torn])
    assert named.exists()
    assert fresh.exists()
