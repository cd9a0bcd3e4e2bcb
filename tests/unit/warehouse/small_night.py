"""A night small enough to build by hand: a project with three opening tables, and marts of a few rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb

from posrecon.settings import PROJECT_ROOT, Settings
from posrecon.warehouse.connection import connect
from posrecon.warehouse.expose import expose

NIGHT_1 = date(2026, 11, 12)
NIGHT_2 = date(2026, 11, 13)
NIGHT_3 = date(2026, 11, 16)

OPENING = """
version: 2
sources:
  - name: opening
    tables:
      - name: items
        meta: {order_by: [item_key]}
        columns:
          - {name: item_key, data_type: bigint}
          - {name: amount_minor, data_type: bigint}
          - {name: txn_at, data_type: timestamptz}
      - name: seen
        config: {meta: {lookback: true, order_by: [item_key]}}
        columns:
          - {name: item_key, data_type: bigint}
      - name: dispute_candidates
        meta: {order_by: [candidate_id]}
        columns:
          - {name: candidate_id, data_type: varchar}
"""

MODELS = """
version: 2
models:
  - name: fct_reconciliation_history
    config: {meta: {order_by: [item_id]}}
  - name: fct_breaks
    meta: {order_by: [break_id]}
"""

MARTS = {
    "fct_reconciliation_history": "select 'i' || i as item_id, date '{night}' as run_date, "
    "'matched' as match_state, date '{night}' as first_run_date, i % 2 = 0 as is_final, "
    "case when i = 3 then 'token of a card' end as card_token, i * 100 as amount_minor from range({rows}) t(i)",
    "fct_breaks": "select 'b' || i as break_id, 'amount_mismatch' as break_type, 'open' as status, "
    "date '{night}' as opened_on, null::date as closed_on, 250 as amount_at_risk_minor, 'CNY' as currency, "
    'case when i = 1 then \'{{"account":"110905000010001234","acquirer":null}}\' else \'{{}}\' end as detail, '
    "date '{night}' as run_date from range(3) t(i)",
    "dispute_candidates": "select 'c1' as candidate_id, 'amount_mismatch' as break_type, 'CNY' as currency, "
    "250 as amount_at_risk_minor, 'open' as status, date '{night}' as run_date",
    "fct_payouts": "select 'p1' as payout_id, '110905000010001234' as settlement_account, "
    "date '{night}' as run_date, true as is_final, 'none' as residual_label, 80 as explained_minor, "
    "20 as unexplained_minor",
    "fct_payout_parts": "select 'p1' as payout_id, 'book' as part, 80 as amount_minor, "
    "date '{night}' as run_date, true as is_final",
    "fct_withdrawals": "select 'w1' as withdrawal_id, 'wechat' as acquirer, '1900000109' as acquirer_merchant_id, "
    "'M1' as merchant_id, 'F1' as entry_no, 'CNY' as currency, date '2026-11-10' as booked_on, "
    "date '2026-11-11' as due_date, 11000 as amount_minor, 10999 as received_minor, -1 as delta_minor, "
    "'differs' as state, false as file_missing, 'fund.csv' as wallet_file, 5 as wallet_line, 'a.sta' as bank_file, "
    "2 as bank_line, false as is_final, date '{night}' as run_date "
    "union all select 'w2', 'alipay', '2088101117955611', 'M2', 'A1', 'CNY', '2026-11-10', '2026-11-11', 500, 0, "
    "-500, 'not_received', true, 'account.csv', 7, null, null, false, '{night}'",
    "fct_match_suggestions": "select 'i1' as item_id, 'i2' as settlement_item_id, date '{night}' as run_date",
    "fct_break_decisions": "select 'd1' as decision_id, 'b1' as break_id, date '{night}' as run_date",
    "rpt_terminal_health": "select 'T1' as terminal_id, date '{night}' as run_date, false as is_final",
    "rpt_daily_control": "select date '{night}' as run_date, 'terminal' as side, 99 as explained_minor, "
    "1 as unexplained_minor, 199 as explained_items, 1 as unexplained_items",
    "fct_files": "select * from (values ('f1', 'loaded', 'a.csv', null), ('f2', 'missing', null, 'not here')) "
    "t(file_id, state, file_name, reason), (select 'terminal_log' as source, 'log' as logical_name, "
    "date '{night}' as run_date, true as is_final)",
    "fct_statement_gaps": "select 'g1' as gap_id, '110905000010001234' as account, 'CNY' as currency, "
    "date '{night}' as opened_on, date '2026-11-10' as previous_date, '314/1' as previous_statement_no, "
    "120000 as previous_closing_minor, 'a.sta' as previous_bank_file, date '2026-11-12' as statement_date, "
    "'316/1' as statement_no, 150001 as opening_minor, 'b.sta' as bank_file, 30001 as difference_minor, "
    "1 as missing_numbers, 0 as missing_pages, true as file_missing, date '{night}' as run_date",
    "dim_merchants": "select 'M1' as merchant_id, '110905000010001234' as settlement_account, "
    "date '{night}' as run_date",
    "dim_terminals": "select 'T1' as terminal_id, date '{night}' as run_date",
    "dim_break_types": "select 'amount_mismatch' as break_type, date '{night}' as run_date",
}


def small_settings(folder: Path) -> Settings:
    """Settings with the real `raw` declarations and the small `opening` ones."""
    models = folder / "project" / "dbt_project" / "models"
    models.mkdir(parents=True)
    sources = (PROJECT_ROOT / "dbt_project" / "models" / "sources.yml").read_text(encoding="utf-8")
    (models / "sources.yml").write_text(sources, encoding="utf-8")
    (models / "opening.yml").write_text(OPENING, encoding="utf-8")
    (models / "marts.yml").write_text(MODELS, encoding="utf-8")
    return Settings(home=folder / "home", project_dir=folder / "project")


def parquet(path: Path, query: str) -> Path:
    """Write a query as Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"copy ({query}) to '{path}' (format parquet)")
    return path


def registry(settings: Settings, run_date: date, *files: tuple[int, str, str]) -> None:
    """Write the registry of a night: (file_no, file_id, state)."""
    rows = ", ".join(f"({no}, '{file_id}', '{state}')" for no, file_id, state in files) or "(0, '', '')"
    columns = (
        "file_no, file_id, 'terminal_log' as source, 'terminal_log' as feed, file_id as logical_name, "
        "'' as logical_key, file_id || '.csv' as file_name, 'aa' as sha256, 1 as bytes, "
        "date '2026-11-11' as business_date, state, 1 as records, 1 as loaded, 0 as quarantined, "
        "null as declared_minor, null as computed_minor, 'utf-8' as encoding, null as reason"
    )
    parquet(
        settings.raw / "files" / f"run_date={run_date}.parquet",
        f"select {columns} from (values {rows}) t(file_no, file_id, state) where file_no > 0",
    )


@contextmanager
def built(settings: Settings, run_date: date, *, rows: int = 10) -> Iterator[duckdb.DuckDBPyConnection]:
    """Expose a night and fill its marts, as dbt and the expectations would; the warehouse is open meanwhile."""
    registry(settings, run_date, (1, "aaaa", "loaded"))
    expose(settings, run_date)
    with connect(settings, settings.warehouse) as warehouse:
        warehouse.execute("create schema marts")
        warehouse.execute("create schema intermediate")
        for name, query in MARTS.items():
            warehouse.execute(f"create table marts.{name} as {query.format(night=run_date, rows=rows)}")
        warehouse.execute(
            "create table intermediate.int_recon__closing_items as select i as item_key, i * 100 as amount_minor, "
            "timestamptz '2026-11-11 10:00:00+08' as txn_at, 'extra' as extra from range(4) t(i)"
        )
        warehouse.execute("create table intermediate.int_recon__closing_seen as select 7 as item_key")
        yield warehouse
