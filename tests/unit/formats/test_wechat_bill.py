import gzip
from datetime import date, datetime

import pytest

from posrecon.landing.opening import recognise
from posrecon.landing.sources import load_sources
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import NIGHT, land, parse_one, put, quarantined, raw, registry

MCH = "1900000109"
NAME = f"{MCH}All2026-11-11.csv"
BOM = "\ufeff"

_IDS = "公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识"
_HEAD = f"交易时间,{_IDS},交易类型,交易状态,付款银行,货币种类"
_REFUND = "微信退款单号,商户退款单号,退款金额"
_GOODS = "退款类型,退款状态,商品名称,商户数据包,手续费,费率"
ALL = f"{_HEAD},应结订单金额,代金券金额,{_REFUND},充值券退款金额,{_GOODS},订单金额,申请退款金额,费率备注"
SUCCESS = f"{_HEAD},应结订单金额,代金券金额,商品名称,商户数据包,手续费,费率,订单金额,费率备注"
REFUND = (
    f"{_HEAD},应结订单金额,代金券金额,退款申请时间,退款成功时间,{_REFUND},充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
OLD_ALL = f"{_HEAD},总金额,代金券或立减优惠金额,{_REFUND},代金券或立减优惠退款金额,{_GOODS}"
OLD_SUCCESS = f"{_HEAD},总金额,代金券或立减优惠金额,商品名称,商户数据包,手续费,费率"
OLD_REFUND = f"{_HEAD},总金额,企业红包金额,退款申请时间,退款成功时间,{_REFUND},企业红包退款金额,{_GOODS}"
TOTALS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
OLD_TOTALS = "总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额"

SALE = {
    "交易时间": "2026-11-11 10:00:00", "公众账号ID": "wx1", "商户号": MCH, "特约商户号": "0", "设备号": "T1",
    "微信订单号": "4200000000000000000000000001", "商户订单号": "A-1", "用户标识": "o1", "交易类型": "JSAPI",
    "交易状态": "SUCCESS", "付款银行": "OTHERS", "货币种类": "CNY", "应结订单金额": "12.34", "代金券金额": "1.00",
    "总金额": "12.34", "代金券或立减优惠金额": "0.00", "企业红包金额": "0.00", "微信退款单号": "0", "商户退款单号": "0",
    "退款金额": "0.00", "充值券退款金额": "0.00", "商品名称": "面", "手续费": "0.07000", "费率": "0.60%",
    "订单金额": "15.00", "申请退款金额": "0.00",
}  # fmt: skip
BACK = SALE | {
    "交易状态": "REFUND", "应结订单金额": "0.00", "总金额": "0.00", "代金券金额": "0.00", "订单金额": "0.00",
    "微信退款单号": "5000000000000000000000000001", "商户退款单号": "R-1", "退款金额": "2.00", "充值券退款金额": "0.50",
    "手续费": "-0.01000", "申请退款金额": "2.00", "退款类型": "ORIGINAL", "退款状态": "SUCCESS",
    "退款申请时间": "2026-11-11 18:00:00", "退款成功时间": "2026-11-11 18:00:02",
}  # fmt: skip


def row(header: str, fields: dict[str, str], **changes: str) -> str:
    values = fields | changes
    return ",".join("`" + values.get(name, "") for name in header.split(","))


def bill_of(header: str, *rows: str, totals: str = TOTALS, values: str, end: str = "\r\n") -> str:
    stated = ",".join(f"`{value}" for value in values.split())
    return end.join((BOM + header, *rows, totals, stated)) + end


def a_bill(*more: str, values: str = "2 12.34 2.00 0.50 0.06 15.00 2.00") -> str:
    return bill_of(ALL, row(ALL, SALE), row(ALL, BACK), *more, values=values)


def money(settings: Settings) -> list[tuple[object, ...]]:
    return [
        (line["line_no"], line["txn_type"], line["gross_minor"], line["fee_minor"], line["net_minor"])
        for line in raw(settings, "settlement_lines")
    ]


def test_all__a_sale_and_its_refund__are_signed_lines_with_their_own_numbers(settings: Settings) -> None:
    outcome = parse_one(settings, "wechat", NAME, a_bill().encode())

    sale, refund = raw(settings, "settlement_lines")
    assert money(settings) == [(2, "sale", 1234, 7, 1227), (3, "refund", -200, -1, -199)]
    assert (sale["merchant_order_no"], refund["merchant_order_no"]) == ("A-1", "R-1")
    assert (sale["acquirer_txn_no"], sale["orig_acquirer_txn_no"]) == (SALE["微信订单号"], None)
    assert (refund["acquirer_txn_no"], refund["orig_acquirer_txn_no"]) == (
        BACK["微信退款单号"],
        SALE["微信订单号"],
    )
    assert (sale["acquirer"], sale["acquirer_merchant_id"], sale["terminal_id"]) == ("wechat", MCH, "T1")
    assert (sale["settlement_date"], sale["currency"], sale["line_kind"]) == (
        date(2026, 11, 11), "CNY", "transaction"
    )  # fmt: skip
    assert sale["txn_local"] == datetime(2026, 11, 11, 10, 0)  # noqa: DTZ001 - wall clock
    assert (outcome.logical_name, outcome.logical_key) == (f"wechat_bill/{MCH}/2026-11-11", MCH)
    assert (outcome.declared_minor, outcome.computed_minor, outcome.encoding) == (1028, 1028, "utf-8")


@pytest.mark.parametrize(
    ("header", "rows", "totals", "values", "lines", "part"),
    [
        (ALL, [SALE, BACK], TOTALS, "2 12.34 2.00 0.50 0.06 15.00 2.00", [1234, -200], ""),
        (SUCCESS, [SALE], TOTALS, "1 12.34 0.00 0.00 0.07 15.00 0.00", [1234], "/success"),
        (REFUND, [BACK], TOTALS, "1 0.00 2.00 0.50 -0.01 0.00 2.00", [-200], "/refund"),
        (OLD_ALL, [SALE, BACK], OLD_TOTALS, "2 12.34 2.00 0.0 0.06", [1234, -200], ""),
        (OLD_SUCCESS, [SALE], OLD_TOTALS, "1.0 12.34 0 0 0.07", [1234], "/success"),
        (OLD_REFUND, [BACK], OLD_TOTALS, "1 0.0 2.00 0.0 -0.01", [-200], "/refund"),
    ],
)
def test_every_layout__is_read(
    settings: Settings,
    header: str,
    rows: list[dict[str, str]],
    totals: str,
    values: str,
    lines: list[int],
    part: str,
) -> None:
    text = bill_of(header, *(row(header, fields) for fields in rows), totals=totals, values=values)

    outcome = parse_one(settings, "wechat", NAME, text.encode())

    assert (outcome.reason, outcome.state) == (None, "loaded")
    assert [line["gross_minor"] for line in raw(settings, "settlement_lines")] == lines
    assert outcome.logical_name == f"wechat_bill/{MCH}/2026-11-11{part}"


def test_column_counts__are_those_of_the_published_layouts() -> None:
    headers = (ALL, SUCCESS, REFUND, OLD_ALL, OLD_SUCCESS, OLD_REFUND)
    assert [len(header.split(",")) for header in headers] == [27, 20, 29, 24, 18, 26]


def test_a_refund_bill__dates_a_refund_by_the_refund__not_by_its_sale(settings: Settings) -> None:
    old = row(REFUND, BACK, 交易时间="2026-10-01 09:00:00")
    parse_one(
        settings, "wechat", "bill.csv", bill_of(REFUND, old, values="1 0 2.00 0.50 -0.01 0 2.00").encode()
    )

    (line,) = raw(settings, "settlement_lines")
    assert line["txn_local"] == datetime(2026, 11, 11, 18, 0, 2)  # noqa: DTZ001
    assert line["settlement_date"] == date(2026, 11, 11)


def test_revoked__is_a_refund_of_what_was_paid_back(settings: Settings) -> None:
    parse_one(
        settings, "wechat", NAME,
        bill_of(ALL, row(ALL, BACK, 交易状态="REVOKED"), values="1 0 2.00 0.50 -0.01 0 2.00").encode(),
    )  # fmt: skip
    (line,) = raw(settings, "settlement_lines")
    assert (line["txn_type"], line["txn_code"], line["gross_minor"]) == ("refund", "REVOKED", -200)


@pytest.mark.parametrize("time", ["2026-11-11 10：00：00", "2026-11-1110：00：00", "2026-11-11 10:00:00"])
def test_times__with_full_width_colons__are_read(settings: Settings, time: str) -> None:
    text = bill_of(ALL, row(ALL, SALE, 交易时间=time), values="1 12.34 0 0 0.07 15.00 0")
    parse_one(settings, "wechat", "bill.ALL.csv", text.encode())
    assert raw(settings, "settlement_lines")[0]["txn_local"] == datetime(2026, 11, 11, 10, 0)  # noqa: DTZ001


@pytest.mark.parametrize(
    "name",
    ["面,汤,饭", "a\\nb", '5" 披萨', "面\r\n汤", "面\\\n汤", "面\r\n\r\n汤", "2 份", "＝公式"],
)
def test_product_names__with_commas_quotes_and_line_breaks__do_not_shift_fields(
    settings: Settings, name: str
) -> None:
    lines = [row(ALL, SALE, 商品名称=name), row(ALL, SALE, 商户订单号="A-2")]
    text = bill_of(ALL, *lines, values="2 24.68 0 0 0.14 30 0")

    outcome = parse_one(settings, "wechat", NAME, text.encode())

    assert (outcome.reason, outcome.records, outcome.loaded) == (None, 2, 2)
    second = 3 + name.count("\n")
    assert [(line["line_no"], line["merchant_order_no"]) for line in raw(settings, "settlement_lines")] == [
        (2, "A-1"), (second, "A-2")
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8", "utf-16"])
@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_spreadsheet__saves_it_again__with_quotes_and_padding(
    settings: Settings, encoding: str, separator: str
) -> None:
    def saved(line: str) -> str:
        cells = [f'"{cell}"' if "面" in cell else cell for cell in line.split(",`")]
        return separator.join(
            [cells[0], *("`" + cell if cell[:1] != '"' else '"`' + cell[1:] for cell in cells[1:])]
        )

    rows = [row(ALL, SALE, 商品名称="面\t汤;饭"), row(ALL, BACK)]
    stated = "`2,`12.34,`2.00,`0.50,`0.06,`15.00,`2.00"
    lines = [
        ALL.replace(",", separator), *map(saved, rows), TOTALS.replace(",", separator) + separator * 20,
        stated.replace(",", separator) + separator * 20,
    ]  # fmt: skip
    outcome = parse_one(settings, "wechat", NAME, ("\r\n".join(lines) + "\r\n").encode(encoding))

    assert outcome.reason is None
    assert money(settings) == [(2, "sale", 1234, 7, 1227), (3, "refund", -200, -1, -199)]
    assert outcome.encoding == {"utf-16": "utf-16-le"}.get(encoding, encoding)


def test_a_quoted_field_with_a_line_break__keeps_the_physical_line(settings: Settings) -> None:
    cells = row(ALL, SALE).replace("`面", '"`面,""大""\n碗"')
    text = bill_of(ALL, cells, row(ALL, BACK), values="2 12.34 2.00 0.50 0.06 15.00 2.00")
    outcome = parse_one(settings, "wechat", NAME, text.encode())
    assert (outcome.reason, [line[0] for line in money(settings)]) == (None, [2, 4])


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_gzip__is_opened__whatever_the_name(settings: Settings, suffix: str) -> None:
    outcome = parse_one(settings, "wechat", NAME + suffix, gzip.compress(a_bill().encode()))
    assert (outcome.state, outcome.loaded, outcome.file_name) == ("loaded", 2, NAME + suffix)


def test_a_truncated_gzip__is_refused(settings: Settings) -> None:
    outcome = parse_one(settings, "wechat", NAME + ".gz", gzip.compress(a_bill().encode())[:-9])
    assert outcome.state == "rejected"
    assert "the gzip is damaged or truncated" in str(outcome.reason)


def test_an_empty_day__is_a_bill_without_records(settings: Settings) -> None:
    outcome = parse_one(
        settings, "wechat", NAME, bill_of(ALL, values="0 0.00 0.00 0.00 0.00 0.00 0.00").encode()
    )
    assert (outcome.state, outcome.records, outcome.business_date) == ("loaded", 0, date(2026, 11, 11))


def test_a_bill_with_late_records_alone__is_of_the_day_that_its_name_says(settings: Settings) -> None:
    outcome = parse_one(settings, "wechat", NAME, a_bill().replace("2026-11-11", "2026-11-09").encode())

    assert (outcome.state, outcome.loaded, outcome.business_date) == ("loaded", 2, date(2026, 11, 11))
    assert {row["settlement_date"] for row in raw(settings, "settlement_lines")} == {date(2026, 11, 11)}


def test_two_empty_days__same_bytes__both_have_come(settings: Settings) -> None:
    quiet = bill_of(ALL, values="0 0.00 0.00 0.00 0.00 0.00 0.00").encode()
    for name in (NAME.replace("11.csv", "10.csv"), NAME, NAME.replace(".csv", "_again.csv")):
        put(settings, "wechat", name, quiet)
    land(settings)
    assert [(row["file_name"], row["state"]) for row in registry(settings)] == [
        (NAME.replace("11.csv", "10.csv"), "loaded"), (NAME, "loaded"),
        (NAME.replace(".csv", "_again.csv"), "duplicate"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "values", "reason"),
    [
        (
            {"手续费": "0.07004"},
            "2 12.34 2.00 0.50 0.06004 15.00 2.00",
            '手续费 "0.07004" is not a whole minor unit',
        ),
        ({"交易时间": "2026-02-30 10:00:00"}, None, '交易时间 "2026-02-30 10:00:00" is not a possible time'),
        ({"交易时间": "2026-11-11 24:00:00"}, None, "is not a possible time"),
        ({"交易状态": "USERPAYING"}, None, '交易状态 "USERPAYING" is not known'),
        ({"应结订单金额": "12.345"}, "2 12.345 2.00 0.50 0.06 15.00 2.00", "is not a whole minor unit"),
        ({"微信订单号": ""}, None, "微信订单号 is empty"),
        ({"微信订单号": "4.2E+27"}, None, "was rounded by a spreadsheet"),
        ({"货币种类": "RMB1"}, None, "is not an ISO 4217 code"),
        ({"交易状态": "REFUND"}, None, "微信退款单号 is empty"),
        ({"交易状态": "REFUND", "微信退款单号": "5"}, None, "退款金额 is 0"),
    ],
)
def test_a_bad_record__goes_to_quarantine__when_the_totals_still_tie(
    settings: Settings, changes: dict[str, str], values: str | None, reason: str
) -> None:
    text = bill_of(
        ALL, row(ALL, SALE, **changes), row(ALL, BACK), values=values or "2 12.34 2.00 0.50 0.06 15.00 2.00"
    )
    outcome = parse_one(settings, "wechat", NAME, text.encode())

    assert (outcome.reason, outcome.records, outcome.loaded, outcome.quarantined) == (None, 2, 1, 1)
    (bad,) = quarantined(settings)
    assert (bad["line_no"], reason in bad["reason"]) == (2, True), bad["reason"]
    assert outcome.computed_minor == -199


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (a_bill(values="2 12.35 2.00 0.50 0.06 15.00 2.00"), "states 12.35, the records give 12.34, difference -0.01"),
        (a_bill(values="3 12.34 2.00 0.50 0.06 15.00 2.00"), "总交易单数 states 3, the records give 2, difference -1"),
        (a_bill(values="2 12.34 2.01 0.50 0.06 15.00 2.00"), "退款总金额 states 2.01"),
        (a_bill(values="2 12.34 2.00 0.50 0.06001 15.00 2.00"), "手续费总金额 states 0.06001"),
        (a_bill(row(ALL, SALE)), "states 2, the records give 3"),
        (a_bill(row(ALL, SALE)[:-30], values="3 24.68 2.00 0.50 0.13 30.00 2.00"), "1 records cannot be read"),
        (a_bill("stray words", values="2 12.34 2.00 0.50 0.06 15.00 2.00"), "states 2, the records give 3"),
        (a_bill().split("总交易单数")[0], "the totals (总交易单数 …) are missing: the bill is truncated"),
        (a_bill().rsplit("\r\n", 2)[0], "the totals have no values"),
        (a_bill() + a_bill().split("\r\n", 3)[3], "are repeated, expected them once"),
        (a_bill() + a_bill()[1:], "is repeated, expected one bill in a file"),
        (a_bill() + "more\r\n", "stands after the totals"),
        (a_bill(values="2 12.34 2.00 0.50 x 15.00 2.00"), '手续费总金额 "x" is not an amount'),
        ("notes\r\n" + a_bill()[1:], "stands before the header"),
        (a_bill().replace(",手续费,", ",费用,"), "the header lacks 手续费"),
        (a_bill().replace(",商户退款单号,", ",单号,"), "the header lacks 商户退款单号"),
        (a_bill().replace(",费率备注", ",费率"), "the header names 费率 twice"),
        (a_bill().replace("12.34,", "12.\x0034,"), "a control character stands in the line"),
        (a_bill().replace("面", "面" * 400_000), "expected at most 1048576"),
        ("", "the file is empty"),
        ("记账时间,微信支付业务单号\r\n`2026-11-11 10:00:00,`1\r\n", "this is a fund-flow bill (资金账单)"),
        ("merchant_id,terminal_id\nM000001,1\n", "this is no WeChat Pay trade bill"),
        (a_bill().replace(MCH, "1900000110"), "the rows are of 商户号 1900000110, expected 1900000109 alone"),
        (a_bill().replace("2026-11-11", "2026-11-12"), "the name says 2026-11-11, but every row is of a later day"),
    ],
)  # fmt: skip
def test_a_bill_that_cannot_be_proved__is_refused_whole(settings: Settings, text: str, said: str) -> None:
    outcome = parse_one(settings, "wechat", NAME, text.encode())

    assert outcome.state == "rejected"
    assert said in str(outcome.reason)
    assert raw(settings, "settlement_lines") == []
    assert read_note(settings, NIGHT, outcome.file_id)["next_step"]


def test_bytes_of_no_encoding__refuse_the_bill__and_name_the_lines(settings: Settings) -> None:
    content = a_bill()[1:].encode().replace("面".encode(), b"\xff\xff")
    outcome = parse_one(settings, "wechat", NAME, content)
    note = read_note(settings, NIGHT, outcome.file_id)
    assert "reads neither as utf-8 nor as gb18030" in str(outcome.reason)
    assert [line["line_no"] for line in note["bad_lines"]] == [2, 3]  # type: ignore[attr-defined]


def test_30_000_unreadable_records__are_all_listed(settings: Settings) -> None:
    text = a_bill(*["`2026-11-11 10:00:00,`x"] * 30_000, values="30002 12.35 2.00 0.50 0.06 15.00 2.00")
    outcome = parse_one(settings, "wechat", NAME, text.encode())
    assert len(read_note(settings, NIGHT, outcome.file_id)["bad_lines"]) == 30_001  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file_name", "key", "day"),
    [
        (f"{MCH}All2026-11-11.csv", MCH, date(2026, 11, 11)),
        (f"{MCH}_20261111.csv", MCH, date(2026, 11, 11)),
        ("10000100Success2026-11-11 (1).csv", "10000100", date(2026, 11, 11)),
        ("bill.ALL.csv", "", None),
        ("20261111.csv.gz", "", date(2026, 11, 11)),
        ("x.zip!1900000109Refund2026-11-11.csv", MCH, date(2026, 11, 11)),
    ],
)
def test_names__as_downloaded__say_whose_and_which_day(
    settings: Settings, file_name: str, key: str, day: date | None
) -> None:
    ((source, name),) = recognise(load_sources(settings.sources_dir), "wechat", file_name)
    assert (source.name, name.key, name.business_date) == ("wechat_bill", key, day)


def test_a_bill_of_tonight__waits_for_its_night(settings: Settings) -> None:
    from posrecon.landing import receive

    put(settings, "wechat", "bill.ALL.csv.gz", gzip.compress(a_bill().replace("-11-11 ", "-11-12 ").encode()))
    put(settings, "wechat", NAME, a_bill().encode())
    assert len(receive(settings, NIGHT)) == 1
    assert (settings.inbox / "wechat" / "bill.ALL.csv.gz").exists()
