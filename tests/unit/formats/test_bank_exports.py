"""The banks whose CSV export has a source ready: each reads an export of its shape, and refuses one that was cut."""

from typing import Any

import pytest
import yaml

from posrecon.errors import LayoutError
from posrecon.formats import Parsed
from posrecon.landing.sources import Source
from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.formats.generic_sources import keys_of
from tests.unit.landing.files import parse_as

ACCOUNT = "6222000011112222"
PAYER = "银联商务股份有限公司"


def _icbc(day: str, text: str, credit: str, debit: str, balance: str) -> str:
    cells = [
        text,
        "",
        "网上",
        "CHN",
        "钞",
        "-",
        "-",
        "-",
        credit,
        debit,
        "人民币",
        balance,
        PAYER,
        "9558****0001",
    ]
    return f"{day}     \t," + ",".join(f'"{cell}      \t"' for cell in cells) + ",\n"


# The three entries are the same money in each: +100.00 on 1,000.00, then -30.50, then +2,000.00, newest first or last.
EXPORTS = {
    "boc_statement": [
        "中国银行交易流水明细单\n记账日期,记账时间,币别,金额,余额,交易名称,渠道,网点名称,附言,对方账户名,对方卡号/账号,对方开户行,借记卡号\n",
        f'2026-11-12,09:00:00,人民币,"2,000.00","3,069.50",转账,柜台,----------,货款,{PAYER},6226******5669,'
        "-------------------,3167\n",
        '2026-11-11,17:00:00,人民币,-30.50,"1,069.50",手续费,柜台,----------,----------,,,-------------------,3167\n',
        f'2026-11-11,16:00:00,人民币,100.00,"1,100.00",转账,柜台,----------,货款,{PAYER},6226******5669,'
        "-------------------,3167\n",
    ],
    "cmb_statement": [
        "记账日期,货币,交易金额,联机余额,交易摘要,对手信息,客户摘要\n",
        f'2026-11-11,CNY,100.00,"1,100.00",汇入汇款,{PAYER} 1234567,货款\n',
        '2026-11-11,CNY,-30.50,"1,069.50",手续费,,\n',
        f'2026-11-12,CNY,"2,000.00","3,069.50",汇入汇款,{PAYER} 1234567,货款\n',
    ],
    "icbc_statement": [
        '明细查询文件下载\n\n卡号: 6222****2222,"卡别名: "\n\n'
        "交易日期,摘要,交易详情,交易场所,交易国家或地区简称,钞/汇,交易金额(收入),交易金额(支出),交易币种,记账金额(收入),"
        "记账金额(支出),记账币种,余额,对方户名,对方账户\n",
        _icbc("2026-11-12", "货款", "2,000.00", "", "3,069.50"),
        _icbc("2026-11-11", "手续费", "", "30.50", "1,069.50"),
        _icbc("2026-11-11", "货款", "100.00", "", "1,100.00"),
        ' \n人民币合计,,,,,,,,,"2,100.00   \t","30.50   \t",\n',
    ],
}


def _read(settings: Settings, name: str, content: str) -> tuple[Parsed, dict[str, list[dict[str, Any]]]]:
    text = (PROJECT_ROOT / "include" / "sources" / "examples" / f"{name}.yml").read_text(encoding="utf-8")
    assert Source.model_validate(yaml.safe_load(text)).feed == "bank"
    return parse_as(settings, content.encode(), "generic_delimited", named_key=ACCOUNT, **keys_of(text))


@pytest.mark.parametrize("name", EXPORTS)
def test_export__is_entries_with_who_paid__and_a_statement_that_ties(settings: Settings, name: str) -> None:
    parsed, found = _read(settings, name, "".join(EXPORTS[name]))

    assert (parsed.records, parsed.quarantined, parsed.computed_minor) == (3, 0, 206950)
    entries = found["bank_entries"]
    assert sorted(row["amount_minor"] for row in entries) == [-3050, 10000, 200000]
    assert all(PAYER in row["narrative"] for row in entries if row["amount_minor"] > 0)
    assert {(row["account"], row["currency"]) for row in entries} == {(ACCOUNT, "CNY")}
    (statement,) = found["bank_statements"]
    assert (statement["opening_minor"], statement["closing_minor"]) == (100000, 306950)


@pytest.mark.parametrize("name", EXPORTS)
def test_export__without_one_of_its_entries__is_refused_with_the_difference(
    settings: Settings, name: str
) -> None:
    lines = EXPORTS[name]
    with pytest.raises(LayoutError, match=r"running balance of account .* does not follow"):
        _read(settings, name, "".join(lines[:2] + lines[3:]))
