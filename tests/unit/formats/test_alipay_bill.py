from datetime import date, datetime

import pytest

from posrecon.landing.opening import recognise
from posrecon.landing.sources import load_sources
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import NIGHT, land, parse_one, put, quarantined, raw

PID = "2088101117955611"
NAME = f"{PID}0156_20261111_业务明细.csv"

HEADER = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,"
    "商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,"
    "卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
HEADER_27 = HEADER + ",交易方式,实收净额（元）"
SALE = {
    "支付宝交易号": "2026111122001400000000000001", "商户订单号": "A-1", "业务类型": "交易", "商品名称": "面",
    "创建时间": "2026-11-11 10:00:00", "完成时间": "2026-11-11 10:00:05", "终端号": "T1", "对方账户": "客***",
    "订单金额（元）": "15.00", "商家实收（元）": "12.34", "商家优惠（元）": "2.66", "服务费（元）": "-0.07",
    "分润（元）": "0.00", "实收净额（元）": "12.27",
}  # fmt: skip
BACK = SALE | {
    "业务类型": "退款", "完成时间": "2026-11-11 18:00:00", "订单金额（元）": "-2.00", "商家实收（元）": "-2.00",
    "商家优惠（元）": "0.00", "退款批次号/请求号": "R-1", "服务费（元）": "0.01", "实收净额（元）": "-1.99",
}  # fmt: skip
TOTALS = (
    "#交易合计：1笔，商家实收共12.34元，商家优惠共2.66元",
    "#退款合计：1笔，商家实收退款共-2.00元，商家优惠退款共0.00元",
)


def row(fields: dict[str, str], header: str = HEADER, pad: str = "\t", **changes: str) -> str:
    values = fields | {name.replace("_元", "（元）"): value for name, value in changes.items()}
    return ",".join(values.get(name, "") + pad for name in header.split(","))


def bill_of(
    *rows: str,
    header: str = HEADER,
    totals: tuple[str, ...] = TOTALS,
    until: str = "2026年11月12日 00:00:00",
    pid: str = f"{PID}0156",
) -> str:
    lines = (
        "#支付宝业务明细查询",
        f"#账号：[{pid}]",
        f"#起始日期：[2026年11月11日 00:00:00]   终止日期：[{until}]",
        "#-----------------------------------------业务明细列表----------------------------------------",
        header,
        *rows,
        "#-----------------------------------------业务明细列表结束------------------------------------",
        *totals,
        "#导出时间：[2026年11月12日 09:12:52]",
    )
    return "\r\n".join(lines) + "\r\n"


def a_bill(*more: str, totals: tuple[str, ...] = TOTALS) -> str:
    return bill_of(row(SALE), row(BACK), *more, totals=totals)


def test_a_sale_and_its_refund__are_signed_lines_with_their_own_numbers(settings: Settings) -> None:
    outcome = parse_one(settings, "alipay", NAME, a_bill().encode("gb18030"))

    assert outcome.reason is None
    sale, refund = raw(settings, "settlement_lines")
    assert [(line["line_no"], line["txn_type"]) for line in (sale, refund)] == [(6, "sale"), (7, "refund")]
    assert (sale["gross_minor"], sale["fee_minor"], sale["net_minor"]) == (1234, 7, 1227)
    assert (refund["gross_minor"], refund["fee_minor"], refund["net_minor"]) == (-200, -1, -199)
    assert (sale["acquirer_txn_no"], sale["orig_acquirer_txn_no"]) == (SALE["支付宝交易号"], None)
    assert (refund["acquirer_txn_no"], refund["orig_acquirer_txn_no"]) == (
        SALE["支付宝交易号"] + "/R-1", SALE["支付宝交易号"]
    )  # fmt: skip
    assert (sale["merchant_order_no"], refund["merchant_order_no"]) == ("A-1", "R-1")
    assert (sale["acquirer"], sale["acquirer_merchant_id"], sale["terminal_id"]) == ("alipay", PID, "T1")
    assert (sale["settlement_date"], sale["currency"], sale["txn_code"]) == (
        date(2026, 11, 11),
        "CNY",
        "交易",
    )
    assert sale["txn_local"] == datetime(2026, 11, 11, 10, 0, 5)  # noqa: DTZ001 - wall clock
    assert (outcome.logical_name, outcome.logical_key) == (f"alipay_bill/{PID}/2026-11-11", PID)
    assert (outcome.computed_minor, outcome.encoding) == (1028, "gb18030")


@pytest.mark.parametrize("header", [HEADER, HEADER_27, HEADER_27.replace("（", "(").replace("）", ")")])
@pytest.mark.parametrize("pad", ["", "\t", "   ", "\u3000"])
def test_25_and_27_columns__brackets_of_both_widths_and_padding__are_read(
    settings: Settings, header: str, pad: str
) -> None:
    fields = [
        {
            name if name in header else name.replace("（", "(").replace("）", ")"): value
            for name, value in given.items()
        }
        for given in (SALE, BACK)
    ]
    text = bill_of(*(row(given, header, pad) for given in fields), header=header)
    outcome = parse_one(settings, "alipay", NAME, text.encode("gbk"))

    assert outcome.reason is None
    assert [line["net_minor"] for line in raw(settings, "settlement_lines")] == [1227, -199]
    assert {len(HEADER.split(",")), len(HEADER_27.split(","))} == {25, 27}


def test_the_stated_net__is_taken_as_stated(settings: Settings) -> None:
    rows = (row(SALE, HEADER_27, 实收净额_元="12.00"), row(BACK, HEADER_27))
    parse_one(settings, "alipay", NAME, bill_of(*rows, header=HEADER_27).encode("gbk"))
    assert raw(settings, "settlement_lines")[0]["net_minor"] == 1200


def test_a_share_for_a_third_party__lowers_what_is_paid_out(settings: Settings) -> None:
    text = bill_of(row(SALE, 分润_元="-1.00"), row(BACK))
    parse_one(settings, "alipay", NAME, text.encode("gbk"))
    assert raw(settings, "settlement_lines")[0]["net_minor"] == 1127


def test_two_refunds_without_a_number__stay_two(settings: Settings) -> None:
    rows = [row(BACK | {"退款批次号/请求号": "", "完成时间": f"2026-11-11 18:00:0{n}"}) for n in (1, 2)]
    totals = (TOTALS[0], "#退款合计：2笔，商家实收退款共-4.00元，商家优惠退款共0.00元")
    parse_one(settings, "alipay", NAME, bill_of(row(SALE), *rows, totals=totals).encode("gbk"))

    refunds = raw(settings, "settlement_lines")[1:]
    assert len({line["acquirer_txn_no"] for line in refunds}) == 2
    assert {line["merchant_order_no"] for line in refunds} == {None}


@pytest.mark.parametrize("trailing", [",", "\t", ""])
def test_a_record__with_a_trailing_separator__is_read(settings: Settings, trailing: str) -> None:
    rows = [row(given, pad="") + trailing for given in (SALE, BACK)]
    outcome = parse_one(settings, "alipay", NAME, bill_of(*rows).encode("gbk"))
    assert (outcome.reason, outcome.loaded) == (None, 2)


def test_quoted_cells__with_commas_and_line_breaks__do_not_shift_fields(settings: Settings) -> None:
    rows = (row(SALE, 商品名称='"面,汤\r\n""大"""', pad=""), row(BACK, pad=""))
    outcome = parse_one(settings, "alipay", NAME, bill_of(*rows).encode("gbk"))
    assert [line["line_no"] for line in raw(settings, "settlement_lines")] == [6, 8], outcome.reason


def test_old_totals__are_read(settings: Settings) -> None:
    totals = ("#交易合计：1笔，总金额12.34元", "##退款合计：1笔，退款共-2.00元")
    outcome = parse_one(settings, "alipay", NAME, a_bill(totals=totals).encode("gbk"))
    assert (outcome.reason, outcome.loaded) == (None, 2)


def test_a_bill_with_a_plain_name__says_whose_and_which_day_itself(settings: Settings) -> None:
    outcome = parse_one(settings, "alipay", "bill.csv", a_bill().encode("gbk"))
    assert (outcome.logical_name, outcome.business_date) == (
        f"alipay_bill/{PID}/2026-11-11",
        date(2026, 11, 11),
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"完成时间": "2026-02-30 10:00:00"}, '完成时间 "2026-02-30 10:00:00" is not a possible time'),
        ({"支付宝交易号": ""}, "支付宝交易号 is empty"),
        ({"支付宝交易号": "2.02E+27"}, "was rounded by a spreadsheet"),
        ({"服务费_元": "-0.075"}, "more than 2 decimals"),
        ({"服务费_元": "x"}, '服务费 "x" is not an amount'),
        ({"分润_元": "x"}, '分润 "x" is not an amount'),
    ],
)
def test_a_bad_record__goes_to_quarantine__when_the_totals_still_tie(
    settings: Settings, changes: dict[str, str], reason: str
) -> None:
    changes = {"创建时间": ""} | changes
    outcome = parse_one(settings, "alipay", NAME, bill_of(row(SALE, **changes), row(BACK)).encode("gbk"))

    assert (outcome.reason, outcome.records, outcome.loaded, outcome.quarantined) == (None, 2, 1, 1)
    (bad,) = quarantined(settings)
    assert (bad["line_no"], reason in bad["reason"]) == (6, True), bad["reason"]
    assert outcome.computed_minor == -199


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (a_bill(totals=(TOTALS[0].replace("12.34", "12.35"), TOTALS[1])), "states 12.35, the records give 12.34"),
        (a_bill(totals=(TOTALS[0].replace("2.66", "2.65"), TOTALS[1])), "交易 商家优惠 states 2.65"),
        (a_bill(totals=(TOTALS[0], TOTALS[1].replace("-2.00", "-2.01"))), "difference 0.01"),
        (a_bill(totals=(TOTALS[0].replace("1笔", "2笔"), TOTALS[1])), "交易合计 states 2, the records give 1"),
        (a_bill(row(SALE)), "states 1, the records give 2"),
        (a_bill(row(SALE)[:-9], totals=(TOTALS[0].replace("1笔", "2笔"), TOTALS[1])), "1 records cannot be read"),
        (a_bill("words"), "the list holds 3 records, 1 of no known kind"),
        (a_bill(row(SALE, 业务类型="转账")), "the list holds 3 records, 1 of no known kind"),
        (a_bill(totals=TOTALS[:1]), "the total #退款合计 is missing"),
        (a_bill(totals=(*TOTALS, TOTALS[0])), "the total #交易合计 of line 9 is repeated"),
        (a_bill().split("#-----------------------------------------业务明细列表结束")[0], "the bill is truncated"),
        (a_bill() + row(SALE) + "\r\n", "a record stands after the end of the list"),
        (a_bill() + a_bill(), "the header of line 5 is repeated"),
        (a_bill().replace("服务费（元）", "费用（元）"), "the header lacks 服务费(元)"),
        (a_bill().replace(",备注", ",终端号"), "the header names 终端号 twice"),
        (a_bill().replace("客***", "\x00"), "a control character stands in the line"),
        (bill_of(row(SALE), row(BACK), pid="20881011179556120156"), "the bill is of account 2088101117955612"),
        (bill_of(row(SALE), row(BACK), until="2026年12月01日 00:00:00"), "covers 2026-11-11 to 2026-11-30"),
        (a_bill().replace("[2026年11月11日", "[2026年11月10日"), "covers 2026-11-10"),
        ("#支付宝账务明细查询\r\n账务流水号,业务流水号,商户订单号\r\n", "this is an account bill (账务明细)"),
        ("merchant_id,terminal_id\nM000001,1\n", "this is no Alipay trade bill"),
        ("", "the file is empty"),
    ],
)  # fmt: skip
def test_a_bill_that_cannot_be_proved__is_refused_whole(settings: Settings, text: str, said: str) -> None:
    outcome = parse_one(settings, "alipay", NAME, text.encode("gbk"))

    assert outcome.state == "rejected"
    assert said in str(outcome.reason)
    assert raw(settings, "settlement_lines") == []
    assert read_note(settings, NIGHT, outcome.file_id)["next_step"]


def test_bytes_of_no_encoding__refuse_the_bill(settings: Settings) -> None:
    outcome = parse_one(
        settings, "alipay", NAME, a_bill().encode("gbk").replace("客".encode("gbk"), b"\xff\xff")
    )
    assert "reads neither as utf-8 nor as gb18030: 2 bad lines, the first is line 6" in str(outcome.reason)


def test_the_summary_beside_it__is_kept_without_records(settings: Settings) -> None:
    put(
        settings,
        "alipay",
        NAME.replace("业务明细", "业务明细(汇总)"),
        "#支付宝业务汇总查询\r\n".encode("gbk"),
    )
    put(settings, "alipay", NAME, a_bill().encode("gbk"))
    bill, summary = sorted(land(settings), key=lambda outcome: outcome.source)
    assert (summary.source, summary.state, summary.records) == ("alipay_summary", "loaded", 0)
    assert (bill.source, bill.state, bill.records) == ("alipay_bill", "loaded", 2)


@pytest.mark.parametrize(
    ("file_name", "source", "key", "day"),
    [
        (NAME, "alipay_bill", PID, date(2026, 11, 11)),
        (f"{PID}_20261111.csv", "alipay_bill", PID, date(2026, 11, 11)),
        ("20261111.csv", "alipay_bill", "", date(2026, 11, 11)),
        ("bill.csv", "alipay_bill", "", None),
        (f"x.csv.zip!{NAME}", "alipay_bill", PID, date(2026, 11, 11)),
        (f"{PID}0156_20261111_业务明细(汇总).csv", "alipay_summary", PID, date(2026, 11, 11)),
    ],
)
def test_names__as_downloaded__say_whose_and_which_day(
    settings: Settings, file_name: str, source: str, key: str, day: date | None
) -> None:
    ((found, name),) = recognise(load_sources(settings.sources_dir), "alipay", file_name)
    assert (found.name, name.key, name.business_date) == (source, key, day)
