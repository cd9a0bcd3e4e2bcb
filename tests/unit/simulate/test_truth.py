"""Every label points at the physical lines that prove it, and at the first night that can know it."""

import itertools
from datetime import date, timedelta

import pytest

from posrecon.banking_calendar import add_banking_days
from posrecon.simulate.truth import BREAK_TYPES
from tests.unit.simulate.conftest import NIGHTS, START, Simulated
from tests.unit.simulate.test_files import ZM, luhn_valid, minor, signed, zm_records


def business_date(line: dict[str, str]) -> date:
    return date.fromisoformat(line["txn_time"][:10])


def clearing_date(label: dict[str, str]) -> date:
    name = label["settlement_file"]
    return date(2000 + int(name[3:5]), int(name[5:7]), int(name[7:9]))


def gross(record: bytes) -> int:
    return int(record[ZM["gross"]]) * (-1 if record[ZM["code"]] == b"S30" else 1)


def transport_time(line: dict[str, str]) -> str:
    return "".join(digit for digit in line["txn_time"][5:] if digit.isdigit())


def seconds(month_day_time: str) -> int:
    """Seconds since midnight of an MMDDhhmmss."""
    return int(month_day_time[4:6]) * 3600 + int(month_day_time[6:8]) * 60 + int(month_day_time[8:])


@pytest.mark.parametrize("name", ["pair", *BREAK_TYPES])
def test_every_label__is_there_in_a_small_simulation(name: str, simulated: Simulated) -> None:
    known = [
        row for row in simulated.truth(name) if row["detected_on"] <= str(simulated.summary.last_run_date)
    ]
    assert known
    count = simulated.summary.pairs if name == "pair" else simulated.summary.labels[name]
    assert len(simulated.truth(name)) == count


def test_pairs__are_one_transaction_on_both_lines(simulated: Simulated) -> None:
    mismatched = {
        (row["terminal_file"], row["terminal_line"]): int(row["delta_minor"])
        for row in simulated.unionpay("amount_mismatch")
    }
    mer_ids = {
        row["merchant_id"]: row["unionpay_mer_id"] for row in simulated.rows("reference/merchants.csv")
    }
    assert all(mismatched.values())
    other_rrn = no_reference = foreign = 0
    for label in simulated.unionpay("pair"):
        line, record = simulated.log_line(label), simulated.zm_line(label)
        same_rrn = record[ZM["rrn"]].decode().strip() in ("", line["rrn"]) or line["response_code"] == ""
        if record[ZM["stan"]].decode() == line["stan"]:
            assert record[ZM["time"]].decode() == transport_time(line)
            other_rrn += not same_rrn
        else:
            # Neither number points at the sale: last four, amount and a time within minutes do.
            no_reference += 1
            assert 20 <= abs(seconds(record[ZM["time"]].decode()) - seconds(transport_time(line))) <= 150
            assert record[ZM["rrn"]].decode().strip() != line["rrn"]
        foreign += line["currency"] != "CNY"
        assert record[ZM["terminal_id"]].decode() == line["terminal_id"]
        assert (
            record[ZM["mer_id"]].decode()
            == mer_ids[line["merchant_id"]]
            == label["settlement_file"].split("_")[1]
        )
        assert record[ZM["card"]].decode().strip()[-4:] == line["card_no"][-4:]
        expected = minor(line["amount"]) * (-1 if line["txn_type"] == "refund" else 1)
        delta = mismatched.get((label["terminal_file"], label["terminal_line"]), 0)
        assert gross(record) == expected + delta
        assert label["merchant_id"] == line["merchant_id"]
        night = max(business_date(line), clearing_date(label)) + timedelta(days=1)
        assert label["detected_on"] == str(night)
    assert foreign == len(simulated.unionpay("currency_mismatch"))
    assert min(other_rrn, no_reference) >= NIGHTS


def test_pairs__use_every_line_once_and_leave_only_labelled_lines_over(simulated: Simulated) -> None:
    pairs = simulated.unionpay("pair")
    settled = {(row["settlement_file"], row["settlement_line"]) for row in pairs}
    logged = {(row["terminal_file"], row["terminal_line"]) for row in pairs}
    assert len(settled) == len(logged) == len(pairs)
    over = {
        (row["settlement_file"], row["settlement_line"])
        for name in ("missing_in_terminal_log", "duplicate_in_settlement", "ambiguous_match")
        for row in simulated.unionpay(name)
        if row["settlement_file"]
    }
    assert not over & settled
    assert len(over) + len(settled) == len(zm_records(simulated))


@pytest.mark.parametrize(
    "name",
    [
        "amount_mismatch",
        "currency_mismatch",
        "fee_mismatch",
        "net_mismatch",
        "late_settlement",
        "declined_but_settled",
        "reversed_but_settled",
    ],
)
def test_breaks_of_pairs__are_known_with_their_pair(name: str, simulated: Simulated) -> None:
    pairs = {
        (row["terminal_file"], row["terminal_line"]): (
            row["settlement_file"],
            row["settlement_line"],
            row["detected_on"],
        )
        for row in simulated.truth("pair")
    }
    for row in simulated.truth(name):
        assert pairs[row["terminal_file"], row["terminal_line"]] == (
            row["settlement_file"],
            row["settlement_line"],
            row["detected_on"],
        )


def test_a_transaction__has_one_fault_at_most_but_for_late_ones(simulated: Simulated) -> None:
    seen: dict[tuple[str, str], list[str]] = {}
    for name in BREAK_TYPES:
        for row in simulated.truth(name):
            # A hole in the numbers says nothing of the record after it.
            if row["terminal_file"] and name not in ("duplicate_in_terminal_log", "stan_gap"):
                seen.setdefault((row["terminal_file"], row["terminal_line"]), []).append(name)
    several = [names for names in seen.values() if len(names) > 1]
    assert several
    assert all(
        sorted(names)
        in (["late_settlement", "missing_in_settlement"], ["late_settlement", "refund_not_settled"])
        for names in several
    )


def test_declined_but_settled__was_not_approved(simulated: Simulated) -> None:
    assert all(
        simulated.log_line(row)["response_code"] != "00" for row in simulated.truth("declined_but_settled")
    )


def test_reversed_but_settled__was_approved_and_undone(simulated: Simulated) -> None:
    for row in simulated.truth("reversed_but_settled"):
        line = simulated.log_line(row)
        assert line["response_code"] == "00"
        name = row["terminal_file"]
        followers = [
            follower["txn_type"]
            for follower in simulated.rows(f"terminal_log/{name}")
            if follower["orig_stan"] == line["stan"] and follower["terminal_id"] == line["terminal_id"]
        ]
        assert followers in (["void"], ["reversal"])


def test_no_line__settles_a_decline_or_an_undone_sale_without_a_label(simulated: Simulated) -> None:
    labelled = {
        (row["terminal_file"], row["terminal_line"])
        for name in ("declined_but_settled", "reversed_but_settled")
        for row in simulated.truth(name)
    }
    lines, undone = simulated.logs(), simulated.undone()
    for label in simulated.truth("pair"):
        if (label["terminal_file"], label["terminal_line"]) not in labelled:
            row = lines[label["terminal_file"]][int(label["terminal_line"]) - 2]
            assert row["response_code"] == "00"
            assert (row["terminal_id"], row["batch_no"], row["stan"]) not in undone
            assert row["txn_type"] in ("sale", "refund", "preauth_completion")


def test_missing_in_settlement__opens_the_day_after_it_was_due_and_closes_when_late(
    simulated: Simulated,
) -> None:
    late = {
        (row["terminal_file"], row["terminal_line"]): row for row in simulated.unionpay("late_settlement")
    }
    missing = simulated.unionpay("missing_in_settlement") + simulated.unionpay("refund_not_settled")
    for row in missing:
        line = simulated.log_line(row)
        assert (line["txn_type"] == "refund") == (row["break_type"] == "refund_not_settled")
        due = add_banking_days(business_date(line), 1)
        assert row["detected_on"] == str(due + timedelta(days=1))
        arrived = late.pop((row["terminal_file"], row["terminal_line"]), None)
        assert row["closed_on"] == (arrived["detected_on"] if arrived else "")
        if arrived:
            assert clearing_date(arrived) > due
    assert late == {}


def test_expected_money__that_never_came_is_labelled_or_not_yet_due(simulated: Simulated) -> None:
    paired = {(row["terminal_file"], row["terminal_line"]) for row in simulated.truth("pair")}
    labelled = {
        (row["terminal_file"], row["terminal_line"])
        for name in (
            "missing_in_settlement",
            "refund_not_settled",
            "duplicate_in_terminal_log",
            "ambiguous_match",
        )
        for row in simulated.truth(name)
    }
    lines, undone = simulated.logs(), simulated.undone()
    last_day = str(START + timedelta(days=simulated.summary.nights - 1))
    pending = 0
    for name, rows in lines.items():
        for number, row in enumerate(rows, start=2):
            key = (row["terminal_id"], row["batch_no"], row["stan"])
            expects = (
                row["txn_type"] in ("sale", "refund", "preauth_completion") and row["response_code"] == "00"
            )
            if expects and key not in undone and (name, str(number)) not in paired | labelled:
                pending += 1
                assert row["txn_time"] >= f"{last_day}T23:00:00"
    assert pending > 0


def test_missing_in_terminal_log__is_in_no_log(simulated: Simulated) -> None:
    keys = {
        (row["terminal_id"], row["stan"], transport_time(row))
        for path in (simulated.out / "terminal_log").glob("terminal_log_*")
        for row in simulated.rows(f"terminal_log/{path.name}")
    }
    for row in simulated.unionpay("missing_in_terminal_log"):
        record = simulated.zm_line(row)
        key = tuple(record[ZM[field]].decode() for field in ("terminal_id", "stan", "time"))
        assert key not in keys
        assert row["detected_on"] == str(clearing_date(row) + timedelta(days=1))


def test_duplicates__are_later_copies_byte_for_byte(simulated: Simulated) -> None:
    places: dict[bytes, list[tuple[str, int]]] = {}
    for path in simulated.zm_files():
        for number, record in enumerate(path.read_bytes().split(b"\r\n")[:-1], start=1):
            places.setdefault(record, []).append((path.name, number))
    notes = set()
    for row in simulated.unionpay("duplicate_in_settlement"):
        first, second = places[simulated.zm_line(row)]
        assert second == (row["settlement_file"], int(row["settlement_line"]))
        assert first < second
        notes.add(first[0] == second[0])
    assert notes == {True, False}

    logged: dict[str, list[tuple[str, int]]] = {}
    for path in sorted((simulated.out / "terminal_log").glob("terminal_log_*")):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            logged.setdefault(line, []).append((path.name, number))
    notes = set()
    for row in simulated.unionpay("duplicate_in_terminal_log"):
        text = (simulated.out / "terminal_log" / row["terminal_file"]).read_text(encoding="utf-8").split("\n")
        first, second = logged[text[int(row["terminal_line"]) - 1]]
        assert second == (row["terminal_file"], int(row["terminal_line"]))
        assert first < second
        notes.add(first[0] == second[0])
    assert notes == {True, False}


def test_payouts__are_judged_the_night_after_their_due_date(simulated: Simulated) -> None:
    for name, sign in (("payout_not_received", -1), ("payout_short", -1), ("payout_over", 1)):
        for row in simulated.truth(name):
            acquirer, merchant_id, settled = row["payout_id"].split(":")
            due = add_banking_days(date.fromisoformat(settled), 1)
            assert acquirer in ("unionpay", "wechat", "alipay")
            assert merchant_id == row["merchant_id"]
            assert row["detected_on"] == str(due + timedelta(days=1))
            assert int(row["delta_minor"]) * sign > 0
            if row["closed_on"]:
                assert row["closed_on"] == str(add_banking_days(due, 1) + timedelta(days=1))


def test_truth__names_no_whole_card_number(simulated: Simulated) -> None:
    cells = {cell for row in simulated.rows("truth.csv") for cell in row.values() if cell.isdigit()}
    assert not any(len(cell) >= 13 and luhn_valid(cell) for cell in cells)


def test_settled_amounts__of_mismatches_keep_fee_and_net_consistent(simulated: Simulated) -> None:
    fee_labels = {
        (row["settlement_file"], row["settlement_line"]) for row in simulated.unionpay("fee_mismatch")
    }
    for row in simulated.unionpay("amount_mismatch"):
        record = simulated.zm_line(row)
        assert (row["settlement_file"], row["settlement_line"]) not in fee_labels
        assert signed(record, ZM["net"]) == gross(record) + signed(record, ZM["fee"])


# ---------------------------------------------------------------------------------------------- counters
def test_stan_gaps__are_the_holes_of_every_batch_and_stand_at_the_record_after_them(
    simulated: Simulated,
) -> None:
    records: dict[tuple[str, str], dict[int, tuple[str, str]]] = {}
    for path in sorted((simulated.out / "terminal_log").glob("terminal_log_*.csv")):
        for number, row in enumerate(simulated.rows(f"terminal_log/{path.name}"), start=2):
            batch = records.setdefault((row["terminal_id"], row["batch_no"]), {})
            batch.setdefault(int(row["stan"]), (path.name, str(number)))
    holes = {}
    for places in records.values():
        # The STANs of a batch are an arc of a circle; unroll it where it wraps.
        wrapped = max(places) - min(places) > 500_000
        counters = sorted(stan + 999_999 * (wrapped and stan < 500_000) for stan in places)
        for before, after in itertools.pairwise(counters):
            if after - before > 1:
                first, last = (before % 999_999) + 1, (after - 2) % 999_999 + 1
                text = f"first {first:06d}, last {last:06d}, count {after - before - 1}"
                holes[places[(after - 1) % 999_999 + 1]] = text
    labels = simulated.truth("stan_gap")
    assert {(row["terminal_file"], row["terminal_line"]): row["note"] for row in labels} == holes
    assert len(labels) == len(holes)
    counts = {int(text.split()[-1]) for text in holes.values()}
    assert {1, 2} <= counts
    assert max(counts) >= 4
    # One run of lost numbers spans the wrap.
    assert any(int(text[6:12]) > int(text[19:25]) for text in holes.values())
    for row in labels:
        line = simulated.log_line(row)
        assert line["merchant_id"] == row["merchant_id"]
        assert row["detected_on"] == str(business_date(line) + timedelta(days=1))


# ---------------------------------------------------------------------------------------------- references
def test_orphans__name_an_original_that_is_in_no_log(simulated: Simulated) -> None:
    lines = every_line(simulated)
    stans = {(row["terminal_id"], row["stan"]) for row in lines}
    rrns = {row["rrn"] for row in lines}
    kinds = set()
    for label in simulated.truth("orphan_reference"):
        line = simulated.log_line(label)
        kinds.add(line["txn_type"])
        assert label["note"] == line["txn_type"]
        assert line["response_code"] == "00"
        if line["txn_type"] == "refund":
            assert line["orig_rrn"] not in rrns
        else:
            assert (line["terminal_id"], line["orig_stan"]) not in stans
    assert kinds == {"void", "reversal", "refund"}


def test_every_other_reference__names_an_earlier_record(simulated: Simulated) -> None:
    orphans = [simulated.log_line(row) for row in simulated.truth("orphan_reference")]
    lines = every_line(simulated)
    rrns = {(row["merchant_id"], row["rrn"]) for row in lines if row["txn_type"] in ("sale", "preauth")}
    orders = {(row["merchant_id"], row["merchant_order_no"]) for row in lines if row["txn_type"] == "sale"}
    stans = {(row["terminal_id"], row["batch_no"], row["stan"]) for row in lines}
    for line in lines:
        if line in orphans:
            continue
        if line["orig_rrn"]:
            assert (line["merchant_id"], line["orig_rrn"]) in (rrns if line["channel"] == "card" else orders)
        if line["orig_stan"]:
            batch_no = line["orig_batch_no"] or line["batch_no"]
            assert (line["terminal_id"], batch_no, line["orig_stan"]) in stans


def test_refund_exceeds_original__is_the_refund_that_crosses_and_no_other(simulated: Simulated) -> None:
    copies = {
        (row["terminal_file"], row["terminal_line"]) for row in simulated.truth("duplicate_in_terminal_log")
    }
    sales: dict[tuple[str, str], int] = {}
    refunds: dict[tuple[str, str], list[tuple[str, int, tuple[str, str]]]] = {}
    for path in sorted((simulated.out / "terminal_log").glob("terminal_log_*.csv")):
        for number, row in enumerate(simulated.rows(f"terminal_log/{path.name}"), start=2):
            place = (path.name, str(number))
            if row["response_code"] != "00" or place in copies:
                continue
            if row["txn_type"] == "sale":
                sales.setdefault(
                    (row["merchant_id"], row["rrn"] or row["merchant_order_no"]), minor(row["amount"])
                )
            if row["txn_type"] == "refund":
                key = (row["merchant_id"], row["orig_rrn"])
                refunds.setdefault(key, []).append((row["txn_time"], minor(row["amount"]), place))
    crossing = set()
    several_days = exact = by_one = 0
    for key, parts in refunds.items():
        total = 0
        for _, amount, place in sorted(parts):
            if key in sales and total <= sales[key] < total + amount:
                crossing.add(place)
                several_days += len({time[:10] for time, _, _ in parts}) > 1
                by_one += total + amount == sales[key] + 1
            total += amount
        exact += len(parts) > 1 and total == sales.get(key)
    labels = simulated.truth("refund_exceeds_original")
    assert {(row["terminal_file"], row["terminal_line"]) for row in labels} == crossing
    assert min(several_days, exact, by_one) >= 1


# ---------------------------------------------------------------------------------------------- equal candidates
def test_ambiguous_groups__are_equal_on_everything_and_not_as_many_lines_as_sales(
    simulated: Simulated,
) -> None:
    mer_ids = {
        row["merchant_id"]: row["unionpay_mer_id"] for row in simulated.rows("reference/merchants.csv")
    }
    groups: dict[str, list[dict[str, str]]] = {}
    for row in simulated.unionpay("ambiguous_match"):
        groups.setdefault(row["group_id"], []).append(row)
    shapes = set()
    for rows in groups.values():
        logged = [simulated.log_line(row) for row in rows if row["terminal_file"]]
        settled = [simulated.zm_line(row) for row in rows if row["settlement_file"]]
        shapes.add((len(logged), len(settled)))
        keys = {
            (mer_ids[line["merchant_id"]], line["card_no"][-4:], minor(line["amount"])) for line in logged
        } | {
            (
                record[ZM["mer_id"]].decode(),
                record[ZM["card"]].decode().strip()[-4:],
                int(record[ZM["gross"]]),
            )
            for record in settled
        }
        assert len(keys) == 1
        for line, record in itertools.product(logged, settled):
            assert abs(seconds(transport_time(line)) - seconds(record[ZM["time"]].decode())) < 300
            assert record[ZM["stan"]].decode() != line["stan"]
            assert record[ZM["rrn"]].decode().strip() != line["rrn"]
        assert len({row["detected_on"] for row in rows}) == 1
    assert shapes == {(2, 1), (3, 2), (1, 2)}


def test_interchangeable_pairs__come_in_twos_in_the_order_of_time(simulated: Simulated) -> None:
    pairs = [row for row in simulated.truth("pair") if row["note"] == "interchangeable"]
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for row in pairs:
        line, record = simulated.log_line(row), simulated.zm_line(row)
        key = (line["terminal_id"], line["card_no"][-4:], line["amount"])
        groups.setdefault(key, []).append((transport_time(line), record[ZM["time"]].decode()))
    assert len(groups) >= NIGHTS
    for times in groups.values():
        assert len(times) == 2
        assert [line for _, line in sorted(times)] == sorted(line for _, line in times)


# ---------------------------------------------------------------------------------------------- decoys
def test_decoys__two_terminals_share_a_stan_and_a_second(simulated: Simulated) -> None:
    seen: dict[tuple[str, str, str], set[str]] = {}
    for row in every_line(simulated):
        seen.setdefault((row["merchant_id"], row["stan"], row["txn_time"]), set()).add(row["terminal_id"])
    assert sum(len(terminals) == 2 for terminals in seen.values()) >= 2


def test_decoys__a_line_fits_two_merchants_and_a_debit_and_a_credit_card_look_alike(
    simulated: Simulated,
) -> None:
    merchants: dict[tuple[str, ...], set[str]] = {}
    cards: dict[tuple[str, ...], set[str]] = {}
    for row in every_line(simulated):
        look = (row["card_no"][-4:], row["amount"], row["txn_time"][:15])
        merchants.setdefault((*look, row["txn_time"]), set()).add(row["merchant_id"])
        cards.setdefault((*look, row["terminal_id"]), set()).add(row["card_type"])
    assert sum(len(found) == 2 for found in merchants.values()) >= NIGHTS
    assert sum(len(found) == 2 for found in cards.values()) >= 2


def every_line(simulated: Simulated) -> list[dict[str, str]]:
    """All records of all terminal logs."""
    return [row for rows in simulated.logs().values() for row in rows]
