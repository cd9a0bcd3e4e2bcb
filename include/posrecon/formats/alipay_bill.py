"""Alipay trade bill (业务明细): GBK text with `#` lines before and after the records.

商家实收 is what Alipay settles: the order amount without the discounts that the merchant grants, with those that
Alipay pays for. 服务费 and 分润 (a share that goes to a third party) are taken out of it: negative when taken, positive
when given back. What is paid out is 实收净额; where the columns lack it, it is their sum.

Source: Alipay open platform, 对账单 / alipay.data.dataservice.bill.downloadurl.query, 业务明细.
"""

import csv
import re
from datetime import date, timedelta
from pathlib import Path

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.bills import (
    PERIOD,
    PID_DIGITS,
    Desk,
    Total,
    fields_sql,
    first_day,
    peek_text,
    read_bill,
    refuse,
    require_day,
    require_owner,
    require_totals,
    units_of,
)
from posrecon.formats.layout import Job, Parsed
from posrecon.landing.sources import Source

# Name in the code → its header, with half-width brackets.
_COLUMNS = {
    "trade_no": "支付宝交易号",
    "merchant_order_no": "商户订单号",
    "business": "业务类型",
    "created": "创建时间",
    "completed": "完成时间",
    "terminal": "终端号",
    "received": "商家实收(元)",
    "discount": "商家优惠(元)",
    "refund_no": "退款批次号/请求号",
    "service": "服务费(元)",
    "share": "分润(元)",
    "net": "实收净额(元)",
}
_REQUIRED = ("trade_no", "merchant_order_no", "business", "completed", "received", "refund_no", "service")

_TOTAL = re.compile(
    r"^#+\s*(?P<kind>交易|退款)合计\s*[:：]\s*(?P<count>\d+)\s*笔\s*[,，]\s*"
    r"(?:商家实收(?:退款)?共|总金额|退款共)\s*(?P<received>-?[\d.]+)\s*元"
    r"(?:\s*[,，]\s*商家优惠(?:退款)?共\s*(?P<discount>-?[\d.]+)\s*元)?"
)
_START = r'^"?\s*\d'

_TYPED_SQL = r"""
create or replace temp table typed as
with named as (
    select line_no, line, f, is_well_quoted, {fields}
    from records
)
, read as (
    select
        *,
        to_units(received) as received_units,
        to_units(discount) as discount_units,
        to_units(service) as service_units,
        coalesce(to_units(share), 0) as share_units,
        to_units(net) as net_units,
        case business when '交易' then 'sale' when '退款' then 'refund' end as kind,
        bill_time(coalesce(completed, created)) as txn_local
    from named
)
, judged as (
select
    line_no, line, kind, txn_local, trade_no, merchant_order_no, terminal, refund_no, business,
    received_units, discount_units,
    -- Exact: a part of a fen is refused below.
    received_units // 1000 as gross_minor,
    -service_units // 1000 as fee_minor,
    coalesce(net_units, received_units + service_units + share_units) // 1000 as net_minor,
    case
        when not is_well_quoted then 'a quote is not closed or stands inside a field, expected "field"'
        when len(f) <> $field_count then 'has ' || len(f) || ' fields, expected ' || $field_count
        when kind is null then '业务类型 "' || coalesce(business, '') || '" is not known, expected 交易 or 退款'
        when trade_no is null then '支付宝交易号 is empty'
        when contains(trade_no, '+') and regexp_matches(trade_no, '\d[eE]\+\d')
            then '支付宝交易号 "' || trade_no || '" was rounded by a spreadsheet, expected all its digits'
        when received_units is null then '商家实收 "' || coalesce(received, '') || '" is not an amount such as 12.34'
        when service_units is null then '服务费 "' || coalesce(service, '') || '" is not an amount such as -0.06'
        when share is not null and to_units(share) is null then '分润 "' || share || '" is not an amount such as 0.00'
        when net is not null and net_units is null then '实收净额 "' || net || '" is not an amount such as 12.34'
        when received_units % 1000 <> 0 or service_units % 1000 <> 0 or share_units % 1000 <> 0
            or coalesce(net_units, 0) % 1000 <> 0
            then 'an amount has more than 2 decimals, expected whole fen'
        when kind = 'sale' and received_units < 0
            then '商家实收 "' || received || '" of a 交易 is negative, expected 0 or more'
        when kind = 'refund' and received_units > 0
            then '商家实收 "' || received || '" of a 退款 is positive, expected 0 or less'
        when txn_local is null then '完成时间 "' || coalesce(completed, '')
            || '" is not a possible time such as 2026-11-11 10:00:00'
    end as reason
from read
)
-- Only what is refused is shown again.
select * replace (case when reason is not null then line end as line) from judged
"""

# A refund repeats the number of its sale; with its own number, or else its time, it is one of its own.
_LINES_SQL = r"""
create or replace temp view settled as
select
    {file_no} as file_no,
    line_no,
    '{acquirer}' as acquirer,
    'transaction' as line_kind,
    null as channel,
    '{key}' as acquirer_merchant_id,
    terminal as terminal_id,
    null as stan,
    null as rrn,
    null as auth_code,
    case
        when kind = 'sale' then trade_no
        else trade_no || '/' || coalesce(refund_no, strftime(txn_local, '%Y%m%d%H%M%S'))
    end as acquirer_txn_no,
    case when kind = 'refund' then trade_no end as orig_acquirer_txn_no,
    case when kind = 'sale' then merchant_order_no else refund_no end as merchant_order_no,
    kind as txn_type,
    business as txn_code,
    txn_local,
    null as card_masked,
    null as card_type,
    '{currency}' as currency,
    gross_minor,
    fee_minor,
    net_minor,
    '{day}'::date as settlement_date,
    null as orig_stan,
    null as orig_txn_local,
    line,
    reason
from typed
"""


def peek_date(path: Path, source: Source) -> date | None:
    """The first day that the preamble names; None when there is none to read."""
    return first_day(peek_text(path))


def parse(job: Job) -> Parsed:
    """Parse one Alipay trade bill into `settlement_lines`: a line per row, refunds negative.

    Raises:
        LayoutError: No trade bill, no totals or two, totals that do not tie, another account or day than the name
            says, or more than one day.
    """
    with Desk(job, read_bill(job.path, job.file_name)) as desk:
        header_line, separator, header = _header(desk)
        names = _named(job, header_line, header)
        marks = desk.lines_like(r"[\x{FEFF}\s\"]*#")
        before = "\n".join(text for number, text in marks if number < header_line)
        key, day = require_owner(job, before, PID_DIGITS), _day(job, before)
        last_line = next((number for number, _ in marks if number > header_line), None)
        if last_line is None:
            raise LayoutError(
                f"{job.file_name}: the lines after the records (# … 合计) are missing: the bill is truncated.",
                next_step="Download the bill again.",
            )
        desk.require_end(last_line)
        records = desk.cut(
            first=header_line, last=last_line, separator=separator, field_count=len(header), start=_START
        )
        desk.connection.execute(
            _TYPED_SQL.replace("{fields}", fields_sql(_COLUMNS, names)), {"field_count": len(header)}
        )
        _require_kinds(desk, records)
        footer = [(number, text) for number, text in marks if number >= last_line]
        line_no, totals = _totals(desk, footer, has_discount="discount" in names)
        require_totals(desk, totals, line_no, "typed")
        sql = _LINES_SQL.format(
            file_no=job.file_no,
            acquirer=job.source.acquirer,
            key=key,
            currency=job.source.currency,
            day=day.isoformat(),
        )
        desk.connection.execute(sql)
        loaded, quarantined, out, refused = desk.write(table="settled")
        return Parsed(
            records=records,
            loaded=loaded,
            quarantined=quarantined,
            business_date=day,
            logical_key=key,
            encoding=desk.bill.encoding,
            datasets={"settlement_lines": out},
            quarantine=refused,
            computed_minor=desk.number("select sum(net_minor) from settled where reason is null"),
        )


def _header(desk: Desk) -> tuple[int, str, list[str]]:
    job = desk.job
    found = desk.lines_like(r"[\x{FEFF}\s\"]*支付宝交易号")
    if not found:
        account = desk.lines_like(r"[\x{FEFF}\s\"]*账务流水号")
        if account:
            raise refuse(
                job,
                account[0][0],
                "this is an account bill (账务明细), which lists what moved on the balance; expected a trade bill "
                "(业务明细)",
                "Put the trade bill of the day into the inbox.",
            )
        raise LayoutError(
            f"{job.file_name}: no header begins with 支付宝交易号: this is no Alipay trade bill.",
            next_step="Put the file into the folder of its feed, or download the trade bill (业务明细).",
        )
    line_no, text = found[0]
    if len(found) > 1:
        raise refuse(
            job, found[1][0], f"the header of line {line_no} is repeated, expected one bill in a file"
        )
    separator = "," if "," in text else "\t"
    cells = next(csv.reader([text.lstrip("\ufeff")], delimiter=separator))
    header = [cell.strip(" \t\u3000").replace("（", "(").replace("）", ")") for cell in cells]
    return line_no, separator, header[:-1] if header[-1] == "" else header


def _named(job: Job, line_no: int, header: list[str]) -> dict[str, int]:
    """Name in the code → position in the header."""
    names = {name: header.index(spelling) for name, spelling in _COLUMNS.items() if spelling in header}
    missing = [_COLUMNS[name] for name in _REQUIRED if name not in names]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if missing or twice:
        what = (
            f"the header lacks {', '.join(missing)}"
            if missing
            else f"the header names {', '.join(twice)} twice"
        )
        raise refuse(job, line_no, f"{what}; expected the columns of a trade bill")
    return names


def _require_kinds(desk: Desk, records: int) -> None:
    """Totals count sales and refunds: a record that is neither stands in no total, and nothing would prove it."""
    unknown = desk.connection.execute(
        "select line_no, mask_text(reason) from typed where kind is null order by line_no"
    ).fetchall()
    if unknown:
        raise LayoutError(
            f"{desk.job.file_name}: the list holds {records} records, {len(unknown)} of no known kind; "
            f"line {unknown[0][0]}: {unknown[0][1]}.",
            bad_lines=tuple(BadLine(number, reason) for number, reason in unknown),
            next_step="Download the bill again; if Alipay names a new 业务类型, the layout has to learn it.",
        )


def _day(job: Job, before: str) -> date:
    first = first_day(before)
    day = require_day(job, first, "a line #起始日期")
    last = first
    for kind, year, month, number, clock in PERIOD.findall(before):
        if kind == "终止":
            try:
                last = date(int(year), int(month), int(number))
            except ValueError:
                last = None
            if last and clock == "00:00:00":
                last -= timedelta(days=1)  # the period ends where the next day begins
    if (first is not None and day != first) or last not in (first, None):
        until = f" to {last}" if last and last != first else ""
        raise LayoutError(
            f"{job.file_name}: the bill covers {first}{until}, expected the one day {day}.",
            next_step="Put the daily bill into the inbox, under the name it was downloaded under.",
        )
    return day


def _totals(desk: Desk, footer: list[tuple[int, str]], *, has_discount: bool) -> tuple[int, list[Total]]:
    """The two lines of totals against the records: (line of the first, totals)."""
    job = desk.job
    totals: list[Total] = []
    first = 0
    for kind, meaning in (("交易", "sale"), ("退款", "refund")):
        found = [
            (number, match)
            for number, text in footer
            if (match := _TOTAL.match(text)) and match["kind"] == kind
        ]
        if not found:
            raise LayoutError(
                f"{job.file_name}: the total #{kind}合计 is missing after the records: the bill is truncated.",
                next_step="Download the bill again.",
            )
        if len(found) > 1:
            raise refuse(job, found[1][0], f"the total #{kind}合计 of line {found[0][0]} is repeated")
        line_no, match = found[0]
        first = first or line_no
        where = f"from typed where kind = '{meaning}'"
        totals.append(
            Total(
                name=f"{kind}合计",
                stated=int(match["count"]),
                found=desk.number(f"select count(*) {where}"),
                is_count=True,
            )
        )
        for name, column in (("received", "received_units"), ("discount", "discount_units")):
            if match[name] is None or (name == "discount" and not has_discount):
                continue
            stated = units_of(match[name])
            if stated is None:
                raise refuse(job, line_no, f'the total "{match[name]}" of #{kind}合计 is not an amount')
            label = {"received": "商家实收", "discount": "商家优惠"}[name]
            totals.append(
                Total(
                    name=f"{kind} {label}", stated=stated, found=desk.number(f"select sum({column}) {where}")
                )
            )
    return first, totals
