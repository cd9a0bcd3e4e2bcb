"""What the bank paid: payouts as credits and debits, in MT940 statements whose balances tie."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import IntEnum
from pathlib import Path

import numpy as np

from posrecon.banking_calendar import add_banking_days, is_banking_day
from posrecon.simulate.disputes import Disputes
from posrecon.simulate.kinds import Channel
from posrecon.simulate.numbers import Bools, Ints, stream
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
    """One element per (acquirer, merchant, settlement date) that has settlement lines.

    Attributes:
        channel: Says which acquirer pays (Channel).
        settlement_day, due_day, paid_day: 0-based from the first business day; paid_day is -1 when no
            statement of the simulation shows the credit.
        expected_minor: Sum of the stated nets of all lines, copies and chargebacks included.
        paid_minor: Amount of the credit, negative for a debit.
        text: How the bank text names the merchant (Text).
        entry: Payouts of one number are one bank entry, for the sum of them.
    """

    channel: Ints
    merchant: Ints
    settlement_day: Ints
    due_day: Ints
    paid_day: Ints
    expected_minor: Ints
    paid_minor: Ints
    fault: Ints
    text: Ints
    entry: Ints


class Stray(IntEnum):
    """A bank entry that no payout explains."""

    CREDIT = 0
    DEBIT = 1


@dataclass(frozen=True)
class StrayEntries:
    """Entries of the statements that nothing explains.

    Attributes:
        day: Booked on, 0-based from the first business day.
        account: Index into the sorted settlement accounts.
        merchant: A merchant of the account; the entry itself names none.
        kind: Stray.
        line_no: 1-based ordinal of the entry in its statement; 0 until the statements are written.
    """

    day: Ints
    account: Ints
    merchant: Ints
    kind: Ints
    amount_minor: Ints
    line_no: Ints


def statement_name(account: str, booked_on: date) -> str:
    """Name of an account's statement of one banking day."""
    return f"MT940_{account}_{booked_on:%Y%m%d}.sta"


def accounts_of(population: Population) -> list[str]:
    """Settlement accounts in the order of the statements."""
    return sorted(set(population.accounts))


def day_after(start: date, day: int) -> int:
    """The banking day after `day`, both 0-based from `start`."""
    return (add_banking_days(start + timedelta(days=day), 1) - start).days


def pay_out(
    lines: Lines, disputes: Disputes, population: Population, *, seed: int, start: date, nights: int
) -> Payouts:
    """Fund every settlement date one banking day later, with a few payouts wrong.

    Some credits pay several payouts at once: those of merchants that share an account, naming none of them, and
    several settlement dates of one merchant that are due on the same banking day, naming it. A negative payout is a
    debit.

    A wrong payout is always one whose text names the merchant and which is the merchant's only one due that
    day: otherwise more than one reading of the statement would be right.
    """
    rng = stream(seed, 5)
    merchants = len(population.merchant_ids)
    group = (lines.clearing_day * len(Channel) + lines.channel) * merchants + lines.merchant
    keys, begins = np.unique(group, return_index=True)
    expected = np.add.reduceat(lines.net_minor, begins)
    # Every merchant has settlement lines every day, so each dispute has its payout.
    charged_back = np.searchsorted(keys, disputes.day * len(Channel) * merchants + disputes.merchant)
    np.add.at(expected, charged_back, disputes.net_minor)
    settlement_day, payee = np.divmod(keys, len(Channel) * merchants)
    channel, merchant = np.divmod(payee, merchants)
    due_day = np.array([day_after(start, day) for day in range(nights)], dtype=np.int64)[settlement_day]
    count = len(keys)

    text = np.select([rng.random(count) < 0.6, rng.random(count) < 0.75], [0, 1], 2).astype(np.int64)
    # Without a name only the amount tells payouts apart, so it must be the only one of its kind.
    _, inverse, times = np.unique(expected, return_inverse=True, return_counts=True)
    text = np.where((text == Text.NOTHING) & (times[inverse] > 1), Text.MERCHANT_ID, text)

    visible = due_day < nights
    _, due_inverse, due_times = np.unique(
        due_day * len(Channel) * merchants + payee, return_inverse=True, return_counts=True
    )
    eligible = (
        visible & (text != Text.NOTHING) & (due_times[due_inverse] == 1) & (merchant != population.quiet)
    )
    # The first day of merchants that share an account stays right, so that a small simulation can join it.
    _, account, users = np.unique(population.accounts, return_inverse=True, return_counts=True)
    sharing = users[account] > 1
    eligible &= ~(sharing[merchant] & (settlement_day == 0) & (channel == Channel.CARD))
    fault = np.zeros(count, dtype=np.int64)
    used = np.zeros(len(Channel) * merchants, dtype=np.bool_)
    next_banking_day = np.array(
        [day_after(start, day) for day in range(int(due_day.max()) + 1)], dtype=np.int64
    )
    shuffled = rng.permutation(count)
    kinds = (PayoutFault.NOT_RECEIVED, PayoutFault.SHORT, PayoutFault.OVER, PayoutFault.PAID_LATE)
    for acquirer in Channel:
        quota = max(1, int((visible & (channel == acquirer)).sum()) // 40)
        # In another order each, so that those who pay few merchants do not all get the same wrong.
        for wrong in kinds[acquirer:] + kinds[:acquirer]:
            candidates = shuffled[
                (eligible & (channel == acquirer) & ~used[payee] & (expected > 200))[shuffled]
            ]
            if wrong is PayoutFault.PAID_LATE:
                candidates = candidates[next_banking_day[due_day[candidates]] < nights]
            _, first_of_payee = np.unique(payee[candidates], return_index=True)
            chosen = candidates[np.sort(first_of_payee)][:quota]
            fault[chosen] = wrong
            used[payee[chosen]] = True

    part = rng.integers(100, np.maximum(np.minimum(expected, 50_000), 101))
    paid = expected + np.select([fault == PayoutFault.SHORT, fault == PayoutFault.OVER], [-part, part], 0)
    paid_day = np.where(fault == PayoutFault.PAID_LATE, next_banking_day[due_day], due_day)
    paid_day = np.where((fault == PayoutFault.NOT_RECEIVED) | (paid_day >= nights), _NOT_PAID, paid_day)
    entry, text = _join(
        population,
        rng,
        channel=channel,
        merchant=merchant,
        settlement_day=settlement_day,
        due_day=due_day,
        may=visible & (fault == PayoutFault.NONE) & (expected > 0),
        text=text,
    )
    return Payouts(
        channel=channel,
        merchant=merchant,
        settlement_day=settlement_day,
        due_day=due_day,
        paid_day=paid_day,
        expected_minor=expected,
        paid_minor=paid,
        fault=fault,
        text=text,
        entry=entry,
    )


def _join(
    population: Population,
    rng: np.random.Generator,
    *,
    channel: Ints,
    merchant: Ints,
    settlement_day: Ints,
    due_day: Ints,
    may: Bools,
    text: Ints,
) -> tuple[Ints, Ints]:
    """Choose which payouts are one bank entry; returns their entry and the text they then have."""
    count = len(merchant)
    entry, text = np.arange(count, dtype=np.int64), text.copy()
    free = may.copy()
    account = np.unique(np.array(population.accounts), return_inverse=True)[1][merchant]

    def join(key: Ints, share: float) -> Bools:
        """Join the groups of equal key with several members, all of them free; a share of the groups."""
        _, first, place, sizes = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        all_free = np.bincount(place[free], minlength=len(sizes)) == sizes
        chosen = all_free & (sizes > 1)
        # The first group always, so that a small simulation shows it.
        ranks = np.cumsum(chosen) - 1
        chosen &= (rng.random(len(sizes)) < share) | (ranks == 0)
        joined: Bools = chosen[place]
        entry[joined] = first[place][joined]
        free[joined] = False
        return joined

    several_dates = join((due_day * len(Channel) + channel) * len(population.names) + merchant, 0.4)
    text[several_dates & (text == Text.NOTHING)] = Text.MERCHANT_ID
    # One credit has one text.
    text[several_dates] = text[entry[several_dates]]
    several_merchants = join((settlement_day * len(Channel) + channel) * count + account, 0.5)
    text[several_merchants] = Text.NOTHING
    return entry, text


def stray_entries(
    payouts: Payouts, population: Population, *, seed: int, start: date, nights: int
) -> StrayEntries:
    """Draw credits with the acquirer's text and debits that nothing explains, on every banking day.

    Their amounts are small: no payout, sum of payouts or outstanding rest of one is equal to them.
    """
    rng = stream(seed, 11)
    accounts = accounts_of(population)
    owner = {account: merchant for merchant, account in enumerate(population.accounts)}
    quiet_account = population.accounts[population.quiet] if population.quiet >= 0 else None
    may = np.array([n for n, account in enumerate(accounts) if account != quiet_account], dtype=np.int64)
    banking_days = [day for day in range(nights) if is_banking_day(start + timedelta(days=day))]
    per_day = max(1, len(accounts) // 40)
    taken = set(np.abs(payouts.expected_minor).tolist()) | set(np.abs(payouts.paid_minor).tolist())
    taken |= set(np.abs(payouts.expected_minor - payouts.paid_minor).tolist())
    day = np.repeat(np.array(banking_days, dtype=np.int64), 2 * per_day)
    kind = np.tile(np.array([Stray.CREDIT, Stray.DEBIT], dtype=np.int64), len(banking_days) * per_day)
    account = rng.choice(may, len(day)) if len(may) else np.zeros(0, dtype=np.int64)
    amounts: list[int] = []
    for drawn in rng.integers(1_001, 20_000, len(account)).tolist():
        amount = drawn
        while amount in taken:
            amount += 1
        taken.add(amount)
        amounts.append(amount)
    return StrayEntries(
        day=day[: len(account)],
        account=account,
        merchant=np.array([owner[accounts[n]] for n in account.tolist()], dtype=np.int64),
        kind=kind[: len(account)],
        amount_minor=np.array(amounts, dtype=np.int64),
        line_no=np.zeros(len(account), dtype=np.int64),
    )


_STRAY_TEXTS = {
    Stray.CREDIT: ("UNIONPAY MERCHANT SETTLEMENT", "UNIONPAY ADJUSTMENT CREDIT", "TENPAY ADJUSTMENT CREDIT"),
    Stray.DEBIT: ("UNIONPAY ADJUSTMENT DEBIT", "SERVICE CHARGE TERMINAL RENT", "ALIPAY ADJUSTMENT DEBIT"),
}
_PAYERS = {Channel.CARD: "UNIONPAY", Channel.WECHAT: "TENPAY", Channel.ALIPAY: "ALIPAY"}
_REFERENCES = {Channel.CARD: "UP", Channel.WECHAT: "WX", Channel.ALIPAY: "ZFB"}


def write_statements(
    payouts: Payouts,
    strays: StrayEntries,
    population: Population,
    folder: Path,
    *,
    seed: int,
    start: date,
    nights: int,
    progress: Callable[[int, int], None],
) -> tuple[int, StrayEntries]:
    """Write one MT940 statement per settlement account and banking day.

    Each statement opens with the balance at which the one before closed. Besides payouts and what nothing explains
    there are cash deposits and interest, which no acquirer pattern fits and whose amounts equal no payout.

    Returns:
        How many files, and the stray entries with their ordinals.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = stream(seed, 6)
    accounts = accounts_of(population)
    balance = dict(zip(accounts, rng.integers(1_000_000, 90_000_000, len(accounts)).tolist(), strict=True))
    taken = set(payouts.paid_minor.tolist()) | set(payouts.expected_minor.tolist())
    due: dict[tuple[int, str], dict[int, list[int]]] = {}
    for row, (day, merchant, entry) in enumerate(
        zip(payouts.paid_day.tolist(), payouts.merchant.tolist(), payouts.entry.tolist(), strict=True)
    ):
        if day != _NOT_PAID:
            due.setdefault((day, population.accounts[merchant]), {}).setdefault(entry, []).append(row)
    stray: dict[tuple[int, str], list[int]] = {}
    for row, (day, account_no) in enumerate(zip(strays.day.tolist(), strays.account.tolist(), strict=True)):
        stray.setdefault((day, accounts[account_no]), []).append(row)
    stray_lines = np.zeros(len(strays.day), dtype=np.int64)

    written = 0
    for day in range(nights):
        booked_on = start + timedelta(days=day)
        if not is_banking_day(booked_on):
            continue
        deposits = rng.integers(-60_000, 300_000, len(accounts)).tolist()
        interest = rng.integers(-900, 100, len(accounts)).tolist()
        for number, account in enumerate(accounts):
            entries = [
                _payout_entry(payouts, rows, population, start)
                for rows in due.get((day, account), {}).values()
            ]
            for amount, text in (
                (deposits[number], "CASH DEPOSIT COUNTER 03"),
                (interest[number], "INTEREST"),
            ):
                if amount > 0:
                    while amount in taken:
                        amount += 1
                    entries.append(_Entry(amount, "NMSC" if text == "INTEREST" else "NCHK", "NONREF", text))
            for row in stray.get((day, account), []):
                entries.insert(row % (len(entries) + 1), _stray_entry(strays, row))
            for ordinal, entry in enumerate(entries, start=1):
                if entry.stray >= 0:
                    stray_lines[entry.stray] = ordinal
            opening = balance[account]
            balance[account] = opening + sum(entry.amount_minor for entry in entries)
            statement = _statement(account, booked_on, day + 1, opening, balance[account], entries)
            (folder / statement_name(account, booked_on)).write_bytes(statement)
            written += 1
        progress(day + 1, nights)
    return written, replace(strays, line_no=stray_lines)


@dataclass(frozen=True)
class _Entry:
    """One entry of a statement; `stray` is its number among the stray entries, -1 for none of them."""

    amount_minor: int
    code: str
    reference: str
    text: str
    stray: int = -1


def _stray_entry(strays: StrayEntries, row: int) -> _Entry:
    kind = Stray(int(strays.kind[row]))
    amount = int(strays.amount_minor[row])
    text = _STRAY_TEXTS[kind][row // 2 % 3]
    return _Entry(amount if kind is Stray.CREDIT else -amount, "NTRF", "NONREF", text, row)


def _payout_entry(payouts: Payouts, rows: list[int], population: Population, start: date) -> _Entry:
    dates = [start + timedelta(days=int(payouts.settlement_day[row])) for row in rows]
    merchant = int(payouts.merchant[rows[0]])
    amount = sum(int(payouts.paid_minor[row]) for row in rows)
    channel = Channel(int(payouts.channel[rows[0]]))
    what = f"{_PAYERS[channel]} MERCHANT {'SETTLEMENT' if amount >= 0 else 'DEDUCTION'}"
    if payouts.text[rows[0]] == Text.NOTHING:
        return _Entry(amount, "NTRF", "NONREF", what)
    by_our_id = payouts.text[rows[0]] == Text.MERCHANT_ID
    name = population.merchant_ids[merchant] if by_our_id else population.acquirer_id(merchant, channel)
    if len(rows) > 1:
        return _Entry(
            amount,
            "NTRF",
            "NONREF",
            f"{what} {min(dates):%Y%m%d}-{max(dates):%Y%m%d} {name}",
        )
    reference = f"{_REFERENCES[channel]}{dates[0]:%Y%m%d}"
    return _Entry(amount, "NTRF", reference, f"{what} {dates[0]:%Y%m%d} {name}")


def _amount(minor: int) -> str:
    """SWIFT amount: comma for the decimals, no separator of thousands."""
    return f"{minor // 100},{minor % 100:02d}"


def _statement(
    account: str,
    booked_on: date,
    number: int,
    opening: int,
    closing: int,
    entries: list[_Entry],
) -> bytes:
    lines = [
        f":20:ST{booked_on:%y%m%d}{account[-6:]}",
        f":25:{account}",
        f":28C:{number:05d}/001",
        f":60F:C{booked_on:%y%m%d}CNY{_amount(opening)}",
    ]
    for ordinal, entry in enumerate(entries, start=1):
        mark = "C" if entry.amount_minor >= 0 else "D"
        lines.append(
            f":61:{booked_on:%y%m%d}{booked_on:%m%d}{mark}{_amount(abs(entry.amount_minor))}{entry.code}"
            f"{entry.reference}//{booked_on:%y%m%d}{ordinal:06d}"
        )
        lines.append(f":86:{entry.text}")
    lines += [
        f":62F:C{booked_on:%y%m%d}CNY{_amount(closing)}",
        f":64:C{booked_on:%y%m%d}CNY{_amount(closing)}",
        "-",
    ]
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
