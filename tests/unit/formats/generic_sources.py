"""Sources of the generic layouts as a new user writes them, and files for them."""

from typing import Any

import yaml

ALLINPAY_HEADER = (
    "商户号,门店名称,终端号,交易时间,交易类型,交易批次号,凭证号,参考号,卡号,卡类别,发卡行机构代码,发卡行名称,交易金额,"
    "手续费,交易日期,交易单号,订单号,商户备注,对接应用号,原始金额,结算金额,产品类型,分期贴息,交易完成时间,持卡人姓名,"
    "持卡人身份证,分期数,优惠金额,实付金额,原交易单,渠道交易类型,出金方账户名称,门店编号,交易完成日期"
)

ALLINPAY = r"""
# The POS bill of an acquirer: 34 columns, one record per transaction, one line of totals.
name: allinpay_pos
feed: generic
layout: generic_delimited
acquirer: unionpay
pattern: 'allinpay_(?P<key>\d{15})_(?P<date>20\d{6})\.csv'
date_from: name
zone: Asia/Shanghai
encoding: gb18030
currency: CNY
table:
  dataset: settlement_lines
  columns:
    acquirer_merchant_id: 商户号
    terminal_id: 终端号
    txn_local: [交易日期, 交易时间]
    txn_type: {from: 交易类型, values: {消费: sale, 退货: refund}}
    txn_code: 交易类型
    stan: 凭证号
    rrn: 参考号
    card_masked: 卡号
    card_type: {from: 卡类别, values: {借记卡: debit, 贷记卡: credit, 准贷记卡: credit}}
    gross: 交易金额
    fee: 手续费
    net: 结算金额
    acquirer_txn_no: 交易单号
    orig_acquirer_txn_no: 原交易单
    merchant_order_no: 订单号
  signs: {by: type}
  totals: '^合计,(?P<count>\d+),(?P<gross>[-\d.]+),(?P<fee>[-\d.]+),(?P<net>[-\d.]+)'
  never_kept: [持卡人姓名, 持卡人身份证, 出金方账户名称]
"""

BANK_CSV = r"""
# Statement of a Chinese bank as its web bank exports it: lines above the header, money in and out in two columns.
name: river_bank
feed: bank
layout: generic_delimited
logical_prefix: bank
pattern: 'river_(?P<key>\d+)_(?P<date>20\d{6})\.csv'
date_from: content
zone: Asia/Shanghai
encoding: gb18030
acquirer_patterns:
  unionpay: ['UNION\s*PAY', '银联']
  wechat: ['财付通']
table:
  dataset: bank_entries
  columns:
    entry_date: 交易日期
    amount: {credit: 收入金额, debit: 支出金额}
    balance: 余额
    currency: {from: 币种, values: {人民币: CNY}}
    reference: 流水号
    narrative: [摘要, 附言]
  date_format: '%Y%m%d'
  empty: ['-', '--']
  footer: '^共\d+笔'
  may_end_with_delimiter: true
  never_kept: [对方户名]
"""

FIXED = r"""
name: harbour_fixed
feed: generic
layout: generic_fixed
acquirer: unionpay
pattern: 'HARBOUR_(?P<date>20\d{6})\.dat'
date_from: name
zone: Asia/Shanghai
encoding: gbk
currency: CNY
table:
  dataset: settlement_lines
  record_bytes: 70
  positions:
    merchant: [1, 15]
    shop: [16, 10]
    terminal: [26, 8]
    rrn: [34, 12]
    side: [46, 1]
    amount: [47, 8]
    fee: [55, 8]
    net: [63, 8]
  columns:
    acquirer_merchant_id: merchant
    terminal_id: terminal
    rrn: rrn
    gross: amount
    fee: fee
    net: net
  skip_lines: 1
  units: minor
  signs: {by: indicator, column: side, credit: [C], debit: [D]}
  totals: '^T(?P<count>\d{6})(?P<net>-?\d+)'
"""


def keys_of(text: str) -> dict[str, Any]:
    """The keys of a source as `parse_as` takes them."""
    keys: dict[str, Any] = yaml.safe_load(text)
    del keys["layout"]
    return keys


def allinpay_record(**changed: str) -> str:
    values = {
        "商户号": "898110000000037", "门店名称": "面馆", "终端号": "10000001", "交易时间": "10:00:00",
        "交易类型": "消费", "凭证号": "000001", "参考号": "631500000001", "卡号": "621234******1232",
        "卡类别": "借记卡", "交易金额": "12.34", "手续费": "0.07", "交易日期": "2026-11-11",
        "交易单号": "202611110000000001", "结算金额": "12.27", "持卡人姓名": "张三丰",
        "持卡人身份证": "11010119900307721X", "出金方账户名称": "李四",
    }  # fmt: skip
    values.update(changed)
    return ",".join(values.get(name, "") for name in ALLINPAY_HEADER.split(","))


def allinpay_file(*records: str, totals: str = "合计,1,12.34,0.07,12.27") -> bytes:
    lines = (ALLINPAY_HEADER, *records, *([totals] if totals else []))
    return ("\r\n".join(lines) + "\r\n").encode("gb18030")


BANK_HEADER = "交易日期,流水号,摘要,币种,收入金额,支出金额,余额,对方户名,附言"


def bank_file(*records: str, footer: str = "共2笔\r\n") -> bytes:
    lines = ("账户明细查询", "", "账号: 310500161836", BANK_HEADER, *records)
    return ("\r\n".join(lines) + "\r\n" + footer).encode("gb18030")


CREDIT = '20261111\t,A1,银联清算,人民币,"1,050.25",-,"1,150.25",中国银联,898110000000037,'
DEBIT = '20261111\t,A2,手续费,人民币,-,0.25,"1,150.00",张三丰,"费用, 本月",'


def fixed_record(
    shop: str = "面馆",
    side: str = "C",
    amount: int = 1234,
    fee: int = 7,
    net: int = 1227,
    rrn: str = "631500000001",
) -> bytes:
    name = shop.encode("gbk").ljust(10)
    return b"898110000000037" + name + b"10000001" + f"{rrn}{side}{amount:08d}{fee:08d}{net:08d}".encode()


def fixed_file(*records: bytes, totals: str = "T0000011227") -> bytes:
    return b"\r\n".join((b"H20261111", *records, *([totals.encode()] if totals else []))) + b"\r\n"
