from datetime import date

import pytest

from posrecon.errors import NightError
from posrecon.settings import Settings
from posrecon.warehouse.connection import connect
from posrecon.warehouse.declarations import source_tables
from posrecon.warehouse.expose import check_night, expose
from posrecon.warehouse.manifests import Manifest, write_manifest
from tests.unit.warehouse.small_night import NIGHT_1, NIGHT_2, NIGHT_3, parquet, registry

EVENT = "select {file_no} as file_no, 2 as line_no, 'M1' as merchant_id, '12' as amount_minor"


def event_columns(settings: Settings) -> str:
    """All declared columns but the four of EVENT, empty and untyped, as a sloppy writer would leave them."""
    table = next(t for t in source_tables(settings.dbt_dir, "raw") if t.name == "terminal_events")
    given = {"file_no", "line_no", "merchant_id", "amount_minor"}
    return ", ".join(f"null as {c.name}" for c in table.columns if c.name not in given)


def events(settings: Settings, run_date: date, file_id: str, file_no: int) -> None:
    query = f"{EVENT.format(file_no=file_no)}, {event_columns(settings)}"
    parquet(settings.raw / "terminal_events" / f"run_date={run_date}" / f"{file_id}.parquet", query)


def publish_nothing(settings: Settings, run_date: date) -> None:
    write_manifest(settings, Manifest(run_date, None, {}, {}, {}))


def values(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with connect(settings, settings.warehouse, read_only=True) as warehouse:
        return warehouse.execute(query).fetchall()


def test_expose__no_partition_at_all__every_declared_view_is_empty_with_the_declared_types(
    settings: Settings,
) -> None:
    registry(settings, NIGHT_1)

    expose(settings, NIGHT_1)

    with connect(settings, settings.warehouse, read_only=True) as warehouse:
        for source in ("raw", "opening"):
            for table in source_tables(settings.dbt_dir, source):
                result = warehouse.execute(f"select * from {source}.{table.name}")
                assert [c[0] for c in result.description or []] == [c.name for c in table.columns]
                found = warehouse.execute(
                    f"select column_type from (describe {source}.{table.name})"
                ).fetchall()
                declared = warehouse.execute(
                    "select " + ", ".join(f"typeof(cast(null as {c.data_type}))" for c in table.columns)
                ).fetchall()[0]
                assert [t for (t,) in found] == list(declared), table.name
                if table.name != "banking_calendar":
                    assert warehouse.execute(f"select count(*) from {source}.{table.name}").fetchall() == [
                        (0,)
                    ]


def test_expose__partition_with_other_types__is_cast_to_the_declared_ones(settings: Settings) -> None:
    registry(settings, NIGHT_1, (1, "aaaa", "loaded"))
    events(settings, NIGHT_1, "aaaa", 1)

    expose(settings, NIGHT_1)

    assert values(
        settings, "select file_no, amount_minor, typeof(amount_minor) from raw.terminal_events"
    ) == [(1, 12, "BIGINT")]


def test_expose__file_that_is_not_loaded__leaves_no_row_even_when_its_partition_lies_there(
    settings: Settings,
) -> None:
    registry(settings, NIGHT_1, (1, "aaaa", "loaded"), (2, "bbbb", "duplicate"), (3, "cccc", "conflict"))
    for file_no, file_id in ((1, "aaaa"), (2, "bbbb"), (3, "cccc"), (4, "stray")):
        events(settings, NIGHT_1, file_id, file_no)

    expose(settings, NIGHT_1)

    assert values(settings, "select file_no from raw.terminal_events") == [(1,)]
    assert values(settings, "select file_no from raw.files order by 1") == [(1,), (2,), (3,)]


def test_expose__reference_data__comes_from_the_newest_loaded_file_up_to_the_night(
    settings: Settings,
) -> None:
    columns = "2 as line_no, 'n' as name, 'c' as city, 'a' as settlement_account, 'u' as unionpay_mer_id, "
    columns += "'w' as wechat_mch_id, 'p' as alipay_pid, 'CNY' as currency"
    for run_date, file_no, file_id, state in (
        (NIGHT_1, 1, "first", "loaded"),
        (NIGHT_2, 2, "refused", "rejected"),
        (NIGHT_3, 3, "later", "loaded"),
    ):
        registry(settings, run_date, (file_no, file_id, state))
        path = settings.raw / "merchants" / f"run_date={run_date}" / f"{file_id}.parquet"
        parquet(path, f"select {file_no} as file_no, '{file_id}' as merchant_id, {columns}")

    expose(settings, NIGHT_2)
    assert values(settings, "select merchant_id from raw.merchants") == [("first",)]

    expose(settings, NIGHT_3)
    assert values(settings, "select merchant_id from raw.merchants") == [("later",)]


def test_expose__file_names__know_every_file_ever_loaded_but_none_of_a_later_night(
    settings: Settings,
) -> None:
    registry(settings, NIGHT_1, (1, "aaaa", "loaded"), (2, "bbbb", "rejected"))
    registry(settings, NIGHT_2, (3, "cccc", "loaded"))
    registry(settings, NIGHT_3, (4, "dddd", "loaded"))

    expose(settings, NIGHT_2)

    assert values(settings, "select file_no, file_name from raw.file_names order by 1") == [
        (1, "aaaa.csv"),
        (3, "cccc.csv"),
    ]


def test_expose__opening__is_the_state_of_the_previous_published_night(settings: Settings) -> None:
    for run_date in (NIGHT_1, NIGHT_2, NIGHT_3):
        registry(settings, run_date)
        path = settings.state / "items" / f"run_date={run_date}.parquet"
        query = f"select {run_date.day} as item_key, 5 as amount_minor, null as txn_at"
        parquet(path, query)
    publish_nothing(
        settings, NIGHT_1
    )  # the state of the second night belongs to a night that never became good

    expose(settings, NIGHT_3)

    assert values(settings, "select item_key from opening.items") == [(NIGHT_1.day,)]


def test_expose__look_back__takes_every_good_night_inside_the_window_and_none_outside(
    settings: Settings,
) -> None:
    narrow = settings.model_copy(update={"lookback_days": 3})
    for run_date in (NIGHT_1, NIGHT_2, NIGHT_3):
        registry(narrow, run_date)
        publish_nothing(narrow, run_date)
        parquet(narrow.state / "seen" / f"run_date={run_date}.parquet", f"select {run_date.day} as item_key")

    expose(narrow, NIGHT_3)

    assert values(narrow, "select item_key from opening.seen") == [(NIGHT_2.day,)]


def test_expose__an_interrupted_night_left_a_warehouse__nothing_of_it_remains(settings: Settings) -> None:
    registry(settings, NIGHT_1)
    with connect(settings, _parent(settings)) as warehouse:
        warehouse.execute("create table main.left_over as select 1 as one")
    write_ahead = settings.warehouse.with_name("warehouse.duckdb.wal")
    write_ahead.write_bytes(b"torn")

    expose(settings, NIGHT_1)

    assert not write_ahead.exists()
    assert values(
        settings, "select table_name from information_schema.tables where table_schema = 'main'"
    ) == [("night",)]


def _parent(settings: Settings):  # noqa: ANN202
    settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
    return settings.warehouse


def test_expose__night_without_registry__says_which_step_to_start_from(settings: Settings) -> None:
    with pytest.raises(NightError, match="registry of the night 2026-11-12 is missing") as caught:
        expose(settings, NIGHT_1)

    assert "receive" in caught.value.next_step


def test_expose__partition_lacks_a_declared_column__names_the_file_and_the_way_to_rebuild_it(
    settings: Settings,
) -> None:
    registry(settings, NIGHT_1, (1, "aaaa", "loaded"))
    path = settings.raw / "terminal_events" / f"run_date={NIGHT_1}" / "aaaa.parquet"
    parquet(path, "select 1 as file_no")

    with pytest.raises(NightError, match=r"aaaa\.parquet: raw\.") as caught:
        expose(settings, NIGHT_1)

    assert caught.value.next_step.endswith("posrecon replay --from 2026-11-12.")
    assert not settings.warehouse.exists()


def test_check_night__warehouse_of_another_night__is_refused(settings: Settings) -> None:
    registry(settings, NIGHT_1)
    expose(settings, NIGHT_1)

    with (
        connect(settings, settings.warehouse, read_only=True) as warehouse,
        pytest.raises(NightError, match="holds the night 2026-11-12, expected 2026-11-13"),
    ):
        check_night(warehouse, NIGHT_2)


def test_expose__banking_calendar__knows_the_make_up_sunday(settings: Settings) -> None:
    registry(settings, NIGHT_1)

    expose(settings, NIGHT_1)

    query = (
        "select is_banking_day from raw.banking_calendar where calendar_date in ('2018-04-05', '2018-04-08') "
    )
    assert values(settings, query + "order by calendar_date") == [(False,), (True,)]


def test_quarantine__layouts_that_keep_more_or_less_of_a_record__are_read_together(
    settings: Settings,
) -> None:
    registry(settings, NIGHT_1, (1, "aaaa", "loaded"), (2, "bbbb", "loaded"))
    folder = settings.quarantine / f"run_date={NIGHT_1}"
    refused = "select 2::bigint as line_no, 'bad' as reason, 'x' as record_masked"
    parquet(folder / "aaaa.parquet", f"{refused}, 1::bigint as file_no")

    expose(settings, NIGHT_1)
    columns = "file_no, terminal_id, stan"
    assert values(settings, f"select {columns} from raw.quarantined_records") == [(1, None, None)]

    parquet(
        folder / "bbbb.parquet", f"{refused}, 2::bigint as file_no, 'T1' as terminal_id, '000042' as stan"
    )
    expose(settings, NIGHT_1)
    assert values(settings, f"select {columns} from raw.quarantined_records order by 1") == [
        (1, None, None),
        (2, "T1", "000042"),
    ]
