import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from posrecon.errors import LayoutError
from posrecon.formats import LAYOUTS, Parsed
from posrecon.landing.sources import Source
from posrecon.settings import Settings
from tests.unit.formats.generic_sources import (
    ALLINPAY,
    ALLINPAY_HEADER,
    BANK_CSV,
    BANK_HEADER,
    CREDIT,
    DEBIT,
    FIXED,
    allinpay_file,
    allinpay_record,
    bank_file,
    fixed_file,
    fixed_record,
    keys_of,
)
from tests.unit.landing.files import PAN, job_of, parse_as, parse_or_refuse, settings_of

DAY = date(2026, 11, 11)


Read = tuple[Parsed, dict[str, list[dict[str, Any]]]]


def allinpay(settings: Settings, content: bytes, text: str = ALLINPAY) -> Read:
    return parse_as(settings, content, "generic_delimited", named_date=DAY, **keys_of(text))


def bank(settings: Settings, content: bytes, text: str = BANK_CSV, key: str = "310500161836") -> Read:
    return parse_as(settings, content, "generic_delimited", named_key=key, **keys_of(text))


def fixed(settings: Settings, content: bytes) -> Read:
    return parse_as(settings, content, "generic_fixed", named_date=DAY, **keys_of(FIXED))


@pytest.mark.parametrize("text", [ALLINPAY, BANK_CSV, FIXED], ids=["allinpay", "bank", "fixed"])
def test_a_source__is_one_short_yaml(text: str) -> None:
    assert len(text.strip().splitlines()) < 40
    assert Source.model_validate(yaml.safe_load(text)).table is not None


# -------------------------------------------------------------------------------- the acquirer's bill
def test_the_pos_bill__becomes_settlement_lines(settings: Settings) -> None:
    refund = allinpay_record(
        交易类型="退货",
        交易金额="5.00",
        手续费="0.03",
        结算金额="4.97",
        卡类别="贷记卡",
        原交易单="202611110000000001",
    )
    parsed, found = allinpay(
        settings, allinpay_file(allinpay_record(), refund, totals="合计,2,7.34,0.04,7.30")
    )

    sale, back = found["settlement_lines"]
    assert (sale["line_no"], sale["gross_minor"], sale["fee_minor"], sale["net_minor"]) == (2, 1234, 7, 1227)
    assert (sale["acquirer"], sale["line_kind"], sale["txn_type"]) == ("unionpay", "transaction", "sale")
    assert (sale["txn_local"], sale["settlement_date"]) == (datetime.fromisoformat("2026-11-11 10:00"), DAY)
    assert (sale["acquirer_merchant_id"], sale["rrn"], sale["card_type"]) == (
        "898110000000037",
        "631500000001",
        "debit",
    )
    assert (back["gross_minor"], back["fee_minor"], back["net_minor"]) == (-500, -3, -497)
    assert (back["txn_type"], back["orig_acquirer_txn_no"]) == ("refund", "202611110000000001")
    assert (parsed.declared_minor, parsed.computed_minor, parsed.business_date) == (730, 730, DAY)


def test_columns_about_persons__are_nowhere_not_even_in_quarantine(settings: Settings) -> None:
    text = ALLINPAY.replace("  totals:", "  footer: '^合计'\n  #totals:")
    bad = allinpay_record(交易金额="x")
    short = allinpay_record().rpartition(",")[0]
    parsed, found = allinpay(settings, allinpay_file(allinpay_record(), bad, short), text)
    assert (parsed.records, parsed.loaded, parsed.quarantined) == (3, 1, 2)
    assert [row["line_no"] for row in found["quarantine"]] == [3, 4]
    assert found["quarantine"][0]["record_masked"].count("***,***") == 1
    assert found["quarantine"][1]["record_masked"].startswith("(withheld")
    kept = str(found)
    for person in ("张三丰", "李四", "11010119900307721X", "1101011990"):
        assert person not in kept
    for path in settings.home.rglob("*.parquet"):
        assert "张三丰".encode() not in path.read_bytes()


def test_channel__is_what_the_yaml_says_of_a_column(settings: Settings) -> None:
    text = ALLINPAY.replace(
        "    gross:", "    channel: {from: 产品类型, values: {银行卡: card, 微信: wechat}}\n    gross:"
    ).replace("  totals:", "  footer: '^合计'\n  #totals:")
    content = allinpay_file(*(allinpay_record(产品类型=said) for said in ("银行卡", "微信", "数币", "")))
    parsed, found = allinpay(settings, content, text)
    assert [row["channel"] for row in found["settlement_lines"]] == ["card", "wechat"]
    assert [row["line_no"] for row in found["quarantine"]] == [4, 5]
    assert found["quarantine"][0]["reason"].startswith('产品类型 "数币" is no channel, expected card or')
    assert (parsed.loaded, parsed.quarantined) == (2, 2)


@pytest.mark.parametrize(("column", "said"), [("", None), ("    channel: {value: wechat}\n", "wechat")])
def test_channel__is_a_constant_or_left_to_the_acquirer(
    settings: Settings, column: str, said: str | None
) -> None:
    _, found = allinpay(
        settings, allinpay_file(allinpay_record()), ALLINPAY.replace("    gross:", f"{column}    gross:")
    )
    assert found["settlement_lines"][0]["channel"] == said


def test_a_whole_card_number__is_masked(settings: Settings) -> None:
    _, found = allinpay(settings, allinpay_file(allinpay_record(卡号=PAN)))
    assert found["settlement_lines"][0]["card_masked"] == "621234******1232"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"交易金额": "12.345"}, '交易金额 "12.345" is not a decimal'),
        ({"交易金额": ""}, '交易金额 "" is not a decimal'),
        ({"手续费": "0,07"}, '手续费 "0,07" is not a decimal'),
        ({"交易类型": "查询"}, '交易类型 "查询" is neither a sale nor a refund'),
        ({"交易日期": "2026-02-30"}, "is not a possible date"),
        ({"交易时间": "25:00:00"}, "is not a possible date"),
        ({"商户号": "商户号"}, "the header is repeated"),
    ],
)
def test_a_bad_record__goes_to_quarantine_alone(
    settings: Settings, changed: dict[str, str], said: str
) -> None:
    text = ALLINPAY.replace("  totals:", "  footer: '^合计'\n  #totals:")
    records = [allinpay_record(**changed).replace("0,07", '"0,07"'), allinpay_record()]
    parsed, found = allinpay(settings, allinpay_file(*records), text)
    assert (parsed.records, parsed.loaded, parsed.quarantined) == (2, 1, 1)
    assert said in found["quarantine"][0]["reason"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (allinpay_file(allinpay_record(), totals=""), "line of totals is missing: the file is truncated"),
        (
            allinpay_file(allinpay_record()) + "合计,1,12.34,0.07,12.27\r\n".encode("gb18030"),
            "stands 2 times",
        ),
        (allinpay_file(allinpay_record(), totals="合计,1,12.34,0.07,12.28"), r"difference 0\.01 CNY"),
        (
            allinpay_file(allinpay_record(), totals="合计,2,12.34,0.07,12.27"),
            "2 records are stated, 1 are there",
        ),
        (allinpay_file(allinpay_record(交易金额="x")), "difference"),
        (allinpay_file("合计,1,12.34,0.07,12.27", allinpay_record()), "2 are there"),
        (
            allinpay_file(allinpay_record()).replace("商户号".encode("gb18030"), b"MID"),
            "the header lacks 商户号",
        ),
        (allinpay_file(allinpay_record()).decode("gb18030").encode(), "the header lacks|is not gb18030"),
        (allinpay_file(allinpay_record()).replace(b"10000001", b"1000\x00001"), "is not clean text"),
        (
            allinpay_file(allinpay_record()).replace("面馆".encode("gb18030"), b"\xff\xff"),
            "is not gb18030: 1 bad",
        ),
        (allinpay_file("x" * 1_100_000), "1048576"),
        (f"{ALLINPAY_HEADER},商户号\r\n".encode("gb18030"), "names 商户号 more than once"),
    ],
)
def test_a_bad_bill__is_refused_with_its_reason(settings: Settings, content: bytes, said: str) -> None:
    with pytest.raises(LayoutError) as refused:
        allinpay(settings, content)
    assert re.search(said, f"{refused.value.what} {refused.value.bad_lines}")


def test_a_bill_that_does_not_tie__lists_the_records_that_could_not_be_read(settings: Settings) -> None:
    with pytest.raises(LayoutError) as refused:
        allinpay(settings, allinpay_file(allinpay_record(交易金额="x")))
    assert [line.line_no for line in refused.value.bad_lines] == [2, 3]


# -------------------------------------------------------------------------------- the bank's statement
def test_the_bank_statement__becomes_entries_and_a_statement(settings: Settings) -> None:
    parsed, found = bank(settings, bank_file(CREDIT, DEBIT))

    first, second = found["bank_entries"]
    assert (first["line_no"], first["amount_minor"], first["currency"]) == (5, 105025, "CNY")
    assert (first["acquirer"], first["reference"], first["narrative"]) == (
        "unionpay",
        "A1",
        "银联清算 898110000000037",
    )
    assert (second["line_no"], second["amount_minor"], second["narrative"]) == (6, -25, "手续费 费用, 本月")
    (statement,) = found["bank_statements"]
    assert (statement["opening_minor"], statement["closing_minor"]) == (10000, 115000)
    assert (parsed.logical_key, parsed.business_date, parsed.declared_minor) == ("310500161836", DAY, 105000)
    assert "中国银联" not in str(found)


def test_newest_first__ties_as_well(settings: Settings) -> None:
    _, found = bank(settings, bank_file(DEBIT, CREDIT))
    (statement,) = found["bank_statements"]
    assert (statement["opening_minor"], statement["closing_minor"]) == (10000, 115000)


def test_a_running_balance_one_fen_off__is_refused_with_line_and_difference(settings: Settings) -> None:
    content = bank_file(CREDIT, DEBIT.replace("1,150.00", "1,150.01"))
    with pytest.raises(LayoutError, match=r"line 6: the running balance .* difference 0\.01 CNY"):
        bank(settings, content)


def test_a_line_that_is_lost__breaks_the_running_balance(settings: Settings) -> None:
    third = DEBIT.replace("A2", "A3").replace("1,150.00", "1,149.75")
    assert bank(settings, bank_file(CREDIT, DEBIT, third))[0].loaded == 3
    with pytest.raises(LayoutError, match="running balance"):
        bank(settings, bank_file(CREDIT, third))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (DEBIT.replace("20261111", "20260230"), "not a possible date"),
        (DEBIT.replace(",-,0.25", ",0.25,0.25"), "is not a decimal"),
        (DEBIT.replace(",-,0.25", ",-,-"), "is not a decimal"),
        (DEBIT + ",more", "has 11 fields, expected 9"),
        (DEBIT.replace("人民币", "美元"), "no ISO 4217 currency"),
    ],
)
def test_a_statement_with_an_unreadable_line__is_refused(settings: Settings, record: str, said: str) -> None:
    with pytest.raises(LayoutError, match="unreadable lines") as refused:
        bank(settings, bank_file(CREDIT, record))
    assert said in refused.value.bad_lines[0].reason


def test_without_a_balance_column__a_bad_line_goes_to_quarantine_alone(settings: Settings) -> None:
    text = BANK_CSV.replace("    balance: 余额\n", "")
    parsed, found = bank(settings, bank_file(CREDIT, DEBIT.replace("0.25", "x")), text)
    assert (parsed.records, parsed.loaded, parsed.quarantined) == (2, 1, 1)
    assert "bank_statements" not in found


# -------------------------------------------------------------------------------- other shapes
@pytest.mark.parametrize("delimiter", ["|", ";", "\t", "^", "~"])
def test_any_delimiter__may_part_fields_and_stand_in_quotes(settings: Settings, delimiter: str) -> None:
    text = BANK_CSV.replace("  dataset", f"  delimiter: {delimiter!r}\n  dataset").replace(r"'\t'", r'"\t"')
    line = delimiter.join(("20261111", "A1", f'"a{delimiter}""b"', "人民币", "1.00", "", "1.00", "x", "y"))
    _, found = bank(
        settings,
        bank_file(line).replace(
            BANK_HEADER.encode("gb18030"), BANK_HEADER.replace(",", delimiter).encode("gb18030")
        ),
        text,
    )
    assert found["bank_entries"][0]["narrative"] == f'a{delimiter}"b y'


@pytest.mark.parametrize(
    ("written", "minor"),
    [
        ("1", 100), ("1.5", 150), ("1.50000", 150), ("¥1,234.50", 123450), ("+1.00", 100), ("-1.00", -100),
        ("1.00-", -100), ("-1,234.56", -123456), ("0", 0), ("0.00", 0),
    ],
)  # fmt: skip
def test_signed_amounts__are_read_to_the_fen(settings: Settings, written: str, minor: int) -> None:
    keys = keys_of(BANK_CSV)
    keys["table"] = {
        "dataset": "bank_entries", "columns": {"entry_date": "day", "amount": "amount"}, "delimiter": "|",
    }  # fmt: skip
    content = f"day|amount\n2026-11-11|{written}\n".encode()
    keys |= {"encoding": "utf-8", "currency": "CNY", "named_key": "1"}
    _, found = parse_as(settings, content, "generic_delimited", **keys)
    assert [row["amount_minor"] for row in found["bank_entries"]] == [minor]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk"])
def test_any_encoding__gives_the_same_rows(settings: Settings, encoding: str) -> None:
    content = bank_file(CREDIT, DEBIT).decode("gb18030")
    text = BANK_CSV.replace("encoding: gb18030", f"encoding: {encoding}")
    parsed, found = bank(settings, content.encode(encoding), text)
    assert (parsed.loaded, [row["line_no"] for row in found["bank_entries"]]) == (2, [5, 6])


def test_a_record_over_several_lines__keeps_its_first_line_number(settings: Settings) -> None:
    spanning = DEBIT.replace("费用, 本月", "费用,\r\n\r\n本月")
    after = DEBIT.replace("A2", "A3").replace("1,150.00", "1,149.75")
    parsed, found = bank(settings, bank_file(CREDIT, spanning, after))
    assert sorted(row["line_no"] for row in found["bank_entries"]) == [5, 6, 9]
    assert parsed.records == 3


def test_a_file_without_a_header__is_read_by_the_order_of_its_fields(settings: Settings) -> None:
    keys = keys_of(BANK_CSV)
    keys["table"] = {
        "dataset": "bank_entries", "has_header": False, "skip_lines": 1, "fields": ["day", "amount", "text"],
        "columns": {"value_date": "day", "amount": "amount", "narrative": "text"}, "date_format": "%d/%m/%Y",
        "units": "minor",
    }  # fmt: skip
    keys |= {"encoding": "utf-8", "currency": "JPY", "named_key": "1"}
    _, found = parse_as(settings, b"whatever\n11/11/2026,-500,x\n", "generic_delimited", **keys)
    (row,) = found["bank_entries"]
    assert (row["line_no"], row["amount_minor"], row["value_date"]) == (2, -500, DAY)


# -------------------------------------------------------------------------------- fixed width
def test_a_fixed_file__is_cut_on_bytes(settings: Settings) -> None:
    refund = fixed_record(shop="书店 A", side="D", amount=500, fee=3, net=497)
    parsed, found = fixed(settings, fixed_file(fixed_record(), refund, totals="T000002730"))
    assert [
        (row["line_no"], row["gross_minor"], row["net_minor"], row["rrn"])
        for row in found["settlement_lines"]
    ] == [
        (2, 1234, 1227, "631500000001"),
        (3, -500, -497, "631500000001"),
    ]
    assert [row["txn_type"] for row in found["settlement_lines"]] == ["sale", "refund"]
    assert (parsed.declared_minor, parsed.computed_minor) == (730, 730)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (fixed_file(fixed_record(), totals=""), "line of totals is missing"),
        (fixed_file(fixed_record(), totals="T0000011228"), r"difference 0\.01"),
        (fixed_file(fixed_record(), fixed_record()[:-1]), "1 records are stated, 2 are there"),
        (fixed_file(fixed_record(side="X")), 'side "X" is not C or D'),
        (fixed_file(fixed_record()).replace("面馆".encode("gbk"), b"\xff\xff\xff\xff"), "is not gbk"),
        (fixed_file(fixed_record()).replace(b"10000001", b"1000\0001"), "is not clean text"),
    ],
)
def test_a_bad_fixed_file__is_refused_with_its_reason(settings: Settings, content: bytes, said: str) -> None:
    with pytest.raises(LayoutError) as refused:
        fixed(settings, content)
    assert re.search(said, f"{refused.value.what} {refused.value.bad_lines}")


# -------------------------------------------------------------------------------- the YAML
@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (ALLINPAY, "gross: 交易金额", "grosz: 交易金额", "columns.grosz: not a column of settlement_lines"),
        (ALLINPAY, "    net: 结算金额\n", "", "columns: net missing"),
        (ALLINPAY, "card_masked: 卡号", "card_masked: 持卡人身份证", "持卡人身份证 is about a person"),
        (ALLINPAY, "stan: 凭证号", "stan: 出金方账户名称", "出金方账户名称 is about a person"),
        (ALLINPAY, "消费: sale", "消费: purchase", "txn_type: expected sale or refund"),
        (ALLINPAY, "by: type", "by: indicator", "indicator needs column, credit and debit"),
        (ALLINPAY, "(?P<net>", "(?P<nett>", "group nett: expected"),
        (ALLINPAY, "^合计", "(合计", "not a regular expression"),
        (ALLINPAY, "encoding: gb18030", "encoding: gb99", "encoding\n.*is not an encoding"),
        (ALLINPAY, "acquirer: unionpay\n", "", "acquirer: expected"),
        (ALLINPAY, "acquirer: unionpay", "acquirer: All Pay", "acquirer\n.*should match pattern"),
        (ALLINPAY, "acquirer: unionpay", "acquirer: other", "acquirer: other is every acquirer"),
        (ALLINPAY, "acquirer: unionpay", "acquirer: x\npayout_patterns: ['(']", "not a regular expression"),
        (ALLINPAY, "stan: 凭证号", "line_kind: 凭证号", "line_kind: expected transaction or dispute"),
        (ALLINPAY, "stan: 凭证号", "channel: {value: cash}", "channel: expected card, wechat, alipay"),
        (BANK_CSV, "zone: Asia/Shanghai", "zone: UTC\npayout_patterns: [X]", "expected with an acquirer"),
        (ALLINPAY, "currency: CNY\n", "", "currency: expected"),
        (ALLINPAY, "date_from: name", "date_from: content", "settlement_date: expected"),
        (ALLINPAY, "layout: generic_delimited", "layout: mt940", "table: expected with the layouts"),
        (ALLINPAY, "layout: generic_delimited", "layout: generic_fixed", "positions and record_bytes"),
        (BANK_CSV, "    entry_date: 交易日期\n", "", "value_date or entry_date is missing"),
        (BANK_CSV, "{credit: 收入金额, debit: 支出金额}", "{credit: 收入金额}", "come together"),
        (FIXED, "net: [63, 8]", "net: [63, 9]", "is outside the record"),
        (FIXED, "rrn: rrn", "rrn: reference", "reference not among fields or positions"),
    ],
)
def test_a_wrong_table__names_the_key(text: str, old: str, new: str, said: str) -> None:
    changed = text.replace(old, new)
    assert changed != text
    with pytest.raises(ValueError, match=f"(?s){said}"):
        Source.model_validate(yaml.safe_load(changed))


def test_peek__finds_the_day_of_the_first_record(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bank_file(CREDIT, DEBIT))
    source = job_of(settings, path, "generic_delimited", **keys_of(BANK_CSV)).source
    assert LAYOUTS["generic_delimited"].peek(path, source) == DAY
    path.write_bytes(b"\xff\x00")
    assert LAYOUTS["generic_delimited"].peek(path, source) is None


# -------------------------------------------------------------------------------- damage
def damaged(content: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(
            st.sampled_from(b'\0\n\r\t",;0x-\xff|')
        )
    return bytes(changed[: data.draw(st.integers(0, len(changed)))])


@bounds(max_examples=40, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["allinpay", "bank", "fixed"]))
def test_damage_anywhere__loses_no_record(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    text, content = {
        "allinpay": (ALLINPAY, allinpay_file(allinpay_record(), allinpay_record())),
        "bank": (BANK_CSV.replace("    balance: 余额\n", ""), bank_file(CREDIT, DEBIT)),
        "fixed": (FIXED, fixed_file(fixed_record(), fixed_record())),
    }[kind]
    layout = "generic_fixed" if kind == "fixed" else "generic_delimited"
    # Without totals damage is not refused at once, so that what becomes of each record shows.
    text = text.replace("  totals:", "  footer: '^(合计|T)'\n  #totals:")
    home = settings_of(tmp_path_factory.mktemp("fuzz"))
    read = parse_or_refuse(
        home, damaged(content, data), layout, named_date=DAY, named_key="1", **keys_of(text)
    )
    if read is not None:
        parsed, found = read
        dataset = "bank_entries" if kind == "bank" else "settlement_lines"
        assert parsed.records == len(found[dataset]) + len(found["quarantine"])
        numbers = [row["line_no"] for row in (*found[dataset], *found["quarantine"])]
        assert len(set(numbers)) == len(numbers)
