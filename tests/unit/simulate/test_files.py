"""The files are laid out as their senders lay them out, and say the same thing among themselves."""

import hashlib
import itertools
import re
from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from posrecon.errors import UsageError
from posrecon.simulate import simulate
from tests.unit.simulate.conftest import NIGHTS, ROWS, START, Simulated

DAYS = [START + timedelta(days=n) for n in range(NIGHTS)]

# Byte positions in a ZM record, counted by hand from the specification.
ZM = {
    "code": slice(0, 3), "stan": slice(28, 34), "time": slice(35, 45), "card": slice(46, 65),
    "gross": slice(66, 78), "query_id": slice(87, 108), "card_type": slice(145, 147), "fee": slice(166, 179),
    "net": slice(180, 193), "mer_id": slice(293, 308), "name": slice(327, 359), "terminal_id": slice(388, 396),
    "rrn": slice(528, 540),
}  # fmt: skip

# Likewise in a ZME record.
ZME = {
    "code": slice(0, 3), "gross": slice(66, 78), "sale_stan": slice(90, 96), "sale_time": slice(97, 107),
    "sale_day": slice(108, 112), "sale_gross": slice(113, 125), "fee": slice(126, 139), "net": slice(140, 153),
    "mer_id": slice(170, 185),
}  # fmt: skip


def content_hashes(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def zm_records(simulated: Simulated) -> list[tuple[str, bytes]]:
    return [
        (path.name, record)
        for path in simulated.zm_files()
        for record in path.read_bytes().split(b"\r\n")[:-1]
    ]


def signed(record: bytes, place: slice) -> int:
    """X+n12; C is to the merchant."""
    text = record[place].decode("ascii").strip()
    assert text[0] in "CD"
    return int(text[1:]) * (1 if text[0] == "C" else -1)


def logs(simulated: Simulated) -> list[dict[str, str]]:
    return [
        row
        for path in sorted((simulated.out / "terminal_log").glob("terminal_log_*.csv"))
        for row in simulated.rows(f"terminal_log/{path.name}")
    ]


def minor(amount: str) -> int:
    return int(Decimal(amount).scaleb(2))


def luhn_valid(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


# ---------------------------------------------------------------------------------------------- reproducible
def test_same_arguments__write_the_same_bytes(simulated: Simulated, tmp_path: Path) -> None:
    simulate(tmp_path / "again", seed=7, nights=NIGHTS, rows=ROWS, start=START)
    assert content_hashes(tmp_path / "again") == content_hashes(simulated.out)


def test_another_seed__writes_other_bytes(simulated: Simulated, tmp_path: Path) -> None:
    simulate(tmp_path / "other", seed=8, nights=NIGHTS, rows=ROWS, start=START)
    assert (tmp_path / "other/truth.csv").read_bytes() != (simulated.out / "truth.csv").read_bytes()


def test_a_folder_with_files__is_not_mixed_with_a_simulation(simulated: Simulated) -> None:
    before = content_hashes(simulated.out)
    with pytest.raises(UsageError, match="already there"):
        simulate(simulated.out, seed=8, nights=1, rows=ROWS)
    assert content_hashes(simulated.out) == before


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"nights": 0}, {"rows": 99}, {"merchants": 0}, {"merchants": ROWS // 10 + 1}]
)
def test_arguments_out_of_range__are_refused_before_anything_is_written(
    wrong: dict[str, int], tmp_path: Path
) -> None:
    arguments = {"seed": 7, "nights": 1, "rows": ROWS, **wrong}
    with pytest.raises(UsageError):
        simulate(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_progress__reaches_the_end_of_every_stage(tmp_path: Path) -> None:
    last: dict[str, tuple[int, int]] = {}
    simulate(
        tmp_path / "out",
        seed=1,
        nights=1,
        rows=200,
        progress=lambda stage, done, total: last.update({stage: (done, total)}),
    )
    assert set(last) == {"events", "terminal log", "settlement", "bills", "bank", "truth"}
    assert all(done == total > 0 for done, total in last.values())


@pytest.mark.parametrize("start", [date(2026, 12, 30), date(2018, 4, 3), date(2026, 11, 13)])
def test_any_start__also_across_new_year_and_holidays(start: date, tmp_path: Path) -> None:
    summary = simulate(tmp_path / "out", seed=3, nights=5, rows=100, start=start)
    assert summary.events == 500
    assert summary.last_run_date == start + timedelta(days=5)


# ---------------------------------------------------------------------------------------------- settlement files
def test_zm__every_merchant_has_a_file_with_lines_every_clearing_day(simulated: Simulated) -> None:
    mer_ids = [row["unionpay_mer_id"] for row in simulated.rows("reference/merchants.csv")]
    expected = {f"INN{day:%y%m%d}88ZM_{mer_id}" for day in DAYS for mer_id in mer_ids}
    assert {name for name, _ in zm_records(simulated)} == expected
    assert {path.name for path in simulated.zm_files()} == expected


def test_zm__every_record_has_607_bytes_and_one_blank_after_every_field(simulated: Simulated) -> None:
    for path in simulated.zm_files():
        content = path.read_bytes()
        assert len(content) % 609 == 0
        assert content.endswith(b"\r\n")
    separators = [
        3, 15, 27, 34, 45, 65, 78, 83, 86, 108, 111, 144, 147, 154, 165, 179, 193, 198, 214, 217, 220, 227, 230, 235,
        268, 270, 292, 308, 310, 326, 359, 373, 387, 396, 429, 443, 457, 470, 473, 475,
    ]  # fmt: skip
    for _, record in zm_records(simulated):
        assert len(record) == 607
        assert {record[place] for place in separators} == {ord(" ")}


def test_zm__merchant_names_are_gbk_and_nothing_else_is(simulated: Simulated) -> None:
    names = {row["unionpay_mer_id"]: row["name"] for row in simulated.rows("reference/merchants.csv")}
    for _, record in zm_records(simulated):
        mer_id = record[ZM["mer_id"]].decode("ascii")
        assert record[ZM["name"]].decode("gbk").strip() == names[mer_id]
        assert (record[: ZM["name"].start] + record[ZM["name"].stop :]).isascii()


def test_zm__some_merchants_have_no_rrn_in_their_files_and_some_have(simulated: Simulated) -> None:
    with_rrn: dict[str, set[bool]] = defaultdict(set)
    for _, record in zm_records(simulated):
        rrn = record[ZM["rrn"]].decode("ascii").strip()
        assert rrn == "" or re.fullmatch(r"\d{12}", rrn)
        with_rrn[record[ZM["mer_id"]].decode("ascii")].add(rrn != "")
    assert all(len(versions) == 1 for versions in with_rrn.values())
    assert {True} in with_rrn.values()
    assert {False} in with_rrn.values()


def test_zm__a_clearing_day_runs_from_23_to_23_but_for_late_lines_and_copies(simulated: Simulated) -> None:
    odd = {
        (row["settlement_file"], row["settlement_line"])
        for name in ("late_settlement", "duplicate_in_settlement")
        for row in simulated.unionpay(name)
    }
    after_cut_off = 0
    for path in simulated.zm_files():
        clearing_date = date(2000 + int(path.name[3:5]), int(path.name[5:7]), int(path.name[7:9]))
        for number, record in enumerate(path.read_bytes().split(b"\r\n")[:-1], start=1):
            if (path.name, str(number)) in odd:
                continue
            time = record[ZM["time"]].decode("ascii")
            late = time[4:] >= "230000"
            after_cut_off += late
            cleared = clearing_date - timedelta(days=1) if late else clearing_date
            assert time[:4] == f"{cleared:%m%d}"
    assert after_cut_off > 10


def test_zm__net_is_gross_less_fee_to_the_fen(simulated: Simulated) -> None:
    stated = {
        (row["settlement_file"], row["settlement_line"]): int(row["delta_minor"])
        for row in simulated.unionpay("net_mismatch")
    }
    refunds = 0
    for path in simulated.zm_files():
        for number, record in enumerate(path.read_bytes().split(b"\r\n")[:-1], start=1):
            is_refund = record[ZM["code"]] == b"S30"
            refunds += is_refund
            gross = int(record[ZM["gross"]]) * (-1 if is_refund else 1)
            delta = stated.pop((path.name, str(number)), 0)
            assert signed(record, ZM["net"]) == gross + signed(record, ZM["fee"]) + delta
    assert stated == {}
    assert refunds > 10


def test_zm__fee_is_that_of_the_schedule_on_the_business_date_but_where_labelled(
    simulated: Simulated,
) -> None:
    merchant_of = {
        row["unionpay_mer_id"]: row["merchant_id"] for row in simulated.rows("reference/merchants.csv")
    }
    schedule = simulated.rows("reference/fee_schedule.csv")
    labelled = {
        (row["settlement_file"], row["settlement_line"]): row for row in simulated.unionpay("fee_mismatch")
    }
    capped = changed = 0
    for path in simulated.zm_files():
        for number, record in enumerate(path.read_bytes().split(b"\r\n")[:-1], start=1):
            time = record[ZM["time"]].decode("ascii")
            business_date = f"{START.year}-{time[:2]}-{time[2:4]}"
            card_type = "debit" if record[ZM["card_type"]] == b"01" else "credit"
            merchant_id = merchant_of[record[ZM["mer_id"]].decode("ascii")]
            in_force = {
                row["card_type"]: row
                for row in schedule
                if (row["merchant_id"], row["channel"]) == (merchant_id, "card")
                and row["effective_from"] <= business_date
                and business_date <= (row["effective_to"] or "9999-12-31")
            }
            row = in_force.get(card_type) or in_force["*"]
            changed += row["effective_from"] == str(DAYS[1])
            fee = (int(record[ZM["gross"]]) * Decimal(row["rate_bps"]) / 10_000).quantize(
                Decimal(1), ROUND_HALF_UP
            )
            if row["cap_minor"] and fee > int(row["cap_minor"]):
                fee = Decimal(row["cap_minor"])
                capped += 1
            sign = -1 if record[ZM["code"]] == b"S30" else 1
            label = labelled.pop((path.name, str(number)), None)
            delta = int(label["delta_minor"]) if label else 0
            assert (delta != 0) == (label is not None)
            assert -signed(record, ZM["fee"]) == sign * int(fee) + delta
    assert labelled == {}
    assert capped > 0
    assert changed > 0


def test_zm__a_query_id_comes_twice_only_where_a_copy_is_labelled(simulated: Simulated) -> None:
    seen: dict[bytes, int] = defaultdict(int)
    for _, record in zm_records(simulated):
        seen[record[ZM["query_id"]]] += 1
    copies = [simulated.zm_line(row)[ZM["query_id"]] for row in simulated.unionpay("duplicate_in_settlement")]
    assert sorted(query_id for query_id, count in seen.items() if count > 1) == sorted(copies)


def test_zme__records_have_340_bytes_and_charge_back_a_sale_settled_before(simulated: Simulated) -> None:
    sales = {
        (record[ZM["mer_id"]], record[ZM["stan"]], record[ZM["time"]]): (name, record)
        for name, record in zm_records(simulated)
    }
    labels = {(row["settlement_file"], row["settlement_line"]): row for row in simulated.truth("chargeback")}
    separators = [
        3, 15, 27, 34, 45, 65, 78, 83, 86, 89, 96, 107, 112, 125, 139, 153, 169, 185, 187, 200, 203, 339,
    ]  # fmt: skip
    for path in simulated.zme_files():
        content = path.read_bytes()
        assert len(content) % 342 == 0
        for number, record in enumerate(content.split(b"\r\n")[:-1], start=1):
            assert len(record) == 340
            assert {record[place] for place in separators} == {ord(" ")}
            name, sale = sales[record[ZME["mer_id"]], record[ZME["sale_stan"]], record[ZME["sale_time"]]]
            assert name[3:9] < path.name[3:9]
            assert name[5:9] == record[ZME["sale_day"]].decode()
            assert record[ZME["sale_gross"]] == sale[ZM["gross"]]
            assert 0 < int(record[ZME["gross"]]) <= int(sale[ZM["gross"]])
            net = signed(record, ZME["net"])
            assert net == -int(record[ZME["gross"]]) + signed(record, ZME["fee"]) < 0
            label = labels.pop((path.name, str(number)))
            assert int(label["delta_minor"]) == net
            assert label["detected_on"] == str(
                date(2000 + int(path.name[3:5]), int(path.name[5:7]), int(path.name[7:9])) + timedelta(days=1)
            )
    assert labels == {}


# ---------------------------------------------------------------------------------------------- terminal log
def test_log__rows_per_business_date_are_those_asked_for(simulated: Simulated) -> None:
    for day in DAYS:
        of_day = [row for row in logs(simulated) if row["txn_time"].startswith(str(day))]
        copies = sum(
            f"{day:%Y%m%d}" in row["terminal_file"] for row in simulated.truth("duplicate_in_terminal_log")
        )
        # What is missing to the full number was lost on the way.
        assert ROWS - 20 <= len(of_day) - copies < ROWS
    assert simulated.summary.events == ROWS * NIGHTS


def test_log__every_file_holds_its_own_business_date_in_time_order(simulated: Simulated) -> None:
    for path in (simulated.out / "terminal_log").glob("terminal_log_*.csv"):
        day = path.name.removeprefix("terminal_log_")[:8]
        copies = {
            row["terminal_line"]
            for row in simulated.truth("duplicate_in_terminal_log")
            if row["terminal_file"] == path.name
        }
        rows = simulated.rows(f"terminal_log/{path.name}")
        times = [row["txn_time"] for n, row in enumerate(rows, start=2) if str(n) not in copies]
        assert {time[:10].replace("-", "") for time in times} == {day}
        assert times == sorted(times)


def logged_stans(simulated: Simulated) -> dict[tuple[str, str], list[int]]:
    """STANs of every terminal and batch in the order of time, each record once."""
    of_batch: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for row in logs(simulated):
        of_batch[row["terminal_id"], row["batch_no"]].add((row["txn_time"], int(row["stan"])))
    return {batch: [stan for _, stan in sorted(events)] for batch, events in of_batch.items()}


def test_log__stans_rise_by_one_per_batch_wrap_to_one_and_start_again_after_a_restart(
    simulated: Simulated,
) -> None:
    wraps = restarts = holes = 0
    for stans in logged_stans(simulated).values():
        assert all(1 <= stan <= 999_999 for stan in stans)
        for before, after in itertools.pairwise(stans):
            step = (after - before) % 999_999
            wraps += before > 900_000 and after < 100_000
            holes += 1 < step < 10
            # Two events of one second may stand in either order; a restart goes back to a number of the same batch.
            if not (1 <= step < 10 or step > 999_989):
                restarts += 1
                assert after in stans[: stans.index(before)] or after == min(stans)
    assert wraps >= 1
    assert holes >= 5
    assert restarts >= 1


def test_log__a_terminal_has_one_stan_twice_on_one_day_in_one_batch_and_in_two(simulated: Simulated) -> None:
    batches: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in logs(simulated):
        batches[row["terminal_id"], row["stan"], row["txn_time"][:10]].append(row["batch_no"])
    copies = len(simulated.truth("duplicate_in_terminal_log"))
    again = [numbers for numbers in batches.values() if len(numbers) > 1]
    assert any(len(set(numbers)) == 2 for numbers in again)
    assert sum(len(set(numbers)) == 1 for numbers in again) > copies


def test_log__an_rrn_comes_again_only_at_the_same_terminal_under_another_stan_or_as_a_copy(
    simulated: Simulated,
) -> None:
    copies = len(simulated.truth("duplicate_in_terminal_log"))
    by_rrn: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in logs(simulated):
        if row["rrn"]:
            assert re.fullmatch(r"\d{12}", row["rrn"])
            by_rrn[row["rrn"]].append(row)
    same_day = next_day = both_directions = exact = 0
    for rows in by_rrn.values():
        if len(rows) == 1:
            continue
        first, second = rows
        assert first["terminal_id"] == second["terminal_id"]
        if first == second:
            exact += 1
        elif second["txn_type"] == "refund":
            both_directions += 1
            assert second["orig_rrn"] == first["rrn"]
        else:
            assert (first["txn_type"], second["txn_type"]) == ("sale", "sale")
            assert first["stan"] != second["stan"]
            same_day += first["txn_time"][:10] == second["txn_time"][:10]
            next_day += first["txn_time"][:10] != second["txn_time"][:10]
    assert exact == copies
    assert min(same_day, next_day, both_directions) >= 1


def test_log__about_one_card_in_a_hundred_is_whole_and_valid(simulated: Simulated) -> None:
    cards = [row["card_no"] for row in logs(simulated) if row["channel"] == "card"]
    whole = [card for card in cards if "*" not in card]
    assert all(re.fullmatch(r"\d{6}\*{4}\d{4}", card) for card in cards if "*" in card)
    assert all(len(card) in (16, 19) and luhn_valid(card) for card in whole)
    assert 0.005 < len(whole) / len(cards) < 0.02


def test_ids__are_no_valid_card_numbers(simulated: Simulated) -> None:
    rows = simulated.rows("reference/merchants.csv")
    assert not any(
        luhn_valid(row["unionpay_mer_id"]) or luhn_valid(row["settlement_account"]) for row in rows
    )


def test_log__voids_and_reversals_name_their_original_on_the_same_terminal_and_batch(
    simulated: Simulated,
) -> None:
    rows = logs(simulated)
    originals = {(row["terminal_id"], row["batch_no"], row["stan"]): row for row in rows}
    orphans = [simulated.log_line(row) for row in simulated.truth("orphan_reference")]
    followers = [row for row in rows if row["txn_type"] in ("void", "reversal") and row not in orphans]
    assert {row["response_code"] for row in followers} == {"00", "51"}
    assert {row["orig_batch_no"] == "" for row in followers} == {True, False}
    for row in followers:
        original = originals[row["terminal_id"], row["orig_batch_no"] or row["batch_no"], row["orig_stan"]]
        assert original["txn_type"] == "sale"
        assert original["amount"] == row["amount"]
        assert original["txn_time"] <= row["txn_time"]
    reversed_codes = {
        originals[row["terminal_id"], row["batch_no"], row["orig_stan"]]["response_code"]
        for row in followers
        if row["txn_type"] == "reversal"
    }
    assert reversed_codes == {"00", ""}


def test_log__refunds_and_completions_name_their_original_by_rrn(simulated: Simulated) -> None:
    rows = logs(simulated)
    by_rrn: dict[str, dict[str, str]] = {}
    for row in rows:
        by_rrn.setdefault(row["rrn"], row)
    by_order = {row["merchant_order_no"]: row for row in rows if row["channel"] != "card"}
    orphans = [simulated.log_line(row) for row in simulated.truth("orphan_reference")]
    days_apart = set()
    for row in rows:
        if row["txn_type"] not in ("refund", "preauth_completion") or row in orphans:
            continue
        original = (by_rrn if row["channel"] == "card" else by_order)[row["orig_rrn"]]
        assert original["txn_type"] == ("sale" if row["txn_type"] == "refund" else "preauth")
        assert original["merchant_id"] == row["merchant_id"]
        assert original["txn_time"] < row["txn_time"]
        if row["txn_type"] == "refund":
            days_apart.add(
                (
                    date.fromisoformat(row["txn_time"][:10]) - date.fromisoformat(original["txn_time"][:10])
                ).days
            )
    assert days_apart == {0, 1}


def test_log__has_declines_and_time_outs_and_every_type(simulated: Simulated) -> None:
    rows = logs(simulated)
    assert {row["response_code"] for row in rows} == {"00", "51", "55", "91", ""}
    assert all(row["rrn"] == row["auth_code"] == "" for row in rows if row["response_code"] == "")
    assert {row["txn_type"] for row in rows} == {
        "sale",
        "refund",
        "void",
        "reversal",
        "preauth",
        "preauth_completion",
    }
    assert {row["card_type"] for row in rows if row["channel"] == "card"} == {"debit", "credit"}
    assert {row["channel"] for row in rows} == {"card", "wechat", "alipay"}


def test_log__an_amount_comes_again_at_one_merchant_within_minutes(simulated: Simulated) -> None:
    times: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in logs(simulated):
        day, clock = row["txn_time"].split("T")
        hour, minute, second = map(int, clock.split(":"))
        times[row["merchant_id"], row["amount"], day].append(hour * 3600 + minute * 60 + second)
    close = sum(
        later - earlier <= 300
        for moments in times.values()
        for earlier, later in zip(sorted(moments), sorted(moments)[1:], strict=False)
    )
    assert close > 50 * NIGHTS


def test_batch_close__is_out_of_balance_with_the_log_exactly_where_labelled(simulated: Simulated) -> None:
    events = {
        (row["terminal_id"], row["batch_no"], row["stan"], row["txn_time"]): row for row in logs(simulated)
    }
    undone = {
        (row["terminal_id"], row["orig_batch_no"] or row["batch_no"], row["orig_stan"])
        for row in events.values()
        if row["txn_type"] in ("void", "reversal") and row["response_code"] == "00"
    }
    logged: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (terminal_id, batch_no, stan, _), row in events.items():
        if row["response_code"] != "00" or (terminal_id, batch_no, stan) in undone:
            continue
        place = {"sale": 0, "preauth_completion": 0, "refund": 2}.get(row["txn_type"])
        if place is not None:
            totals = logged[terminal_id, batch_no, row["currency"]]
            totals[place] += 1
            totals[place + 1] += minor(row["amount"])
    labelled = {
        (row["terminal_file"], row["terminal_line"]): row for row in simulated.truth("batch_out_of_balance")
    }
    seen = []
    foreign = 0
    for path in sorted((simulated.out / "terminal_log").glob("batch_close_*.csv")):
        for number, row in enumerate(simulated.rows(f"terminal_log/{path.name}"), start=2):
            key = (row["terminal_id"], row["batch_no"], row["currency"])
            seen.append(key)
            foreign += row["currency"] != "CNY"
            printed = [
                int(row["sale_count"]), minor(row["sale_amount"]),
                int(row["refund_count"]), minor(row["refund_amount"]),
            ]  # fmt: skip
            label = labelled.pop((path.name, str(number)), None)
            assert (printed != logged.pop(key, [0, 0, 0, 0])) == (label is not None)
            if label:
                assert label["merchant_id"] == row["merchant_id"]
                assert label["detected_on"] == str(
                    date.fromisoformat(row["business_date"]) + timedelta(days=1)
                )
    assert labelled == {}
    assert dict(logged) == {}
    assert foreign > 0
    assert len(set(seen)) == len(seen)


# ---------------------------------------------------------------------------------------------- bank
def statements(simulated: Simulated) -> dict[tuple[str, str], list[str]]:
    found = {}
    for path in sorted((simulated.out / "bank").iterdir()):
        match = re.fullmatch(r"MT940_(\d+)_(\d{8})\.sta", path.name)
        assert match
        found[match[1], match[2]] = path.read_bytes().decode("ascii").split("\r\n")
    return found


def swift(text: str) -> int:
    return minor(text.replace(",", "."))


def signed_entry(entry: re.Match[str]) -> int:
    return swift(entry[2]) * (1 if entry[1] == "C" else -1)


def bank_entries(lines: list[str]) -> list[tuple[int, str]]:
    """(signed amount, text) of the entries of a statement, in order."""
    found = []
    for entry, text in itertools.pairwise(lines):
        if entry.startswith(":61:"):
            match = re.fullmatch(r":61:\d{6}\d{4}([CD])(\d+,\d\d)N.*", entry)
            assert match
            found.append((signed_entry(match), text.removeprefix(":86:")))
    return found


def test_mt940__every_account_has_a_statement_every_banking_day(simulated: Simulated) -> None:
    accounts = {row["settlement_account"] for row in simulated.rows("reference/merchants.csv")}
    # 2026-11-14 and 15 are a weekend.
    assert set(statements(simulated)) == {
        (a, d) for a in accounts for d in ("20261111", "20261112", "20261113")
    }


def test_mt940__balances_tie_and_continue(simulated: Simulated) -> None:
    closing_before: dict[str, int] = {}
    for (account, day), lines in sorted(statements(simulated).items()):
        head = f"C{day[2:]}CNY"
        (opening,) = (swift(line.removeprefix(f":60F:{head}")) for line in lines if line.startswith(":60F:"))
        (closing,) = (swift(line.removeprefix(f":62F:{head}")) for line in lines if line.startswith(":62F:"))
        entries = [
            re.fullmatch(r":61:\d{6}\d{4}([CD])(\d+,\d\d)N[A-Z]{3}.*", line)
            for line in lines
            if line.startswith(":61:")
        ]
        assert all(entries)
        assert opening + sum(signed_entry(entry) for entry in entries if entry) == closing
        assert closing_before.get(account, opening) == opening
        closing_before[account] = closing


def test_mt940__pays_every_settlement_date_one_banking_day_later_but_where_labelled(
    simulated: Simulated,
) -> None:
    merchants = {row["unionpay_mer_id"]: row for row in simulated.rows("reference/merchants.csv")}
    labelled = {
        row["payout_id"]: int(row["delta_minor"])
        for name in ("payout_not_received", "payout_short", "payout_over")
        for row in simulated.unionpay(name)
    }
    paid_late = {
        row["payout_id"]: row["closed_on"]
        for row in simulated.unionpay("payout_not_received")
        if row["closed_on"]
    }
    net: dict[tuple[str, str], int] = defaultdict(int)
    for name, record in zm_records(simulated):
        net[name.split("_")[1], name[3:9]] += signed(record, ZM["net"])
    for path in simulated.zme_files():
        for record in path.read_bytes().split(b"\r\n")[:-1]:
            net[path.name.split("_")[1], path.name[3:9]] += signed(record, ZME["net"])
    assert sum(amount < 0 for amount in net.values()) == NIGHTS // 2
    expected: dict[tuple[str, str], list[int]] = defaultdict(list)
    for (mer_id, settled), amount in net.items():
        merchant = merchants[mer_id]
        payout_id = f"unionpay:{merchant['merchant_id']}:20{settled[:2]}-{settled[2:4]}-{settled[4:]}"
        pays_on = {"261111": "20261112", "261112": "20261113"}.get(settled)
        if payout_id in paid_late:
            labelled.pop(payout_id)
            arrives = date.fromisoformat(paid_late[payout_id]) - timedelta(days=1)
            expected[merchant["settlement_account"], f"{arrives:%Y%m%d}"].append(amount)
        elif pays_on and (received := amount + labelled.pop(payout_id, 0)):
            expected[merchant["settlement_account"], pays_on].append(received)
    assert labelled == {}
    assert paid_late
    strays = {
        (row["bank_file"], int(row["bank_line"]))
        for name in ("unidentified_credit", "unexplained_deduction")
        for row in simulated.truth(name)
    }
    joined = debits = 0
    for (account, day), lines in statements(simulated).items():
        rest = expected[account, day]
        for ordinal, (amount, text) in enumerate(bank_entries(lines), start=1):
            if (f"MT940_{account}_{day}.sta", ordinal) in strays or "UNIONPAY" not in text:
                continue
            debits += amount < 0
            if amount in rest:
                rest.remove(amount)
                continue
            joined += 1
            parts = next(
                part
                for size in range(2, len(rest) + 1)
                for part in itertools.combinations(rest, size)
                if sum(part) == amount
            )
            assert not re.search(r"M\d{6}|\d{15}", text)
            for part in parts:
                rest.remove(part)
        assert rest == []
    assert joined > 0
    assert debits > 0


def test_mt940__one_credit_pays_a_weekend_of_one_merchant_by_name(tmp_path: Path) -> None:
    simulate(tmp_path / "out", seed=7, nights=6, rows=2000, start=START)
    (expected,) = {"20261113-20261115"}
    texts = [
        line
        for path in (tmp_path / "out/bank").glob("*_20261116.sta")
        for line in path.read_text(encoding="ascii").splitlines()
        if expected in line
    ]
    assert texts
    assert all(re.search(r" (M\d{6}|\d{15})$", text) for text in texts)


def test_mt940__strays_name_no_merchant_and_their_amounts_equal_no_payout(simulated: Simulated) -> None:
    found = statements(simulated)
    amounts = {
        amount for lines in found.values() for amount, text in bank_entries(lines) if "SETTLEMENT 2" in text
    }
    for name, sign in (("unidentified_credit", 1), ("unexplained_deduction", -1)):
        labels = simulated.truth(name)
        assert len(labels) >= 2
        for row in labels:
            _, account, day = row["bank_file"].removesuffix(".sta").split("_")
            amount, text = bank_entries(found[account, day])[int(row["bank_line"]) - 1]
            assert amount == int(row["delta_minor"])
            assert amount * sign > 0
            assert abs(amount) not in amounts
            assert not re.search(r"M\d{6}|\d{15}", text)
            assert re.match("UNIONPAY|TENPAY|ALIPAY", text) or sign < 0
            assert row["detected_on"] == str(
                date.fromisoformat(f"{day[:4]}-{day[4:6]}-{day[6:]}") + timedelta(days=1)
            )


def test_mt940__texts_name_the_merchant_by_either_id_or_not_at_all(tmp_path: Path) -> None:
    simulate(tmp_path / "out", seed=7, nights=3, rows=2000, merchants=40)
    texts = {
        re.sub(
            r" (\d{15,16}|1\d{9})$",
            " ACQUIRER-ID",
            re.sub(r"M\d{6}", "OUR-ID", re.sub(r" \d{8} ", " DATE ", line)),
        )
        for path in (tmp_path / "out/bank").iterdir()
        for line in path.read_text(encoding="ascii").splitlines()
        if line.startswith(":86:")
    }
    payouts = {
        f":86:{payer} MERCHANT SETTLEMENT{name}"
        for payer in ("UNIONPAY", "TENPAY", "ALIPAY")
        for name in ("", " DATE OUR-ID", " DATE ACQUIRER-ID")
    }
    deductions = {text for text in texts if text.startswith(":86:UNIONPAY MERCHANT DEDUCTION")}
    assert deductions
    assert texts - deductions == payouts | {
        ":86:TENPAY ADJUSTMENT CREDIT",
        ":86:ALIPAY ADJUSTMENT DEBIT",
        ":86:UNIONPAY ADJUSTMENT CREDIT",
        ":86:UNIONPAY ADJUSTMENT DEBIT",
        ":86:SERVICE CHARGE TERMINAL RENT",
        ":86:CASH DEPOSIT COUNTER 03",
        ":86:INTEREST",
    }


# ---------------------------------------------------------------------------------------------- reference
def test_reference__files_agree_with_the_log(simulated: Simulated) -> None:
    terminals = {row["terminal_id"]: row["merchant_id"] for row in simulated.rows("reference/terminals.csv")}
    merchants = simulated.rows("reference/merchants.csv")
    assert all(terminals[row["terminal_id"]] == row["merchant_id"] for row in logs(simulated))
    assert {row["merchant_id"] for row in merchants} == set(terminals.values())
    per_merchant = [list(terminals.values()).count(row["merchant_id"]) for row in merchants]
    assert all(1 <= count <= 6 for count in per_merchant)
    # Some merchants share a settlement account.
    assert len({row["settlement_account"] for row in merchants}) < len(merchants)
