"""Account bills of both wallets: what moved on the balance, and the proofs that nothing is missing."""

import pytest

from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import NIGHT, parse_one, quarantined, raw

MCH_ID = "1900000109"
FUND_NAME = f"{MCH_ID}_fundflow_20261111.csv"
FUND_HEADER = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额（元）,账户结余（元）,资金变更提交申请人,备注,"
    "业务凭证号"
)
PID = "2088101117955611"
ACCOUNT_NAME = f"{PID}0156_20261111_账务明细.csv"
ACCOUNT_HEADER = (
    "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,"
    "业务类型,备注"
)
PERSON = "zhangsan@example.com"


def moved(
    number: int,
    kind: str,
    side: str,
    amount: str,
    balance: str,
    time: str = "2026-11-11 10:00:00",
) -> str:
    cells = (
        time, f"42000{number:020}", f"50000{number:020}", "业务", kind, side, amount, balance, PERSON, "备注, 一行",
        f"ORDER-{number}",
    )  # fmt: skip
    return ",".join(f"`{cell}" for cell in cells)


FUND_ROWS = (
    moved(1, "交易", "收入", "12.34", "112.34"),
    moved(2, "扣除交易手续费", "支出", "0.07", "112.27"),
    moved(3, "退款", "支出", "2.00", "110.27"),
    moved(4, "提现", "支出", "110.00", "0.27"),
)
FUND_TOTALS = "`4,`1,`12.34,`3,`112.07"


def fund_flow(*rows: str, totals: str = FUND_TOTALS, header: str = FUND_HEADER, end: str = "\r\n") -> bytes:
    names = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
    return ("\ufeff" + end.join((header, *rows, *([names, totals] if totals else []))) + end).encode()


def entry(
    number: int, kind: str, paid_in: str, paid_out: str, balance: str, time: str = "2026-11-11 10:00:00"
) -> str:
    cells = (
        f"3000{number:012}", f"20261111220014{number:014}", f"ORDER-{number}", "面", time, PERSON, paid_in, paid_out,
        balance, "支付宝", kind, "",
    )  # fmt: skip
    return ",".join(f"{cell}\t" for cell in cells)


ACCOUNT_ROWS = (
    entry(1, "在线支付", "12.34", "", "112.34"),
    entry(2, "收费", "0.00", "-0.07", "112.27"),
    entry(3, "交易退款", "", "-2.00", "110.27"),
    entry(4, "提现", "", "110.00", "0.27"),
)
ACCOUNT_TOTALS = ("#支出合计：3笔，共-112.07元", "#收入合计：1笔，共12.34元")


def account_bill(*rows: str, totals: tuple[str, ...] = ACCOUNT_TOTALS, header: str = ACCOUNT_HEADER) -> bytes:
    lines = (
        "#支付宝账务明细查询",
        f"#账号：[{PID}0156]",
        "#起始日期：[2026年11月11日 00:00:00]   终止日期：[2026年11月12日 00:00:00]",
        "#-----------------------------------------账务明细列表----------------------------------------",
        header,
        *rows,
        "#-----------------------------------------账务明细列表结束------------------------------------",
        *totals,
        "#导出时间：[2026年11月12日 09:12:52]",
    )
    return ("\r\n".join(lines) + "\r\n").encode("gb18030")


ONE = "`1,`1,`1.23,`0,`0"


def half_width(text: str) -> str:
    return text.replace("（", "(").replace("）", ")")


BOTH = pytest.mark.parametrize(
    ("feed", "name", "content"),
    [
        ("wechat", FUND_NAME, fund_flow(*FUND_ROWS)),
        ("wechat", FUND_NAME, fund_flow(*reversed(FUND_ROWS))),
        (
            "wechat",
            FUND_NAME,
            fund_flow(*FUND_ROWS, header=half_width(FUND_HEADER)),
        ),
        ("alipay", ACCOUNT_NAME, account_bill(*ACCOUNT_ROWS)),
        (
            "alipay",
            ACCOUNT_NAME,
            account_bill(*ACCOUNT_ROWS, header=half_width(ACCOUNT_HEADER)),
        ),
        ("alipay", ACCOUNT_NAME, account_bill(*reversed(ACCOUNT_ROWS))),
    ],
)


@BOTH
def test_every_movement__is_a_signed_entry_with_the_balance_after_it(
    settings: Settings, feed: str, name: str, content: bytes
) -> None:
    outcome = parse_one(settings, feed, name, content)
    assert outcome.reason is None
    found = sorted(raw(settings, "ledger_entries"), key=lambda row: row["merchant_order_no"])
    assert [(row["entry_kind"], row["amount_minor"], row["balance_minor"]) for row in found] == [
        ("trade", 1234, 11234),
        ("fee", -7, 11227),
        ("refund", -200, 11027),
        ("payout", -11000, 27),
    ]
    owner = {"wechat": MCH_ID, "alipay": PID}[feed]
    assert {(row["acquirer"], row["account"], row["currency"]) for row in found} == {(feed, owner, "CNY")}
    assert (outcome.records, outcome.loaded, outcome.computed_minor) == (4, 4, 1234 - 7 - 200 - 11000)
    assert outcome.logical_name.endswith(f"{owner}/2026-11-11")


@BOTH
def test_person_and_remark__are_written_nowhere(
    settings: Settings, feed: str, name: str, content: bytes
) -> None:
    parse_one(settings, feed, name, content)
    columns = raw(settings, "ledger_entries")[0]
    assert PERSON not in str(columns)
    assert "备注" not in str(columns)


def test_kind_that_nobody_listed__is_other(settings: Settings) -> None:
    rows = (moved(1, "充值", "收入", "5.00", "5.00"),)
    outcome = parse_one(settings, "wechat", FUND_NAME, fund_flow(*rows, totals="`1,`1,`5.00,`0,`0.00"))
    assert outcome.reason is None
    (row,) = raw(settings, "ledger_entries")
    assert (row["entry_kind"], row["entry_text"]) == ("other", "充值")


def test_day_without_movements__is_a_bill_of_none(settings: Settings) -> None:
    outcome = parse_one(settings, "wechat", FUND_NAME, fund_flow(totals="`0,`0,`0.00,`0,`0.00"))
    assert (outcome.state, outcome.records, outcome.computed_minor) == ("loaded", 0, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (fund_flow(*FUND_ROWS, totals="`4,`1,`12.34,`3,`112.08"), "支出金额 states 112.08"),
        (fund_flow(*FUND_ROWS, totals="`5,`1,`12.34,`3,`112.07"), "资金流水总笔数 states 5"),
        (fund_flow(*FUND_ROWS, totals=""), "is missing: the bill is truncated"),
        (fund_flow(*FUND_ROWS, totals="`4,`1"), "totals stand under 5 names"),
        (fund_flow(*FUND_ROWS, totals="`4,`1,`12.34,`3,`x"), '支出金额 "x" is no number'),
        (fund_flow(*FUND_ROWS[:2], *FUND_ROWS[3:], totals="`3,`1,`12.34,`2,`110.07"), "difference -2.00"),
        (fund_flow(moved(1, "交易", "收入", "1.234", "1.23"), totals=ONE), "more than 2 decimals"),
        (fund_flow(moved(1, "交易", "转入", "1.23", "1.23"), totals=ONE), "the amount is none"),
        (fund_flow(moved(1, "交易", "收入", "1.23", "x"), totals=ONE), '账户结余(元) "x"'),
        (fund_flow(moved(1, "交易", "收入", "1.23", "1.23", "2026-02-30 10:00:00"), totals=ONE), "not a possible time"),
        (fund_flow(moved(1, "交易", "收入", "1.23", "1.23", "2026-11-10 10:00:00"), totals=ONE), "the one day"),
        (fund_flow(*FUND_ROWS, header=FUND_HEADER.replace("账户结余", "余额")), "lacks 账户结余(元)"),
        (fund_flow(*FUND_ROWS, FUND_HEADER), "is repeated"),
        (b"", "0 bytes"),
    ],
)  # fmt: skip
def test_fund_flow_that_proves_nothing__is_refused_whole(
    settings: Settings, content: bytes, reason: str
) -> None:
    outcome = parse_one(settings, "wechat", FUND_NAME, content)
    assert (outcome.state, raw(settings, "ledger_entries"), quarantined(settings)) == ("rejected", [], [])
    assert reason in (outcome.reason or "")
    assert read_note(settings, NIGHT, outcome.file_id)["next_step"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (account_bill(*ACCOUNT_ROWS, totals=(ACCOUNT_TOTALS[0],)), "#收入合计 is missing"),
        (account_bill(*ACCOUNT_ROWS, totals=(*ACCOUNT_TOTALS, ACCOUNT_TOTALS[1])), "stands 2 times"),
        (account_bill(*ACCOUNT_ROWS, totals=("#支出合计：3笔，共112.06元", *ACCOUNT_TOTALS[1:])), "states 112.06"),
        (account_bill(*ACCOUNT_ROWS, totals=("#支出合计：2笔，共-112.07元", ACCOUNT_TOTALS[1])), "支出笔数 states 2"),
        (account_bill(*ACCOUNT_ROWS[1:], totals=(ACCOUNT_TOTALS[0], "#收入合计：0笔，共0.00元"))
         .replace("112.27".encode("gb18030"), b"112.26"), "difference"),
        (account_bill(entry(1, "在线支付", "1.00", "-1.00", "1.00")), "stands on both sides"),
        (account_bill(entry(1, "在线支付", "", "", "1.00")), "the amount is none"),
        (account_bill(*ACCOUNT_ROWS).replace(f"{PID}0156]".encode(), b"20881011179556220156]"), "is of account"),
        (account_bill(*ACCOUNT_ROWS).split(b"#---")[0], "no header begins with 账务流水号"),
    ],
)  # fmt: skip
def test_account_bill_that_proves_nothing__is_refused_whole(
    settings: Settings, content: bytes, reason: str
) -> None:
    outcome = parse_one(settings, "alipay", ACCOUNT_NAME, content)
    assert (outcome.state, raw(settings, "ledger_entries")) == ("rejected", [])
    assert reason in (outcome.reason or "")


@pytest.mark.parametrize(
    ("feed", "name", "source"),
    [
        ("wechat", f"{MCH_ID}_fundflow_2026-11-11.csv", "wechat_fund_flow"),
        ("wechat", f"{MCH_ID}基本账户资金账单20261111.csv", "wechat_fund_flow"),
        ("wechat", f"{MCH_ID}All2026-11-11_2026-11-11.csv", "wechat_bill"),
        ("alipay", f"{PID}0156_20261111_账务明细.csv", "alipay_account_bill"),
        ("alipay", f"{PID}0156_20261111_账务明细(汇总).csv", "alipay_summary"),
        ("alipay", f"{PID}0156_20261111_业务明细.csv", "alipay_bill"),
        ("alipay", f"{PID}0156_20261111_业务明细(汇总).csv", "alipay_summary"),
    ],
)
def test_name__belongs_to_one_source(settings: Settings, feed: str, name: str, source: str) -> None:
    from posrecon.landing.opening import recognise
    from posrecon.landing.sources import load_sources

    ((found, parts),) = recognise(load_sources(settings.sources_dir), feed, name)
    assert found.name == source
    assert parts.key == (MCH_ID if feed == "wechat" else PID)
