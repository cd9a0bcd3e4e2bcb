"""What the terminals did: sales and what follows from them, with one fault at most per transaction."""

from dataclasses import dataclass, fields

import numpy as np

from posrecon.simulate import counters, wallets
from posrecon.simulate.draft import (
    BIN_IS_CREDIT,
    BIN_LENGTHS,
    BINS,
    CUT_OFF_S,
    DAY_S,
    DEFAULTS,
    Draft,
    check_digits,
)
from posrecon.simulate.kinds import APPROVED, CURRENCIES, TIMED_OUT, WALLETS, Channel, Fault, Kind
from posrecon.simulate.numbers import Bools, Ints, rank_within, stream
from posrecon.simulate.population import Population
from posrecon.simulate.scenes import RARE_SCENES, Role, Stage, continue_today, play

_SALE_FAULTS = (
    Fault.MISSING_IN_SETTLEMENT,
    Fault.MISSING_IN_TERMINAL_LOG,
    Fault.AMOUNT_MISMATCH,
    Fault.FEE_MISMATCH,
    Fault.NET_MISMATCH,
    Fault.CURRENCY_MISMATCH,
    Fault.LATE_SETTLEMENT,
)
# Copies come in two ways each; the pair of them shares one quota.
_TWIN_FAULTS = (
    (Fault.SETTLED_TWICE_SAME_FILE, Fault.SETTLED_TWICE_NEXT_FILE),
    (Fault.LOGGED_TWICE_SAME_FILE, Fault.LOGGED_TWICE_OTHER_FILE),
)
_GROUPS_PER_DAY = 10**6


ROWS_FOR_ALL = 1000
"""Events per day from which on every day plays every scene."""
ROWS_FOR_RARE = 4000
"""Events per day from which on there is also what is seldom: more ways of wallets, voids after the money."""


@dataclass(frozen=True)
class Events:
    """Terminal events of all days, one array element each, day by day.

    Attributes:
        day: Business day, 0-based from the first one.
        number: Number of the event within its day, 0-based.
        second: Local time of day in seconds.
        channel: Way of paying (Channel); an event of a wallet has no card, its columns mean nothing.
        response: Index into RESPONSES.
        original: Index of the event that a void, reversal, refund or completion names; -1 for none.
        cancelled: The event was voided or reversed later.
        in_log_whole: The terminal log carries the whole card number.
        account_no: Middle digits of the card number (between BIN and check digit).
        form: What the settlement line says of the terminal's own numbers (Form).
        line_shift_s: How many seconds the line's time is off.
        rrn_of: Index of the event whose RRN this one carries; -1 for its own.
        twin_of: Index of an event at another terminal with the same STAN and second; -1 for none.
        currency: Index into CURRENCIES, as logged; every line is in CNY.
        group: Number of a group of equal candidates; -1 for none.
        counter: The terminal's counter, never wrapping; a restarted terminal counts some numbers again.
        leg: 0, and 1 after the terminal opened a second batch that day.
    """

    day: Ints
    number: Ints
    merchant: Ints
    terminal: Ints
    second: Ints
    channel: Ints
    kind: Ints
    response: Ints
    amount_minor: Ints
    bin: Ints
    account_no: Ints
    check_digit: Ints
    in_log_whole: Bools
    auth_code: Ints
    original: Ints
    cancelled: Bools
    fault: Ints
    form: Ints
    line_shift_s: Ints
    rrn_of: Ints
    twin_of: Ints
    currency: Ints
    group: Ints
    counter: Ints
    leg: Ints

    def __len__(self) -> int:
        return len(self.day)

    @property
    def at_s(self) -> Ints:
        """Seconds since midnight of the first business day."""
        return self.day * DAY_S + self.second

    @property
    def clearing_day(self) -> Ints:
        """The day on which an event clears: 23:00:00 opens UnionPay's next one, midnight that of a wallet."""
        return self.day + ((self.second >= CUT_OFF_S) & (self.channel == Channel.CARD))

    @property
    def is_late_void(self) -> Bools:
        """A void of an earlier day's sale."""
        return (self.kind == Kind.VOID) & (self.original >= 0) & (self.day[self.original] < self.day)

    @property
    def last_four(self) -> Ints:
        """Last four digits of the card number, as a number."""
        return (self.account_no % 1000) * 10 + self.check_digit

    @property
    def card_credit(self) -> Ints:
        """1 for a credit card, 0 for a debit card."""
        return np.array(BIN_IS_CREDIT, dtype=np.int64)[self.bin]

    @property
    def stan(self) -> Ints:
        """1…999999, rising per terminal in time order and wrapping."""
        return self.counter % 999_999 + 1

    @property
    def batch(self) -> Ints:
        """Batch number: every terminal's own counter goes up by two a day, once more for a second batch."""
        return (self.terminal * 37 % 900) + 1 + 2 * self.day + self.leg


@dataclass(frozen=True)
class _Day:
    """Columns of one day before STANs are dealt out, and what tomorrow makes of it.

    References count from the first event of all days; `tomorrow` are positions within the day.
    """

    columns: dict[str, Ints]
    tomorrow: Ints
    roles: Ints


def fault_quota(rows: int) -> int:
    """Faults of each kind per day: 3 in 10 000 events, but enough that a small demonstration shows each."""
    return max(2 if rows >= 1000 else 1, (rows * 3 + 5_000) // 10_000)


def scene_quota(rows: int) -> int:
    """Scenes of each kind per day."""
    return max(1, fault_quota(rows) // 2)


def generate_events(
    population: Population, *, seed: int, nights: int, rows: int, late_days: set[int]
) -> Events:
    """Draw `rows` events for each of `nights` business days.

    Args:
        population: Merchants and terminals.
        seed: The simulation's seed.
        nights: Number of business days.
        rows: Events per business day, repeats not counted.
        late_days: Days whose sales can still settle late within the simulation.
    """
    days: list[dict[str, Ints]] = []
    before = 0
    carried = _nothing_carried()
    for day in range(nights):
        drawn = _draw_day(
            population,
            seed=seed,
            day=day,
            rows=rows,
            first=before,
            carried=carried,
            can_be_late=day in late_days,
        )
        days.append(drawn.columns)
        carried = {name: column[drawn.tomorrow] for name, column in drawn.columns.items()}
        carried["index"] = before + drawn.tomorrow
        carried["role"] = drawn.roles
        before += len(drawn.columns["day"])
    columns = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    restarts = max(1, fault_quota(rows) // 4)
    columns["counter"], columns["leg"] = counters.deal(population, columns, seed=seed, restarts=restarts)
    if rows >= ROWS_FOR_ALL:
        lost = counters.lost_runs(
            columns, seed=seed, per_day=scene_quota(rows), guaranteed=_ensured(population)
        )
        columns["fault"][lost] = Fault.MISSING_IN_TERMINAL_LOG
    return Events(
        **{
            field.name: columns[field.name].astype(np.bool_) if field.type is Bools else columns[field.name]
            for field in fields(Events)
        }
    )


def _nothing_carried() -> dict[str, Ints]:
    names = (
        "index", "role", "merchant", "terminal", "channel", "amount_minor", "bin", "account_no", "check_digit",
    )  # fmt: skip
    return {name: np.zeros(0, dtype=np.int64) for name in names}


def _ensured(population: Population) -> int:
    """How many of a day's first events are plain sales, so that every file of the day has a line."""
    return len(population.merchant_ids) + len(population.wallet_desks)


def _draw_primaries(
    population: Population, rng: np.random.Generator, rows: int, *, day: int
) -> dict[str, Ints]:
    """Sales and pre-authorisations; the first one of every merchant and way of paying is a plain daytime sale."""
    merchants = len(population.merchant_ids)
    number = np.arange(rows, dtype=np.int64)
    merchant = rng.choice(merchants, size=rows, p=population.weights).astype(np.int64)
    merchant[:merchants] = np.arange(merchants)
    ensured = _ensured(population)
    merchant[merchants:ensured] = [of for of, _ in population.wallet_desks]

    hours = np.array(
        [1, 1, 1, 1, 1, 2, 5, 12, 18, 20, 24, 34, 36, 24, 20, 20, 24, 34, 38, 34, 26, 16, 10, 7.0]
    )
    hour = rng.choice(24, size=rows, p=hours / hours.sum()).astype(np.int64)
    hour[:ensured] = 9 + np.arange(ensured) % 12
    second = hour * 3600 + rng.integers(0, 3600, rows)

    low = np.array([500, 3_000, 20_000, 100_000], dtype=np.int64)
    high = np.array([3_000, 20_000, 100_000, 900_000], dtype=np.int64)
    size = rng.choice(4, size=rows, p=[0.36, 0.41, 0.17, 0.06])
    amount = rng.integers(low[size], high[size])
    amount = np.where(rng.random(rows) < 0.3, amount // 100 * 100, amount)
    popular = rng.random(rows) < 0.35
    amount = np.where(popular, population.prices_minor[merchant, rng.integers(0, 5, rows)], amount)
    amount[:ensured] = 50_000 + rng.integers(0, 40_000, ensured)
    if population.quiet >= 0:
        # Its large sale of one day is refunded on the next, which has only a small one.
        amount[population.quiet] = (10_000 if day % 2 else 80_000) + rng.integers(0, 9_000)

    # A rush: the same price again at the same merchant within minutes, often at the next till.
    rush = (rng.random(rows) < 0.15) & (number >= ensured + 1)
    leader = rng.integers(0, rows, rows)
    rush &= ~rush[leader] & (merchant[leader] != population.quiet)
    merchant = np.where(rush, merchant[leader], merchant)
    amount = np.where(rush, amount[leader], amount)
    second = np.where(rush, np.minimum(second[leader] + rng.integers(4, 240, rows), DAY_S - 1), second)

    terminal = (
        population.terminal_first[merchant]
        + rng.integers(0, 2**31, rows) % population.terminal_count[merchant]
    )

    kind = np.where(rng.random(rows) < 0.006, Kind.PREAUTH, Kind.SALE).astype(np.int64)
    drawn = rng.random(rows)
    response = np.select(
        [drawn < 0.012, drawn < 0.020, drawn < 0.026, drawn < 0.034], [1, 2, 3, TIMED_OUT], APPROVED
    )
    kind[:ensured] = Kind.SALE
    response[:ensured] = APPROVED

    bins = rng.integers(0, len(BINS), rows)
    lengths = np.array(BIN_LENGTHS, dtype=np.int64)[bins]
    account_no = rng.integers(0, 10**12, rows)
    account_no = np.where(lengths == 16, account_no % 10**9, account_no)
    return {
        "merchant": merchant,
        "terminal": terminal.astype(np.int64),
        "second": second.astype(np.int64),
        "channel": np.full(rows, Channel.CARD, dtype=np.int64),
        "kind": kind,
        "response": response.astype(np.int64),
        "amount_minor": amount.astype(np.int64),
        "bin": bins.astype(np.int64),
        "account_no": account_no,
        "check_digit": check_digits(bins, account_no),
        **{name: np.full(rows, value, dtype=np.int64) for name, value in DEFAULTS.items()},
    }


def _draw_day(
    population: Population,
    *,
    seed: int,
    day: int,
    rows: int,
    first: int,
    carried: dict[str, Ints],
    can_be_late: bool,
) -> _Day:
    rng = stream(seed, 2, day)
    merchants = len(population.merchant_ids)
    primary = _draw_primaries(population, rng, rows, day=day)
    ensured = _ensured(population)
    primary["channel"][merchants:ensured] = [channel for _, channel in population.wallet_desks]
    wallets.choose(population, primary, seed=seed, day=day, first=ensured)
    fault, cancelled = primary["fault"], primary["cancelled"]
    second, kind, response = primary["second"], primary["kind"], primary["response"]

    shuffled = rng.permutation(rows).astype(np.int64)
    shuffled = shuffled[shuffled >= ensured]
    free = np.zeros(rows, dtype=np.bool_)
    free[shuffled] = True
    draft = Draft(
        population=population,
        rng=rng,
        columns=primary,
        shuffled=shuffled,
        free=free,
        first_group=day * _GROUPS_PER_DAY,
    )

    def take_one_by_day(wanted: int, condition: Bools) -> Ints:
        """As `take`, but the first one is before the cut-off, so that even a single night shows it."""
        before_cut_off = draft.take(1, condition & (second < CUT_OFF_S))
        return np.concatenate([before_cut_off, draft.take(wanted - len(before_cut_off), condition)])

    is_sale = kind == Kind.SALE
    approved = response == APPROVED
    is_wallet = np.isin(primary["channel"], WALLETS)
    plain = is_sale & approved & ~is_wallet
    early_enough = second < DAY_S - 700
    quota = fault_quota(rows)
    everything = rows >= ROWS_FOR_ALL
    tomorrow = wallets.play(
        draft,
        is_sale & is_wallet,
        seed=seed,
        day=day,
        count=scene_quota(rows),
        everything=everything,
        can_be_late=can_be_late,
    )
    if rows >= ROWS_FOR_RARE:
        wallets.play_rare(draft, is_sale & is_wallet, seed=seed, day=day, count=scene_quota(rows))
    free[is_wallet] = False

    # ---------------------------------------------------------------- what follows from a primary
    voided = take_one_by_day(max(2, rows * 12 // 1000), plain & early_enough)
    reversed_sales = take_one_by_day(max(2, rows * 3 // 1000), plain & early_enough)
    reversed_timeouts = draft.take(rows * 4 // 1000, is_sale & (response == TIMED_OUT) & early_enough)
    held = draft.take(rows * 4 // 1000, (kind == Kind.PREAUTH) & approved & (second < 20 * 3600))
    cancelled[voided] = cancelled[reversed_sales] = cancelled[reversed_timeouts] = 1

    # Refunds stay few and small per merchant, so that no day's payout falls to nothing.
    sales_of_merchant = np.bincount(primary["merchant"][plain], minlength=merchants)
    refundable = shuffled[(plain & free & (second < DAY_S - 3600))[shuffled]]
    rank = rank_within(primary["merchant"][refundable])
    refundable = refundable[rank < (sales_of_merchant // 20)[primary["merchant"][refundable]]]
    half = rows * 6 // 1000
    refunded_today, refunded_tomorrow = refundable[0 : 2 * half : 2], refundable[1 : 2 * half : 2]
    free[refunded_today] = False
    free[refunded_tomorrow] = False

    # ---------------------------------------------------------------- faults
    undone = np.concatenate([voided[: (quota + 1) // 2], reversed_sales[: quota - (quota + 1) // 2]])
    fault[undone] = Fault.REVERSED_BUT_SETTLED
    fault[take_one_by_day(quota, is_sale & ~approved)] = Fault.DECLINED_BUT_SETTLED
    for wrong in _SALE_FAULTS:
        if wrong is not Fault.LATE_SETTLEMENT or can_be_late:
            chosen = take_one_by_day(quota, plain)
            fault[chosen] = wrong
            if wrong is Fault.CURRENCY_MISMATCH:
                primary["currency"][chosen] = rng.integers(1, len(CURRENCIES), len(chosen))
    for same, other in _TWIN_FAULTS:
        twins = take_one_by_day(max(2, quota), plain)
        fault[twins[0::2]] = same
        fault[twins[1::2]] = other

    # ---------------------------------------------------------------- followers
    def follow(originals: Ints, kind_of: Kind, low_s: int, high_s: int, amount: Ints | None = None) -> None:
        given = primary["amount_minor"][originals] if amount is None else amount
        draft.add(
            originals,
            kind=kind_of,
            response=APPROVED,
            original=originals,
            second=draft.after(originals, low_s, high_s),
            amount_minor=given,
        )

    follow(voided, Kind.VOID, 20, 600)
    follow(reversed_sales, Kind.REVERSAL, 5, 60)
    follow(reversed_timeouts, Kind.REVERSAL, 30, 90)
    blocked = primary["amount_minor"][held]
    follow(held, Kind.PREAUTH_COMPLETION, 1800, 10_000, blocked - rng.integers(0, blocked // 4 + 1))
    full = np.minimum(primary["amount_minor"][refunded_today], 10_000)
    part = rng.integers(100, full + 1)
    follow(refunded_today, Kind.REFUND, 60, 3600, np.where(rng.random(len(full)) < 0.5, full, part))
    continue_today(draft, carried)

    stage = Stage(draft, plain, can_be_late=can_be_late)
    play(
        stage,
        count=scene_quota(rows) if everything else 1,
        budget=rows if everything else rows // 12,
        day=day,
    )
    for scene in RARE_SCENES if rows >= ROWS_FOR_RARE else ():
        scene(stage, scene_quota(rows))
    tomorrow += [(Role.REFUND, refunded_tomorrow), *stage.tomorrow]
    if population.quiet >= 0 and day % 2 == 0:
        tomorrow.append((Role.LARGE_REFUND, np.array([population.quiet], dtype=np.int64)))

    # Keep to the number of rows asked for.
    columns, new_index = draft.finish(first, plain)
    count = len(columns["kind"])
    columns["day"] = np.full(count, day, dtype=np.int64)
    columns["number"] = np.arange(count, dtype=np.int64)
    columns["auth_code"] = rng.integers(0, 10**6, count)
    columns["in_log_whole"] = (rng.random(count) < 0.01).astype(np.int64)
    columns["in_log_whole"][0] = 1
    return _Day(
        columns=columns,
        tomorrow=np.concatenate([new_index[positions] for _, positions in tomorrow]),
        roles=np.concatenate([np.full(len(positions), role, dtype=np.int64) for role, positions in tomorrow]),
    )
