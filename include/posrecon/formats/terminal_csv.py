"""The native terminal log and the batch totals that terminals print (UTF-8 CSV)."""

from datetime import date
from pathlib import Path

import duckdb

from posrecon.formats.delimited import (
    common_reasons,
    commonest,
    connect,
    field_sql,
    peek_dates,
    read_text,
    require_columns,
    write_records,
)
from posrecon.formats.layout import Job, Parsed
from posrecon.formats.masking import hmac_pads
from posrecon.landing.sources import Source
from posrecon.landing.tables import CHANNELS
from posrecon.money import exponents
from posrecon.secrets import token_key

TXN_TYPES = ("sale", "refund", "void", "reversal", "preauth", "preauth_completion", "preauth_void")

LOG_COLUMNS = (
    "merchant_id", "terminal_id", "batch_no", "stan", "rrn", "auth_code", "txn_type", "channel", "card_no",
    "card_type", "amount", "currency", "txn_time", "response_code", "orig_stan", "orig_batch_no", "orig_rrn",
    "merchant_order_no", "channel_txn_no",
)  # fmt: skip

BATCH_COLUMNS = (
    "merchant_id", "terminal_id", "batch_no", "business_date", "sale_count", "sale_amount", "refund_count",
    "refund_amount", "currency",
)  # fmt: skip

EVENT_COLUMNS = (
    "merchant_id", "terminal_id", "batch_no", "stan", "rrn", "auth_code", "txn_type", "channel", "card_masked",
    "card_token", "card_type", "amount_minor", "currency", "txn_at", "txn_local", "business_date", "response_code",
    "orig_stan", "orig_batch_no", "orig_rrn", "merchant_order_no", "channel_txn_no", "extras",
)  # fmt: skip

_CLOSE_COLUMNS = (
    "merchant_id", "terminal_id", "batch_no", "business_date", "sale_count", "sale_amount_minor", "refund_count",
    "refund_amount_minor", "currency",
)  # fmt: skip

OTHER_KINDS = {
    "sale_count": "a batch-close file",
    "txn_time": "a terminal log",
    "unionpay_mer_id": "merchants.csv",
    "rate_bps": "fee_schedule.csv",
    "installed_on": "terminals.csv",
}


def peek_csv(path: Path, source: Source) -> date | None:
    """Business date of most of the first records."""
    return commonest(peek_dates(path, "txn_time", source.zone))


def peek_batch_close(path: Path, source: Source) -> date | None:
    """Business date of most of the first totals."""
    return commonest(peek_dates(path, "business_date", source.zone))


def exponent_sql(currency: str) -> str:
    """Minor-unit digits of a currency column.

    Lists are asked with list_contains: DuckDB turns a long `in (…)` into a join, which every row would pass.
    """
    by_exponent: dict[int, list[str]] = {}
    for code, exponent in sorted(exponents().items()):
        by_exponent.setdefault(exponent, []).append(f"'{code}'")
    whens = " ".join(
        f"when list_contains([{', '.join(codes)}], {currency}) then {exponent}"
        for exponent, codes in by_exponent.items()
    )
    return f"case when {currency} = 'CNY' then 2 {whens} else 2 end"


def money_macros() -> str:
    """`to_minor(amount, currency)`: exact, null when the text does not fit; `money_reason` says why.

    An amount of two decimals in a currency of two is tried first: it is what almost every record holds.
    """
    return rf"""
    create or replace temp macro exponent_of(currency) as {exponent_sql("currency")};
    create or replace temp macro to_minor(amount, currency) as
        case
            when currency = 'CNY' and regexp_full_match(amount, '\d{{1,13}}\.\d\d')
                then replace(amount, '.', '')::bigint
            when regexp_full_match(amount, '\d{{1,13}}(\.\d{{1,4}})?')
                and length(split_part(amount, '.', 2)) <= exponent_of(currency)
                then (
                    replace(amount, '.', '')
                    || repeat('0', exponent_of(currency) - length(split_part(amount, '.', 2)))
                )::bigint
        end;
    create or replace temp macro money_reason(field, amount, currency) as
        case
            when amount is null then field || ' is empty, expected a decimal such as 12.34'
            when regexp_full_match(amount, '-\d+(\.\d+)?')
                then field || ' "' || amount || '" is negative, expected 0 or more'
            when regexp_full_match(amount, '\d{{1,13}}\.\d+')
                then field || ' "' || amount || '" has ' || length(split_part(amount, '.', 2))
                    || ' decimals, expected at most ' || exponent_of(currency) || ' for ' || currency
            else field || ' "' || amount || '" is not a decimal number, expected one such as 12.34'
        end;
    """


# `is_plain_time`: an ISO 8601 time to the second without an offset, which is what almost every terminal writes.
# `wall_of`: an ISO 8601 time as far as its offset ('' when it is none; 24:00 and a date alone are none).
# `offset_minutes`: of an offset such as Z, +08, +0800 or -03:30; null when it is none.
_TIME_MACROS = r"""
create or replace temp macro is_plain_time(t) as
    regexp_full_match(t, '\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d');
create or replace temp macro wall_of(t) as
    regexp_extract(t, '^(\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?)', 1);
create or replace temp macro offset_minutes(o) as
    case
        when o = 'Z' then 0
        when regexp_full_match(o, '[+-](0\d|1[0-4])(:?[0-5]\d)?') then
            (case when o[1] = '-' then -1 else 1 end)
            * (substr(o, 2, 2)::int * 60 + coalesce(try_cast(right(o[4:], 2) as int), 0))
    end;
"""

# Of `named`: line_no, line, the columns of the log as text (empty = null), extras_json, and what {reasons} looks at.
_EVENTS_SQL = r"""
, seen as (
    select
        *,
        coalesce(is_plain_time(txn_time), false) as is_plain_time,
        is_no_whole_card(card_no) as is_no_whole_card
    from named
)
, timed as (
    select
        *,
        case when is_plain_time then try_cast(txn_time as timestamp) else try_cast(wall_of(txn_time) as timestamp) end
            as wall,
        case when is_plain_time then '' else ltrim(substr(txn_time, length(wall_of(txn_time)) + 1)) end as offset_text,
        case
            when is_no_whole_card then card_no
            when regexp_full_match(card_no, '\d[\d -]{12,}') then regexp_replace(card_no, '[ -]', '', 'g')
            else card_no
        end as card_text,
        to_minor(amount, currency) as amount_minor
    from seen
)
, placed as (
    select
        *,
        case when is_no_whole_card then false else coalesce(regexp_full_match(card_text, '\d{13,19}'), false) end
            as is_whole_card,
        case
            when offset_text <> '' then timezone('UTC', wall - to_minutes(offset_minutes(offset_text)))
            else instant_of(wall, $zone)
        end as txn_at
    from timed
)
, local as (
    select *, case when offset_text = '' then wall else timezone($zone, txn_at) end as txn_local
    from placed
)
, typed as (
    select
        line_no, line, merchant_id, terminal_id, batch_no, stan, rrn, auth_code, txn_type, channel,
        case
            when is_no_whole_card then card_text
            when is_whole_card then mask_card(card_text)
            when regexp_matches(card_text, '\d{13}|\d[ -]\d') then mask_text(card_text)
            else card_text
        end as card_masked,
        case
            when is_whole_card
                then sha256($outer_pad::blob || unhex(sha256($inner_pad::blob || encode(card_text))))
        end as card_token,
        card_type, amount_minor, currency, txn_at, txn_local, txn_local::date as business_date,
        response_code, orig_stan, orig_batch_no, orig_rrn, merchant_order_no, channel_txn_no,
        mask_luhn(extras_json) as extras,
        case
            {reasons}
            when merchant_id is null then 'merchant_id is empty'
            when terminal_id is null then 'terminal_id is empty'
            when txn_type is null or not list_contains([{txn_types}], txn_type)
                then 'txn_type "' || coalesce(txn_type, '') || '" is not known, expected one of {types_text}'
            when channel is null or not list_contains([{channels}], channel)
                then 'channel "' || coalesce(channel, '') || '" is not known, expected one of {channels_text}'
            when currency = 'CNY' and amount_minor is not null and txn_at is not null then null
            when currency is null or not regexp_full_match(currency, '[A-Z]{3}')
                then 'currency "' || coalesce(currency, '') || '" is not an ISO 4217 code such as CNY'
            when amount_minor is null then money_reason('amount', amount, currency)
            when txn_at is null then 'txn_time "' || coalesce(txn_time, '')
                || '" is not a possible ISO 8601 time such as 2026-11-11T10:00:00'
        end as reason
    from local
)
"""


# A record with such a reason has its fields where they belong; after any other they may have shifted.
IN_PLACE = "regexp_matches(reason, '^(txn_type|channel|currency|amount|txn_time) ')"


def trace_sql(good: Path, is_in_place: str = IN_PLACE) -> str:
    """What quarantine keeps of a refused record beside its text: where it stood in the terminal's own count.

    Args:
        good: Parquet of the file's good records. A value that none of them has is masked: it may be a card number,
            while a merchant's number of 15 digits only looks like one.
        is_in_place: SQL that is true of a record whose fields stand where they belong; only such a record is read.
    """
    path = str(good).replace("'", "''")
    return "".join(
        rf", case when not (regexp_full_match(stan, '\d{{1,6}}') and {is_in_place}) then null"
        f" when {name} in (select {name} from read_parquet('{path}')) then {name} else mask_text({name}) end as {name}"
        for name in ("merchant_id", "terminal_id", "batch_no", "stan")
    )


def _in(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def events_sql(reasons: list[str]) -> str:
    """CTEs from `named` to `typed`: the rules of a terminal record, whatever its layout.

    Args:
        reasons: `when … then …` of the layout itself, tried before the rules.
    """
    return (
        _EVENTS_SQL.replace("{reasons}", "\n            ".join(reasons))
        .replace("{txn_types}", _in(TXN_TYPES))
        .replace("{types_text}", ", ".join(TXN_TYPES))
        .replace("{channels}", _in(CHANNELS))
        .replace("{channels_text}", ", ".join(CHANNELS))
    )


def events_parameters(connection: duckdb.DuckDBPyConnection, job: Job) -> dict[str, object]:
    """Make the macros that `events_sql` needs, and give its bound values."""
    connection.execute(money_macros() + _TIME_MACROS + _instant_macro(connection, job.source.zone))
    inner, outer = hmac_pads(token_key(job.settings))
    return {"zone": job.source.zone, "inner_pad": inner, "outer_pad": outer}


def _instant_macro(connection: duckdb.DuckDBPyConnection, zone: str) -> str:
    """`instant_of(wall, zone)`: a zone that never changes its offset is a subtraction, a third of the cost.

    The days are asked of the same calendar that answers for every other zone, so both give the same instant.
    """
    first, last = "timestamp '2000-01-01'", "timestamp '2050-01-01'"
    lowest, highest = connection.execute(
        f"select min(d), max(d) from (select epoch_us(day) - epoch_us(timezone($zone, day)) as d"
        f" from range({first}, {last}, interval 1 day) as days(day))",
        {"zone": zone},
    ).fetchone() or (None, None)
    steady = (
        f"when wall >= {first} and wall < {last} then make_timestamptz(epoch_us(wall) - ({lowest}))"
        if lowest == highest
        else ""
    )
    return (
        "create or replace temp macro instant_of(wall, zone) as"
        f" case when wall is null then null {steady} else timezone(zone, wall) end;"
    )


def parse_csv(job: Job) -> Parsed:
    """Parse one terminal log as CSV into `terminal_events`.

    Amounts become minor units (not negative); a whole card number becomes mask and token inside the query, so
    that it is never written; unknown columns become JSON.

    Raises:
        LayoutError: Empty, not UTF-8, a column missing or repeated; with every bad line.
    """
    text = read_text(job.path, job.file_name)
    with connect(job.settings) as connection:
        require_columns(text, LOG_COLUMNS, job, kind="terminal log", others=OTHER_KINDS)
        extra = [name for name in text.header if name not in LOG_COLUMNS]
        pairs = ", ".join(
            f"'{name.replace(chr(39), chr(39) * 2)}', {field_sql(text, name)}" for name in extra
        )
        any_extra = ", ".join(field_sql(text, name) for name in extra)
        extras = (
            f"case when coalesce({any_extra}) is not null then json_object({pairs})::varchar end"
            if extra
            else "null::varchar"
        )
        fields = ", ".join(f"{field_sql(text, name)} as {name}" for name in LOG_COLUMNS)
        named = f", named as (select line_no, line, is_well_quoted, f, {fields}, {extras} as extras_json from records)"
        loaded, quarantined, out, refused = write_records(
            text,
            job,
            connection,
            typed_sql=named + events_sql(common_reasons(text)),
            columns=EVENT_COLUMNS,
            dataset="terminal_events",
            parameters=events_parameters(connection, job),
            refused_sql=trace_sql(job.scratch / "terminal_events.parquet"),
        )
        return Parsed(
            records=text.records,
            loaded=loaded,
            quarantined=quarantined,
            business_date=usual_date(connection, out) or job.name.business_date,
            logical_key="",
            encoding="utf-8",
            datasets={"terminal_events": out},
            quarantine=refused,
            computed_minor=total_of(connection, out, "amount_minor"),
        )


_CLOSES_SQL = r"""
, named as (
    select line_no, line, is_well_quoted, f, {fields}
    from records
)
, typed as (
    select
        line_no, line, merchant_id, terminal_id, batch_no, currency,
        case when regexp_full_match(business_date, '\d{4}-\d\d-\d\d') then try_cast(business_date as date) end
            as business_date,
        case when regexp_full_match(sale_count, '\d{1,9}') then sale_count::bigint end as sale_count,
        case when regexp_full_match(refund_count, '\d{1,9}') then refund_count::bigint end as refund_count,
        to_minor(sale_amount, currency) as sale_amount_minor,
        to_minor(refund_amount, currency) as refund_amount_minor,
        case
            {reasons}
            when merchant_id is null then 'merchant_id is empty'
            when terminal_id is null then 'terminal_id is empty'
            when batch_no is null then 'batch_no is empty'
            when currency is null or not regexp_full_match(currency, '[A-Z]{3}')
                then 'currency "' || coalesce(currency, '') || '" is not an ISO 4217 code such as CNY'
            when not coalesce(regexp_full_match(named.business_date, '\d{4}-\d\d-\d\d'), false)
                or try_cast(named.business_date as date) is null
                then 'business_date "' || coalesce(named.business_date, '') || '" is not a date such as 2026-11-11'
            when not coalesce(regexp_full_match(named.sale_count, '\d{1,9}'), false)
                then 'sale_count "' || coalesce(named.sale_count, '') || '" is not a whole number'
            when not coalesce(regexp_full_match(named.refund_count, '\d{1,9}'), false)
                then 'refund_count "' || coalesce(named.refund_count, '') || '" is not a whole number'
            when to_minor(sale_amount, currency) is null then money_reason('sale_amount', sale_amount, currency)
            when to_minor(refund_amount, currency) is null then money_reason('refund_amount', refund_amount, currency)
        end as reason
    from named
)
"""


def parse_batch_close(job: Job) -> Parsed:
    """Parse one file of batch totals into `batch_closes`.

    Raises:
        LayoutError: Empty, not UTF-8, a column missing or repeated; with every bad line.
    """
    text = read_text(job.path, job.file_name)
    with connect(job.settings) as connection:
        require_columns(text, BATCH_COLUMNS, job, kind="batch-close file", others=OTHER_KINDS)
        connection.execute(money_macros())
        loaded, quarantined, out, refused = write_records(
            text,
            job,
            connection,
            typed_sql=_CLOSES_SQL.replace(
                "{fields}", ", ".join(f"{field_sql(text, name)} as {name}" for name in BATCH_COLUMNS)
            ).replace("{reasons}", "\n            ".join(common_reasons(text))),
            columns=_CLOSE_COLUMNS,
            dataset="batch_closes",
            parameters={},
        )
        return Parsed(
            records=text.records,
            loaded=loaded,
            quarantined=quarantined,
            business_date=usual_date(connection, out) or job.name.business_date,
            logical_key="",
            encoding="utf-8",
            datasets={"batch_closes": out},
            quarantine=refused,
        )


def usual_date(connection: duckdb.DuckDBPyConnection, parquet: Path) -> date | None:
    """The business date of most records: one late record of the day before does not rename the file."""
    row = connection.execute(
        "select business_date from read_parquet($path) group by 1 order by count(*) desc, 1 limit 1",
        {"path": str(parquet)},
    ).fetchone()
    found: date | None = row[0] if row else None
    return found


def total_of(connection: duckdb.DuckDBPyConnection, parquet: Path, column: str) -> int:
    """The sum of one column of the written records; 0 when there are none."""
    row = connection.execute(
        f"select coalesce(sum({column}), 0)::bigint from read_parquet($path)", {"path": str(parquet)}
    ).fetchone()
    return int(row[0]) if row else 0
