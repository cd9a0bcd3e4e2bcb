"""Layout families: each turns one received file into Parquet of a raw dataset.

A source YAML names its layout; to read a new kind of file, add a module here and its line to `LAYOUTS`.
"""

from posrecon.formats import (
    alipay_bill,
    bai2,
    camt,
    evidence,
    generic,
    iso8583_log,
    mt940,
    reference_csv,
    terminal_csv,
    terminal_log,
    unionpay_acomn,
    unionpay_rd,
    unionpay_zm,
    unionpay_zme,
    wallet_ledger,
    wechat_bill,
)
from posrecon.formats.layout import Job, Layout, Parsed

LAYOUTS: dict[str, Layout] = {
    "terminal_log": Layout(terminal_log.peek_date, terminal_log.parse),
    "iso8583_log": Layout(iso8583_log.peek_date, iso8583_log.parse),
    "batch_close_csv": Layout(terminal_csv.peek_batch_close, terminal_csv.parse_batch_close),
    "unionpay_zm": Layout(unionpay_zm.peek_nothing, unionpay_zm.parse),
    "unionpay_zme": Layout(unionpay_zm.peek_nothing, unionpay_zme.parse),
    "wechat_bill": Layout(wechat_bill.peek_date, wechat_bill.parse),
    "alipay_bill": Layout(alipay_bill.peek_date, alipay_bill.parse),
    "wechat_fund_flow": Layout(wallet_ledger.peek_fund_flow, wallet_ledger.parse_fund_flow),
    "alipay_account_bill": Layout(wallet_ledger.peek_account_bill, wallet_ledger.parse_account_bill),
    "unionpay_acomn": Layout(unionpay_zm.peek_nothing, unionpay_acomn.parse),
    "unionpay_rd": Layout(unionpay_zm.peek_nothing, unionpay_rd.parse),
    "evidence": Layout(unionpay_zm.peek_nothing, evidence.parse),
    "camt": Layout(camt.peek_date, camt.parse),
    "bai2": Layout(bai2.peek_date, bai2.parse, bai2.looks),
    "generic_delimited": Layout(generic.peek_date, generic.parse),
    "generic_fixed": Layout(generic.peek_date, generic.parse),
    "mt940": Layout(mt940.peek_date, mt940.parse, mt940.looks),
    "merchants_csv": Layout(reference_csv.peek_nothing, reference_csv.parse_merchants),
    "acquirer_merchants_csv": Layout(reference_csv.peek_nothing, reference_csv.parse_acquirer_merchants),
    "terminals_csv": Layout(reference_csv.peek_nothing, reference_csv.parse_terminals),
    "fee_schedule_csv": Layout(reference_csv.peek_nothing, reference_csv.parse_fee_schedule),
}

__all__ = ["LAYOUTS", "Job", "Layout", "Parsed"]
