"""Acquirers that only a source YAML describes, from the terminal to the bank: matched, priced, paid, and disputed."""

import shutil
from datetime import date

import pytest

from posrecon.settings import PROJECT_ROOT
from tests.docs.test_pages import blocks
from tests.end_to_end.homes import Home
from tests.unit.formats.generic_sources import allinpay_file, allinpay_record
from tests.unit.formats.payout_files import stripe_file
from tests.unit.landing.files import event, log_of, statement

DAY, NEXT_DAY = date(2026, 11, 11), date(2026, 11, 12)
ACCOUNT = "310500161836"
SHOP = "898110000000037"
MERCHANTS = (
    "merchant_id,name,city,settlement_account,unionpay_mer_id,wechat_mch_id,alipay_pid,currency\n"
    f"M1,面馆,上海,{ACCOUNT},,,,CNY\n"
)
ACQUIRERS = (
    "merchant_id,channel,card_prefix,acquirer,acquirer_merchant_id\n"
    f"M1,card,,allinpay,{SHOP}\nM1,wechat,,allinpay,{SHOP}\nM1,card,4,stripe,acct_1\n"
)
FEES = (
    "merchant_id,channel,card_type,rate_bps,cap_minor,effective_from,effective_to\n"
    "M1,card,*,60,,2026-01-01,\nM1,stripe,*,200,,2026-01-01,\nM1,wechat,*,38,,2026-01-01,\n"
)


def put(home: Home, feed: str, name: str, content: bytes) -> None:
    path = home.path / "inbox" / feed / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two nights of one merchant with two acquirers."""
    folder = tmp_path_factory.mktemp("other_acquirers")
    project = folder / "project"
    for name in ("include/sources", "dbt_project", "expectations"):
        shutil.copytree(
            PROJECT_ROOT / name,
            project / name,
            ignore=shutil.ignore_patterns("target", "logs", "uncommitted"),
        )
    sources = project / "include" / "sources"
    (page,) = [
        text for text in blocks(PROJECT_ROOT / "docs" / "add-a-bank.md", "yaml") if "name: allinpay" in text
    ]
    channel = "    channel: {from: 产品类型, values: {微信: wechat}, other: card}\n    gross:"
    (sources / "allinpay_pos.yml").write_text(page.replace("    gross:", channel), encoding="utf-8")
    shutil.copy(sources / "examples" / "stripe_payouts.yml", sources)
    home = Home(folder / "home")

    def night(day: date) -> None:
        home.run("night", "--date", str(day), POSRECON_PROJECT_DIR=str(project))

    put(home, "reference", "merchants.csv", MERCHANTS.encode())
    put(home, "reference", "acquirer_merchants.csv", ACQUIRERS.encode())
    put(home, "reference", "fee_schedule.csv", FEES.encode())
    shop = {"merchant_id": "M1"}
    visa = shop | {"card_no": "424242******4242", "card_type": "credit", "rrn": ""}
    log = log_of(
        event(**shop, stan="000001", rrn="631500000001"),
        event(**shop, stan="000002", rrn="631500000002", amount="20.00"),
        event(**visa, stan="000003", amount="50.00", merchant_order_no="ORDER-1"),
        event(**shop, stan="000004", rrn="", card_no="", card_type="", channel="wechat", amount="30.00",
            merchant_order_no="ORDER-2"),
    )  # fmt: skip
    put(home, "terminal_log", "terminal_log_20261111.csv", log)
    bill = allinpay_file(
        allinpay_record(结算金额="12.27"),
        # A fee of 0.20 where 60 basis points of 19.00 are 0.11, and a fifth of the money missing.
        allinpay_record(
            凭证号="000002",
            参考号="631500000002",
            交易单号="2",
            交易金额="19.00",
            手续费="0.20",
            结算金额="18.80",
        ),
        allinpay_record(凭证号="", 参考号="", 卡号="", 卡类别="", 交易单号="3", 订单号="ORDER-2", 产品类型="微信",
            交易金额="30.00", 手续费="0.11", 结算金额="29.89"),
        totals="合计,3,61.34,0.38,60.96",
    )  # fmt: skip
    put(home, "generic", f"allinpay_{SHOP}_20261111.csv", bill)
    put(home, "generic", "payout_reconciliation_acct_1_20261111.csv", stripe_file())
    put(home, "bank", f"MT940_{ACCOUNT}_20261111.sta", statement(
        ":61:2611111111C49,00NTRFSTRIPE//2", ":86:STRIPE PAYMENTS acct_1",
        closing="C261111CNY149,00",
    ).encode())  # fmt: skip
    night(NEXT_DAY)
    put(home, "terminal_log", "terminal_log_20261112.csv", log_of(event(**shop, stan="000005", response_code="51",
        txn_time="2026-11-12T10:00:00")))  # fmt: skip
    put(home, "bank", f"MT940_{ACCOUNT}_20261112.sta", statement(
        ":61:2611121112C60,96NTRFTL//3", f":86:通联支付 {SHOP} 20261111",
        opening="C261111CNY149,00", closing="C261112CNY209,96", number="2",
    ).encode())  # fmt: skip
    night(date(2026, 11, 13))
    return home


def test_every_sale__is_matched_by_what_its_acquirer_states(home: Home) -> None:
    found = home.ask(
        "select acquirer, stan, match_state, match_rule, delta_minor from marts.fct_reconciliation"
        " where business_date = date '2026-11-11' order by stan"
    )
    assert found == [
        ("allinpay", "000001", "matched", "acquirer_reference", 0),
        ("allinpay", "000002", "matched", "acquirer_reference", -100),
        ("stripe", "000003", "matched", "order_number", 0),
        ("allinpay", "000004", "matched", "order_number", 0),
    ]


def test_fee__is_judged_by_the_rate_of_the_acquirer_before_that_of_the_channel(home: Home) -> None:
    found = home.ask(
        "select acquirer, fee_minor, expected_fee_minor from marts.fct_reconciliation"
        " where business_date = date '2026-11-11' order by stan"
    )
    assert found == [("allinpay", 7, 7), ("allinpay", 20, 11), ("stripe", 100, 100), ("allinpay", 11, 11)]


def test_payout__is_known_by_the_pattern_of_the_acquirers_own_source(home: Home) -> None:
    found = home.ask(
        "select payout_id, expected_net_minor, received_minor, state from marts.fct_payouts order by payout_id"
    )
    assert found == [
        ("allinpay:M1:2026-11-11", 6096, 6096, "funded"),
        ("stripe:M1:2026-11-11", 4900, 4900, "funded"),
    ]


def test_only_the_labelled_faults__are_breaks(home: Home) -> None:
    found = home.ask(
        "select break_type, amount_at_risk_minor from marts.fct_breaks where not file_missing order by 1"
    )
    assert found == [("amount_mismatch", 100), ("fee_mismatch", 9)]


def test_control__rolls_forward_per_acquirer_and_channel(home: Home) -> None:
    found = home.ask(
        "select acquirer, channel, side, sum(new_items), sum(matched_items) from marts.rpt_daily_control"
        " where run_date = date '2026-11-12' group by all order by all"
    )
    assert found == [
        ("allinpay", "card", "settlement", 2, 2),
        ("allinpay", "card", "terminal", 2, 2),
        ("allinpay", "wechat", "settlement", 1, 1),
        ("allinpay", "wechat", "terminal", 1, 1),
        ("stripe", "card", "settlement", 1, 1),
        ("stripe", "card", "terminal", 1, 1),
    ]
