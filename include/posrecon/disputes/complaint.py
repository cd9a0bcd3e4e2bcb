"""What a complaint says of each break: time, place, amount, identifiers, expectation and fact, timeline, evidence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import yaml

from posrecon.disputes.routes import OWN_RECORDS
from posrecon.errors import UsageError
from posrecon.money import format_money
from posrecon.reporting.evidence import Evidence, Place, evidence_of, place_of
from posrecon.reporting.lookup import Row, rows_of
from posrecon.settings import Settings

TEXTS = Path(__file__).parent / "complaint_texts.yml"
LANGUAGES = ("zh", "en")
_UNKNOWN = {"zh": "不详", "en": "unknown"}


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """What is complained about, and to whom.

    Attributes:
        reference: Number of the case.
        title: Its name.
        addressee_zh, addressee_en, contact: The door that is knocked on.
        respond_by: Until when an answer is asked for; None when no clock runs.
        break_ids: The breaks of the case.
    """

    reference: str
    title: str
    addressee_zh: str
    addressee_en: str
    contact: str
    respond_by: date | None
    break_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Story:
    """One break, told from the published tables and the received files.

    Attributes:
        row: Its row of fct_breaks.
        label: Name of the kind of break, by language.
        said: `expected`, `found` and `request`, by language.
        facts: (label, value) in both languages at once: time, place, amount, identifiers.
        timeline: (date, zh, en), in order.
        evidence: Records as received: terminal, settlement, bank.
    """

    row: Row
    label: Mapping[str, str]
    said: Mapping[str, Mapping[str, str]]
    facts: tuple[tuple[str, str], ...]
    timeline: tuple[tuple[date, str, str], ...]
    evidence: tuple[Evidence, ...] = field(default=())


@lru_cache(maxsize=1)
def texts() -> dict[str, dict[str, str]]:
    """Wording by break type: expected, found and request, in each language."""
    loaded: dict[str, dict[str, str]] = yaml.safe_load(TEXTS.read_text(encoding="utf-8"))
    return loaded


def complaint_of(case: Mapping[str, Any]) -> Complaint:
    """What a case complains about, from its view (`Desk.show`).

    To the door of its next step, else where it lies, else the first one that it will knock on: a pack that is made
    before anybody has the case is addressed to somebody too, and never to ourselves.
    """
    step = case["next_step"] or {}
    lies_at = [one for one in case["doors"] if one["route"] == case["route"]]
    doors: list[Mapping[str, Any]] = [step.get("door") or {}, *lies_at, *case["doors"]]
    door = next((one for one in doors if one and one["route"] != OWN_RECORDS), {})
    respond_by = case["respond_by"]
    return Complaint(
        reference=case["case"],
        title=_title(case),
        addressee_zh=door.get("name_zh", ""),
        addressee_en=door.get("name_en", ""),
        contact=door.get("contact") or "",
        respond_by=date.fromisoformat(respond_by) if respond_by else None,
        break_ids=tuple(one["break_id"] for one in case["case_breaks"]),
    )


def _title(case: Mapping[str, Any]) -> str:
    """The cause in words; where it is one record or one group, whose: an id says nothing to who reads it."""
    if case["cause_kind"] not in ("transaction", "group"):
        return str(case["cause"])
    named = [case[name] for name in ("acquirer", "merchant_id", "terminal_id") if case[name]]
    return " · ".join(named) or str(case["cause"])


def breaks_of(published: duckdb.DuckDBPyConnection, break_ids: Sequence[str]) -> list[Row]:
    """The breaks as readers see them, the most money at risk first.

    Raises:
        UsageError: A break is not published.
    """
    rows = rows_of(
        published,
        "select b.*, t.family, t.label_zh, t.label_en from fct_breaks as b "
        "inner join dim_break_types as t using (break_type) "
        "where b.break_id in (select unnest(?)) order by abs(b.amount_at_risk_minor) desc, b.break_id",
        [list(break_ids)],
    )
    absent = sorted(set(break_ids) - {row["break_id"] for row in rows})
    if absent:
        raise UsageError(
            f"{absent[0]}: no published break has this id.",
            next_step="Publish the night that found it (posrecon night), then make the pack.",
        )
    return rows


def stories_of(settings: Settings, published: duckdb.DuckDBPyConnection, rows: Sequence[Row]) -> list[Story]:
    """Tell breaks, each with its records; a file of the archive is opened once for all of them.

    Args:
        settings: Where the archive lies, and the zone of times.
        published: Open on the published views.
        rows: From `breaks_of`.
    """
    told = [_story_of(settings, published, row) for row in rows]
    wanted = [place for _, places in told for place in places]
    records = iter(evidence_of(settings, published, wanted))
    return [replace(story, evidence=tuple(next(records) for _ in places)) for story, places in told]


def _story_of(
    settings: Settings, published: duckdb.DuckDBPyConnection, row: Row
) -> tuple[Story, tuple[Place, ...]]:
    """One break, and where its records stand."""
    item = _one(published, "select * from fct_reconciliation where item_id = ?", row["item_id"])
    payout = _one(
        published, "select * from fct_payouts where payout_id = ? order by run_date desc", row["payout_id"]
    )
    merchant = _one(published, "select * from dim_merchants where merchant_id = ?", row["merchant_id"])
    terminal = _one(published, "select * from dim_terminals where terminal_id = ?", row["terminal_id"])
    values = _values(row, item, payout)
    wording = texts()[row["break_type"]]
    said = {
        language: {
            part: wording[f"{part}_{language}"].format_map(_Known(values, _UNKNOWN[language]))
            for part in ("expected", "found", "request")
        }
        for language in LANGUAGES
    }
    story = Story(
        row=row,
        label={"zh": row["label_zh"], "en": row["label_en"]},
        said=said,
        facts=_facts(settings, row, item, payout, merchant, terminal),
        timeline=_timeline(row, item, payout),
    )
    return story, _places(row, payout)


class _Known(dict[str, str]):
    """What is known; anything else is said to be unknown, since an empty place would read as nought."""

    def __init__(self, values: Mapping[str, str], unknown: str) -> None:
        super().__init__(values)
        self._unknown = unknown

    def __missing__(self, name: str) -> str:
        return self._unknown


def _one(published: duckdb.DuckDBPyConnection, query: str, key: str | None) -> Row:
    found = rows_of(published, f"{query} limit 1", [key]) if key is not None else []
    return found[0] if found else {}


def _values(row: Row, item: Row, payout: Row) -> dict[str, str]:
    """What the wording may name, as text; amounts as money."""
    currency = row["currency"]
    detail: dict[str, Any] = json.loads(row["detail"]) if row["detail"] else {}
    given: dict[str, Any] = {
        "run_date": row["run_date"],
        "due_date": item.get("due_date") or payout.get("due_date"),
        "settlement_date": item.get("settlement_date") or payout.get("settlement_date"),
        "days_late": item.get("days_late"),
        "batch_no": item.get("batch_no"),
        "txn_type": item.get("txn_type"),
        "expected_minor": item.get("expected_amount_minor"),
        "settled_minor": item.get("settled_amount_minor"),
    } | detail
    if "settled_currency" in detail:
        given["expected_amount"] = format_money(detail.get("expected_minor"), detail["expected_currency"])
        given["settled_amount"] = format_money(detail.get("settled_minor"), detail["settled_currency"])
    # A text says which way the money went; a minus beside it would turn it round.
    for name in ("amount_minor", "disputed_minor"):
        given[name] = abs(int(given[name])) if given.get(name) is not None else None
    return {
        name.removesuffix("_minor"): format_money(int(value), currency)
        if name.endswith("_minor")
        else str(value)
        for name, value in given.items()
        if value is not None
    }


def _facts(
    settings: Settings, row: Row, item: Row, payout: Row, merchant: Row, terminal: Row
) -> tuple[tuple[str, str], ...]:
    happened: datetime | None = row["txn_at"]
    place = " ".join(part for part in (merchant.get("city"), terminal.get("location")) if part)
    # A gap or a batch names a record beside it, whose money is not in dispute.
    amounts = {} if row["family"] == "sequence" else item
    card = " ".join(part for part in (item.get("channel"), item.get("card_masked")) if part)
    given = (
        ("时间 Time", _local(happened, settings.zone) if happened else None),
        ("地点 Place", place),
        ("商户 Merchant", " ".join(part for part in (row["merchant_id"], merchant.get("name")) if part)),
        ("终端 Terminal", row["terminal_id"]),
        ("涉及金额 Amount at risk", format_money(row["amount_at_risk_minor"], row["currency"])),
        ("应收 / 应付 Expected", _amount(amounts.get("expected_amount_minor"), item.get("currency"))),
        ("清算金额 Settled", _amount(amounts.get("settled_amount_minor"), item.get("currency"))),
        ("交易类型 Type", item.get("txn_type")),
        ("支付方式 Means", card),
        ("批次 / 流水号 Batch / STAN", _pair(item.get("batch_no"), item.get("stan"))),
        ("检索参考号 RRN", item.get("rrn")),
        ("商户订单号 Order number", item.get("merchant_order_no")),
        ("收单机构 Acquirer", row["acquirer"]),
        ("划款 Payout", row["payout_id"]),
        ("结算账户 Settlement account", payout.get("settlement_account")),
        ("编号 Break", row["break_id"]),
    )
    return tuple((label, str(value)) for label, value in given if value not in (None, ""))


def _amount(amount_minor: int | None, currency: str | None) -> str | None:
    return None if amount_minor is None else format_money(amount_minor, currency)


def _pair(batch_no: str | None, stan: str | None) -> str | None:
    return None if batch_no is None and stan is None else f"{batch_no or '-'} / {stan or '-'}"


def _local(instant: datetime, zone: str) -> str:
    return f"{instant.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} ({zone})"


def _timeline(row: Row, item: Row, payout: Row) -> tuple[tuple[date, str, str], ...]:
    given = (
        (item.get("business_date"), "交易日", "business date"),
        (item.get("due_date"), "应清算日", "settlement due"),
        (item.get("settlement_date") or payout.get("settlement_date"), "清算日", "settled"),
        (payout.get("due_date"), "应划款日", "payment due"),
        (row["opened_on"], "对账发现差异", "difference found by the reconciliation"),
        (row["closed_on"], f"差异消除({row['closed_by']})", f"difference explained: {row['closed_by']}"),
    )
    known = [(day, zh, en) for day, zh, en in given if day is not None]
    return tuple(sorted(known, key=lambda entry: entry[0]))


def _places(row: Row, payout: Row) -> tuple[Place, ...]:
    """Where the records of a break stand."""
    detail: dict[str, Any] = json.loads(row["detail"]) if row["detail"] else {}
    # The record that a copy repeats, or that a chargeback takes back, stands on the side of the break itself.
    own_side = "terminal log" if row["break_type"] == "duplicate_in_terminal_log" else "settlement"
    found = (
        place_of("terminal log", row, "terminal"),
        place_of("settlement", row, "settlement"),
        place_of(own_side, detail, "first"),
        place_of(own_side, detail, "original"),
        place_of("bank", row if row["bank_file"] else payout, "bank"),
    )
    return tuple(one for one in found if one is not None)
