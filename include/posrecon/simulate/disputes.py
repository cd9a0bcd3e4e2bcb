"""Disputes that UnionPay charged back: lines of the merchant files ZME, and the files themselves.

Source of the layout: 全渠道平台接入接口规范 第3部分 文件接口, §6.2: 22 fields of fixed width, one blank after every
field, the last one included: 318 + 22 = 340 bytes, then CR LF.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from posrecon.simulate.draft import BINS
from posrecon.simulate.events import Events
from posrecon.simulate.kinds import Channel, Fault, Form, Kind
from posrecon.simulate.numbers import Ints, put_digits, put_text, rank_within, stream
from posrecon.simulate.population import Population
from posrecon.simulate.settlement import Lines, fee_due, transport_time

_WIDTHS = (3, 11, 11, 6, 10, 19, 12, 4, 2, 2, 6, 10, 4, 12, 13, 13, 15, 15, 1, 12, 2, 135)
RECORD_BYTES = sum(_WIDTHS) + len(_WIDTHS)
_AMOUNT_MAX = 20_000
_CODES = (b"E22", b"E74")


def field_slice(field_no: int) -> slice:
    """Byte positions of a 1-based field of a ZME record."""
    begin = sum(_WIDTHS[: field_no - 1]) + field_no - 1
    return slice(begin, begin + _WIDTHS[field_no - 1])


@dataclass(frozen=True)
class Disputes:
    """Dispute lines in file order: by settlement day, merchant and position in the file.

    Attributes:
        event: The sale in dispute, settled on an earlier day.
        settled_day: Clearing day of that sale.
        day: Settlement day of the dispute, 0-based from the first business day.
        second: Local time of day of the dispute in seconds.
        gross_minor: What is charged back, negative: from the merchant; a part of the sale now and then.
        fee_minor: Returned, so negative.
    """

    event: Ints
    settled_day: Ints
    day: Ints
    second: Ints
    merchant: Ints
    line_no: Ints
    code: Ints
    gross_minor: Ints
    fee_minor: Ints

    def __len__(self) -> int:
        return len(self.event)

    @property
    def net_minor(self) -> Ints:
        """Negative: from the merchant."""
        return self.gross_minor - self.fee_minor


def dispute(
    lines: Lines, events: Events, population: Population, *, seed: int, nights: int, per_day: int
) -> Disputes:
    """Charge back `per_day` small sales on every day but the first, each settled on an earlier day."""
    rng = stream(seed, 10)
    ordinary = (events.kind == Kind.SALE) & (events.fault == Fault.NONE) & (events.form == Form.FULL)
    ordinary &= events.channel == Channel.CARD
    ordinary &= (events.amount_minor <= _AMOUNT_MAX) & (events.merchant != population.quiet)
    ordinary[events.original[events.original >= 0]] = False
    may = np.flatnonzero(ordinary[lines.event] & ~lines.is_copy)
    may = rng.permutation(may)
    free = np.ones(len(may), dtype=np.bool_)
    chosen: list[Ints] = []
    days: list[Ints] = []
    for day in range(1, nights):
        places = np.flatnonzero(free & (lines.clearing_day[may] < day))[:per_day]
        free[places] = False
        chosen.append(may[places])
        days.append(np.full(len(places), day, dtype=np.int64))
    line = np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)
    on_day = np.concatenate(days) if days else np.zeros(0, dtype=np.int64)
    event = lines.event[line]
    amount = events.amount_minor[event]
    charged = np.where(rng.random(len(line)) < 0.7, amount, (amount + 1) // 2)
    fee = np.zeros(len(events), dtype=np.int64)
    fee[event] = charged
    fee = fee_due(events, population, fee)[event]
    second = rng.integers(9 * 3600, 18 * 3600, len(line))
    code = rng.integers(0, len(_CODES), len(line))

    merchant = events.merchant[event]
    order = np.lexsort((event, second, merchant, on_day))
    group = on_day[order] * len(population.merchant_ids) + merchant[order]
    return Disputes(
        event=event[order],
        settled_day=lines.clearing_day[line][order],
        day=on_day[order],
        second=second[order],
        merchant=merchant[order],
        line_no=rank_within(group) + 1,
        code=code[order],
        gross_minor=-charged[order],
        fee_minor=-fee[order],
    )


def zme_name(settlement_date: date, mer_id: str) -> str:
    """Name of a merchant's dispute file of one settlement date."""
    return f"INN{settlement_date:%y%m%d}88ZME_{mer_id}"


def write_files(
    disputes: Disputes, events: Events, population: Population, folder: Path, *, start: date
) -> int:
    """Write one ZME file per merchant and settlement date that has disputes; returns how many files."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(disputes)
    if count == 0:
        return 0
    event, merchant = disputes.event, disputes.merchant
    target = np.full((count, RECORD_BYTES + 2), ord(" "), dtype=np.uint8)
    target[:, RECORD_BYTES] = ord("\r")
    target[:, RECORD_BYTES + 1] = ord("\n")
    zeros = np.zeros(count, dtype=np.int64)

    def digits(field_no: int, values: Ints) -> None:
        place = field_slice(field_no)
        put_digits(target, place.start, place.stop - place.start, values)

    def text(field_no: int, texts: list[bytes], index: Ints) -> None:
        place = field_slice(field_no)
        put_text(target, place.start, texts, place.stop - place.start, index)

    def money(field_no: int, values: Ints) -> None:
        """X+n12: C is to the merchant."""
        place = field_slice(field_no)
        target[:, place.start] = np.where(values < 0, ord("D"), ord("C"))
        put_digits(target, place.start + 1, place.stop - place.start - 1, np.abs(values))

    text(1, list(_CODES), disputes.code)
    text(2, [b"48020000"], zeros)
    text(3, [b"00048020"], zeros)
    # The dispute has a trace number of its own; the sale's stand in fields 11 to 14.
    digits(4, (events.counter[event] + 250_000) % 999_999 + 1)
    digits(5, transport_time(disputes.day * 86_400 + disputes.second, start))
    text(6, [f"{number}****".encode() for number in BINS], events.bin[event])
    put_digits(target, field_slice(6).start + 10, 4, events.last_four[event])
    digits(7, -disputes.gross_minor)
    digits(8, population.mccs[merchant])
    text(9, [b"01"], zeros)
    text(10, [b"01", b"02"], events.card_credit[event])
    digits(11, events.stan[event])
    digits(12, transport_time(events.at_s[event], start))
    digits(13, transport_time(disputes.settled_day * 86_400, start) // 10**6)
    digits(14, events.amount_minor[event])
    money(15, -disputes.fee_minor)
    money(16, disputes.net_minor)
    text(18, [mer_id.encode() for mer_id in population.mer_ids], merchant)
    place = field_slice(20)
    put_digits(target, place.start + 1, place.stop - place.start - 1, zeros)
    digits(21, zeros)

    begins = np.flatnonzero(disputes.line_no == 1)
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), count], strict=True):
        settled_on = start + timedelta(days=int(disputes.day[begin]))
        name = zme_name(settled_on, population.mer_ids[int(merchant[begin])])
        (folder / name).write_bytes(target[begin:end].tobytes())
    return len(begins)
