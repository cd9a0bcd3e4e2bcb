"""What the terminals did: sales and what follows from them, with one fault at most per transaction."""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from posrecon.simulate.numbers import Bools, Ints, luhn_check_digit, put_digits, rank_within, stream
from posrecon.simulate.population import Population

DAY_S = 86_400
CUT_OFF_S = 23 * 3600

BINS = (621081, 622202, 622848, 621700, 625910, 628888, 622588, 623058)
BIN_LENGTHS = (19, 19, 19, 19, 16, 16, 16, 16)
BIN_IS_CREDIT = (0, 0, 0, 0, 1, 1, 1, 0)
RESPONSES = ("00", "51", "55", "91", "")
APPROVED, TIMED_OUT = 0, 4


class Kind(IntEnum):
    """Type of a terminal event; the names are those of the native terminal log."""

    SALE = 0
    REFUND = 1
    VOID = 2
    REVERSAL = 3
    PREAUTH = 4
    PREAUTH_COMPLETION = 5


class Fault(IntEnum):
    """The one thing that goes wrong with a transaction, if any."""

    NONE = 0
    MISSING_IN_SETTLEMENT = 1
    MISSING_IN_TERMINAL_LOG = 2
    AMOUNT_MISMATCH = 3
    SETTLED_TWICE_SAME_FILE = 4
    SETTLED_TWICE_NEXT_FILE = 5
    LOGGED_TWICE_SAME_FILE = 6
    LOGGED_TWICE_OTHER_FILE = 7
    DECLINED_BUT_SETTLED = 8
    REVERSED_BUT_SETTLED = 9
    LATE_SETTLEMENT = 10
    FEE_MISMATCH = 11


_SALE_FAULTS = (
    Fault.MISSING_IN_SETTLEMENT,
    Fault.MISSING_IN_TERMINAL_LOG,
    Fault.AMOUNT_MISMATCH,
    Fault.FEE_MISMATCH,
    Fault.LATE_SETTLEMENT,
)
# Copies come in two ways each; the pair of them shares one quota.
_TWIN_FAULTS = (
    (Fault.SETTLED_TWICE_SAME_FILE, Fault.SETTLED_TWICE_NEXT_FILE),
    (Fault.LOGGED_TWICE_SAME_FILE, Fault.LOGGED_TWICE_OTHER_FILE),
)


@dataclass(frozen=True)
class Events:
    """Terminal events of all days, one array element each, day by day.

    Attributes:
        day: Business day, 0-based from the first one.
        number: Number of the event within its day, 0-based.
        second: Local time of day in seconds.
        response: Index into RESPONSES.
        original: Index of the event that a void, reversal, refund or completion names; -1 for none.
        cancelled: The event was voided or reversed later.
        in_log_whole: The terminal log carries the whole card number.
        account_no: Middle digits of the card number (between BIN and check digit).
        stan: 1…999999, rising per terminal in time order.
    """

    day: Ints
    number: Ints
    merchant: Ints
    terminal: Ints
    second: Ints
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
    stan: Ints

    def __len__(self) -> int:
        return len(self.day)

    @property
    def at_s(self) -> Ints:
        """Seconds since midnight of the first business day."""
        return self.day * DAY_S + self.second

    @property
    def clearing_day(self) -> Ints:
        """The UnionPay clearing day of an event; 23:00:00 opens the next one."""
        return self.day + (self.second >= CUT_OFF_S)

    @property
    def last_four(self) -> Ints:
        """Last four digits of the card number, as a number."""
        return (self.account_no % 1000) * 10 + self.check_digit

    @property
    def card_credit(self) -> Ints:
        """1 for a credit card, 0 for a debit card."""
        return np.array(BIN_IS_CREDIT, dtype=np.int64)[self.bin]

    @property
    def rrn(self) -> Ints:
        """Last eight digits of the RRN: a permutation of the day's events."""
        return (self.number * 48_271_807 + 13_579) % 10**8


@dataclass(frozen=True)
class _Day:
    """Columns of one day before STANs are dealt out; `original` counts from the first event of all days."""

    columns: dict[str, Ints]
    for_tomorrow: Ints


def fault_quota(rows: int) -> int:
    """Faults of each kind per day: 3 in 10 000 events, but enough that a small demonstration shows each."""
    return max(2 if rows >= 1000 else 1, (rows * 3 + 5_000) // 10_000)


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
    carried = _no_originals()
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
        before += len(drawn.columns["day"])
        carried = {name: column[drawn.for_tomorrow] for name, column in drawn.columns.items()}
        carried["index"] = before - len(drawn.columns["day"]) + drawn.for_tomorrow
    columns = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    columns["stan"] = _stans(population, columns)
    return Events(
        **{
            field.name: columns[field.name].astype(np.bool_) if field.type is Bools else columns[field.name]
            for field in fields(Events)
        }
    )


def _no_originals() -> dict[str, Ints]:
    names = ("index", "merchant", "terminal", "amount_minor", "bin", "account_no", "check_digit")
    return {name: np.zeros(0, dtype=np.int64) for name in names}


def _stans(population: Population, columns: dict[str, Ints]) -> Ints:
    """Deal out STANs: per terminal in time order, wrapping from 999999 to 000001."""
    terminal = columns["terminal"]
    order = np.lexsort((np.arange(len(terminal)), columns["second"], columns["day"], terminal))
    stans = np.empty(len(terminal), dtype=np.int64)
    stans[order] = (population.stan_start[terminal[order]] + rank_within(terminal[order])) % 999_999 + 1
    return stans


def _draw_primaries(population: Population, rng: np.random.Generator, rows: int) -> dict[str, Ints]:
    """Sales and pre-authorisations; the first one of every merchant is a plain approved daytime sale."""
    merchants = len(population.merchant_ids)
    number = np.arange(rows, dtype=np.int64)
    merchant = rng.choice(merchants, size=rows, p=population.weights).astype(np.int64)
    merchant[:merchants] = np.arange(merchants)

    hours = np.array(
        [1, 1, 1, 1, 1, 2, 5, 12, 18, 20, 24, 34, 36, 24, 20, 20, 24, 34, 38, 34, 26, 16, 10, 7.0]
    )
    hour = rng.choice(24, size=rows, p=hours / hours.sum()).astype(np.int64)
    hour[:merchants] = 9 + np.arange(merchants) % 12
    second = hour * 3600 + rng.integers(0, 3600, rows)

    low = np.array([500, 3_000, 20_000, 100_000], dtype=np.int64)
    high = np.array([3_000, 20_000, 100_000, 900_000], dtype=np.int64)
    size = rng.choice(4, size=rows, p=[0.36, 0.41, 0.17, 0.06])
    amount = rng.integers(low[size], high[size])
    amount = np.where(rng.random(rows) < 0.3, amount // 100 * 100, amount)
    popular = rng.random(rows) < 0.35
    amount = np.where(popular, population.prices_minor[merchant, rng.integers(0, 5, rows)], amount)
    amount[:merchants] = 50_000 + rng.integers(0, 40_000, merchants)

    # A rush: the same price again at the same merchant within minutes, often at the next till.
    rush = (rng.random(rows) < 0.15) & (number >= merchants + 1)
    leader = rng.integers(0, rows, rows)
    rush &= ~rush[leader]
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
    kind[:merchants] = Kind.SALE
    response[:merchants] = APPROVED

    bins = rng.integers(0, len(BINS), rows)
    lengths = np.array(BIN_LENGTHS, dtype=np.int64)[bins]
    account_no = rng.integers(0, 10**12, rows)
    account_no = np.where(lengths == 16, account_no % 10**9, account_no)
    return {
        "merchant": merchant,
        "terminal": terminal.astype(np.int64),
        "second": second.astype(np.int64),
        "kind": kind,
        "response": response.astype(np.int64),
        "amount_minor": amount.astype(np.int64),
        "bin": bins.astype(np.int64),
        "account_no": account_no,
        "check_digit": _check_digits(bins, account_no),
        "original": np.full(rows, -1, dtype=np.int64),
    }


def _check_digits(bins: Ints, account_no: Ints) -> Ints:
    check = np.empty(len(bins), dtype=np.int64)
    for length in sorted(set(BIN_LENGTHS)):
        rows = np.flatnonzero(np.array(BIN_LENGTHS)[bins] == length)
        digits = np.empty((len(rows), length - 1), dtype=np.uint8)
        put_digits(digits, 0, 6, np.array(BINS, dtype=np.int64)[bins[rows]])
        put_digits(digits, 6, length - 7, account_no[rows])
        check[rows] = luhn_check_digit(digits)
    return check


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
    primary = _draw_primaries(population, rng, rows)
    fault = np.zeros(rows, dtype=np.int64)
    cancelled = np.zeros(rows, dtype=np.int64)
    second, kind, response = primary["second"], primary["kind"], primary["response"]

    shuffled = rng.permutation(rows).astype(np.int64)
    shuffled = shuffled[shuffled >= merchants]
    free = np.zeros(rows, dtype=np.bool_)
    free[shuffled] = True

    def take(wanted: int, condition: Bools) -> Ints:
        """The first `wanted` still free primaries that satisfy the condition, in shuffled order."""
        candidates = shuffled[(condition & free)[shuffled]][:wanted]
        free[candidates] = False
        return candidates

    def take_one_by_day(wanted: int, condition: Bools) -> Ints:
        """As `take`, but the first one is before the cut-off, so that even a single night shows it."""
        before_cut_off = take(1, condition & (second < CUT_OFF_S))
        return np.concatenate([before_cut_off, take(wanted - len(before_cut_off), condition)])

    is_sale = kind == Kind.SALE
    approved = response == APPROVED
    plain = is_sale & approved
    early_enough = second < DAY_S - 700
    quota = fault_quota(rows)

    # ---------------------------------------------------------------- what follows from a primary
    voided = take_one_by_day(max(2, rows * 12 // 1000), plain & early_enough)
    reversed_sales = take_one_by_day(max(2, rows * 3 // 1000), plain & early_enough)
    reversed_timeouts = take(rows * 4 // 1000, is_sale & (response == TIMED_OUT) & early_enough)
    held = take(rows * 4 // 1000, (kind == Kind.PREAUTH) & approved & (second < 20 * 3600))
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
            fault[take_one_by_day(quota, plain)] = wrong
    for same, other in _TWIN_FAULTS:
        twins = take_one_by_day(max(2, quota), plain)
        fault[twins[0::2]] = same
        fault[twins[1::2]] = other

    # ---------------------------------------------------------------- followers
    def follow(originals: Ints, kind_of: Kind, lag_low: int, lag_high: int) -> dict[str, Ints]:
        lag = rng.integers(lag_low, lag_high, len(originals))
        follower = {name: column[originals] for name, column in primary.items()}
        follower["second"] = np.minimum(follower["second"] + lag, DAY_S - 1)
        follower["kind"] = np.full(len(originals), kind_of, dtype=np.int64)
        follower["response"] = np.zeros(len(originals), dtype=np.int64)
        follower["original"] = originals
        return follower

    refunds_today = follow(refunded_today, Kind.REFUND, 60, 3600)
    refunds_of_yesterday = _refunds_of(carried, rng)
    followers = [
        follow(voided, Kind.VOID, 20, 600),
        follow(reversed_sales, Kind.REVERSAL, 5, 60),
        follow(reversed_timeouts, Kind.REVERSAL, 30, 90),
        follow(held, Kind.PREAUTH_COMPLETION, 1800, 10_000),
        refunds_today,
        refunds_of_yesterday,
    ]
    for refunds in (refunds_today, refunds_of_yesterday):
        full = np.minimum(refunds["amount_minor"], 10_000)
        part = rng.integers(100, full + 1)
        refunds["amount_minor"] = np.where(rng.random(len(full)) < 0.5, full, part)
    completion = followers[3]
    completion["amount_minor"] -= rng.integers(0, completion["amount_minor"] // 4 + 1)

    # ---------------------------------------------------------------- keep to the number of rows asked for
    total_followers = sum(len(follower["kind"]) for follower in followers)
    surplus = take(total_followers, plain)
    keep = np.ones(rows, dtype=np.bool_)
    keep[surplus] = False
    new_index = np.cumsum(keep) - 1
    for follower in followers[:-1]:
        follower["original"] = first + new_index[follower["original"]]

    columns = {
        name: np.concatenate([primary[name][keep], *(follower[name] for follower in followers)])
        for name in primary
    }
    count = len(columns["kind"])
    padding = np.zeros(count - int(keep.sum()), dtype=np.int64)
    columns["fault"] = np.concatenate([fault[keep], padding])
    columns["cancelled"] = np.concatenate([cancelled[keep], padding])
    columns["day"] = np.full(count, day, dtype=np.int64)
    columns["number"] = np.arange(count, dtype=np.int64)
    columns["auth_code"] = rng.integers(0, 10**6, count)
    columns["in_log_whole"] = (rng.random(count) < 0.01).astype(np.int64)
    columns["in_log_whole"][0] = 1
    return _Day(columns=columns, for_tomorrow=new_index[refunded_tomorrow])


def _refunds_of(carried: dict[str, Ints], rng: np.random.Generator) -> dict[str, Ints]:
    """Refunds, at some time today, of sales of yesterday."""
    count = len(carried["index"])
    return {
        "merchant": carried["merchant"],
        "terminal": carried["terminal"],
        "second": rng.integers(8 * 3600, DAY_S, count),
        "kind": np.full(count, Kind.REFUND, dtype=np.int64),
        "response": np.zeros(count, dtype=np.int64),
        "amount_minor": carried["amount_minor"],
        "bin": carried["bin"],
        "account_no": carried["account_no"],
        "check_digit": carried["check_digit"],
        "original": carried["index"],
    }
