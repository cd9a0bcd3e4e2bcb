"""A small warehouse with the relations that a night leaves for validation, made without dbt."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pytest

from posrecon.settings import Settings
from posrecon.validation.candidates import CANDIDATE_COLUMNS

RUN_DATE = date(2026, 11, 12)

_SETUP = """
create schema raw; create schema opening; create schema staging; create schema marts;
create table raw.files as
    select f.*, '1' as logical_key, date '2026-11-11' as business_date, null::bigint as declared_minor,
        0::bigint as computed_minor
    from (values
        (1, 'f1', 'terminal_native', 'terminal_log', 'log_20261111', 'terminal_log_20261111.csv', 'loaded', 200),
        (2, 'f2', 'unionpay_zm', 'unionpay', 'zm_1', 'INN26111188ZM_898440353110001', 'loaded', 180),
        (3, 'f3', 'bank_mt940', 'bank', 'mt940_1', 'MT940_1_20261111.sta', 'loaded', 3)
    ) as f (file_no, file_id, source, feed, logical_name, file_name, state, loaded);
create table raw.expected_files as select source, feed, logical_name, date '2026-11-11' as business_date from raw.files;
create table raw.ledger_entries (file_no bigint);
create table raw.merchants as select 'M001' as merchant_id, 'CNY' as currency;
create table raw.bank_statements as
    select 3::bigint as file_no, 1::bigint as line_no, 'ACC1' as account, '1' as statement_no, 'CNY' as currency,
        0::bigint as opening_minor, 600::bigint as closing_minor, date '2026-11-11' as closing_date;
create table staging.stg_terminal__events as
    select
        (4294967296 + i)::bigint as item_key, 1::bigint as file_no, i::bigint as line_no,
        'M001' as merchant_id, 'T0000001' as terminal_id, '000001' as batch_no, lpad(i::varchar, 6, '0') as stan,
        'sale' as txn_type, 'card' as channel, '622202******0001' as card_masked, 'CNY' as currency,
        (100 * i)::bigint as amount_minor,
        timestamptz '2026-11-11 10:00:00+08' + i * interval 1 minute as txn_at,
        timestamp '2026-11-11 10:00:00' + i * interval 1 minute as txn_local,
        date '2026-11-11' as business_date, true as is_approved, null::varchar as merchant_order_no
    from range(1, 201) as r (i);
create table staging.stg_settlement__lines as
    select
        (2 * 4294967296 + i)::bigint as line_key, 2::bigint as file_no, i::bigint as line_no,
        'unionpay' as acquirer, 'transaction' as line_kind, null::varchar as merchant_order_no,
        '898440353110001' as acquirer_merchant_id, 'TXN' || i as acquirer_txn_no, 'sale' as txn_type,
        'CNY' as currency, (100 * i)::bigint as gross_minor, (i // 2)::bigint as fee_minor,
        (100 * i - i // 2)::bigint as net_minor, date '2026-11-11' as settlement_date
    from range(1, 181) as r (i);
create table staging.stg_bank__entries as
    select
        (3 * 4294967296 + i)::bigint as entry_key, 3::bigint as file_no, i::bigint as line_no, 'ACC1' as account,
        '1' as statement_no, date '2026-11-11' as value_date, date '2026-11-11' as entry_date,
        (100 * i)::bigint as amount_minor, 'CNY' as currency
    from range(1, 4) as r (i);
create table marts.fct_statement_gaps (
    gap_id varchar, account varchar, currency varchar, previous_date date, statement_date date,
    difference_minor bigint, missing_numbers bigint, missing_pages bigint
);
create table marts.fct_withdrawals (
    withdrawal_id varchar, acquirer varchar, acquirer_merchant_id varchar, booked_on date, due_date date, state varchar,
    currency varchar, amount_minor bigint, delta_minor bigint, file_missing boolean
);
create table staging.stg_wallet__ledger_entries as
    select
        (4 * 4294967296 + i)::bigint as entry_key, 4::bigint as file_no, i::bigint as line_no, 'wechat' as acquirer,
        '1900000109' as account, '5000' || i as entry_no, 'trade' as entry_kind, 'CNY' as currency,
        (100 * i)::bigint as amount_minor, (50 * i * (i + 1))::bigint as balance_minor,
        timestamp '2026-11-11 10:00:00' as booked_local
    from range(1, 4) as r (i);
create table marts.dim_terminals as
    select * from (values
        ('T0000001', 'M001', 'N5', 'old counter', date '2020-01-01', date '2025-12-31'),
        ('T0000001', 'M001', 'N5', 'north gate', date '2026-01-01', null),
        ('T0000001', 'M002', 'N5', 'elsewhere', date '2026-01-01', null)
    ) as t (terminal_id, merchant_id, model, location, installed_on, removed_on);
create table marts.fct_breaks (
    break_id varchar, item_id varchar, break_type varchar, status varchar, opened_on date, closed_on date,
    closed_by varchar, age_days bigint, amount_at_risk_minor bigint, currency varchar, merchant_id varchar,
    terminal_id varchar, payout_id varchar, terminal_file varchar, terminal_line bigint, settlement_file varchar,
    settlement_line bigint, bank_file varchar, bank_line bigint, file_missing boolean, detail varchar,
    txn_at timestamptz, acquirer varchar, channel varchar, run_date date
);
"""

BREAK_TYPES = (
    "missing_in_settlement", "missing_in_terminal_log", "amount_mismatch", "duplicate_in_settlement",
    "duplicate_in_terminal_log", "declined_but_settled", "reversed_but_settled", "late_settlement", "fee_mismatch",
    "payout_not_received", "payout_short", "payout_over", "refund_not_settled", "currency_mismatch", "net_mismatch",
    "refund_exceeds_original", "orphan_reference", "ambiguous_match", "batch_out_of_balance", "stan_gap",
    "unidentified_credit", "unexplained_deduction", "chargeback",
)  # fmt: skip

Change = Callable[[duckdb.DuckDBPyConnection], object]


def add_breaks(
    connection: duckdb.DuckDBPyConnection, break_type: str, count: int, *, run_date: date = RUN_DATE
) -> None:
    """`count` open breaks of one type, each with 1 yuan and some fen at risk."""
    connection.execute(
        """
        insert into marts.fct_breaks
        select
            md5($1 || i), 'item-' || i, $1, 'open', $3, null, null, 0, 100 + i, 'CNY', 'M001', 'T0000001', null,
            'terminal_log_20261111.csv', i, null, null, null, null, false, '{}',
            timestamptz '2026-11-11 10:00:00+08', 'unionpay', 'card', $3
        from range(1, $2 + 1) as r (i)
        """,
        [break_type, count, run_date],
    )


def make_warehouse(home: Path, *changes: Change) -> Settings:
    """A home whose warehouse is ready for validation, after `changes`."""
    settings = Settings(home=home)
    home.mkdir(parents=True, exist_ok=True)
    settings.warehouse.unlink(missing_ok=True)
    connection = duckdb.connect(str(settings.warehouse))
    connection.execute("set TimeZone = 'Asia/Shanghai'")
    connection.execute(_SETUP)
    columns = ", ".join(f"{name} {data_type}" for name, data_type in CANDIDATE_COLUMNS)
    connection.execute(f"create table opening.dispute_candidates ({columns})")
    for change in changes:
        change(connection)
    connection.close()
    return settings


def query(settings: Settings, sql: str) -> list[tuple[object, ...]]:
    connection = duckdb.connect(str(settings.warehouse), read_only=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.fixture(scope="session")
def home_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return lambda name: tmp_path_factory.mktemp(name) / "home"
