"""Scenes: small groups of events that a reconciliation gets wrong when it is careless.

Each scene starts from ordinary sales of the day and adds what happens next. Some end in a break, which the labels
name; the others are decoys, whose only right answer is the ordinary pair.
"""

from collections.abc import Callable
from enum import IntEnum

import numpy as np

from posrecon.simulate.draft import BIN_IS_CREDIT, DEFAULTS, Draft, check_digits, of_earlier_day
from posrecon.simulate.kinds import APPROVED, DECLINED, Fault, Form, Kind
from posrecon.simulate.numbers import Bools, Ints


class Role(IntEnum):
    """What becomes tomorrow of a sale of today."""

    REFUND = 0
    SECOND_REFUND = 1
    RRN_AGAIN = 2
    LARGE_REFUND = 3
    LATE_VOID = 4


class Stage:
    """One day's draft, the sales that a scene may start from, and what is left for tomorrow.

    Attributes:
        calm: Approved sales between 09:00 and 21:00, so that no scene touches midnight or the cut-off.
        small: Those of at most 200.00, whose refund leaves the day's payout positive.
        tomorrow: (role, positions) of sales that go on tomorrow.
    """

    def __init__(self, draft: Draft, plain: Bools, *, can_be_late: bool) -> None:
        second = draft.columns["second"]
        self.draft = draft
        self.calm: Bools = plain & (second >= 9 * 3600) & (second < 21 * 3600)
        self.small: Bools = self.calm & (draft.columns["amount_minor"] <= 20_000)
        self.has_rrn: Bools = draft.population.has_rrn[draft.columns["merchant"]] == 1
        self.can_be_late = can_be_late
        self.tomorrow: list[tuple[Role, Ints]] = []

    def lines_without_reference(self, bases: Ints, low_s: int, high_s: int) -> None:
        """The lines of these sales name neither RRN nor STAN of the terminal, and their time is off."""
        self.draft.columns["form"][bases] = Form.NO_REFERENCE
        self.draft.columns["line_shift_s"][bases] = self.draft.rng.integers(low_s, high_s, len(bases))


def _part(stage: Stage, amount: Ints, low_pct: int, high_pct: int) -> Ints:
    """From low to below high per cent of an amount, at least 1."""
    return np.maximum(amount * stage.draft.rng.integers(low_pct, high_pct, len(amount)) // 100, 1)


# ---------------------------------------------------------------------------------------------- refunds
def refund_not_settled(stage: Stage, count: int) -> None:
    """A refund that never settles."""
    draft = stage.draft
    sales = draft.take(count, stage.small)
    draft.add(
        sales,
        kind=Kind.REFUND,
        original=sales,
        second=draft.after(sales, 600, 6000),
        fault=Fault.MISSING_IN_SETTLEMENT,
    )


def refund_settled_late(stage: Stage, count: int) -> None:
    """A refund that settles after its due date, when that still falls into the simulation."""
    if not stage.can_be_late:
        return
    draft = stage.draft
    sales = draft.take(count, stage.small)
    draft.add(
        sales,
        kind=Kind.REFUND,
        original=sales,
        second=draft.after(sales, 600, 6000),
        fault=Fault.LATE_SETTLEMENT,
    )


def refunds_exceed_today(stage: Stage, count: int) -> None:
    """The second refund crosses, now and then by a single fen; a third one adds nothing new."""
    draft = stage.draft
    sales = draft.take(count, stage.small & (draft.columns["amount_minor"] >= 300))
    amount = draft.columns["amount_minor"][sales]
    one = _part(stage, amount, 40, 90)
    excess = np.where(np.arange(len(sales)) % 2 == 0, 1, _part(stage, one, 10, 90))
    draft.add(sales, kind=Kind.REFUND, original=sales, second=draft.after(sales, 300, 900), amount_minor=one)
    draft.add(
        sales,
        kind=Kind.REFUND,
        original=sales,
        second=draft.after(sales, 1000, 1800),
        amount_minor=amount - one + excess,
        fault=Fault.REFUND_EXCEEDS,
    )
    third = sales[1::2]
    draft.add(
        third, kind=Kind.REFUND, original=third, second=draft.after(third, 2000, 3000), amount_minor=100
    )


def refunds_exceed_tomorrow(stage: Stage, count: int) -> None:
    """Refunded whole today and once more tomorrow."""
    draft = stage.draft
    sales = draft.take(count, stage.small)
    draft.add(sales, kind=Kind.REFUND, original=sales, second=draft.after(sales, 300, 900))
    stage.tomorrow.append((Role.SECOND_REFUND, sales))


def refunds_add_up(stage: Stage, count: int) -> None:
    """Decoy: two refunds give back the sale to the fen; a third is declined."""
    draft = stage.draft
    sales = draft.take(count, stage.small & (draft.columns["amount_minor"] >= 300))
    amount = draft.columns["amount_minor"][sales]
    one = _part(stage, amount, 30, 70)
    for lag_s, part in ((300, one), (1200, amount - one)):
        draft.add(
            sales,
            kind=Kind.REFUND,
            original=sales,
            second=draft.after(sales, lag_s, lag_s + 600),
            amount_minor=part,
        )
    draft.add(
        sales, kind=Kind.REFUND, original=sales, second=draft.after(sales, 2400, 3000), response=DECLINED
    )


def refund_under_the_rrn_of_its_sale(stage: Stage, count: int) -> None:
    """Decoy: one RRN for both directions."""
    draft = stage.draft
    sales = draft.take(count, stage.small & stage.has_rrn)
    draft.add(sales, kind=Kind.REFUND, original=sales, rrn_of=sales, second=draft.after(sales, 300, 3000))


# ---------------------------------------------------------------------------------------------- references
def orphans(stage: Stage, count: int) -> None:
    """A void, a reversal and a refund whose original is nowhere."""
    draft = stage.draft
    for kind in (Kind.VOID, Kind.REVERSAL, Kind.REFUND):
        bases = draft.take(count, stage.small)
        draft.add(bases, kind=kind, second=draft.after(bases, 20, 900), fault=Fault.ORPHAN_REFERENCE)


def declined_void(stage: Stage, count: int) -> None:
    """Decoy: the void was refused, so its sale stands and settles."""
    draft = stage.draft
    sales = draft.take(count, stage.calm)
    draft.add(sales, kind=Kind.VOID, original=sales, second=draft.after(sales, 20, 300), response=DECLINED)


def voided_tomorrow(stage: Stage, count: int) -> None:
    """Voided on the day after, when the sale has settled and its batch is closed."""
    stage.tomorrow.append((Role.LATE_VOID, stage.draft.take(count, stage.calm)))


def rrn_again_today(stage: Stage, count: int) -> None:
    """Decoy: another sale of the terminal under the RRN of an earlier one, every other time of equal amount."""
    draft = stage.draft
    sales = draft.take(count, stage.calm & stage.has_rrn)
    amount = draft.columns["amount_minor"][sales]
    other = np.where(np.arange(len(sales)) % 2 == 0, amount, amount + 700)
    bins, account_no = draft.columns["bin"][sales], (draft.columns["account_no"][sales] + 4_321) % 10**9
    draft.add(
        sales,
        rrn_of=sales,
        second=draft.after(sales, 900, 3600),
        amount_minor=other,
        account_no=account_no,
        check_digit=check_digits(bins, account_no),
    )


def rrn_again_tomorrow(stage: Stage, count: int) -> None:
    """Decoy: as above, a day apart."""
    stage.tomorrow.append((Role.RRN_AGAIN, stage.draft.take(count, stage.calm & stage.has_rrn)))


def other_rrn_settled(stage: Stage, count: int) -> None:
    """Decoy: the line's RRN is not the terminal's; STAN and time are."""
    sales = stage.draft.take(count, stage.calm & stage.has_rrn)
    stage.draft.columns["form"][sales] = Form.OTHER_RRN


def no_reference_settled(stage: Stage, count: int) -> None:
    """Decoy: only merchant, last four digits, amount and a time that is nearly right are left."""
    stage.lines_without_reference(stage.draft.take(count, stage.calm), 20, 150)
    stage.lines_without_reference(stage.draft.take(count, stage.calm), -150, -20)


def retried_after_a_decline(stage: Stage, count: int) -> None:
    """Decoy: declined, then approved with the same card; the line belongs to the approval."""
    draft = stage.draft
    sales = draft.take(count, stage.calm)
    stage.lines_without_reference(sales, -45, -20)
    draft.add(sales, second=draft.after(sales, -60, -20), response=DECLINED)


def out_of_reach(stage: Stage, count: int) -> None:
    """A line without references whose time is off by more than minutes: nobody may pair it."""
    draft = stage.draft
    sales = draft.take(count, stage.calm)
    draft.columns["fault"][sales] = Fault.OUT_OF_REACH
    stage.lines_without_reference(sales, 1500, 3000)


# ---------------------------------------------------------------------------------------------- look-alikes
def equal_sales_one_unsettled(stage: Stage, count: int) -> None:
    """Two equal sales of one card a minute apart; the first or the second of them never settles."""
    draft = stage.draft
    for unsettled_first in (0, 1):
        sales = draft.take(count, stage.calm)
        if unsettled_first:
            draft.columns["fault"][sales] = Fault.MISSING_IN_SETTLEMENT
        draft.add(
            sales,
            second=draft.after(sales, 50, 70),
            fault=Fault.NONE if unsettled_first else Fault.MISSING_IN_SETTLEMENT,
        )


def two_terminals_one_stan(stage: Stage, count: int) -> None:
    """Decoy: two terminals of one merchant with the same STAN, second, amount and card."""
    draft = stage.draft
    population = draft.population
    merchant = draft.columns["merchant"]
    sales = draft.take(count, stage.calm & (population.terminal_count[merchant] >= 2))
    merchant = merchant[sales]
    place = draft.columns["terminal"][sales] - population.terminal_first[merchant]
    other = population.terminal_first[merchant] + (place + 1) % population.terminal_count[merchant]
    draft.add(sales, terminal=other, twin_of=sales)


def two_merchants_one_sale(stage: Stage, count: int) -> None:
    """A line without references that fits a sale at another merchant of the chain as well.

    The other sale never settles; taking the line for it would hide that.
    """
    draft = stage.draft
    population = draft.population
    merchants = len(population.merchant_ids)
    if merchants < 3:
        return
    sales = draft.take(count, stage.calm)
    stage.lines_without_reference(sales, 20, 90)
    other = (draft.columns["merchant"][sales] + 1) % merchants
    other = np.where(other == population.quiet, (other + 1) % merchants, other)
    draft.add(
        sales,
        merchant=other,
        terminal=population.terminal_first[other],
        fault=Fault.MISSING_IN_SETTLEMENT,
    )


def debit_and_credit(stage: Stage, count: int) -> None:
    """Decoy: a debit and a credit card with equal last four digits and amount, within a minute."""
    draft = stage.draft
    sales = draft.take(count, stage.calm)
    bins, account_no = draft.columns["bin"][sales], draft.columns["account_no"][sales]
    is_credit = np.array(BIN_IS_CREDIT, dtype=np.int64)
    other = np.where(is_credit[bins] == 1, BIN_IS_CREDIT.index(0), BIN_IS_CREDIT.index(1))
    # Changing one digit from 0 to 9 runs through all check digits, so exactly one digit keeps the last four.
    tail = account_no % 1000
    chosen = tail
    for digit in range(10):
        tried = tail + digit * 1000 + 777_770_000
        fits = check_digits(other, tried) == draft.columns["check_digit"][sales]
        chosen = np.where(fits, tried, chosen)
    draft.add(
        sales,
        bin=other,
        account_no=chosen,
        check_digit=check_digits(other, chosen),
        second=draft.after(sales, 20, 50),
    )


def interchangeable(stage: Stage, count: int) -> None:
    """Decoy: as many equal lines without references as equal sales; they pair in time order."""
    draft = stage.draft
    sales = draft.take(count, stage.calm)
    stage.lines_without_reference(sales, 55, 65)
    draft.columns["fault"][sales] = Fault.INTERCHANGEABLE
    shift = draft.columns["line_shift_s"][sales]
    draft.add(
        sales,
        second=draft.after(sales, 20, 50),
        fault=Fault.INTERCHANGEABLE,
        form=Form.NO_REFERENCE,
        line_shift_s=shift,
    )


def ambiguous(stage: Stage, count: int) -> None:
    """Equal sales and equal lines without references, but not as many lines as sales.

    In turn: two sales and one line; three sales and two lines; one logged sale and two lines.
    """
    draft = stage.draft
    for others in (
        ((45, 75, Fault.AMBIGUOUS_UNSETTLED),),
        ((30, 45, Fault.AMBIGUOUS), (50, 80, Fault.AMBIGUOUS_UNSETTLED)),
        ((30, 60, Fault.AMBIGUOUS_UNLOGGED),),
    ):
        sales = draft.take(count, stage.calm)
        stage.lines_without_reference(sales, 55, 65)
        groups = draft.new_groups(len(sales))
        draft.columns["fault"][sales] = Fault.AMBIGUOUS
        draft.columns["group"][sales] = groups
        shift = draft.columns["line_shift_s"][sales]
        for low_s, high_s, fault in others:
            draft.add(
                sales,
                second=draft.after(sales, low_s, high_s),
                fault=fault,
                form=Form.NO_REFERENCE,
                line_shift_s=shift,
                group=groups,
            )


SCENES: tuple[tuple[Callable[[Stage, int], None], int], ...] = (
    (refund_not_settled, 1),
    (refunds_exceed_today, 3),
    (orphans, 3),
    (ambiguous, 4),
    (refunds_exceed_tomorrow, 1),
    (equal_sales_one_unsettled, 2),
    (no_reference_settled, 0),
    (interchangeable, 1),
    (rrn_again_today, 1),
    (rrn_again_tomorrow, 0),
    (other_rrn_settled, 0),
    (two_terminals_one_stan, 1),
    (two_merchants_one_sale, 1),
    (debit_and_credit, 1),
    (refund_under_the_rrn_of_its_sale, 1),
    (refund_settled_late, 1),
    (refunds_add_up, 3),
    (declined_void, 1),
    (retried_after_a_decline, 1),
    (out_of_reach, 0),
)
"""Every scene, with the events that one of it adds."""


RARE_SCENES: tuple[Callable[[Stage, int], None], ...] = (voided_tomorrow,)
"""Scenes of days that are large enough for what is seldom; none adds events to its own day."""


def play(stage: Stage, *, count: int, budget: int, day: int) -> None:
    """Play every scene `count` times, or, when the day is too small for all, some of them in turn.

    Args:
        stage: The day.
        count: How often each.
        budget: Events that scenes may add.
        day: Says which scene comes first when not all fit.
    """
    shift = day * 5 % len(SCENES)
    for scene, cost in SCENES[shift:] + SCENES[:shift]:
        if cost * count <= budget:
            scene(stage, count)
            budget -= cost * count


def continue_today(draft: Draft, carried: dict[str, Ints]) -> None:
    """Add what today becomes of yesterday's sales (`carried`: their columns, `index` and `role`)."""
    rng = draft.rng
    count = len(carried["index"])
    role = carried["role"]
    yesterday = of_earlier_day(carried["index"])
    amount = carried["amount_minor"]
    full = np.minimum(amount, 10_000)
    part = rng.integers(100, np.maximum(full, 100) + 1)
    refunded = np.where(rng.random(count) < 0.5, full, part)
    again = role == Role.RRN_AGAIN
    late_void = role == Role.LATE_VOID
    whole = (role == Role.LARGE_REFUND) | late_void
    amount = np.select([again, whole], [amount + 300 * (np.arange(count) % 2), amount], refunded)
    second = np.where(again | whole, rng.integers(9, 20, count) * 3600, rng.integers(8 * 3600, 86_400, count))
    draft.add_columns(
        {
            **{name: np.full(count, value, dtype=np.int64) for name, value in DEFAULTS.items()},
            **{
                name: carried[name]
                for name in ("merchant", "terminal", "channel", "bin", "account_no", "check_digit")
            },
            "second": second,
            "kind": np.select([again, late_void], [Kind.SALE, Kind.VOID], Kind.REFUND).astype(np.int64),
            "response": np.full(count, APPROVED, dtype=np.int64),
            "amount_minor": amount,
            "original": np.where(again, -1, yesterday),
            "rrn_of": np.where(again, yesterday, -1),
            "fault": np.where(role == Role.SECOND_REFUND, Fault.REFUND_EXCEEDS, Fault.NONE).astype(np.int64),
        }
    )
