"""Small random nights: a few sales at three terminals of two shops, and everything that can go wrong with them.

Numbers are drawn from tiny pools, so that references, trace numbers, times and amounts meet by chance all the time.
"""

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta

from hypothesis import strategies as st

from posrecon.settings import Settings
from tests.unit.landing.files import HEADER, event, put, zm_record

DAYS = (date(2026, 11, 11), date(2026, 11, 12))
NIGHTS = tuple(day + timedelta(days=1) for day in DAYS)
MER_IDS = ("898110000000037", "898110000000038")
ACCOUNTS = ("310500161836", "310500161837")
TERMINALS = (("10000001", 0), ("10000002", 0), ("10000003", 1))
RATE_BPS = 60
CUT_OFF_S = 23 * 3600
# Close together, far apart, and on both sides of the cut-off.
SECONDS = (36_000, 36_001, 36_060, 36_290, 50_000, CUT_OFF_S - 1, CUT_OFF_S)


@dataclass(frozen=True)
class Line:
    """How a settlement line differs from its event; by default not at all.

    Attributes:
        copies: Equal lines in its file.
        again_next_day: One more copy in the next day's file.
        delay_days: Cleared so many days later.
        delta_minor, fee_delta_minor: What is settled or charged too much.
        rrn: None = none on the line, -1 = the event's own, else another one.
        has_stan: False when another number stands there.
        shift_s: How much its time is off.
    """

    copies: int = 1
    again_next_day: bool = False
    delay_days: int = 0
    delta_minor: int = 0
    fee_delta_minor: int = 0
    rrn: int | None = -1
    has_stan: bool = True
    shift_s: int = 0


@dataclass(frozen=True)
class Event:
    """One terminal event.

    Attributes:
        number: Position in the scenario; names the transaction at the acquirer.
        day: Index into DAYS.
        original: Number of an earlier event that a void, reversal or refund names; None names one that is nowhere.
        logged: Times that the log has it.
        line: None when nothing is settled.
    """

    number: int
    day: int
    second: int
    terminal: int
    stan: int
    rrn: int
    kind: str
    amount_minor: int
    approved: bool
    original: int | None
    card: int
    logged: int
    line: Line | None

    @property
    def merchant(self) -> int:
        return TERMINALS[self.terminal][1]

    @property
    def sign(self) -> int:
        return -1 if self.kind == "refund" else 1

    @property
    def txn_time(self) -> str:
        return (
            f"{DAYS[self.day]}T{self.second // 3600:02d}:{self.second // 60 % 60:02d}:{self.second % 60:02d}"
        )


@dataclass(frozen=True)
class Settled:
    """One settlement line as it stands in a file."""

    event: Event
    day: int
    gross_minor: int
    fee_minor: int
    rrn: int | None
    stan: int
    day_of_time: int
    second: int


@dataclass(frozen=True)
class Scenario:
    """Two business days.

    Attributes:
        events: What the terminals did; a record may be lost or logged twice.
        payouts: Per merchant, what the bank pays for the first day beside what is due; None = nothing.
        stray_minor: A credit that nothing explains; 0 = none.
        order: Seed of the order in which rows stand in their files.
    """

    events: tuple[Event, ...]
    payouts: tuple[int | None, int | None] = (0, 0)
    stray_minor: int = 0
    order: int = 0

    def settled(self) -> list[Settled]:
        """All settlement lines of the two days; one that clears later is not seen."""
        lines: list[Settled] = []
        for one in self.events:
            if one.line is None or one.kind not in ("sale", "refund"):
                continue
            line = one.line
            cleared = one.day + (one.second >= CUT_OFF_S) + line.delay_days
            gross = one.sign * max(one.amount_minor + line.delta_minor, 1)
            fee = one.sign * ((abs(gross) * RATE_BPS + 5_000) // 10_000) + line.fee_delta_minor
            moment = one.day * 86_400 + one.second + line.shift_s
            settled = Settled(
                event=one,
                day=cleared,
                gross_minor=gross,
                fee_minor=fee,
                rrn=one.rrn if line.rrn == -1 else line.rrn,
                stan=one.stan if line.has_stan else 900_000 + one.number,
                day_of_time=moment // 86_400,
                second=moment % 86_400,
            )
            lines += [settled] * line.copies
            if line.again_next_day:
                lines.append(replace(settled, day=cleared + 1))
        return [line for line in lines if line.day < len(DAYS)]


lines = st.builds(
    Line,
    copies=st.sampled_from((1, 1, 1, 2)),
    again_next_day=st.sampled_from((False, False, True)),
    delay_days=st.sampled_from((0, 0, 1)),
    delta_minor=st.sampled_from((0, 0, 0, 1, -500)),
    fee_delta_minor=st.sampled_from((0, 0, 0, 3)),
    rrn=st.sampled_from((-1, -1, -1, None, 2, 9)),
    has_stan=st.sampled_from((True, True, False)),
    shift_s=st.sampled_from((0, 0, 1, 2, 60, 400)),
)


@st.composite
def events(draw: st.DrawFn, number: int) -> Event:
    kind = draw(st.sampled_from(("sale", "sale", "sale", "sale", "refund", "void", "reversal")))
    original = None
    if kind != "sale" and number and draw(st.booleans()):
        original = draw(st.integers(0, number - 1))
    return Event(
        number=number,
        day=draw(st.sampled_from((0, 0, 1))),
        second=draw(st.sampled_from(SECONDS)),
        terminal=draw(st.integers(0, 2)),
        stan=draw(st.integers(1, 6)),
        rrn=draw(st.integers(1, 4)),
        kind=kind,
        amount_minor=draw(st.sampled_from((1_000, 1_000, 2_500, 990))),
        approved=draw(st.sampled_from((True, True, True, False))),
        original=original,
        card=draw(st.sampled_from((1232, 1232, 7778))),
        logged=draw(st.sampled_from((1, 1, 1, 1, 0, 2))),
        line=draw(st.none() | lines | lines | lines),
    )


@st.composite
def scenarios(draw: st.DrawFn, events_max: int = 9) -> Scenario:
    count = draw(st.integers(1, events_max))
    payout = st.sampled_from((0, 0, None, -7, 11))
    return Scenario(
        events=tuple(draw(events(number)) for number in range(count)),
        payouts=(draw(payout), draw(payout)),
        stray_minor=draw(st.sampled_from((0, 0, 12_345))),
    )


# ---------------------------------------------------------------------------------------------- files
def log_line(one: Event, every: tuple[Event, ...]) -> str:
    original = every[one.original] if one.original is not None else None
    names: dict[str, str] = {}
    if one.kind == "refund":
        names["orig_rrn"] = f"{original.rrn:012d}" if original else "999999999999"
    elif one.kind != "sale":
        names["orig_stan"] = f"{original.stan:06d}" if original else "999999"
        names["orig_batch_no"] = f"{original.day + 1:06d}" if original else ""
    return event(
        merchant_id=f"M{one.merchant + 1:06d}",
        terminal_id=TERMINALS[one.terminal][0],
        batch_no=f"{one.day + 1:06d}",
        stan=f"{one.stan:06d}",
        rrn=f"{one.rrn:012d}",
        auth_code="123456" if one.approved else "",
        txn_type=one.kind,
        card_no=f"621234******{one.card}",
        amount=f"{one.amount_minor // 100}.{one.amount_minor % 100:02d}",
        txn_time=one.txn_time,
        response_code="00" if one.approved else "51",
        **names,
    )


def settlement_record(line: Settled) -> bytes:
    net = line.gross_minor - line.fee_minor
    on = DAYS[0] + timedelta(days=line.day_of_time)
    clock = f"{line.second // 3600:02d}{line.second // 60 % 60:02d}{line.second % 60:02d}"
    return zm_record(
        txn_code="S30" if line.gross_minor < 0 else "S22",
        stan=f"{line.stan:06d}",
        txn_time=f"{on:%m%d}{clock}",
        card=f"621234******{line.event.card}",
        amount=f"{abs(line.gross_minor):012d}",
        query_id=f"20261111{line.event.number:013d}",
        fee=f"{'D' if line.fee_minor >= 0 else 'C'}{abs(line.fee_minor):012d}",
        settled=f"{'C' if net >= 0 else 'D'}{abs(net):012d}",
        mer_id=MER_IDS[line.event.merchant],
        term_id=TERMINALS[line.event.terminal][0],
        rrn=f"{line.rrn:012d}" if line.rrn is not None else "",
    )


@dataclass(frozen=True)
class Written:
    """What stands where: (file name, physical line) → the event or line; and the money of the settlement files."""

    logged: dict[tuple[str, int], Event]
    settled: dict[tuple[str, int], Settled]


def zm_name(day: int, merchant: int) -> str:
    return f"INN{DAYS[day]:%y%m%d}88ZM_{MER_IDS[merchant]}"


def write_inbox(settings: Settings, scenario: Scenario, *, files: int = 0) -> Written:
    """Write the files of a scenario into the inbox.

    Args:
        settings: The home.
        scenario: What happened; its `order` shuffles the rows within each file.
        files: Seed of the order in which the files are made.
    """
    shuffle = random.Random(scenario.order)
    contents: dict[tuple[str, str], bytes] = {}
    written = Written({}, {})
    for day, on in enumerate(DAYS):
        # One region per shop, so that a day has two logs.
        for merchant, suffix in ((0, ""), (1, "_b")):
            rows = [
                one
                for one in scenario.events
                if one.day == day and one.merchant == merchant
                for _ in range(one.logged)
            ]
            if scenario.order:
                shuffle.shuffle(rows)
            if rows:
                name = f"terminal_log_{on:%Y%m%d}{suffix}.csv"
                texts = [HEADER, *(log_line(one, scenario.events) for one in rows)]
                contents["terminal_log", name] = ("\n".join(texts) + "\n").encode()
                written.logged.update({(name, place): one for place, one in enumerate(rows, start=2)})
        for merchant in (0, 1):
            settled = [
                line for line in scenario.settled() if line.day == day and line.event.merchant == merchant
            ]
            if scenario.order:
                shuffle.shuffle(settled)
            if settled:
                name = zm_name(day, merchant)
                content = b"".join(settlement_record(line) for line in settled)
                if content in contents.values():
                    continue  # yesterday's file once more is a duplicate as a whole, and today's is missing
                contents["unionpay", name] = content
                written.settled.update({(name, place): line for place, line in enumerate(settled, start=1)})
    contents |= _bank(scenario) | _reference()
    names = sorted(contents)
    random.Random(files).shuffle(names)
    for feed, name in names:
        put(settings, feed, name, contents[feed, name])
    return written


def _bank(scenario: Scenario) -> dict[tuple[str, str], bytes]:
    """Statements of both days; the second pays the first day's lines."""
    contents = {}
    for merchant, account in enumerate(ACCOUNTS):
        balance = 10_000_000
        for day, on in enumerate(DAYS):
            amounts: list[tuple[int, str]] = []
            of_first = [
                line.gross_minor - line.fee_minor
                for line in scenario.settled()
                if line.day == 0 and line.event.merchant == merchant
            ]
            extra = scenario.payouts[merchant]
            if day == 1 and of_first and extra is not None and sum(of_first) + extra:
                amounts.append((sum(of_first) + extra, f"UNIONPAY SETTLEMENT {MER_IDS[merchant]}"))
            if day == 1 and merchant == 0 and scenario.stray_minor:
                amounts.append((scenario.stray_minor, "UNIONPAY ADJUSTMENT"))
            texts = [":20:REF", f":25:{account}", f":28C:{day + 1}", f":60F:C{on:%y%m%d}CNY{_major(balance)}"]
            for amount, text in amounts:
                mark = "C" if amount > 0 else "D"
                texts += [f":61:{on:%y%m%d}{on:%m%d}{mark}{_major(abs(amount))}NTRFNONREF", f":86:{text}"]
                balance += amount
            texts += [f":62F:C{on:%y%m%d}CNY{_major(balance)}", "-"]
            contents["bank", f"MT940_{account}_{on:%Y%m%d}.sta"] = ("\r\n".join(texts) + "\r\n").encode()
    return contents


def _major(amount_minor: int) -> str:
    return f"{amount_minor // 100},{amount_minor % 100:02d}"


def _reference() -> dict[tuple[str, str], bytes]:
    merchants = "merchant_id,name,city,settlement_account,unionpay_mer_id,wechat_mch_id,alipay_pid,currency\n"
    fees = "merchant_id,channel,card_type,rate_bps,cap_minor,effective_from,effective_to\n"
    for merchant, (mer_id, account) in enumerate(zip(MER_IDS, ACCOUNTS, strict=True), start=1):
        merchants += f"M{merchant:06d},shop {merchant},北京,{account},{mer_id},,,CNY\n"
        fees += f"M{merchant:06d},card,*,{RATE_BPS},,2026-01-01,\n"
    terminals = "terminal_id,merchant_id,model,location,installed_on,removed_on\n"
    for terminal_id, merchant in TERMINALS:
        terminals += f"{terminal_id},M{merchant + 1:06d},A920,till,2026-01-01,\n"
    return {
        ("reference", "merchants.csv"): merchants.encode(),
        ("reference", "terminals.csv"): terminals.encode(),
        ("reference", "fee_schedule.csv"): fees.encode(),
    }
