"""What only larger days have: the seldom cases of wallets, and voids that come after the money."""

import pytest

from posrecon.simulate import simulate
from tests.unit.simulate.conftest import START, Simulated

# Types that wallets have in large days only.
RARE = (
    "duplicate_in_terminal_log", "currency_mismatch", "net_mismatch", "reversed_but_settled", "orphan_reference",
)  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    out = tmp_path_factory.mktemp("large") / "inbox"
    return Simulated(out=out, summary=simulate(out, seed=3, nights=3, rows=4000, start=START))


@pytest.mark.parametrize("name", RARE)
def test_wallets__every_type_has_its_labels_in_a_large_day_and_none_in_a_small_one(
    name: str, large: Simulated, simulated: Simulated
) -> None:
    assert large.wallet(name)
    assert simulated.wallet(name) == []


def test_wallets__settled_twice_in_one_bill__both_lines_are_there(large: Simulated) -> None:
    same = [
        row
        for row in large.wallet("duplicate_in_settlement")
        if row["note"] == "the copy is in the same file"
    ]
    assert same
    for label in same:
        copy = large.bill_lines[label["settlement_file"], label["settlement_line"]]
        equal = [
            row
            for (name, _), row in large.bill_lines.items()
            if name == label["settlement_file"] and row == copy
        ]
        assert len(equal) == 2


def test_wallets__orphan_refund__names_an_order_that_nobody_has(large: Simulated) -> None:
    orders = {
        row["merchant_order_no"]
        for rows in large.logs().values()
        for row in rows
        if row["channel"] != "card" and row["txn_type"] == "sale"
    }
    orphans = large.wallet("orphan_reference")
    assert {large.log_line(label)["channel"] for label in orphans} == {"wechat", "alipay"}
    for label in orphans:
        row = large.log_line(label)
        assert row["txn_type"] == "refund"
        assert row["orig_rrn"] not in orders
        assert row["orig_rrn"].startswith("S")


def test_wallets__net_mismatch__is_what_the_alipay_bill_states(large: Simulated) -> None:
    for label in large.wallet("net_mismatch"):
        row = large.bill_lines[label["settlement_file"], label["settlement_line"]]
        gross, fee, net = (
            round(float(row[name].replace(",", "")) * 100)
            for name in ("商家实收（元）", "服务费（元）", "实收净额（元）")
        )
        assert net - (gross + fee) == int(label["delta_minor"])


def test_wallets__voided__the_sale_has_no_line_unless_that_is_the_fault(large: Simulated) -> None:
    wrong = {(row["terminal_file"], row["terminal_line"]) for row in large.wallet("reversed_but_settled")}
    paired = {(row["terminal_file"], row["terminal_line"]) for row in large.truth("pair")}
    sales = {
        (row["terminal_id"], row["batch_no"], row["stan"]): place
        for place, row in large.wallet_events.items()
    }
    voided = [sales[key] for key in large.undone() if key in sales]
    assert {place for place in voided if place in paired} == wrong
    assert any(place not in paired for place in voided)


def test_late_void__names_sale_and_batch_of_the_day_before__and_labels_the_settled_pair(
    large: Simulated,
) -> None:
    late = [
        row for row in large.truth("reversed_but_settled") if row["note"] == "voided after it was settled"
    ]
    assert late
    pairs = {
        (row["terminal_file"], row["terminal_line"], row["settlement_file"], row["settlement_line"]): row
        for row in large.truth("pair")
    }
    voids = [row for rows in large.logs().values() for row in rows if row["txn_type"] == "void"]
    for label in late:
        place = tuple(
            label[name] for name in ("terminal_file", "terminal_line", "settlement_file", "settlement_line")
        )
        assert label["detected_on"] > pairs[place]["detected_on"]
        sale = large.log_line(label)
        (void,) = (
            row
            for row in voids
            if (row["terminal_id"], row["orig_stan"], row["orig_batch_no"])
            == (sale["terminal_id"], sale["stan"], sale["batch_no"])
        )
        assert void["txn_time"][:10] > sale["txn_time"][:10]
        assert void["batch_no"] != sale["batch_no"]
        assert void["amount"] == sale["amount"]
