"""Bills of WeChat Pay and Alipay are as downloaded, tie, and hold what the labels and the terminals say of them."""

import gzip
import zipfile
from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

import pytest

from posrecon.banking_calendar import add_banking_days
from tests.unit.simulate.conftest import NIGHTS, START, Simulated
from tests.unit.simulate.test_files import bank_entries, logs, luhn_valid, minor, statements

DAYS = [START + timedelta(days=n) for n in range(NIGHTS)]
RATES = {"wechat": Decimal(38), "alipay": Decimal(55)}


def channel_of(name: str) -> str:
    return "alipay" if name.startswith("2088") else "wechat"


def bill_day(name: str) -> date:
    return (
        date.fromisoformat(name[13:23]) if channel_of(name) == "wechat" else date.fromisoformat(name[21:29])
    )


def is_refund(line: dict[str, str]) -> bool:
    return line.get("交易状态") == "REFUND" or line.get("业务类型") == "退款"


def gross(line: dict[str, str]) -> int:
    if "商家实收（元）" in line:
        return minor(line["商家实收（元）"])
    return -minor(line["退款金额"]) if is_refund(line) else minor(line["应结订单金额"])


def fee(line: dict[str, str]) -> int:
    return -minor(line["服务费（元）"]) if "服务费（元）" in line else minor(line["手续费"])


def own_order_no(line: dict[str, str]) -> str:
    """What the terminal calls the event of a line."""
    if not is_refund(line):
        return line["商户订单号"]
    return line.get("商户退款单号") or line["退款批次号/请求号"]


def time_of(line: dict[str, str]) -> str:
    return line.get("完成时间") or line["交易时间"]


def test_ids__are_of_a_third_of_the_merchants_and_no_card_numbers(simulated: Simulated) -> None:
    merchants = simulated.rows("reference/merchants.csv")
    wechat = [row["wechat_mch_id"] for row in merchants if row["wechat_mch_id"]]
    alipay = [row["alipay_pid"] for row in merchants if row["alipay_pid"]]
    assert all(len(mch_id) == 10 for mch_id in wechat)
    assert all(len(pid) == 16 and pid.startswith("2088") and not luhn_valid(pid) for pid in alipay)
    assert len(set(wechat)) == len(wechat) >= 2
    assert len(merchants) // 4 <= sum(bool(r["wechat_mch_id"] or r["alipay_pid"]) for r in merchants)
    schedule = {
        (row["merchant_id"], row["channel"]): (row["rate_bps"], row["cap_minor"])
        for row in simulated.rows("reference/fee_schedule.csv")
        if row["channel"] != "card"
    }
    expected = {(r["merchant_id"], "wechat"): ("38.00", "") for r in merchants if r["wechat_mch_id"]}
    expected |= {(r["merchant_id"], "alipay"): ("55.00", "") for r in merchants if r["alipay_pid"]}
    assert schedule == expected


def test_bills__are_one_per_id_and_day_and_none_is_empty(simulated: Simulated) -> None:
    merchants = simulated.rows("reference/merchants.csv")
    ids = {row["wechat_mch_id"] for row in merchants} | {row["alipay_pid"] for row in merchants}
    found = [(name.split("All")[0][:16], bill_day(name)) for name in simulated.bills]
    assert sorted(found) == sorted((each, day) for each in ids - {""} for day in DAYS)
    assert {name for name, _ in simulated.bill_lines} == set(simulated.bills)


def test_wechat__has_a_mark_backticks_and_windows_line_ends_and_some_are_compressed(
    simulated: Simulated,
) -> None:
    compressed = 0
    for path in (simulated.out / "wechat").iterdir():
        content = path.read_bytes()
        compressed += path.suffix == ".gz"
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert content.startswith(b"\xef\xbb\xbf")
        assert content.count(b"\n") == content.count(b"\r\n")
        lines = content.decode("utf-8-sig").split("\r\n")
        assert len(lines[0].split(",")) == 27
        assert all(line.startswith("`") and line.count(",`") == 26 for line in lines[1:-3])
    assert 0 < compressed < len(list((simulated.out / "wechat").iterdir()))


def test_alipay__is_gbk_in_a_zip_whose_names_are_gbk_without_a_flag(simulated: Simulated) -> None:
    for path in (simulated.out / "alipay").iterdir():
        with zipfile.ZipFile(path) as archive:
            names = [info.filename.encode("cp437").decode("gbk") for info in archive.infolist()]
            assert not any(info.flag_bits & 0x800 for info in archive.infolist())
            assert archive.testzip() is None
        stem = path.name.removesuffix(".csv.zip")
        assert names == [f"{stem}_业务明细.csv", f"{stem}_业务明细(汇总).csv"]
        lines = simulated.bills[f"{path.name}!{names[0]}"]
        assert f"#账号：[{stem.split('_')[0]}]" in lines
        assert stem[16:20] == "0156"
        records = [line for line in lines if line and not line.startswith(("#", "支付宝交易号"))]
        assert records
        assert all(cell.endswith("\t") for line in records for cell in line.split(","))


def test_bills__tie_with_their_totals(simulated: Simulated) -> None:
    of_bill: dict[str, list[dict[str, str]]] = defaultdict(list)
    for (name, _), line in simulated.bill_lines.items():
        of_bill[name].append(line)
    for name, lines in simulated.bills.items():
        sold = [line for line in of_bill[name] if not is_refund(line)]
        back = [line for line in of_bill[name] if is_refund(line)]
        sold_minor, back_minor = sum(map(gross, sold)), sum(map(gross, back))
        if channel_of(name) == "wechat":
            totals = [minor(total) for total in lines[-2].replace("`", "").split(",")[1:]]
            assert lines[-2].startswith(f"`{len(sold) + len(back)},")
            fees = sum(map(fee, of_bill[name]))
            assert totals == [sold_minor, -back_minor, 0, fees, sold_minor, -back_minor]
        else:
            money = [Decimal(value).scaleb(-2) for value in (sold_minor, back_minor)]
            assert f"#交易合计：{len(sold)}笔，商家实收共{money[0]:.2f}元，商家优惠共0.00元" in lines
            assert f"#退款合计：{len(back)}笔，商家实收退款共{money[1]:.2f}元，商家优惠退款共0.00元" in lines


def test_lines__are_of_the_day_of_their_bill_until_midnight_but_for_late_ones_and_copies(
    simulated: Simulated,
) -> None:
    odd = {
        (row["settlement_file"], row["settlement_line"])
        for name in ("late_settlement", "duplicate_in_settlement")
        for row in simulated.wallet(name)
    }
    evening = 0
    for place, line in simulated.bill_lines.items():
        same = time_of(line)[:10] == str(bill_day(place[0]))
        assert same == (place not in odd)
        evening += time_of(line)[11:] >= "23:00:00"
    assert evening >= 1


def test_fees__are_those_of_the_schedule_but_where_labelled(simulated: Simulated) -> None:
    labelled = {(r["settlement_file"], r["settlement_line"]): r for r in simulated.wallet("fee_mismatch")}
    for place, line in simulated.bill_lines.items():
        rate = RATES[channel_of(place[0])]
        due = int((abs(gross(line)) * rate / 10_000).quantize(Decimal(1), ROUND_HALF_UP))
        label = labelled.pop(place, None)
        delta = int(label["delta_minor"]) if label else 0
        assert fee(line) == (-due if is_refund(line) else due) + delta
        if "实收净额（元）" in line:
            assert minor(line["实收净额（元）"]) == gross(line) - fee(line)
    assert labelled == {}


def test_log__has_order_numbers_and_no_cards_and_refunds_name_their_sale(simulated: Simulated) -> None:
    events = [row for row in logs(simulated) if row["channel"] != "card"]
    sales = {row["merchant_order_no"]: row for row in events if row["txn_type"] == "sale"}
    assert len({row["merchant_order_no"] for row in events}) == len(events)
    assert {row["txn_type"] for row in events} == {"sale", "refund"}
    days_apart = set()
    for row in events:
        assert row["card_no"] == row["card_type"] == row["rrn"] == ""
        if row["txn_type"] == "refund":
            sale = sales[row["orig_rrn"]]
            assert (sale["merchant_id"], sale["channel"]) == (row["merchant_id"], row["channel"])
            assert sale["response_code"] == "00"
            days_apart.add(
                (date.fromisoformat(row["txn_time"][:10]) - date.fromisoformat(sale["txn_time"][:10])).days
            )
        else:
            assert row["orig_rrn"] == ""
    assert days_apart == {0, 1}


def test_pairs__are_one_transaction_on_both_lines_and_use_every_line_once(simulated: Simulated) -> None:
    merchants = {row["merchant_id"]: row for row in simulated.rows("reference/merchants.csv")}
    wrong = {
        (row["terminal_file"], row["terminal_line"]): int(row["delta_minor"])
        for row in simulated.wallet("amount_mismatch")
    }
    seen = set()
    for label in simulated.wallet("pair"):
        place = (label["settlement_file"], label["settlement_line"])
        event = simulated.wallet_events[label["terminal_file"], label["terminal_line"]]
        line = simulated.bill_lines[place]
        seen.add(place)
        assert own_order_no(line) == event["merchant_order_no"]
        assert time_of(line) == event["txn_time"].replace("T", " ")
        assert is_refund(line) == (event["txn_type"] == "refund")
        assert line["商户订单号"] == (event["orig_rrn"] or event["merchant_order_no"])
        key = "wechat_mch_id" if event["channel"] == "wechat" else "alipay_pid"
        assert place[0].startswith(merchants[event["merchant_id"]][key])
        delta = wrong.pop((label["terminal_file"], label["terminal_line"]), 0)
        assert gross(line) == minor(event["amount"]) * (-1 if is_refund(line) else 1) + delta
    assert wrong == {}
    over = {
        (row["settlement_file"], row["settlement_line"])
        for name in ("missing_in_terminal_log", "duplicate_in_settlement")
        for row in simulated.wallet(name)
    }
    assert not over & seen
    assert over | seen == set(simulated.bill_lines)


@pytest.mark.parametrize("wallet", ["wechat", "alipay"])
def test_faults__of_every_kind_come_at_both_wallets(wallet: str, simulated: Simulated) -> None:
    for name in (
        "missing_in_settlement", "missing_in_terminal_log", "amount_mismatch", "fee_mismatch",
        "duplicate_in_settlement", "declined_but_settled", "refund_not_settled", "refund_exceeds_original",
        "late_settlement",
    ):  # fmt: skip
        channels = {
            channel_of(row["settlement_file"])
            if row["settlement_file"]
            else simulated.wallet_events[row["terminal_file"], row["terminal_line"]]["channel"]
            for row in simulated.wallet(name)
        }
        assert wallet in channels, name


def test_duplicates__are_the_same_transaction_in_the_bill_of_the_next_day(simulated: Simulated) -> None:
    places: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for place, line in simulated.bill_lines.items():
        places[tuple(line.values())].append(place)
    copies = [found for found in places.values() if len(found) > 1]
    assert all(bill_day(second[0]) - bill_day(first[0]) == timedelta(days=1) for first, second in copies)
    assert sorted(second for _, second in copies) == sorted(
        (row["settlement_file"], row["settlement_line"])
        for row in simulated.wallet("duplicate_in_settlement")
    )


def test_missing_in_terminal_log__is_in_no_log(simulated: Simulated) -> None:
    orders = {row["merchant_order_no"] for row in simulated.wallet_events.values()}
    for row in simulated.wallet("missing_in_terminal_log"):
        line = simulated.bill_lines[row["settlement_file"], row["settlement_line"]]
        assert own_order_no(line) not in orders
        assert row["detected_on"] == str(bill_day(row["settlement_file"]) + timedelta(days=1))


def test_missing_and_late__are_in_no_bill_until_they_close(simulated: Simulated) -> None:
    settled = {own_order_no(line): bill_day(name) for (name, _), line in simulated.bill_lines.items()}
    late = 0
    for row in simulated.wallet("missing_in_settlement") + simulated.wallet("refund_not_settled"):
        event = simulated.wallet_events[row["terminal_file"], row["terminal_line"]]
        due = add_banking_days(date.fromisoformat(event["txn_time"][:10]), 1)
        came = settled.get(event["merchant_order_no"])
        assert row["detected_on"] == str(due + timedelta(days=1))
        assert row["closed_on"] == (str(came + timedelta(days=1)) if came else "")
        late += came is not None and came > due
    assert late == len(simulated.wallet("late_settlement"))


def test_payouts__come_one_banking_day_later_but_where_labelled(simulated: Simulated) -> None:
    merchants = {
        each: row
        for row in simulated.rows("reference/merchants.csv")
        for each in (row["wechat_mch_id"], row["alipay_pid"])
        if each
    }
    labels = {
        row["payout_id"]: row
        for name in ("payout_not_received", "payout_short", "payout_over")
        for row in simulated.wallet(name)
    }
    net: dict[tuple[str, date], int] = defaultdict(int)
    for (name, _), line in simulated.bill_lines.items():
        net[name.split("All")[0][:16], bill_day(name)] += gross(line) - fee(line)
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for (each, settled), amount in net.items():
        channel, merchant = channel_of(each), merchants[each]
        label = labels.pop(f"{channel}:{merchant['merchant_id']}:{settled}", None)
        pays_on = add_banking_days(settled, 1)
        if label and label["break_type"] == "payout_not_received":
            assert int(label["delta_minor"]) == -amount
            if not label["closed_on"]:
                continue
            pays_on = date.fromisoformat(label["closed_on"]) - timedelta(days=1)
        elif label:
            amount += int(label["delta_minor"])
        if pays_on <= DAYS[-1]:
            expected[channel, f"{pays_on:%Y%m%d}"] += amount
    assert labels == {}
    paid: dict[tuple[str, str], int] = defaultdict(int)
    for (_, day), lines in statements(simulated).items():
        for amount, text in bank_entries(lines):
            for payer, channel in (("TENPAY MERCHANT", "wechat"), ("ALIPAY MERCHANT", "alipay")):
                if text.startswith(payer):
                    paid[channel, day] += amount
    assert paid == expected
    assert {channel for channel, _ in paid} == {"wechat", "alipay"}
