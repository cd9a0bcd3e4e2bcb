"""What the first rung must pair, found by comparing everything with everything, in plain Python."""

from collections import defaultdict

from tests.properties.nights import Event, Settled, Written

WINDOW_S = 86_400
Place = tuple[str, int]


def _seconds(line: Settled) -> int:
    return line.day_of_time * 86_400 + line.second


def first_copies(written: Written) -> tuple[dict[Place, Event], dict[Place, Settled]]:
    """Records without later copies: the earlier night stands, then the earlier file, then the earlier line."""
    events: dict[tuple[object, ...], Place] = {}
    for place, one in sorted(written.logged.items(), key=lambda entry: (entry[1].day, entry[0])):
        events.setdefault((one.terminal, one.day, one.stan, one.kind, one.second, one.amount_minor), place)
    lines: dict[tuple[object, ...], Place] = {}
    for place, line in sorted(written.settled.items(), key=lambda entry: (entry[1].day, entry[0])):
        lines.setdefault((line.event.number, line.gross_minor < 0), place)
    return (
        {place: written.logged[place] for place in events.values()},
        {place: written.settled[place] for place in lines.values()},
    )


def cancelled(events: dict[Place, Event], every: tuple[Event, ...]) -> set[Place]:
    """Events that an approved void or reversal takes back: on the same terminal and batch, the nearest before it.

    A reversal never means a reversal; one that was itself reversed takes nothing back.
    """
    nearest: dict[Place, Place] = {}
    for place, one in events.items():
        if one.kind not in ("void", "reversal") or not one.approved:
            continue
        wanted = every[one.original].stan if one.original is not None else 999_999
        before = [
            (other.second, where)
            for where, other in events.items()
            if (other.terminal, other.day, other.stan) == (one.terminal, one.day, wanted)
            and other.kind != "reversal"
            and other.second <= one.second
            and where != place
        ]
        if before:
            nearest[place] = max(before)[1]
    undone = {target for place, target in nearest.items() if events[place].kind == "reversal"}
    return {target for place, target in nearest.items() if place not in undone}


def pairs_by_reference(
    events: dict[Place, Event], lines: dict[Place, Settled], expecting: set[Place]
) -> set[tuple[Place, Place]]:
    """Mutual only-best pairs among records that agree on merchant, terminal, reference and direction."""
    fitting: list[tuple[Place, Place, int]] = []
    for place, one in events.items():
        for where, line in lines.items():
            same = (one.terminal, one.rrn, one.sign) == (
                line.event.terminal,
                line.rrn,
                1 if line.gross_minor > 0 else -1,
            )
            apart_s = abs(one.day * 86_400 + one.second - _seconds(line))
            if same and apart_s <= WINDOW_S:
                fitting.append((place, where, abs(line.gross_minor - one.sign * one.amount_minor)))
    wanted: dict[Place, set[bool]] = defaultdict(set)
    for place, where, _ in fitting:
        wanted[where].add(place in expecting)
    fitting = [
        (place, where, apart)
        for place, where, apart in fitting
        if place in expecting or wanted[where] == {False}
    ]

    def only_best(side: int) -> dict[Place, Place]:
        chosen: dict[Place, Place] = {}
        for key in {entry[side] for entry in fitting}:
            mine = [entry for entry in fitting if entry[side] == key]
            nearest = min(apart for _, _, apart in mine)
            best = [entry for entry in mine if entry[2] == nearest]
            if len(best) == 1:
                chosen[key] = best[0][1 - side]  # type: ignore[assignment]
        return chosen

    of_event, of_line = only_best(0), only_best(1)
    return {(place, where) for place, where in of_event.items() if of_line.get(where) == place}
