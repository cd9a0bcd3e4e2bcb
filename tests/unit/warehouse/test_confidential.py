"""Everybody reads masks; the whole values lie apart, and the authorised role reads them."""

import stat
from pathlib import Path

import duckdb
import pytest

from posrecon.settings import Settings
from posrecon.warehouse.confidential import CONFIDENTIAL, masks_of, restricted_database
from posrecon.warehouse.manifests import Manifest, Partition, read_manifest, reader_database, write_manifest
from posrecon.warehouse.publish import EXPORTED_TABLES, publish, swap_views
from tests.unit.warehouse.small_night import NIGHT_1, NIGHT_2, built

ACCOUNT = "110905000010001234"
TOKEN = "token of a card"


@pytest.fixture
def two_nights(settings: Settings) -> Settings:
    for night in (NIGHT_1, NIGHT_2):
        with built(settings, night):
            pass
        publish(settings, night)
    return settings


def ask(database: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(database), read_only=True) as reader:
        return reader.execute(query).fetchall()


def test_everybody__reads_masks__in_views_and_in_parquet(two_nights: Settings) -> None:
    database = reader_database(two_nights)
    assert ask(database, "select distinct settlement_account from marts.fct_payouts") == [("****1234",)]
    assert ask(database, "select settlement_account from marts.dim_merchants") == [("****1234",)]
    tokens = "select distinct card_token from marts.fct_reconciliation_history where card_token is not null"
    assert ask(database, tokens) == [(TOKEN,)]
    details = ask(database, "select detail from marts.fct_breaks order by break_id")
    assert details == [("{}",), ('{"account":"****1234","acquirer":null}',), ("{}",)]
    for path in (two_nights.published / "tables").rglob("*.parquet"):
        assert ACCOUNT not in str(duckdb.read_parquet(str(path)).fetchall())


def test_authorised_role__reads_whole_values_of_every_night(two_nights: Settings) -> None:
    database = restricted_database(two_nights)
    assert ask(database, "select distinct settlement_account from marts.fct_payouts") == [(ACCOUNT,)]
    assert ask(database, "select settlement_account from marts.dim_merchants") == [(ACCOUNT,)]
    assert ask(database, "select count(*) from marts.fct_reconciliation_history") == ask(
        reader_database(two_nights), "select count(*) from marts.fct_reconciliation_history"
    )
    assert ask(database, f"select count(*) from marts.fct_breaks where detail like '%{ACCOUNT}%'") == [(1,)]


def test_folder_of_whole_values__belongs_to_its_owner_alone(two_nights: Settings) -> None:
    folder = two_nights.published / "restricted"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    outside = [path for path in two_nights.published.rglob("*.parquet") if folder not in path.parents]
    assert len(outside) == 2 * len(EXPORTED_TABLES)


def test_whole_values__are_in_the_manifest__so_that_they_are_proven_too(two_nights: Settings) -> None:
    manifest = read_manifest(two_nights, NIGHT_1)
    part = manifest.tables["restricted/fct_payouts"]
    assert part.columns == ("run_date", "payout_id", "settlement_account")
    assert part.rows == 1
    assert (two_nights.published / part.file).exists()


def test_night_of_an_older_release__that_is_not_masked_on_disk__is_masked_in_views(
    two_nights: Settings,
) -> None:
    path = two_nights.published / "tables" / "fct_payouts" / "old.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select 'p1' as payout_id, '{ACCOUNT}' as settlement_account, date '{NIGHT_1}' as run_date, "
            f"true as is_final) to '{path}'"
        )
    old = read_manifest(two_nights, NIGHT_1)
    columns = ("payout_id", "settlement_account", "run_date", "is_final")
    tables = {name: part for name, part in old.tables.items() if not name.startswith("restricted/")}
    tables["fct_payouts"] = Partition("tables/fct_payouts/old.parquet", 1, "", columns)
    write_manifest(two_nights, Manifest(NIGHT_1, None, tables, old.state, old.summary))

    swap_views(two_nights)

    asked = "select distinct settlement_account from marts.fct_payouts"
    assert ask(reader_database(two_nights), asked) == [("****1234",)]
    assert ask(restricted_database(two_nights), asked) == [(ACCOUNT,)]


@pytest.mark.parametrize("table", CONFIDENTIAL)
def test_mask__of_a_masked_value__is_the_same_again(table: str) -> None:
    names = tuple(CONFIDENTIAL[table].masks)
    masks = masks_of(table, (*CONFIDENTIAL[table].key, *names))
    assert tuple(masks) == names
    value = '{"account":"110905000010001234"}'
    with duckdb.connect() as connection:
        for name, mask in masks.items():
            once = connection.execute(f"select {mask} from (select '{value}' as {name})").fetchall()[0][0]
            twice = connection.execute(
                f"select {mask} from (select cast($1 as varchar) as {name})", [once]
            ).fetchall()[0][0]
            assert once == twice
            assert once != value
