"""Reference lists: merchants, their other acquirers, terminals, fees (UTF-8 CSV). A bad line refuses a list whole.

A merchant or a fee that is silently missing would blame acquirers for what is our own mistake, and yesterday's
list is still in force, so nothing is gained by loading part of a list.
"""

from datetime import date
from pathlib import Path

import duckdb

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.delimited import (
    common_reasons,
    connect,
    field_sql,
    read_text,
    require_columns,
    write_records,
)
from posrecon.formats.layout import Job, Parsed
from posrecon.formats.terminal_csv import OTHER_KINDS
from posrecon.landing.sources import Source

_NAMED = ", named as (select line_no, line, is_well_quoted, f, {fields} from records)"

_DATE = (
    r"(named.{c} is null or (regexp_full_match(named.{c}, '\d{4}-\d\d-\d\d')"
    " and try_cast(named.{c} as date) is not null))"
)

_KINDS: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "merchants": (
        "merchants.csv",
        (
            "merchant_id", "name", "city", "settlement_account", "unionpay_mer_id", "wechat_mch_id", "alipay_pid",
            "currency",
        ),
        # Bills append 0156 to the 16 digits of the account; a list may write it either way.
        r"""merchant_id, name, city, settlement_account, unionpay_mer_id, wechat_mch_id,
        regexp_replace(alipay_pid, '^(\d{16})0156$', '\1') as alipay_pid, currency""",
        """when merchant_id is null then 'merchant_id is empty'
        when settlement_account is null then 'settlement_account is empty'
        when unionpay_mer_id is not null and length(unionpay_mer_id) <> 15
            then 'unionpay_mer_id "' || unionpay_mer_id || '" has ' || length(unionpay_mer_id)
                || ' characters, expected 15'
        when currency is null or not regexp_full_match(currency, '[A-Z]{3}')
            then 'currency "' || coalesce(currency, '') || '" is not an ISO 4217 code such as CNY'
        when count(*) over (partition by merchant_id) > 1 then 'merchant_id "' || merchant_id || '" is listed twice'""",
    ),
    "acquirer_merchants": (
        "acquirer_merchants.csv",
        ("merchant_id", "channel", "card_prefix", "acquirer", "acquirer_merchant_id"),
        "merchant_id, channel, card_prefix, acquirer, acquirer_merchant_id",
        r"""when merchant_id is null then 'merchant_id is empty'
        when channel is null or channel not in ('card', 'wechat', 'alipay')
            then 'channel "' || coalesce(channel, '') || '" is not known, expected card, wechat or alipay'
        when card_prefix is not null and not regexp_full_match(card_prefix, '\d{1,6}')
            then 'card_prefix "' || card_prefix || '" is not 1 to 6 digits'
        when acquirer is null or not regexp_full_match(acquirer, '[a-z][a-z0-9_]*')
            then 'acquirer "' || coalesce(acquirer, '') || '" is not a name such as allinpay'
        when acquirer in ('unionpay', 'wechat', 'alipay', 'other')
            then 'acquirer "' || acquirer || '" cannot stand here: its numbers are in merchants.csv'
        when acquirer_merchant_id is null then 'acquirer_merchant_id is empty'
        when count(*) over (partition by merchant_id, channel, coalesce(card_prefix, '')) > 1
            then 'merchant_id "' || merchant_id || '" has two acquirers for the same cards of channel ' || channel
        when min(acquirer_merchant_id) over (partition by merchant_id, acquirer) <> acquirer_merchant_id
            or max(acquirer_merchant_id) over (partition by merchant_id, acquirer) <> acquirer_merchant_id
            then 'merchant_id "' || merchant_id || '" has two numbers at ' || acquirer || ', expected one'""",
    ),
    "terminals": (
        "terminals.csv",
        ("terminal_id", "merchant_id", "model", "location", "installed_on", "removed_on"),
        """terminal_id, merchant_id, model, location, try_cast(installed_on as date) as installed_on,
        try_cast(removed_on as date) as removed_on""",
        f"""when terminal_id is null then 'terminal_id is empty'
        when merchant_id is null then 'merchant_id is empty'
        when not {_DATE.replace("{c}", "installed_on")}
            then 'installed_on "' || named.installed_on || '" is not a date such as 2026-11-11'
        when not {_DATE.replace("{c}", "removed_on")}
            then 'removed_on "' || named.removed_on || '" is not a date such as 2026-11-11'""",
    ),
    "fee_schedule": (
        "fee_schedule.csv",
        ("merchant_id", "channel", "card_type", "rate_bps", "cap_minor", "effective_from", "effective_to"),
        """merchant_id, channel, card_type, try_cast(rate_bps as decimal(9,4)) as rate_bps,
        try_cast(cap_minor as bigint) as cap_minor, try_cast(effective_from as date) as effective_from,
        try_cast(effective_to as date) as effective_to""",
        rf"""when merchant_id is null then 'merchant_id is empty'
        when channel is null then 'channel is empty'
        when card_type is null then 'card_type is empty, expected debit, credit or *'
        when not coalesce(regexp_full_match(named.rate_bps, '\d{{1,5}}(\.\d{{1,4}})?'), false)
            then 'rate_bps "' || coalesce(named.rate_bps, '') || '" is not a rate in basis points such as 60 or 38.5'
        when named.cap_minor is not null and not regexp_full_match(named.cap_minor, '\d{{1,15}}')
            then 'cap_minor "' || named.cap_minor || '" is not a whole number of minor units'
        when named.effective_from is null or not {_DATE.replace("{c}", "effective_from")}
            then 'effective_from "' || coalesce(named.effective_from, '') || '" is not a date such as 2026-11-11'
        when not {_DATE.replace("{c}", "effective_to")}
            then 'effective_to "' || named.effective_to || '" is not a date such as 2026-11-11'""",
    ),
}  # fmt: skip


def peek_nothing(path: Path, source: Source) -> date | None:
    """Reference lists have no date: they are in force when they arrive."""
    return None


def parse_merchants(job: Job) -> Parsed:
    """Parse merchants.csv; a list with a bad line is refused whole (LayoutError)."""
    return _parse(job, "merchants")


def parse_acquirer_merchants(job: Job) -> Parsed:
    """Parse acquirer_merchants.csv; a list with a bad line is refused whole (LayoutError)."""
    return _parse(job, "acquirer_merchants")


def parse_terminals(job: Job) -> Parsed:
    """Parse terminals.csv; a list with a bad line is refused whole (LayoutError)."""
    return _parse(job, "terminals")


def parse_fee_schedule(job: Job) -> Parsed:
    """Parse fee_schedule.csv; a list with a bad line is refused whole (LayoutError)."""
    return _parse(job, "fee_schedule")


def _parse(job: Job, dataset: str) -> Parsed:
    kind, required, select, reasons = _KINDS[dataset]
    text = read_text(job.path, job.file_name)
    with connect(job.settings) as connection:
        others = {column: other for column, other in OTHER_KINDS.items() if other != kind}
        require_columns(text, required, job, kind=f"list like {kind}", others=others)
        fields = ", ".join(f"{field_sql(text, name)} as {name}" for name in required)
        loaded, _, out, refused = write_records(
            text,
            job,
            connection,
            typed_sql=_NAMED.replace("{fields}", fields) + f", typed as (select line_no, line, {select},"
            f" case {' '.join(common_reasons(text))} {reasons} end as reason from named order by line_no)",
            columns=required,
            dataset=dataset,
            parameters={},
            reads_again=True,
        )
        if refused is not None:
            raise _refusal(connection, refused, job)
        if text.records == 0:
            raise LayoutError(
                f"{job.file_name}: the list has a header and no records.",
                next_step="Ask the sender for it again.",
            )
        return Parsed(
            records=text.records,
            loaded=loaded,
            quarantined=0,
            business_date=None,
            logical_key="",
            encoding="utf-8",
            datasets={dataset: out},
        )


def _refusal(connection: duckdb.DuckDBPyConnection, refused: Path, job: Job) -> LayoutError:
    rows = connection.execute(
        "select line_no, reason from read_parquet($path) order by line_no", {"path": str(refused)}
    ).fetchall()
    return LayoutError(
        f"{job.file_name}: {len(rows)} bad lines, the first is line {rows[0][0]}: {rows[0][1]}. "
        "The list before it stays in force.",
        bad_lines=tuple(BadLine(line_no, reason) for line_no, reason in rows),
        next_step="Correct the lines and send the list again.",
    )
