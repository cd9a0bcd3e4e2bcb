"""What was settled: lines of all acquirers, and UnionPay's merchant files (ZM).

Source of the layout: 全渠道平台接入接口规范 第3部分 文件接口, §6.1: 607-byte records, one blank after
every field.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from posrecon.simulate.draft import BINS
from posrecon.simulate.events import Events
from posrecon.simulate.kinds import APPROVED, UNSETTLED, Channel, Fault, Form, Kind
from posrecon.simulate.numbers import (
    Bools,
    Bytes2D,
    Ints,
    half_up_fee,
    put_digits,
    put_text,
    rank_within,
    stream,
)
from posrecon.simulate.population import NO_CAP_MINOR, WALLET_RATE_CENTI_BPS, Population

RECORD_BYTES = 607
_LINE_BYTES = RECORD_BYTES + 2
_CHUNK_LINES = 40_000

# Width of every field; 1-based field numbers of the specification are positions in this tuple + 1.
_WIDTHS = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15,
    32, 13, 13, 8, 32, 13, 13, 12, 2, 1,
)  # fmt: skip
_TAIL_V25 = (32, 13, 2, 1, 12)


FIRST_LINE = (1, 2, 6)
"""Physical line of the first record, by channel."""


def field_slice(field_no: int) -> slice:
    """Byte positions of a field of a ZM record; 41 to 45 exist in version 2.5 only."""
    widths = _WIDTHS + _TAIL_V25
    begin = sum(widths[: field_no - 1]) + field_no - 1
    return slice(begin, begin + widths[field_no - 1])


@dataclass(frozen=True)
class Lines:
    """Settlement lines in file order: by clearing day, channel, merchant and position in the file.

    Attributes:
        event: Index of the terminal event.
        channel: Way of paying (Channel); says whose file it is.
        is_copy: The later copy of a record that was settled before.
        clearing_day: 0-based from the first business day; the settlement date of the file.
        line_no: 1-based physical line of the file; bills begin with lines that are no records.
        gross_minor: Signed, positive to the merchant.
        fee_minor: As stated; positive charged, negative returned.
        delta_minor: Settled gross − expected gross.
        fee_delta_minor: Stated fee − the fee of the schedule.
        net_minor: As stated; gross − stated fee but for net_delta_minor.
    """

    event: Ints
    is_copy: Bools
    clearing_day: Ints
    channel: Ints
    merchant: Ints
    line_no: Ints
    gross_minor: Ints
    fee_minor: Ints
    delta_minor: Ints
    fee_delta_minor: Ints
    net_minor: Ints

    def __len__(self) -> int:
        return len(self.event)

    @property
    def net_delta_minor(self) -> Ints:
        """Stated net − (gross − stated fee)."""
        return self.net_minor - (self.gross_minor - self.fee_minor)


def fee_due(events: Events, population: Population, gross_minor: Ints) -> Ints:
    """Fee of the schedule for a gross (not negative) of every event."""
    period = (events.day >= 1).astype(np.int64)
    rate = population.rate_centi_bps[events.merchant, events.card_credit, period]
    cap = population.cap_minor[events.merchant, events.card_credit, period]
    is_card = events.channel == Channel.CARD
    rate = np.where(is_card, rate, np.array(WALLET_RATE_CENTI_BPS, dtype=np.int64)[events.channel])
    cap = np.where(is_card, cap, NO_CAP_MINOR)
    return half_up_fee(gross_minor, rate, cap)


def settle(events: Events, population: Population, *, seed: int, nights: int, due_day: Ints) -> Lines:
    """Clear the events; lines that clear after the last business day are not part of the simulation.

    Args:
        events: All terminal events.
        population: Gives the fee schedule.
        seed: The simulation's seed.
        nights: Clearing days that have files.
        due_day: Per business day, the day by which its sales are due.
    """
    rng = stream(seed, 3)
    expects = np.isin(events.kind, (Kind.SALE, Kind.PREAUTH_COMPLETION, Kind.REFUND))
    clears = expects & (events.response == APPROVED) & ~events.cancelled
    clears &= ~np.isin(events.fault, UNSETTLED)
    clears |= np.isin(events.fault, (Fault.DECLINED_BUT_SETTLED, Fault.REVERSED_BUT_SETTLED))

    clearing = events.clearing_day
    lateness = rng.integers(1, 3, len(events))
    late_day = due_day[events.day] + lateness
    # Near the end one day late is the only lateness that still shows.
    late_day = np.where(late_day >= nights, due_day[events.day] + 1, late_day)
    clearing = np.where(events.fault == Fault.LATE_SETTLEMENT, late_day, clearing)

    amount = events.amount_minor
    step = rng.integers(1, 5_000, len(events))
    more = rng.random(len(events)) < 0.4
    wrong_gross = np.where(more | (amount <= step), amount + step, amount - step)
    settled = np.where(events.fault == Fault.AMOUNT_MISMATCH, wrong_gross, amount)
    sign = np.where(events.kind == Kind.REFUND, -1, 1)

    due_fee = fee_due(events, population, settled)
    fee_step = rng.integers(1, 300, len(events))
    wrong_fee = np.where(
        (due_fee > fee_step) & (rng.random(len(events)) < 0.3), due_fee - fee_step, due_fee + fee_step
    )
    fee = np.where(events.fault == Fault.FEE_MISMATCH, wrong_fee, due_fee)
    net_step = np.where(rng.random(len(events)) < 0.5, 1, -1) * rng.integers(1, 200, len(events))
    net = settled - fee + np.where(events.fault == Fault.NET_MISMATCH, net_step, 0)

    first = np.flatnonzero(clears)
    copies = np.flatnonzero(
        np.isin(events.fault, (Fault.SETTLED_TWICE_SAME_FILE, Fault.SETTLED_TWICE_NEXT_FILE))
    )
    next_file = (events.fault[copies] == Fault.SETTLED_TWICE_NEXT_FILE).astype(np.int64)
    event = np.concatenate([first, copies])
    is_copy = np.concatenate([np.zeros(len(first), dtype=np.bool_), np.ones(len(copies), dtype=np.bool_)])
    day = np.concatenate([clearing[first], clearing[copies] + next_file])
    # A copy stands some way down the file, never beside its original.
    place = events.at_s[event] + np.where(is_copy, rng.integers(1, 4 * 3600, len(event)), 0)

    inside = day < nights
    event, is_copy, day, place = event[inside], is_copy[inside], day[inside], place[inside]
    order = np.lexsort((is_copy, event, place, events.merchant[event], events.channel[event], day))
    event, is_copy, day = event[order], is_copy[order], day[order]
    merchant, channel = events.merchant[event], events.channel[event]
    return Lines(
        event=event,
        is_copy=is_copy,
        clearing_day=day,
        channel=channel,
        merchant=merchant,
        line_no=rank_within((day * len(Channel) + channel) * len(population.merchant_ids) + merchant)
        + np.array(FIRST_LINE, dtype=np.int64)[channel],
        gross_minor=(sign * settled)[event],
        fee_minor=(sign * fee)[event],
        delta_minor=(sign * (settled - amount))[event],
        fee_delta_minor=(sign * (fee - due_fee))[event],
        net_minor=(sign * net)[event],
    )


def of_channel(lines: Lines, channel: Channel) -> Lines:
    """The lines of one channel, in file order."""
    rows = lines.channel == channel
    return Lines(**{field.name: getattr(lines, field.name)[rows] for field in fields(Lines)})


def zm_name(clearing_date: date, mer_id: str) -> str:
    """Name of a merchant's file of one clearing date."""
    return f"INN{clearing_date:%y%m%d}88ZM_{mer_id}"


def write_files(
    lines: Lines,
    events: Events,
    population: Population,
    folder: Path,
    *,
    start: date,
    progress: Callable[[int, int], None],
) -> int:
    """Write one ZM file per merchant and clearing day; returns how many files.

    Args:
        lines: In file order, so that every file is one run of lines; those of other channels are left out.
        events: The terminal events that the lines settle.
        population: Gives merchant and terminal ids, names and file versions.
        folder: Made when missing.
        start: First business date.
        progress: Called with (lines written, lines in all).
    """
    folder.mkdir(parents=True, exist_ok=True)
    merchants = len(population.merchant_ids)
    lines = of_channel(lines, Channel.CARD)
    group = lines.clearing_day * merchants + lines.merchant
    begins = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    ends = np.concatenate([begins[1:], [len(group)]])
    file_no = 0
    while file_no < len(begins):
        until = max(file_no + 1, int(np.searchsorted(ends, begins[file_no] + _CHUNK_LINES, side="right")))
        low, high = int(begins[file_no]), int(ends[until - 1])
        records = _records(lines, events, population, slice(low, high), start=start)
        for begin, end in zip(begins[file_no:until].tolist(), ends[file_no:until].tolist(), strict=True):
            clearing_date = start + timedelta(days=int(lines.clearing_day[begin]))
            name = zm_name(clearing_date, population.mer_ids[int(lines.merchant[begin])])
            (folder / name).write_bytes(records[begin - low : end - low].tobytes())
        file_no = until
        progress(high, len(lines))
    return len(begins)


def _signed(target: Bytes2D, field_no: int, values: Ints, *, positive: bytes, negative: bytes) -> None:
    """X+n12: sign character, then twelve digits. Zero takes the positive sign."""
    place = field_slice(field_no)
    target[:, place.start] = np.where(values < 0, negative[0], positive[0])
    put_digits(target, place.start + 1, place.stop - place.start - 1, np.abs(values))


def _records(lines: Lines, events: Events, population: Population, part: slice, *, start: date) -> Bytes2D:
    event = lines.event[part]
    merchant = lines.merchant[part]
    count = len(event)
    target = np.full((count, _LINE_BYTES), ord(" "), dtype=np.uint8)
    target[:, RECORD_BYTES] = ord("\r")
    target[:, RECORD_BYTES + 1] = ord("\n")
    zeros = np.zeros(count, dtype=np.int64)

    def digits(field_no: int, values: Ints) -> None:
        place = field_slice(field_no)
        put_digits(target, place.start, place.stop - place.start, values)

    def text(field_no: int, texts: list[bytes], index: Ints) -> None:
        place = field_slice(field_no)
        put_text(target, place.start, texts, place.stop - place.start, index)

    gross, fee, net = lines.gross_minor[part], lines.fee_minor[part], lines.net_minor[part]
    is_refund = (events.kind[event] == Kind.REFUND).astype(np.int64)
    original = np.where(is_refund == 1, events.original[event], -1)
    has_original = original >= 0

    text(1, [b"S22", b"S30"], is_refund)
    text(2, [b"48020000"], zeros)
    text(3, [b"00048020"], zeros)
    # Without a reference the host's own trace number stands there, and a time that is off.
    no_reference = events.form[event] == Form.NO_REFERENCE
    digits(4, np.where(no_reference, (events.counter[event] + 400_000) % 999_999 + 1, events.stan[event]))
    digits(5, transport_time(events.at_s[event] + events.line_shift_s[event], start))
    bins = events.bin[event]
    text(6, [f"{number}****".encode() for number in BINS], bins)
    put_digits(target, field_slice(6).start + 10, 4, events.last_four[event])
    digits(7, np.abs(gross))
    digits(8, population.mccs[merchant])
    text(9, [b"01"], zeros)
    _query_id(target, field_slice(10).start, events, event, start)
    text(11, [b"01"], zeros)
    # Some credit cards come as quasi-credit (03), which counts as credit.
    quasi = (events.card_credit[event] == 1) & (bins == 6)
    text(13, [b"01", b"02", b"03"], events.card_credit[event] + quasi)
    digits(14, np.where(has_original, events.stan[original], 0))
    digits(15, np.where(has_original, transport_time(events.at_s[original], start), 0))
    _signed(target, 16, fee, positive=b"D", negative=b"C")
    _signed(target, 17, net, positive=b"C", negative=b"D")
    text(18, [b"0001"], zeros)
    text(20, [b"01", b"04"], is_refund)
    text(21, [b"01", b"00"], is_refund)
    text(22, [b"000000"], zeros)
    text(23, [b"01"], zeros)
    refunds = np.flatnonzero(has_original)
    if len(refunds):
        place = field_slice(27)
        ids = np.empty((len(refunds), place.stop - place.start), dtype=np.uint8)
        _query_id(ids, 0, events, original[refunds], start)
        target[refunds, place] = ids
    text(28, [mer_id.encode() for mer_id in population.mer_ids], merchant)
    text(31, [name.encode("gbk") for name in population.names], merchant)
    for unused in (32, 36, 37):
        place = field_slice(unused)
        put_digits(target, place.start + 1, 12, zeros)
    _signed(target, 33, net, positive=b"C", negative=b"D")
    text(34, [terminal_id.encode() for terminal_id in population.terminal_ids], events.terminal[event])
    put_digits(target, field_slice(38).start + 1, 11, zeros)
    digits(39, zeros)
    text(40, [b"2"], zeros)

    newer = np.flatnonzero(population.has_rrn[merchant])
    if len(newer):
        tail = target[newer]
        _signed(tail, 42, net[newer], positive=b"C", negative=b"D")
        put_digits(tail, field_slice(43).start, 2, np.full(len(newer), 5, dtype=np.int64))
        other = events.form[event[newer]] != Form.FULL
        numbers = np.where(
            other, made_up_rrns(events, event[newer], start), rrn_numbers(events, event[newer], start)
        )
        put_digits(tail, field_slice(45).start, 12, numbers)
        target[newer] = tail
    return target


def rrn_numbers(events: Events, event: Ints, start: date) -> Ints:
    """RRNs as numbers of 12 digits: last digit of the year, day of the year, 8 digits of the event."""
    named = np.where(events.rrn_of[event] >= 0, events.rrn_of[event], event)
    return _rrn_numbers(events.day[named], events.number[named], start)


def made_up_rrns(events: Events, event: Ints, start: date) -> Ints:
    """RRNs that no terminal ever logged, one per event."""
    return _rrn_numbers(events.day[event], events.number[event] + 50_000_000, start)


def _rrn_numbers(day: Ints, number: Ints, start: date) -> Ints:
    dates = [start + timedelta(days=n) for n in range(int(day.max(initial=0)) + 1)]
    prefix = np.array([int(f"{on.year % 10}{on:%j}") for on in dates], dtype=np.int64)
    # A permutation of 8-digit numbers, so that RRNs of neighbours have nothing in common.
    return prefix[day] * 10**8 + (number * 48_271_807 + 13_579) % 10**8


def transport_time(at_s: Ints, start: date) -> Ints:
    """Local time as MMDDhhmmss of seconds since midnight of the first business day; there is no year."""
    day, second = np.divmod(at_s, 86_400)
    dates = [start + timedelta(days=n) for n in range(int(day.max(initial=0)) + 1)]
    month_day = np.array([on.month * 100 + on.day for on in dates], dtype=np.int64)[day]
    return month_day * 10**6 + second // 3600 * 10**4 + second // 60 % 60 * 100 + second % 60


def _query_id(target: Bytes2D, column: int, events: Events, event: Ints, start: date) -> None:
    """UnionPay's own number: the date and 13 digits, unique per transaction, equal for every copy."""
    dates = [start + timedelta(days=n) for n in range(int(events.day.max()) + 1)]
    prefix = np.array([int(f"{day:%Y%m%d}") for day in dates], dtype=np.int64)[events.day[event]]
    put_digits(target, column, 8, prefix)
    put_digits(target, column + 8, 13, (events.number[event] * 7_393_913_311 + 97_531) % 10**13)
