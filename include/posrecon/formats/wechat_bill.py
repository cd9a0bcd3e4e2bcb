"""WeChat Pay trade bill (交易账单): ALL, SUCCESS and REFUND, of today's and the old columns.

UTF-8 with CR LF and a backtick before every field, or what a spreadsheet makes of it. The last two lines are the
names and the values of the totals.

What is settled is 应结订单金额, which leaves out coupons that the merchant pays for, and 退款金额, which leaves out
their share of a refund. 代金券金额 and 充值券退款金额 are part of them: WeChat pays the merchant for a coupon that it
sold, and takes that back with the refund. The old columns know no such difference: 总金额 is settled.

Source: WeChat Pay merchant documentation, 下载对账单 / 申请交易账单.
"""

import csv
from datetime import date
from pathlib import Path

from posrecon.errors import LayoutError
from posrecon.formats.bills import (
    Desk,
    Total,
    fields_sql,
    peek_first_record,
    read_bill,
    refuse,
    require_day,
    require_totals,
    units_of,
)
from posrecon.formats.layout import Job, Parsed
from posrecon.formats.terminal_csv import money_macros
from posrecon.landing.sources import Source

# Name in the code → the names that the layouts give it.
_COLUMNS = {
    "time": ("交易时间",),
    "mch_id": ("商户号",),
    "device": ("设备号",),
    "order_no": ("微信订单号",),
    "merchant_order_no": ("商户订单号",),
    "status": ("交易状态",),
    "currency": ("货币种类",),
    "settled": ("应结订单金额", "总金额"),
    "fee": ("手续费",),
    "refund_no": ("微信退款单号",),
    "merchant_refund_no": ("商户退款单号",),
    "refund": ("退款金额",),
    "coupon_refund": ("充值券退款金额", "企业红包退款金额", "代金券或立减优惠退款金额"),
    "ordered": ("订单金额",),
    "refund_asked": ("申请退款金额",),
    "refund_applied": ("退款申请时间",),
    "refund_done": ("退款成功时间",),
}
_REQUIRED = ("time", "mch_id", "order_no", "merchant_order_no", "status", "currency", "settled", "fee")
_OF_REFUNDS = ("refund_no", "merchant_refund_no", "refund")

# Total → the column that it adds up.
_TOTALS = {
    "应结订单总金额": "settled",
    "总交易额": "settled",
    "总金额": "settled",
    "退款总金额": "refund",
    "总退款金额": "refund",
    "充值券退款总金额": "coupon_refund",
    "总企业红包退款金额": "coupon_refund",
    "企业红包退款总金额": "coupon_refund",
    "总代金券或立减优惠退款金额": "coupon_refund",
    "代金券或立减优惠退款总金额": "coupon_refund",
    "手续费总金额": "fee",
    "订单总金额": "ordered",
    "申请退款总金额": "refund_asked",
}
_COUNT = "总交易单数"
_START = r'^"?`?\d'
_MARK = r'[\x{FEFF}"`\s]*'

_TYPED_SQL = r"""
create or replace temp table typed as
with named as (
    select line_no, line, f, is_well_quoted, {fields}
    from records
)
, read as (
    select
        *,
        to_units(settled) as settled_units,
        to_units(fee) as fee_units,
        coalesce(to_units(refund), 0) as refund_units,
        to_units(coupon_refund) as coupon_refund_units,
        to_units(ordered) as ordered_units,
        to_units(refund_asked) as refund_asked_units,
        case status when 'SUCCESS' then 'sale' when 'REFUND' then 'refund' when 'REVOKED' then 'refund' end as kind,
        -- A refund happened when it was made; 交易时间 of a REFUND bill is the time of the original.
        case
            when status = 'SUCCESS' then bill_time(time)
            else bill_time(coalesce(nullif(refund_done, '0'), nullif(refund_applied, '0'), time))
        end as txn_local,
        [100000, 10000, 1000, 100, 10, 1][exponent_of(currency) + 1] as minor_units
    from named
)
, valued as (
    select *, case when kind = 'sale' then settled_units else -refund_units end as gross_units
    from read
)
, judged as (
select
    line_no, line, mch_id, txn_local, kind, time,
    settled_units, fee_units, refund_units, coupon_refund_units, ordered_units, refund_asked_units,
    gross_units // minor_units as gross_minor,
    -- Floor is exact here: a part of a minor unit is refused below.
    fee_units // minor_units as fee_minor,
    device, order_no, merchant_order_no, refund_no, merchant_refund_no, status, currency,
    case
        when not is_well_quoted then 'a quote is not closed or stands inside a field, expected "field"'
        when len(f) <> $field_count then 'has ' || len(f) || ' fields, expected ' || $field_count
        when status is null or kind is null
            then '交易状态 "' || coalesce(status, '') || '" is not known, expected SUCCESS, REFUND or REVOKED'
        when kind = 'refund' and not $has_refunds
            then '交易状态 "' || status || '" stands in a bill without columns of refunds'
        when mch_id is null then '商户号 is empty'
        when order_no is null then '微信订单号 is empty'
        when (contains(order_no, '+') or contains(coalesce(refund_no, ''), '+'))
            and regexp_matches(order_no || '|' || coalesce(refund_no, ''), '\d[eE]\+\d')
            then '微信订单号 "' || order_no || '" was rounded by a spreadsheet, expected all its digits'
        when kind = 'refund' and coalesce(refund_no, '0') = '0' then '微信退款单号 is empty'
        when currency is null or not regexp_full_match(currency, '[A-Z]{3}')
            then '货币种类 "' || coalesce(currency, '') || '" is not an ISO 4217 code such as CNY'
        when settled_units is null then '{settled} "' || coalesce(settled, '') || '" is not an amount such as 12.34'
        when kind = 'refund' and to_units(refund) is null
            then '退款金额 "' || coalesce(refund, '') || '" is not an amount such as 12.34'
        when fee_units is null then '手续费 "' || coalesce(fee, '') || '" is not an amount such as 0.06000'
        when settled_units < 0 or refund_units < 0 then 'an amount is negative, expected 0 or more'
        when kind = 'refund' and refund_units = 0
            then '退款金额 is 0 in a row of the status ' || status || ', expected what was paid back'
        when gross_units % minor_units <> 0
            then 'the amount "' || coalesce(case when kind = 'sale' then settled else refund end, '')
                || '" is not a whole minor unit of ' || currency
        when fee_units % minor_units <> 0 then '手续费 "' || fee || '" is not a whole minor unit of ' || currency
        when txn_local is null then '交易时间 "' || coalesce(time, '')
            || '" is not a possible time such as 2026-11-11 10:00:00'
    end as reason
from valued
)
-- Only what is refused is shown again.
select * replace (case when reason is not null then line end as line) from judged
"""

_LINES_SQL = r"""
create or replace temp view settled as
select
    $file_no as file_no,
    line_no,
    $acquirer as acquirer,
    'transaction' as line_kind,
    null as channel,
    mch_id as acquirer_merchant_id,
    device as terminal_id,
    null as stan,
    null as rrn,
    null as auth_code,
    case when kind = 'sale' then order_no else refund_no end as acquirer_txn_no,
    case when kind = 'refund' then order_no end as orig_acquirer_txn_no,
    case when kind = 'sale' then merchant_order_no else nullif(merchant_refund_no, '0') end as merchant_order_no,
    kind as txn_type,
    status as txn_code,
    txn_local,
    null as card_masked,
    null as card_type,
    currency,
    gross_minor,
    fee_minor,
    gross_minor - fee_minor as net_minor,
    $day::date as settlement_date,
    null as orig_stan,
    null as orig_txn_local,
    line,
    reason
from typed
"""


def peek_date(path: Path, source: Source) -> date | None:
    """The day of the first record as it is written; None when there is none to read."""
    return peek_first_record(path)


def parse(job: Job) -> Parsed:
    """Parse one WeChat Pay trade bill into `settlement_lines`: a line per row, refunds negative.

    REVOKED, an order taken back at the till, is a refund of what it states under 退款金额.

    Raises:
        LayoutError: No bill, no totals or two, totals that do not tie, rows of another merchant or day.
    """
    bill = read_bill(job.path, job.file_name)
    with Desk(job, bill) as desk:
        header_line, separator, header = _header(desk)
        last_line, stated = _stated(desk, header_line, separator)
        names = _named(job, header_line, header)
        records = desk.cut(
            first=header_line, last=last_line, separator=separator, field_count=len(header), start=_START
        )
        desk.connection.execute(money_macros())
        desk.connection.execute(
            _TYPED_SQL.replace("{fields}", fields_sql(_COLUMNS, names)).replace(
                "{settled}", header[names["settled"]]
            ),
            {"field_count": len(header), "has_refunds": "refund" in names},
        )
        totals = [
            Total(
                name=name,
                stated=value,
                found=records
                if name == _COUNT
                else desk.number(f"select sum({_TOTALS[name]}_units) from typed"),
                is_count=name == _COUNT,
            )
            for name, value in stated.items()
            if name == _COUNT or _TOTALS[name] in names
        ]
        require_totals(desk, totals, last_line + 1, "typed")
        key, day = _owner_and_day(desk, job)
        return _written(desk, job, records=records, key=key, day=day, names=names, stated=stated)


def _written(
    desk: Desk, job: Job, *, records: int, key: str, day: date, names: dict[str, int], stated: dict[str, int]
) -> Parsed:
    sql = (
        _LINES_SQL.replace("$file_no", str(job.file_no))
        .replace("$acquirer", f"'{job.source.acquirer}'")
        .replace("$day", f"'{day.isoformat()}'")
    )
    desk.connection.execute(sql)
    loaded, quarantined, out, refused = desk.write(table="settled")
    by_column = {_TOTALS[name]: value for name, value in stated.items() if name != _COUNT}
    declared = by_column.get("settled", 0) - by_column.get("refund", 0) - by_column.get("fee", 0)
    return Parsed(
        records=records,
        loaded=loaded,
        quarantined=quarantined,
        business_date=day,
        logical_key=key,
        # A day may come as one ALL bill, or as a SUCCESS and a REFUND bill that complete each other.
        logical_part="success" if "refund" not in names else "refund" if "refund_applied" in names else "",
        encoding=desk.bill.encoding,
        datasets={"settlement_lines": out},
        quarantine=refused,
        declared_minor=declared // 1000 if declared % 1000 == 0 else None,
        computed_minor=desk.number("select sum(net_minor) from settled where reason is null"),
    )


def _header(desk: Desk) -> tuple[int, str, list[str]]:
    found = desk.lines_like(_MARK + "交易时间")
    first = desk.first_line()
    if not found:
        if desk.lines_like(_MARK + "记账时间"):
            raise refuse(
                desk.job,
                first,
                "this is a fund-flow bill (资金账单), expected a trade bill (交易账单)",
                "Give it a name with `fundflow`, as it was downloaded; the trade bill of the day is expected too.",
            )
        raise LayoutError(
            f"{desk.job.file_name}: no header begins with 交易时间: this is no WeChat Pay trade bill.",
            next_step="Put the file into the folder of its feed, or download the trade bill as CSV.",
        )
    line_no, text = found[0]
    if len(found) > 1:
        raise refuse(
            desk.job, found[1][0], f"the header of line {line_no} is repeated, expected one bill in a file"
        )
    if first != line_no:
        raise refuse(desk.job, first, "stands before the header, expected the header first")
    text = text.lstrip("\ufeff").replace("，", ",")
    separator = "\t" if "\t" in text else ","
    return (
        line_no,
        separator,
        [name.strip(' `"\u3000') for name in next(csv.reader([text], delimiter=separator))],
    )


def _stated(desk: Desk, header_line: int, separator: str) -> tuple[int, dict[str, int]]:
    """The totals at the end: (line of their names, name → hundred-thousandths or count)."""
    job = desk.job
    found = desk.lines_like(_MARK + _COUNT)
    if not found:
        raise LayoutError(
            f"{job.file_name}: the totals ({_COUNT} …) are missing: the bill is truncated.",
            next_step="Download the bill again.",
        )
    line_no, text = found[0]
    if len(found) > 1:
        raise refuse(job, found[1][0], f"the totals of line {line_no} are repeated, expected them once")
    if line_no < header_line:
        raise refuse(job, line_no, "the totals stand before the header")
    after = desk.connection.execute(
        "select line_no, clean(line) from lines where line_no > $line and clean(line) is not null order by 1 limit 2",
        {"line": line_no},
    ).fetchall()
    if len(after) != 1:
        where, what = (
            (after[1][0], "stands after the totals") if after else (line_no, "the totals have no values")
        )
        raise refuse(job, where, f"{what}, expected one line of totals at the end")
    # A spreadsheet fills these lines up to the width of the header.
    titles, figures = (line.rstrip(separator + " ") for line in (text.replace("，", ","), after[0][1]))
    names = [name.strip(' `"') for name in titles.split(separator)]
    values = [value.strip(' `"\t') for value in figures.split(separator)]
    if len(values) != len(names):
        raise refuse(job, after[0][0], f"{len(values)} totals stand under {len(names)} names")
    stated: dict[str, int] = {}
    for name, value in zip(names, values, strict=True):
        if name == _COUNT:
            whole, _, rest = value.partition(".")
            if not whole.isdigit() or rest.strip("0"):
                raise refuse(job, after[0][0], f'{name} "{value}" is not a whole number')
            stated[name] = int(whole)
        elif name in _TOTALS:
            units = units_of(value)
            if units is None:
                raise refuse(job, after[0][0], f'{name} "{value}" is not an amount')
            stated[name] = units
    lacks = [column for column in ("settled", "fee") if column not in {_TOTALS.get(name) for name in stated}]
    if lacks or _COUNT not in stated:
        raise refuse(job, after[0][0], "the totals lack the count, the order amount or the fee")
    return line_no, stated


def _named(job: Job, line_no: int, header: list[str]) -> dict[str, int]:
    """Name in the code → position in the header."""
    names = {
        name: header.index(spelling)
        for name, spellings in _COLUMNS.items()
        for spelling in spellings
        if spelling in header
    }
    some = [name for name in _OF_REFUNDS if name in names]
    needed = [*_REQUIRED, *(_OF_REFUNDS if some else ())]
    missing = [" or ".join(_COLUMNS[name]) for name in needed if name not in names]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if missing or twice:
        what = (
            f"the header lacks {', '.join(missing)}"
            if missing
            else f"the header names {', '.join(twice)} twice"
        )
        raise refuse(job, line_no, f"{what}; expected the columns of a trade bill")
    return names


def _owner_and_day(desk: Desk, job: Job) -> tuple[str, date]:
    """Whose bill it is and of which day; name and rows must agree."""
    owners = [
        row[0]
        for row in desk.connection.execute(
            "select distinct mch_id from typed where reason is null order by 1"
        ).fetchall()
    ]
    expected = [job.name.key] if job.name.key else owners[:1]
    if owners and owners != expected:
        raise LayoutError(
            f"{job.file_name}: the rows are of 商户号 {', '.join(owners)}, expected {expected[0]} alone.",
            next_step="Put the bill of each merchant into a file of its own, under its own name.",
        )
    usual = desk.connection.execute(
        "select txn_local::date from typed where reason is null group by 1 order by count(*) desc, 1 limit 1"
    ).fetchone()
    day = require_day(job, usual[0] if usual else None, "a row")
    # A record of an earlier day was settled late; one of a later day cannot stand in this bill.
    if usual and not desk.number(
        "select count(*) from typed where txn_local::date <= $day or bill_time(time)::date <= $day",
        {"day": day},
    ):
        raise LayoutError(
            f"{job.file_name}: the name says {day}, but every row is of a later day; most are of {usual[0]}.",
            next_step="Give the file the name it was downloaded under.",
        )
    return expected[0] if expected else "", day
