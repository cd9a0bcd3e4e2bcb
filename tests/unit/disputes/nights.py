"""What a night publishes, made by hand: the tables that the intake reads."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from posrecon.disputes.desk import Actor
from posrecon.settings import Settings
from posrecon.validation.candidates import CANDIDATE_COLUMNS
from posrecon.validation.catalogue import load_for
from posrecon.warehouse.manifests import Manifest, reader_database, write_manifest

FIRST = date(2026, 11, 12)
SECOND = date(2026, 11, 13)
THIRD = date(2026, 11, 14)

_BREAKS = """
create table marts.fct_breaks (
    break_id varchar, item_id varchar, break_type varchar, status varchar, opened_on date, closed_on date,
    closed_by varchar, age_days bigint, amount_at_risk_minor bigint, currency varchar, merchant_id varchar,
    terminal_id varchar, payout_id varchar, terminal_file varchar, terminal_line bigint, settlement_file varchar,
    settlement_line bigint, bank_file varchar, bank_line bigint, file_missing boolean, detail varchar,
    txn_at timestamptz, acquirer varchar, channel varchar, run_date date
)
"""


@dataclass(frozen=True)
class Break:
    """One break as a night shows it.

    Attributes:
        name: Tells breaks apart.
        break_type: Its type.
        closed_by: What closed it; None while it is open.
        withdrawn: Why its candidate was withdrawn; None while the rule marks it.
        file_missing: Its file is missing: it is no candidate.
    """

    name: str
    break_type: str = "missing_in_settlement"
    amount_minor: int = 12_000
    currency: str = "CNY"
    merchant_id: str = "M1"
    terminal_id: str | None = "T1"
    payout_id: str | None = None
    txn_at: datetime | None = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
    opened_on: date = FIRST
    closed_by: str | None = None
    withdrawn: str | None = None
    file_missing: bool = False
    detail: str = "{}"
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def break_id(self) -> str:
        return hashlib.md5(self.name.encode(), usedforsecurity=False).hexdigest()


def publish(settings: Settings, run_date: date, *breaks: Break) -> None:
    """Publish a night that shows these breaks and nothing else."""
    path = reader_database(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    rules = {rule.break_type: rule for rule in load_for(settings).dispute_rules}
    with duckdb.connect(str(path)) as connection:
        connection.execute("set TimeZone = 'Asia/Shanghai'")
        connection.execute("create schema marts")
        connection.execute(_BREAKS)
        columns = ", ".join(f"{name} {data_type}" for name, data_type in CANDIDATE_COLUMNS)
        connection.execute(f"create table marts.dispute_candidates ({columns})")
        for one in breaks:
            status = "closed" if one.closed_by else "open"
            row = {
                "break_id": one.break_id, "item_id": f"item-{one.name}", "break_type": one.break_type,
                "status": status, "opened_on": one.opened_on, "closed_on": run_date if one.closed_by else None,
                "closed_by": one.closed_by, "age_days": 0, "amount_at_risk_minor": one.amount_minor,
                "currency": one.currency, "merchant_id": one.merchant_id, "terminal_id": one.terminal_id,
                "payout_id": one.payout_id, "terminal_file": "terminal_log_20261111.csv", "terminal_line": 7,
                "file_missing": one.file_missing, "detail": one.detail, "txn_at": one.txn_at,
                "acquirer": "unionpay", "channel": "card", "run_date": run_date,
            }  # fmt: skip
            _insert(connection, "fct_breaks", row | one.extra)
            rule = rules.get(one.break_type)
            if rule is None or (one.file_missing and one.withdrawn is None):
                continue
            gone = one.withdrawn or (f"break closed: {one.closed_by}" if one.closed_by else None)
            _insert(
                connection,
                "dispute_candidates",
                {
                    "candidate_id": f"cand-{one.name}", "break_id": one.break_id, "rule_id": rule.rule_id,
                    "break_type": one.break_type, "severity": rule.severity, "run_date": one.opened_on,
                    "amount_at_risk_minor": one.amount_minor, "currency": one.currency,
                    "merchant_id": one.merchant_id, "terminal_id": one.terminal_id, "location": "north gate",
                    "txn_time": one.txn_at, "complaint_route": rule.route, "respond_by": None,
                    "validation_id": f"{one.opened_on}/disputes/{rule.rule_id}",
                    "terminal_file": "terminal_log_20261111.csv", "terminal_line": 7, "payout_id": one.payout_id,
                    "acquirer": "unionpay", "channel": "card", "status": "withdrawn" if gone else "open",
                    "withdrawn_on": run_date if gone else None, "withdrawn_reason": gone,
                },
            )  # fmt: skip
    write_manifest(settings, Manifest(run_date, None, {}, {}))


def _insert(connection: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" for _ in row)
    connection.execute(f"insert into marts.{table} ({', '.join(row)}) values ({marks})", list(row.values()))


def actor(name: str, day: int = 13, hour: int = 9) -> Actor:
    """Somebody who acts on a day of November 2026."""
    return Actor(name, datetime(2026, 11, day, hour - 8, 0, tzinfo=UTC))
