"""A good file of every layout, and a project whose sources read all of them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.formats import generic_sources as generic
from tests.unit.formats import grrcn_files as grrcn
from tests.unit.formats import iso8583_files as iso
from tests.unit.formats import payout_files as payouts
from tests.unit.formats import test_alipay_bill as alipay
from tests.unit.formats import test_bai2 as bai2
from tests.unit.formats import test_camt as camt
from tests.unit.formats import test_reference_csv as reference
from tests.unit.formats import test_terminal_log as terminal
from tests.unit.formats import test_unionpay_acomn as acomn
from tests.unit.formats import test_unionpay_rd as rd
from tests.unit.formats import test_unionpay_zme as zme
from tests.unit.formats import test_wallet_ledger as ledger
from tests.unit.formats import test_wechat_bill as wechat
from tests.unit.landing.files import MERCHANTS, ZM_NAME, event, log_of, settings_of, statement, zm_record


@dataclass(frozen=True, kw_only=True)
class Good:
    """A good file.

    Attributes:
        february: What becomes a 30 February, as (found, replaced).
        fewer: A record with a field, or a byte, less.
        trailer: The lines that end the file and prove it whole; empty when the layout has none.
        one_fen: A total, or an amount under a total, that is off by the smallest unit.
        cut: Part of the file after which it breaks off in the middle of a record.
    """

    feed: str
    name: str
    content: bytes
    february: tuple[bytes, bytes] | None = None
    fewer: tuple[bytes, bytes] | None = None
    trailer: bytes = b""
    one_fen: tuple[bytes, bytes] | None = None
    cut: float = 0.667


def _gb(text: str) -> bytes:
    return text.encode("gb18030")


_SALE, _OTHER = iso.SALE, iso.changed(iso.SALE, e11="000002")
_BATCH = (
    "merchant_id,terminal_id,batch_no,business_date,sale_count,sale_amount,refund_count,refund_amount,currency\n"
    "M1,T1,000001,2026-11-11,1,12.34,0,0.00,CNY\nM1,T2,000001,2026-11-11,1,12.34,0,0.00,CNY\n"
)
_MT940 = statement(
    ":61:2611111111C50,25NTRFREF//1", ":86:UNIONPAY", ":61:2611111111D0,25NCHG//2", closing="C261111CNY150,00"
)
_DAY, _FEBRUARY = b"2026-11-11", b"2026-02-30"

GOOD: dict[str, Good] = {
    "terminal_csv": Good(
        feed="terminal_log", name="terminal_log_20261111.csv", content=log_of(event(), event(stan="000002")),
        february=(_DAY + b"T10:00:00,00,,,,,\nM", _FEBRUARY + b"T10:00:00,00,,,,,\nM"),
        fewer=(b",000001,000002,", b",000002,"),
    ),
    "terminal_jsonl": Good(
        feed="terminal_log", name="terminal_log_20261111.jsonl",
        content=terminal.json_lines(terminal.fields(), terminal.fields(stan="000002")),
        february=(_DAY, _FEBRUARY), fewer=(b'"merchant_id"', b'"merchant"'),
    ),
    "terminal_parquet": Good(
        feed="terminal_log", name="terminal_log_20261111.parquet",
        content=terminal.parquet(terminal.fields(), terminal.fields(stan="000002")),
    ),
    "iso8583_ascii": Good(
        feed="terminal_log", name="iso8583_20261111.log",
        content=iso.log_file(iso.ascii_line(_SALE), iso.ascii_line(_OTHER)),
        february=(b"0000021000001111", b"0000021000000230"), fewer=(b"000002100000", b"00002100000"),
    ),
    "iso8583_hex": Good(
        feed="terminal_log", name="iso8583_20261111.hex",
        content=iso.log_file(iso.hex_line(_SALE), iso.hex_line(_OTHER)),
        february=(b"000002100000" .hex().encode() + b"31313131", b"000002100000".hex().encode() + b"30323330"),
        fewer=(b"000002100000".hex().encode(), b"00002100000".hex().encode()),
    ),
    "iso8583_packed": Good(
        feed="terminal_log", name="iso8583_20261111.txt",
        content=iso.log_file(iso.packed_line(_SALE), iso.packed_line(_OTHER)),
        february=(b"0000021000001111", b"0000021000000230"), fewer=(b"000002100000", b"0002100000"),
    ),
    "batch_close": Good(
        feed="terminal_log", name="batch_close_20261111.csv", content=_BATCH.encode(),
        february=(b"T2,000001," + _DAY, b"T2,000001," + _FEBRUARY), fewer=(b"T2,000001", b"T2"),
    ),
    "zm": Good(
        feed="unionpay", name=ZM_NAME, content=zm_record() + zm_record(stan="000002"),
        february=(b"000002 1111100000", b"000002 0230100000"), fewer=(b"000002 1111100000", b"000002 111110000"),
    ),
    "zme": Good(
        feed="unionpay", name=zme.NAME, content=zme.zme_record() + zme.zme_record(stan="000002"),
        february=(b"000002 1111100000", b"000002 0230100000"), fewer=(b"000002 1111100000", b"000002 111110000"),
    ),
    "acomn": Good(
        feed="unionpay", name=acomn.NAME, content=acomn.acomn_record() + acomn.acomn_record(stan="000002"),
        february=(b"000002 1111100000", b"000002 0230100000"), fewer=(b"000002 1111100000", b"000002 111110000"),
    ),
    "rd": Good(
        feed="unionpay", name=rd.NAME, content=_gb(rd.SUMMARY), one_fen=(b"12.27", b"12.28"),
    ),
    "wechat": Good(
        feed="wechat", name=wechat.NAME, content=wechat.a_bill().encode(),
        february=(b"`2026-11-11 10", b"`2026-02-30 10"), fewer=(b",`SUCCESS", b""),
    ),
    "wechat_fund_flow": Good(
        feed="wechat", name=ledger.FUND_NAME, content=ledger.fund_flow(*ledger.FUND_ROWS),
        february=(b"`2026-11-11 10", b"`2026-02-30 10"), fewer=("`交易,".encode(), b""),
        trailer=ledger.fund_flow(*ledger.FUND_ROWS).split("资金流水总笔数".encode())[1],
        one_fen=(b"`112.07", b"`112.08"),
    ),
    "alipay": Good(
        feed="alipay", name=alipay.NAME, content=_gb(alipay.a_bill()),
        february=(b"2026-11-11 10:00:05", b"2026-02-30 10:00:05"), fewer=(_gb("交易\t,"), b""),
        one_fen=(_gb("商家实收共12.34元"), _gb("商家实收共12.35元")),
    ),
    "alipay_account": Good(
        feed="alipay", name=ledger.ACCOUNT_NAME, content=ledger.account_bill(*ledger.ACCOUNT_ROWS),
        february=(b"2026-11-11 10", b"2026-02-30 10"), fewer=(_gb("在线支付\t,"), b""),
        trailer=_gb("#支出合计：3笔，共-112.07元\r\n"), one_fen=(b"112.07", b"112.08"),
    ),
    "mt940": Good(
        feed="bank", name="MT940_310500161836_20261111.sta", content=_MT940.encode(),
        february=(b":61:261111", b":61:260230"), fewer=(b"C50,25NTRF", b"50,25NTRF"),
        trailer=b":62F:C261111CNY150,00\r\n", one_fen=(b"CNY150,00", b"CNY150,01"),
    ),
    "camt": Good(
        feed="bank", name=camt.NAME, content=camt.document(camt.entry()),
        february=(b"<BookgDt><Dt>2026-11-11", b"<BookgDt><Dt>2026-02-30"),
        fewer=(b"<CdtDbtInd>CRDT</CdtDbtInd><Sts>", b"<Sts>"),
        trailer=camt.balance("CLBD", "150.25").encode(), one_fen=(b"150.25", b"150.26"),
    ),
    "bai2": Good(
        feed="bank", name="BAI_310500161836_20261111.txt", content=bai2.bai(),
        february=(b"02,US,BANK,1,261111", b"02,US,BANK,1,260230"), fewer=(b"16,195,5025", b"16,195"),
        trailer=b"99,30050,1,8/", one_fen=(b"49,30050", b"49,30051"),
    ),
    "generic_delimited": Good(
        feed="generic", name="allinpay_898110000000037_20261111.csv",
        content=generic.allinpay_file(generic.allinpay_record()),
        february=(_DAY, _FEBRUARY), fewer=(b",202611110000000001,", b","),
        trailer=_gb("合计,1,12.34,0.07,12.27\r\n"), one_fen=(b"0.07,12.27\r\n", b"0.07,12.28\r\n"),
    ),
    "generic_payout_report": Good(
        feed="generic", name="payout_reconciliation_acct_1_20261111.csv",
        content=payouts.stripe_file(payouts.stripe_record(), payouts.stripe_record(balance_transaction_id="txn_2")),
        february=(b"txn_2," + _DAY, b"txn_2," + _FEBRUARY), fewer=(b"txn_2,", b""),
    ),
    "generic_several_types": Good(
        feed="generic", name="SAMPLES.GRRCN.txt", content=grrcn.grrcn(*grrcn.SETTLED),
        february=(b'"20261111","17', b'"20260230","17'), fewer=(b'"INV1",', b""),
        trailer=grrcn.record("TRAILER", "0000000026", "0000000007").encode() + b"\r\n",
        one_fen=(grrcn.money(3900).encode(), grrcn.money(3901).encode()), cut=0.6,
    ),
    "generic_fixed": Good(
        feed="generic", name="HARBOUR_20261111.dat", content=generic.fixed_file(generic.fixed_record()),
        fewer=(b"631500000001C", b"63150000001C"), trailer=b"T0000011227\r\n", one_fen=(b"T0000011227", b"T0000011228"),
    ),
    "generic_bank": Good(
        feed="bank", name="river_310500161836_20261111.csv",
        content=generic.bank_file(generic.CREDIT, generic.DEBIT),
        february=(b"20261111\t,A1", b"20260230\t,A1"), fewer=(b",A1,", b","), one_fen=(b'"1,150.25"', b'"1,150.26"'),
        cut=0.55,
    ),
    "merchants": Good(feed="reference", name="merchants.csv", content=MERCHANTS, fewer=(b",CNY\nM", b"\nM")),
    "acquirer_merchants": Good(
        feed="reference", name="acquirer_merchants.csv",
        content=log_of("M1,card,,allinpay,1", header=reference.ACQUIRERS), fewer=(b"M1,card,", b"M1,"),
    ),
    "terminals": Good(
        feed="reference", name="terminals.csv", content=log_of("T1,M1,A8,x,2026-11-11,", header=reference.TERMINALS),
        february=(_DAY, _FEBRUARY), fewer=(b"A8,", b""),
    ),
    "fee_schedule": Good(
        feed="reference", name="fee_schedule.csv", content=log_of("M1,card,*,60,,2026-11-11,", header=reference.FEES),
        february=(_DAY, _FEBRUARY), fewer=(b"M1,card,", b"M1,"),
    ),
}  # fmt: skip


def project_of(folder: Path) -> Path:
    """A project whose sources are those in force, the examples, and two that a user may write."""
    sources = folder / "include" / "sources"
    if not sources.exists():
        shutil.copytree(PROJECT_ROOT / "include" / "sources", sources)
        for example in (sources / "examples").glob("*.yml"):
            shutil.copy(example, sources)
        for name, text in {"river_bank": generic.BANK_CSV, "harbour_fixed": generic.FIXED}.items():
            (sources / f"{name}.yml").write_text(text, encoding="utf-8")
    return folder


def settings_in(home: Path, project: Path) -> Settings:
    return settings_of(home).model_copy(update={"project_dir": project})
