"""Terminals' message counters: STANs, restarted terminals, and runs of records that never reached the log."""

import numpy as np

from posrecon.simulate.kinds import APPROVED, UNLOGGED, Fault, Form, Kind
from posrecon.simulate.numbers import Bools, Ints, rank_within, stream
from posrecon.simulate.population import Population

_EVENTS_OF_RESTART = 12
_RUN_MAX = 5


def _time_order(columns: dict[str, Ints]) -> Ints:
    """Events by terminal, then time; those of one second in the order in which they were drawn."""
    numbers = np.arange(len(columns["terminal"]))
    return np.lexsort((numbers, columns["second"], columns["day"], columns["terminal"]))


def _group_starts(*keys: Ints) -> Bools:
    """Where an ordered sequence of groups begins a new one."""
    starts = np.zeros(len(keys[0]), dtype=np.bool_)
    starts[:1] = True
    for key in keys:
        starts[1:] |= key[1:] != key[:-1]
    return starts


def deal(population: Population, columns: dict[str, Ints], *, seed: int, restarts: int) -> tuple[Ints, Ints]:
    """Count the events of every terminal, one by one in time order.

    A few terminals restart in the middle of a day and count from the day's first number again, every other one in
    a new batch: the same STAN twice on one terminal and day. A pair of twins gets one STAN on two terminals.

    Args:
        population: Gives where every terminal's counter starts.
        columns: Of all events.
        seed: The simulation's seed.
        restarts: Restarted terminals per day.

    Returns:
        (counter, leg) per event; the STAN is counter modulo 999999, plus 1.
    """
    rng = stream(seed, 7)
    order = _time_order(columns)
    terminal, day = columns["terminal"][order], columns["day"][order]
    is_start = _group_starts(terminal, day)
    group = np.cumsum(is_start) - 1
    begins = np.flatnonzero(is_start)
    sizes = np.diff(np.append(begins, len(order)))

    def has(condition: Bools) -> Bools:
        return np.bincount(group[condition[order]], minlength=len(begins)) > 0

    takes_back = np.isin(columns["kind"], (Kind.VOID, Kind.REVERSAL))
    unclear = takes_back | np.isin(columns["fault"], UNLOGGED)
    unclear[columns["original"][takes_back & (columns["original"] >= 0)]] = True
    is_twin = columns["twin_of"] >= 0
    twins = np.flatnonzero(is_twin)
    unclear[twins] = True
    unclear[columns["twin_of"][twins]] = True
    # The first terminal stays whole: it is the one that wraps.
    eligible = np.flatnonzero((sizes >= _EVENTS_OF_RESTART) & ~has(unclear) & (terminal[begins] != 0))
    eligible = rng.permutation(eligible)
    used: set[int] = set()
    back = np.zeros(len(order), dtype=np.int64)
    leg = np.zeros(len(order), dtype=np.int64)
    per_day: dict[int, int] = {}
    for chosen in eligible.tolist():
        begin = int(begins[chosen])
        owner, on_day = int(terminal[begin]), int(day[begin])
        if owner in used or per_day.get(on_day, 0) >= restarts:
            continue
        used.add(owner)
        per_day[on_day] = per_day.get(on_day, 0) + 1
        half = int(sizes[chosen]) // 2
        back[begin + half : int(np.searchsorted(terminal, owner, side="right"))] += half
        leg[begin + half : begin + int(sizes[chosen])] = owner % 2

    counter = np.empty(len(order), dtype=np.int64)
    counter[order] = population.stan_start[terminal] + rank_within(terminal) - back
    # A twin's terminal is set so that the two events fall on one number; every terminal is set once.
    settled = used | {0}
    for event in twins.tolist():
        other = int(columns["twin_of"][event])
        mine, theirs = int(columns["terminal"][event]), int(columns["terminal"][other])
        if mine in settled:
            continue
        settled |= {mine, theirs}
        of_mine = order[np.searchsorted(terminal, mine) : np.searchsorted(terminal, mine, side="right")]
        counter[of_mine] += (counter[other] - counter[event]) % 999_999
    legs = np.empty(len(order), dtype=np.int64)
    legs[order] = leg
    return counter, legs


def lost_runs(columns: dict[str, Ints], *, seed: int, per_day: int, guaranteed: int) -> Ints:
    """Events that the upload lost: runs of 2 to 5 neighbours in one batch, and lone declined ones.

    Only events that nothing else refers to get lost, so that a loss explains itself.

    Args:
        columns: Of all events, with their counters.
        seed: The simulation's seed.
        per_day: Runs of each sort per day.
        guaranteed: Number of each day's first events that must stay.
    """
    rng = stream(seed, 8)
    order = _time_order(columns)
    referred = np.zeros(len(order), dtype=np.bool_)
    for name in ("original", "rrn_of", "twin_of"):
        referred[columns[name][columns[name] >= 0]] = True
    touched = (
        referred
        | (columns["kind"] != Kind.SALE)
        | (columns["fault"] != Fault.NONE)
        | (columns["form"] != Form.FULL)
        | (columns["cancelled"] != 0)
        | (columns["rrn_of"] >= 0)
        | (columns["twin_of"] >= 0)
        | (columns["number"] < guaranteed)
    )
    terminal, day, counter = (columns[name][order] for name in ("terminal", "day", "counter"))
    is_start = _group_starts(terminal, day)
    # A restarted terminal has numbers twice, so a lost one leaves no hole.
    restarted = np.zeros(len(order), dtype=np.bool_)
    restarted[1:] = ~is_start[1:] & (counter[1:] != counter[:-1] + 1)
    group = np.cumsum(is_start) - 1
    may_go = ~touched[order] & ~np.isin(group, group[restarted])

    # How many in a row may go, from each place on, within one batch.
    positions = np.arange(len(order))
    stops = np.flatnonzero(~may_go | is_start)
    next_stop = np.append(stops, len(order))[np.searchsorted(stops, positions, side="right")]
    ahead = np.where(may_go, next_stop - positions, 0)
    declined = np.append(columns["response"][order] != APPROVED, False)
    wraps = counter // 999_999 != (counter + 2) // 999_999

    lost: list[Ints] = []
    used: set[int] = set()
    for on_day in range(int(day.max()) + 1):
        # A record before and one after stay in the log, so that the run is a hole.
        inside = np.flatnonzero((day == on_day) & ~is_start & may_go)
        fitting: dict[tuple[int, bool], Ints] = {}
        lengths = [*rng.integers(2, _RUN_MAX + 1, 2 * per_day).tolist(), *[1] * per_day]
        for number, length in enumerate(lengths):
            with_decline = length == 1 or number % 2 == 1
            if (length, with_decline) not in fitting:
                fits = ahead[inside] >= length + 1
                if with_decline:
                    fits &= declined[inside] | (declined[inside + 1] & (length > 1))
                fitting[length, with_decline] = inside[fits]
            candidates = fitting[length, with_decline]
            if len(candidates) == 0:
                continue
            preferred = candidates[wraps[candidates]] if number == 0 else candidates[:0]
            drawn = candidates[rng.integers(0, len(candidates), 100)]
            for place in (*preferred.tolist(), *drawn.tolist()):
                if int(group[place]) not in used:
                    used.add(int(group[place]))
                    lost.append(order[place : place + length])
                    break
    return np.concatenate(lost) if lost else np.zeros(0, dtype=np.int64)
