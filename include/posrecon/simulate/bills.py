"""Trade bills of WeChat Pay and Alipay, one per merchant and calendar day, as they are downloaded.

Source of the layouts: WeChat Pay merchant documentation, 申请交易账单 (ALL, 27 columns); Alipay open platform,
alipay.data.dataservice.bill.downloadurl.query, 业务明细 (27 columns).
"""

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from posrecon.simulate import wallets
from posrecon.simulate.events import Events
from posrecon.simulate.kinds import Channel, Kind
from posrecon.simulate.population import Population
from posrecon.simulate.settlement import Lines, of_channel

_WECHAT_HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,"
    "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
_WECHAT_TOTALS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
_ALIPAY_HEADER = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注,交易方式,实收净额（元）"
)
_PAYERS = ("OTHERS", "CMB_DEBIT", "ICBC_DEBIT", "CCB_CREDIT")

_MACROS = """
create or replace temp macro yuan(minor) as
    case when minor < 0 then '-' else '' end || (abs(minor) // 100)::varchar || '.' || printf('%02d', abs(minor) % 100);
create or replace temp macro clock(at_us) as strftime(make_timestamp(at_us), '%Y-%m-%d %H:%M:%S');
"""

# Every field has a backtick before it.
_WECHAT_ROW = """
'`' || array_to_string([
    clock(at_us), 'wx2f1c7a90e4b35d68', acquirer_id, '0', terminal_id,
    wallet_txn_no(1, named_no, false), order_text(named_no, false),
    'oUpF8u' || printf('%08d', payer), 'MICROPAY', case when is_refund then 'REFUND' else 'SUCCESS' end,
    bank, 'CNY',
    case when is_refund then '0.00' else yuan(gross) end, '0.00',
    case when is_refund then wallet_txn_no(1, own_no, true) else '0' end,
    case when is_refund then order_text(own_no, true) else '0' end,
    case when is_refund then yuan(-gross) else '0.00' end, '0.00',
    case when is_refund then 'ORIGINAL' else '' end, case when is_refund then 'SUCCESS' else '' end,
    '门店消费', '', yuan(fee) || '000', '0.38%',
    case when is_refund then '0.00' else yuan(gross) end,
    case when is_refund then yuan(-gross) else '0.00' end, ''
], ',`')
"""

# Every field has a tab behind it.
_ALIPAY_ROW = """
array_to_string([
    wallet_txn_no(2, named_no, false), order_text(named_no, false),
    case when is_refund then '退款' else '交易' end, '门店消费', clock(at_us - 3000000), clock(at_us),
    '', '', '', terminal_id, '*' || printf('%02d', payer % 100) || '(138****' || printf('%04d', payer % 10000) || ')',
    yuan(gross), yuan(gross), '0.00', '0.00', '0.00', '0.00', '0.00', '', '0.00', '0.00',
    case when is_refund then order_text(own_no, true) else '' end,
    yuan(-fee), '0.00', '', '条码支付', yuan(net)
], chr(9) || ',') || chr(9)
"""


@dataclass(frozen=True)
class _Bill:
    """One bill: its records as text, and their totals in fen; `returned_minor` is not negative."""

    acquirer_id: str
    on: date
    is_gzip: bool
    records: str
    sales: int
    sold_minor: int
    refunds: int
    returned_minor: int
    fee_minor: int


def write_bills(
    lines: Lines,
    events: Events,
    population: Population,
    out: Path,
    *,
    start: date,
    progress: Callable[[int, int], None],
) -> int:
    """Write the bills of both wallets under `out`/wechat and `out`/alipay; returns how many files.

    Args:
        lines: Of all channels, in file order.
        events: The terminal events that the lines settle.
        population: Gives ids.
        out: The inbox.
        start: First business date.
        progress: Called with (bills written, bills in all).
    """
    written = 0
    with duckdb.connect() as connection:
        connection.execute(_MACROS + wallets.ORDER_SQL)
        for channel, row, write in (
            (Channel.WECHAT, _WECHAT_ROW, _write_wechat),
            (Channel.ALIPAY, _ALIPAY_ROW, _write_alipay),
        ):
            folder = out / channel.name.lower()
            folder.mkdir(parents=True, exist_ok=True)
            connection.register(
                "lines", _table(of_channel(lines, channel), channel, events, population, start)
            )
            bills = connection.execute(
                f"""
                select merchant, day,
                    string_agg({row}, chr(13) || chr(10) order by n),
                    count(*) filter (not is_refund), coalesce(sum(gross) filter (not is_refund), 0)::bigint,
                    count(*) filter (is_refund), -coalesce(sum(gross) filter (is_refund), 0)::bigint,
                    sum(fee)::bigint
                from lines group by merchant, day order by day, merchant
                """
            ).fetchall()
            for merchant, day, records, sales, sold, refunds, returned, fee in bills:
                bill = _Bill(
                    acquirer_id=population.acquirer_id(merchant, channel),
                    on=start + timedelta(days=day),
                    is_gzip=wallets.is_gzip(merchant, day),
                    records=records,
                    sales=sales,
                    sold_minor=sold,
                    refunds=refunds,
                    returned_minor=returned,
                    fee_minor=fee,
                )
                write(folder, bill)
            written += len(bills)
            progress(channel, len(Channel) - 1)
    return written


def _table(lines: Lines, channel: Channel, events: Events, population: Population, start: date) -> pa.Table:
    event = lines.event
    ids = [population.acquirer_id(merchant, channel) for merchant in range(len(population.merchant_ids))]
    is_refund = events.kind[event] == Kind.REFUND
    is_orphan = is_refund & (events.original[event] < 0)
    named = np.where(is_refund & ~is_orphan, events.original[event], event)
    midnight_us = (start - date(1970, 1, 1)).days * 86_400_000_000
    terminal_ids = pa.array(population.terminal_ids, pa.string()).take(pa.array(events.terminal[event]))
    return pa.table(
        {
            "n": np.arange(len(event)),
            "merchant": lines.merchant,
            "day": lines.clearing_day,
            "at_us": midnight_us + events.at_s[event] * 1_000_000,
            "acquirer_id": pa.array(ids, pa.string()).take(pa.array(lines.merchant)),
            "terminal_id": terminal_ids,
            "is_refund": is_refund,
            "own_no": wallets.order_numbers(events, event, start),
            "named_no": wallets.order_numbers(events, named, start, is_made_up=is_orphan),
            "payer": events.account_no[event] % 10**8,
            "bank": pa.array(_PAYERS, pa.string()).take(pa.array(events.bin[event] % len(_PAYERS))),
            "gross": lines.gross_minor,
            "fee": lines.fee_minor,
            "net": lines.net_minor,
        }
    )


def yuan(minor: int) -> str:
    """Fen as a bill writes them: -1234 → '-12.34'."""
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def _write_wechat(folder: Path, bill: _Bill) -> None:
    sold, returned = yuan(bill.sold_minor), yuan(bill.returned_minor)
    totals = (str(bill.sales + bill.refunds), sold, returned, "0.00", yuan(bill.fee_minor), sold, returned)
    lines = (_WECHAT_HEADER, bill.records, _WECHAT_TOTALS, ",".join(f"`{total}" for total in totals), "")
    content = "\r\n".join(lines).encode("utf-8-sig")
    name = wallets.wechat_name(bill.acquirer_id, bill.on, is_gzip=bill.is_gzip)
    # Without a time of compression, so that the same bill is the same bytes.
    (folder / name).write_bytes(gzip.compress(content, mtime=0) if bill.is_gzip else content)


def _write_alipay(folder: Path, bill: _Bill) -> None:
    outer, member, summary = wallets.alipay_names(bill.acquirer_id, bill.on)
    after = bill.on + timedelta(days=1)
    head = (
        f"#账号：[{bill.acquirer_id}0156]",
        f"#起始日期：[{bill.on:%Y年%m月%d日} 00:00:00]   终止日期：[{after:%Y年%m月%d日} 00:00:00]",
    )
    foot = (
        f"#交易合计：{bill.sales}笔，商家实收共{yuan(bill.sold_minor)}元，商家优惠共0.00元",
        f"#退款合计：{bill.refunds}笔，商家实收退款共{yuan(-bill.returned_minor)}元，商家优惠退款共0.00元",
        f"#导出时间：[{after:%Y年%m月%d日} 09:12:52]",
    )
    rule = "-" * 40
    detail = (
        "#支付宝业务明细查询",
        *head,
        f"#{rule}业务明细列表{rule}",
        _ALIPAY_HEADER,
        bill.records,
        f"#{rule}业务明细列表结束{rule}",
        *foot,
    )
    brief = ("#支付宝业务汇总查询", *head, f"#{rule}业务汇总列表{rule}", *foot)
    (folder / outer).write_bytes(
        _zip_of(
            {
                name: "\r\n".join((*lines, "")).encode("gbk")
                for name, lines in ((member, detail), (summary, brief))
            },
            made_on=after,
        )
    )


def _zip_of(members: dict[str, bytes], *, made_on: date) -> bytes:
    """A zip whose names are GBK without a flag that says so, as Windows tools write it."""
    target = io.BytesIO()
    stand_ins: dict[bytes, bytes] = {}
    with zipfile.ZipFile(target, "w") as archive:
        for number, (name, content) in enumerate(members.items()):
            raw = name.encode("gbk")
            plain = str(number).rjust(len(raw), "?")
            stand_ins[plain.encode("ascii")] = raw
            info = zipfile.ZipInfo(plain, date_time=(made_on.year, made_on.month, made_on.day, 9, 12, 52))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    packed = target.getvalue()
    for stand_in, raw in stand_ins.items():
        packed = packed.replace(stand_in, raw)
    return packed
