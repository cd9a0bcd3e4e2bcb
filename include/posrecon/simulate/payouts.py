"""What the bank paid: one credit per merchant and settlement date, in MT940 statements whose balances tie."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from pathlib import Path

import numpy as np

from posrecon.banking_calendar import add_banking_days, is_banking_day
from posrecon.simulate.numbers import Ints, stream
from posrecon.simulate.population import Population
from posrecon.simulate.settlement import Lines

_NOT_PAID = -1


class PayoutFault(IntEnum):
    """What goes wrong with a payout, if anything."""

    NONE = 0
    NOT_RECEIVED = 1
    PAID_LATE = 2
    SHORT = 3
    OVER = 4


class Text(IntEnum):
    """How a bank text names the merchant."""

    MERCHANT_ID = 0
    ACQUIRER_ID = 1
    NOTHING = 2


@dataclass(frozen=True)
class Payouts:
    """One element per (merchant, settlement date) that has settlement lines.

    Attributes:
        settlement_day, due_day, paid_day: 0-based from the first business day; paid_day is -1 when no
            statement of the simulation shows the credit.
        expected_minor: Sum of the stated nets of all lines, copies included.
        paid_minor: Amount of the credit.
        text: How the bank text names the merchant (Text).
    """

    merchant: Ints
    settlement_day: Ints
    due_day: Ints
    paid_day: Ints
    expected_minor: Ints
    paid_minor: Ints
    fault: Ints
    text: Ints


def day_after(start: date, day: int) -> int:
    """The banking day after `day`, both 0-based from `start`."""
    return (add_banking_days(start + timedelta(days=day), 1) - start).days


def pay_out(lines: Lines, population: Population, *, seed: int, start: date, nights: int) -> Payouts:
    """Fund every settlement date one banking day later, with a few payouts wrong.

    A wrong payout is always one whose text names the merchant and which is the merchant's only one due that
    day: otherwise more than one reading of the statement would be right.
    """
    rng = stream(seed, 5)
    merchants = len(population.merchant_ids)
    group = lines.clearing_day * merchants + lines.merchant
    keys, begins = np.unique(group, return_index=True)
    expected = np.add.reduceat(lines.net_minor, begins)
    settlement_day, merchant = np.divmod(keys, merchants)
    due_day = np.array([day_after(start, day) for day in range(nights)], dtype=np.int64)[settlement_day]
    count = len(keys)

    text = np.select([rng.random(count) < 0.6, rng.random(count) < 0.75], [0, 1], 2).astype(np.int64)
    # Without a name only the amount tells payouts apart, so it must be the only one of its kind.
    _, inverse, times = np.unique(expected, return_inverse=True, return_counts=True)
    text = np.where((text == Text.NOTHING) & (times[inverse] > 1), Text.MERCHANT_ID, text)

    visible = due_day < nights
    _, due_inverse, due_times = np.unique(
        due_day * merchants + merchant, return_inverse=True, return_counts=True
    )
    eligible = visible & (text != Text.NOTHING) & (due_times[due_inverse] == 1)
    fault = np.zeros(count, dtype=np.int64)
    quota = max(1, int(visible.sum()) // 40)
    used = np.zeros(merchants, dtype=np.bool_)
    next_banking_day = np.array(
        [day_after(start, day) for day in range(int(due_day.max()) + 1)], dtype=np.int64
    )
    shuffled = rng.permutation(count)
    for wrong in (PayoutFault.NOT_RECEIVED, PayoutFault.SHORT, PayoutFault.OVER, PayoutFault.PAID_LATE):
        candidates = shuffled[(eligible & ~used[merchant] & (expected > 200))[shuffled]]
        if wrong is PayoutFault.PAID_LATE:
            candidates = candidates[next_banking_day[due_day[candidates]] < nights]
        _, first_of_merchant = np.unique(merchant[candidates], return_index=True)
        chosen = candidates[np.sort(first_of_merchant)][:quota]
        fault[chosen] = wrong
        used[merchant[chosen]] = True

    part = rng.integers(100, np.maximum(np.minimum(expected, 50_000), 101))
    paid = expected + np.select([fault == PayoutFault.SHORT, fault == PayoutFault.OVER], [-part, part], 0)
    paid_day = np.where(fault == PayoutFault.PAID_LATE, next_banking_day[due_day], due_day)
    paid_day = np.where((fault == PayoutFault.NOT_RECEIVED) | (paid_day >= nights), _NOT_PAID, paid_day)
    return Payouts(
        merchant=merchant,
        settlement_day=settlement_day,
        due_day=due_day,
        paid_day=paid_day,
        expected_minor=expected,
        paid_minor=paid,
        fault=fault,
        text=text,
    )


def write_statements(
    payouts: Payouts,
    population: Population,
    folder: Path,
    *,
    seed: int,
    start: date,
    nights: int,
    progress: Callable[[int, int], None],
) -> int:
    """Write one MT940 statement per settlement account and banking day; returns how many files.

    Each statement opens with the balance at which the one before closed. Besides payouts there are cash
    deposits and interest, which no acquirer pattern fits and whose amounts equal no payout.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = stream(seed, 6)
    accounts = sorted(set(population.accounts))
    balance = dict(zip(accounts, rng.integers(1_000_000, 90_000_000, len(accounts)).tolist(), strict=True))
    taken = set(payouts.paid_minor.tolist()) | set(payouts.expected_minor.tolist())
    due: dict[tuple[int, str], list[int]] = {}
    for row, (day, merchant) in enumerate(
        zip(payouts.paid_day.tolist(), payouts.merchant.tolist(), strict=True)
    ):
        if day != _NOT_PAID:
            due.setdefault((day, population.accounts[merchant]), []).append(row)

    written = 0
    for day in range(nights):
        booked_on = start + timedelta(days=day)
        if not is_banking_day(booked_on):
            continue
        deposits = rng.integers(-60_000, 300_000, len(accounts)).tolist()
        interest = rng.integers(-900, 100, len(accounts)).tolist()
        for number, account in enumerate(accounts):
            entries = [_payout_entry(payouts, row, population, start) for row in due.get((day, account), [])]
            for amount, text in (
                (deposits[number], "CASH DEPOSIT COUNTER 03"),
                (interest[number], "INTEREST"),
            ):
                if amount > 0:
                    while amount in taken:
                        amount += 1
                    entries.append((amount, "NMSC" if text == "INTEREST" else "NCHK", "NONREF", text))
            opening = balance[account]
            balance[account] = opening + sum(entry[0] for entry in entries)
            statement = _statement(account, booked_on, day + 1, opening, balance[account], entries)
            (folder / f"MT940_{account}_{booked_on:%Y%m%d}.sta").write_bytes(statement)
            written += 1
        progress(day + 1, nights)
    return written


def _payout_entry(
    payouts: Payouts, row: int, population: Population, start: date
) -> tuple[int, str, str, str]:
    settled_on = start + timedelta(days=int(payouts.settlement_day[row]))
    merchant = int(payouts.merchant[row])
    amount = int(payouts.paid_minor[row])
    if payouts.text[row] == Text.NOTHING:
        return amount, "NTRF", "NONREF", "UNIONPAY MERCHANT SETTLEMENT"
    names = population.merchant_ids if payouts.text[row] == Text.MERCHANT_ID else population.mer_ids
    return (
        amount,
        "NTRF",
        f"UP{settled_on:%Y%m%d}",
        f"UNIONPAY MERCHANT SETTLEMENT {settled_on:%Y%m%d} {names[merchant]}",
    )


def _amount(minor: int) -> str:
    """SWIFT amount: comma for the decimals, no separator of thousands."""
    return f"{minor // 100},{minor % 100:02d}"


def _statement(
    account: str,
    booked_on: date,
    number: int,
    opening: int,
    closing: int,
    entries: list[tuple[int, str, str, str]],
) -> bytes:
    lines = [
        f":20:ST{booked_on:%y%m%d}{account[-6:]}",
        f":25:{account}",
        f":28C:{number:05d}/001",
        f":60F:C{booked_on:%y%m%d}CNY{_amount(opening)}",
    ]
    for ordinal, (amount, code, reference, text) in enumerate(entries, start=1):
        lines.append(
            f":61:{booked_on:%y%m%d}{booked_on:%m%d}C{_amount(amount)}{code}{reference}"
            f"//{booked_on:%y%m%d}{ordinal:06d}"
        )
        lines.append(f":86:{text}")
    lines += [
        f":62F:C{booked_on:%y%m%d}CNY{_amount(closing)}",
        f":64:C{booked_on:%y%m%d}CNY{_amount(closing)}",
        "-",
    ]
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
