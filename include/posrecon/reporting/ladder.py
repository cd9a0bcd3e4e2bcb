"""Which rules of the match ladder were tried for one record, in order, and what each of them found.

The night stores decisions, not the millions of comparisons behind them. For one record the comparisons are cheap, so
they are made again here, over the same raw partitions and with the same ladder.
"""

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import yaml

from posrecon.reporting.lookup import Row, rows_of
from posrecon.settings import Settings
from posrecon.warehouse.expose import reference_in_force
from posrecon.warehouse.manifests import published_nights
from posrecon.warehouse.sql import identifier, literal, read_parquet

# Candidates shown for one rule; more than these is an answer in itself.
CANDIDATES_SHOWN_MAX = 10

_EVENTS = """
create view events as
select
    files.file_name, records.line_no, records.acquirer,
    coalesce(merchants.acquirer_merchant_id, records.merchant_id) as merchant_id,
    records.terminal_id, records.stan, records.rrn, records.auth_code, records.merchant_order_no,
    case records.txn_type when 'refund' then 'refund' else 'sale' end as direction,
    substr(records.card_masked, length(records.card_masked) - 3) as card_last4,
    records.currency,
    case records.txn_type when 'refund' then -records.amount_minor else records.amount_minor end as amount_minor,
    records.txn_local, cast(records.txn_local as date) as business_date
from (
    select
        raw_events.*,
        -- As int_recon__item_acquirers: the listed acquirer with the longest card prefix, else the channel's usual one.
        coalesce(
            (
                select max_by(listed.acquirer, length(coalesce(listed.card_prefix, '')))
                from acquirer_merchants as listed
                where
                    listed.merchant_id = raw_events.merchant_id
                    and listed.channel = raw_events.channel
                    and starts_with(coalesce(raw_events.card_masked, ''), coalesce(listed.card_prefix, ''))
            ),
            case raw_events.channel when 'card' then 'unionpay' else raw_events.channel end
        ) as acquirer
    from raw_events
) as records
inner join files using (file_no)
left join merchants
    on records.merchant_id = merchants.merchant_id and merchants.acquirer = records.acquirer
where records.txn_type in ('sale', 'refund', 'preauth_completion')
"""

_LINES = """
create view lines as
select
    files.file_name, records.line_no, records.acquirer, records.acquirer_merchant_id as merchant_id,
    records.terminal_id, records.stan, records.rrn, records.auth_code, records.merchant_order_no,
    records.txn_type as direction,
    substr(records.card_masked, length(records.card_masked) - 3) as card_last4,
    records.currency, records.gross_minor as amount_minor,
    records.txn_local, cast(records.txn_local as date) as business_date
from raw_lines as records
inner join files using (file_no)
where records.line_kind = 'transaction'
"""


@dataclass(frozen=True)
class _Side:
    """Where the record stands, and where its counterparts are looked for."""

    own: str
    other: str
    file_name: str
    line_no: int


def rules_tried(settings: Settings, published: duckdb.DuckDBPyConnection, item: Row) -> list[dict[str, Any]]:
    """Try every rule of the item's ladder again.

    Args:
        settings: Where raw partitions and the ladder are.
        published: The readers' database; its merchants give the acquirers' ids.
        item: A row of fct_reconciliation.

    Returns:
        One entry per rule in order: `rule`, `tier`, `keys` (name → value of the record), `missing_keys` (without
        these the rule cannot fit), `found` (count) and `candidates` (evidence, amount difference in minor units,
        seconds apart). Empty when the record's raw partition is gone.
    """
    if item["terminal_file"] is not None:
        side = _Side("events", "lines", item["terminal_file"], item["terminal_line"])
    else:
        side = _Side("lines", "events", item["settlement_file"], item["settlement_line"])
    with duckdb.connect() as raw:
        if not open_records(raw, settings, published):
            return []
        record = rows_of(
            raw,
            f"select * from {side.own} where file_name = ? and line_no = ?",
            [side.file_name, side.line_no],
        )
        if not record:
            return []
        return [
            _try(raw, side, record[0], rule)
            for rule in _ladder(settings, record[0]["acquirer"], item["run_date"])
        ]


def as_text(tried: list[dict[str, Any]]) -> list[str]:
    """The rules for people, one or more lines each.

    Besides what `rules_tried` gives, each has a `verdict` and each candidate what it `stands` for.
    """
    lines = []
    for entry in tried:
        keys = ", ".join(f"{name} {value or '-'}" for name, value in entry["keys"].items())
        if entry["missing_keys"]:
            verdict = f"cannot fit: the record has no {', '.join(entry['missing_keys'])}"
        else:
            verdict = f"{entry['found']} candidate{'' if entry['found'] == 1 else 's'}"
        verdict += f", {entry['verdict']}" if entry["verdict"] else ""
        lines.append(f"  rule {entry['rule']} (tier {entry['tier']}): {verdict} [{keys}]")
        lines += [
            f"    {found['file_name']}:{found['line_no']} amount {found['delta_minor']:+d} minor, "
            f"{found['seconds_apart']} s apart: {found['stands']}"
            for found in entry["candidates"]
        ]
    return lines


def _ladder(settings: Settings, acquirer: str, run_date: date) -> list[dict[str, Any]]:
    """Rules of the acquirer in order, each with the window (`window_s`) that was in force on the night."""
    project = yaml.safe_load((settings.dbt_dir / "dbt_project.yml").read_text(encoding="utf-8"))
    ladder: list[dict[str, Any]] = project["vars"]["match_ladder"]
    is_named = any(acquirer in rule["acquirers"] for rule in ladder)
    with (settings.dbt_dir / "seeds" / "tolerances.csv").open(encoding="utf-8", newline="") as seed:
        windows = {
            row["scope"]: int(row["value"])
            for row in csv.DictReader(seed)
            if row["name"] == "match_window_s"
            and row["effective_from"] <= run_date.isoformat() <= row["effective_to"]
        }
    return [
        rule | {"window_s": windows[rule["name"]]}
        for rule in ladder
        if (acquirer if is_named else "other") in rule["acquirers"]
    ]


def open_records(
    raw: duckdb.DuckDBPyConnection, settings: Settings, published: duckdb.DuckDBPyConnection
) -> bool:
    """Make the views `events` and `lines` over the raw partitions of all published nights."""
    nights = published_nights(settings)
    files = _partitions(settings.raw / "files", nights, "run_date={}.parquet")
    events = _partitions(settings.raw / "terminal_events", nights, "run_date={}/*.parquet")
    lines = _partitions(settings.raw / "settlement_lines", nights, "run_date={}/*.parquet")
    if not (files and events and lines):
        return False
    merchants = published.execute(
        "select 'unionpay' as acquirer, merchant_id, unionpay_mer_id as acquirer_merchant_id from dim_merchants "
        "where unionpay_mer_id is not null "
        "union all select 'wechat', merchant_id, wechat_mch_id from dim_merchants where wechat_mch_id is not null "
        "union all select 'alipay', merchant_id, alipay_pid from dim_merchants where alipay_pid is not null"
    ).to_arrow_table()
    raw.register("usual_merchants", merchants)
    listed = reference_in_force(raw, settings, "acquirer_merchants", until=nights[-1])
    raw.execute(
        "create view acquirer_merchants as "
        + (
            f"select * from {read_parquet(listed)}"
            if listed
            else "select null::varchar as merchant_id, null::varchar as channel, null::varchar as card_prefix, "
            "null::varchar as acquirer, null::varchar as acquirer_merchant_id where false"
        )
    )
    raw.execute(
        "create view merchants as select acquirer, merchant_id, acquirer_merchant_id from usual_merchants "
        "union select acquirer, merchant_id, acquirer_merchant_id from acquirer_merchants"
    )
    raw.execute(
        f"create view files as select file_no, file_name from {read_parquet(files)} where state = 'loaded'"
    )
    raw.execute(f"create view raw_events as select * from {read_parquet(events, union_by_name=True)}")
    raw.execute(f"create view raw_lines as select * from {read_parquet(lines, union_by_name=True)}")
    raw.execute(_EVENTS)
    raw.execute(_LINES)
    return True


def _partitions(folder: Path, nights: list[Any], pattern: str) -> list[Path]:
    return sorted(path for night in nights for path in folder.glob(pattern.format(night)))


def _try(raw: duckdb.DuckDBPyConnection, side: _Side, record: Row, rule: dict[str, Any]) -> dict[str, Any]:
    keys = {name: record[name] for name in rule["keys"]}
    missing = [name for name, value in keys.items() if value is None]
    entry: dict[str, Any] = {
        "rule": rule["name"],
        "tier": rule["tier"],
        "keys": {name: None if value is None else str(value) for name, value in keys.items()},
        "missing_keys": missing,
        "found": 0,
        "candidates": [],
    }
    if missing:
        return entry
    same = " and ".join(f"other.{identifier(name)} = own.{identifier(name)}" for name in keys)
    sign = (
        "other.amount_minor - own.amount_minor"
        if side.own == "events"
        else "own.amount_minor - other.amount_minor"
    )
    found = rows_of(
        raw,
        f"select other.file_name, other.line_no, {sign} as delta_minor, "
        "cast(abs(epoch(other.txn_local - own.txn_local)) as bigint) as seconds_apart "
        f"from {side.own} as own inner join {side.other} as other on {same} "
        f"where own.file_name = {literal(side.file_name)} and own.line_no = {side.line_no} "
        f"and abs(epoch(other.txn_local - own.txn_local)) <= {int(rule['window_s'])} "
        "order by abs(delta_minor), seconds_apart, other.file_name, other.line_no",
        [],
    )
    return entry | {"found": len(found), "candidates": found[:CANDIDATES_SHOWN_MAX]}
