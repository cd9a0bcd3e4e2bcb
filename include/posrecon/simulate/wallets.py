"""Wallets: which sales are paid by WeChat Pay or Alipay, what follows from them, and the numbers they are known by."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from posrecon.simulate.draft import DAY_S, Draft
from posrecon.simulate.kinds import APPROVED, CURRENCIES, WALLETS, Channel, Fault, Kind
from posrecon.simulate.numbers import Bools, Ints, rank_within, stream
from posrecon.simulate.population import Population
from posrecon.simulate.scenes import Role

if TYPE_CHECKING:
    from posrecon.simulate.events import Events

_SHARE = 0.35
_REFUND_MAX_MINOR = 10_000
_SALE_FAULTS = (
    Fault.MISSING_IN_SETTLEMENT,
    Fault.AMOUNT_MISMATCH,
    Fault.SETTLED_TWICE_NEXT_FILE,
    Fault.MISSING_IN_TERMINAL_LOG,
    Fault.FEE_MISMATCH,
    Fault.LATE_SETTLEMENT,
)
_FAULTS_OF_A_SMALL_DAY = 1


def choose(population: Population, primary: dict[str, Ints], *, seed: int, day: int, first: int) -> None:
    """Turn a share of the sales of merchants that take wallets into sales of a wallet, in place.

    Args:
        population: Says who takes what.
        primary: Columns of the day's primaries.
        seed: The simulation's seed.
        day: 0-based.
        first: Primaries before this one stay as they are.
    """
    rng = stream(seed, 12, day)
    rows = len(primary["merchant"])
    takes = population.takes_wallet[primary["merchant"]] == 1
    by_wechat = takes[:, Channel.WECHAT] & (~takes[:, Channel.ALIPAY] | (rng.random(rows) < 0.5))
    wallet = np.where(by_wechat, Channel.WECHAT, Channel.ALIPAY)
    turns = (takes[:, Channel.WECHAT] | takes[:, Channel.ALIPAY]) & (rng.random(rows) < _SHARE)
    turns &= (primary["kind"] == Kind.SALE) & (np.arange(rows) >= first)
    primary["channel"][turns] = wallet[turns]


def play(
    draft: Draft,
    sales: Bools,
    *,
    seed: int,
    day: int,
    count: int,
    everything: bool,
    can_be_late: bool,
) -> list[tuple[Role, Ints]]:
    """Add refunds and faults of the day's wallet sales.

    Args:
        draft: The day; what is taken from it is not taken again.
        sales: Per primary, paid by a wallet.
        seed: The simulation's seed.
        day: 0-based.
        count: Faults of each kind and wallet.
        everything: Every kind has its turn today; else a few of them.
        can_be_late: Sales of the day can still settle late.

    Returns:
        (role, positions) of sales that go on tomorrow.
    """
    rng = stream(seed, 14, day)
    columns = draft.columns
    approved = sales & (columns["response"] == APPROVED)
    tomorrow: list[tuple[Role, Ints]] = []
    for wallet in WALLETS:
        plain = approved & (columns["channel"] == wallet)
        declined = sales & ~approved & (columns["channel"] == wallet)
        columns["fault"][draft.take(count, declined)] = Fault.DECLINED_BUT_SETTLED
        refundable = _few_per_merchant(draft, plain)
        faults = [fault for fault in _SALE_FAULTS if fault is not Fault.LATE_SETTLEMENT or can_be_late]
        if not everything:
            begin = (day * len(WALLETS) + wallet) % len(faults)
            faults = (faults + faults)[begin : begin + _FAULTS_OF_A_SMALL_DAY]
        _refund(draft, rng, refundable, count if everything else 1)
        tomorrow.append((Role.REFUND, draft.take(count, refundable)))
        for fault in faults:
            columns["fault"][draft.take(count, plain)] = fault
    return tomorrow


def play_rare(draft: Draft, sales: Bools, *, seed: int, day: int, count: int) -> None:
    """Add what is seldom seen at a wallet, for days that are large enough for it.

    Logged twice, settled twice in one bill, another currency in the log, a net that is not gross less fee (only
    Alipay states one), voids that keep their sale from settling or should have, and refunds of unknown orders.

    Args:
        draft: The day; what is taken from it is not taken again.
        sales: Per primary, paid by a wallet.
        seed: The simulation's seed.
        day: 0-based.
        count: Of each kind and wallet.
    """
    rng = stream(seed, 16, day)
    columns = draft.columns
    approved = sales & (columns["response"] == APPROVED)
    for wallet in WALLETS:
        plain = approved & (columns["channel"] == wallet)
        early = plain & (columns["second"] < DAY_S - 7_200)
        faults = [Fault.LOGGED_TWICE_SAME_FILE, Fault.LOGGED_TWICE_OTHER_FILE, Fault.SETTLED_TWICE_SAME_FILE]
        if wallet is Channel.ALIPAY:
            faults.append(Fault.NET_MISMATCH)
        for fault in faults:
            columns["fault"][draft.take(count, plain)] = fault
        foreign = draft.take(count, plain)
        columns["fault"][foreign] = Fault.CURRENCY_MISMATCH
        columns["currency"][foreign] = rng.integers(1, len(CURRENCIES), len(foreign))
        for fault in (Fault.NONE, Fault.REVERSED_BUT_SETTLED):
            voided = draft.take(count, early)
            columns["fault"][voided] = fault
            columns["cancelled"][voided] = 1
            second = columns["second"][voided] + rng.integers(20, 600, len(voided))
            draft.add(voided, kind=Kind.VOID, original=voided, second=second)
        orphans = draft.take(count, _few_per_merchant(draft, plain))
        second = columns["second"][orphans] + rng.integers(20, 900, len(orphans))
        draft.add(orphans, kind=Kind.REFUND, second=second, fault=Fault.ORPHAN_REFERENCE)


def _few_per_merchant(draft: Draft, plain: Bools) -> Bools:
    """Small sales early enough to be refunded; few per merchant, so that no day's payout falls to nothing."""
    columns = draft.columns
    small = plain & (columns["amount_minor"] >= 300) & (columns["amount_minor"] <= 2 * _REFUND_MAX_MINOR)
    early = np.flatnonzero(small & (columns["second"] < DAY_S - 7_200) & draft.free)
    per_merchant = np.bincount(columns["merchant"][plain], minlength=len(draft.population.merchant_ids))
    merchant = columns["merchant"][early]
    chosen = np.zeros(len(plain), dtype=np.bool_)
    chosen[early[rank_within(merchant) < 2 + per_merchant[merchant] // 10]] = True
    return chosen


def _refund(draft: Draft, rng: np.random.Generator, refundable: Bools, count: int) -> None:
    """Refunds in part or whole; some never settle, some cross their sale, now and then by a single fen."""
    amounts, seconds = draft.columns["amount_minor"], draft.columns["second"]

    def add(sales: Ints, low_s: int, amount_minor: Ints, fault: Fault = Fault.NONE) -> None:
        draft.add(
            sales,
            kind=Kind.REFUND,
            original=sales,
            second=seconds[sales] + rng.integers(low_s, low_s + 900, len(sales)),
            amount_minor=amount_minor,
            fault=fault,
        )

    crossed = draft.take(count, refundable)
    one = np.maximum(amounts[crossed] * rng.integers(30, 80, len(crossed)) // 100, 1)
    excess = np.where(np.arange(len(crossed)) % 2 == 0, 1, one // 2)
    add(crossed, 300, one)
    add(crossed, 1300, amounts[crossed] - one + excess, Fault.REFUND_EXCEEDS)
    never = draft.take(count, refundable)
    add(never, 600, amounts[never], Fault.MISSING_IN_SETTLEMENT)
    whole = draft.take(count, refundable)
    add(whole, 60, amounts[whole])


# ---------------------------------------------------------------------------------------------- numbers
def order_numbers(events: "Events", event: Ints, start: date, *, is_made_up: Bools | bool = False) -> Ints:
    """Numbers of orders and refunds: date (YYMMDD) and 8 digits, unique per event and never next to each other.

    A made-up one is nobody's order.
    """
    dates = [start + timedelta(days=n) for n in range(int(events.day.max(initial=0)) + 1)]
    prefix = np.array([int(f"{on:%y%m%d}") for on in dates], dtype=np.int64)
    number = events.number[event] + np.where(is_made_up, 50_000_000, 0)
    return prefix[events.day[event]] * 10**8 + (number * 61_803_401 + 24_681) % 10**8


ORDER_SQL = """
create or replace temp macro order_text(number, is_refund) as
    case when is_refund then 'R' else 'S' end
        || (number // 100000000)::varchar || 'N' || printf('%08d', number % 100000000);
create or replace temp macro wallet_txn_no(channel, number, is_refund) as
    case
        when channel = 1 and is_refund then '50300007' || printf('%014d', number) || '730516'
        when channel = 1 then '4200001' || printf('%014d', number) || '7305162'
        else '20' || (number // 100000000)::varchar || '220014' || printf('%014d', number)
    end;
"""
"""Macros: the order or refund number that both sides name, and the wallet's own number of 28 digits.

Order numbers hold no run of digits as long as a card number.
"""


def wechat_name(mch_id: str, on: date, *, is_gzip: bool) -> str:
    """Name of a WeChat Pay bill as received."""
    return f"{mch_id}All{on}.csv{'.gz' if is_gzip else ''}"


def alipay_names(pid: str, on: date) -> tuple[str, str, str]:
    """Names of an Alipay bill as received: the zip, the bill in it, and the summary beside the bill."""
    stem = f"{pid}0156_{on:%Y%m%d}"
    return f"{stem}.csv.zip", f"{stem}_业务明细.csv", f"{stem}_业务明细(汇总).csv"


def is_gzip(merchant: int, day: int) -> bool:
    """Every third WeChat Pay bill is downloaded compressed."""
    return (merchant + day) % 3 == 0


def evidence_name(population: Population, merchant: int, channel: int, day: int, start: date) -> str:
    """What evidence calls a bill: the name as received, of a member of a zip behind the name of the zip."""
    on = start + timedelta(days=day)
    if channel == Channel.WECHAT:
        return wechat_name(population.acquirer_id(merchant, channel), on, is_gzip=is_gzip(merchant, day))
    outer, member, _ = alipay_names(population.acquirer_id(merchant, channel), on)
    return f"{outer}!{member}"
