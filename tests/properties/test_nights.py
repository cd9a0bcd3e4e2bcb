"""Random small nights: what must hold of any of them."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from posrecon.landing.decisions import decide, write_decision
from posrecon.landing.outcomes import read_files_before
from posrecon.night import run_night as run_real_night
from posrecon.settings import Settings
from posrecon.warehouse.manifests import published_digest, read_manifest, reader_database
from tests.properties import oracle
from tests.properties.compiled import Node, run_night
from tests.properties.nights import (
    DAYS,
    MER_IDS,
    NIGHTS,
    Event,
    Line,
    Scenario,
    Settled,
    Written,
    scenarios,
    write_inbox,
    zm_name,
)
from tests.unit.landing.files import put, settings_of

Row = dict[str, Any]
# One compiled project serves all examples of a test.
few = bounds(
    max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@contextmanager
def home(threads: int = 1) -> Iterator[Settings]:
    """A home of its own for one example."""
    with tempfile.TemporaryDirectory() as folder:
        yield settings_of(Path(folder) / "home").model_copy(update={"threads": threads})


def run(
    project: tuple[Node, ...],
    settings: Settings,
    scenario: Scenario,
    *,
    files: int = 0,
    data_tests: bool = False,
) -> Written:
    """Write the inbox and run both nights; where they are asked, no data test may find anything."""
    written = write_inbox(settings, scenario, files=files)
    for night in NIGHTS:
        assert run_night(project, settings, night, data_tests=data_tests) == []
    return written


def ask(settings: Settings, query: str) -> list[Row]:
    with duckdb.connect(str(reader_database(settings)), read_only=True) as reader:
        cursor = reader.execute(query)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def items(settings: Settings) -> list[Row]:
    return ask(settings, "select * from marts.fct_reconciliation order by item_id")


# ---------------------------------------------------------------------------------------------- conservation
@few
@given(scenario=scenarios())
def test_night__whatever_happened__every_record_and_every_fen_is_somewhere_once(
    project: tuple[Node, ...], scenario: Scenario
) -> None:
    with home() as settings:
        written = run(project, settings, scenario, data_tests=True)
        found = items(settings)
        history = ask(settings, "select * from marts.fct_reconciliation_history")
        files = ask(settings, "select * from marts.fct_files where state = 'loaded'")
        control = ask(settings, "select * from marts.rpt_daily_control order by run_date")
        books = ask(
            settings,
            "with believed as (select payouts.payout_id, payouts.run_date, book_net_minor, "
            "coalesce(sum(expected_amount_minor - coalesce(expected_fee_minor, fee_minor)), 0) as booked_minor "
            "from marts.fct_payouts as payouts join marts.fct_reconciliation_history as items "
            "on payouts.payout_id = items.payout_id and items.run_date <= payouts.run_date "
            "and items.match_state = 'matched' group by all) "
            "select * from believed where book_net_minor is distinct from booked_minor",
        )

    # Each record in one item, each item in one state; a line or an event is in no two pairs.
    logged = Counter((row["terminal_file"], row["terminal_line"]) for row in found if row["terminal_file"])
    settled = Counter(
        (row["settlement_file"], row["settlement_line"]) for row in found if row["settlement_file"]
    )
    assert logged == Counter(written.logged.keys())
    assert settled == Counter(written.settled.keys())
    assert {row["match_state"] for row in found} <= {
        "matched",
        "pending",
        "unmatched",
        "ambiguous",
        "excluded",
    }
    assert max(Counter((row["run_date"], row["item_id"]) for row in history).values(), default=1) == 1

    # Money: of every line as it stands in its file, of every event that expects any.
    for row in found:
        if row["settlement_file"]:
            line = written.settled[row["settlement_file"], row["settlement_line"]]
            assert row["settled_amount_minor"] == line.gross_minor
            assert (row["fee_minor"], row["net_minor"]) == (line.fee_minor, line.gross_minor - line.fee_minor)
        if row["terminal_file"] and row["expected_amount_minor"] is not None:
            one = written.logged[row["terminal_file"], row["terminal_line"]]
            assert row["expected_amount_minor"] == one.sign * one.amount_minor
        if row["match_state"] == "matched" and row["expected_amount_minor"] is not None:
            assert row["delta_minor"] == row["settled_amount_minor"] - row["expected_amount_minor"]

    # What our books expect of each payout, counted from the pairs that readers see.
    assert books == []

    # Records of the files as written = loaded + quarantined.
    records = Counter(name for name, _ in (*written.logged, *written.settled))
    for row in files:
        if row["source"] in ("terminal_log", "unionpay_zm"):
            assert row["records"] == row["loaded"] + row["quarantined"] == records[row["file_name"]]
    _rolls_forward(control)


def _rolls_forward(rows: list[Row]) -> None:
    """Opening + new − matched − excluded − closed = closing, to the fen, and tomorrow's opening is that closing."""
    by_night: dict[tuple[Any, ...], dict[Any, Row]] = {}
    for row in rows:
        for unit in ("items", "minor"):
            assert (
                row[f"opening_{unit}"]
                + row[f"new_{unit}"]
                - row[f"matched_{unit}"]
                - row[f"excluded_{unit}"]
                - row[f"closed_{unit}"]
                == row[f"closing_{unit}"]
            )
        key = tuple(row[name] for name in ("acquirer", "channel", "currency", "side"))
        by_night.setdefault(key, {})[row["run_date"]] = row
    for of_key in by_night.values():
        first, second = (of_key.get(night) for night in NIGHTS)
        for unit in ("items", "minor"):
            closed = first[f"closing_{unit}"] if first else 0
            assert (second[f"opening_{unit}"] if second else 0) == closed


# ---------------------------------------------------------------------------------------------- matching
@few
@given(scenario=scenarios())
def test_first_rung__against_a_naive_search__the_same_pairs(
    project: tuple[Node, ...], scenario: Scenario
) -> None:
    # One night: everything happened on the first day and cleared on it.
    scenario = replace(
        scenario,
        events=tuple(
            replace(
                one,
                day=0,
                second=min(one.second, 82_000),
                line=one.line
                and replace(one.line, delay_days=0, again_next_day=False, shift_s=one.line.shift_s % 60),
            )
            for one in scenario.events
        ),
    )
    with home() as settings:
        written = write_inbox(settings, scenario)
        run_night(project, settings, NIGHTS[0], data_tests=False)
        found = items(settings)

    events, lines = oracle.first_copies(written)
    gone = oracle.cancelled(events, scenario.events)
    money = {place: one for place, one in events.items() if one.kind in ("sale", "refund")}
    expecting = {place for place, one in money.items() if one.approved and place not in gone}
    right = oracle.pairs_by_reference(money, lines, expecting)
    paired = {
        ((row["terminal_file"], row["terminal_line"]), (row["settlement_file"], row["settlement_line"]))
        for row in found
        if row["match_rule"] == "acquirer_reference"
    }
    assert paired == right


# ---------------------------------------------------------------------------------------------- same input
@pytest.mark.slow
@few
@given(scenario=scenarios(), files=st.integers(1, 1000))
def test_bytes__any_order_of_arrival_and_one_or_two_threads__are_the_same(
    project: tuple[Node, ...], scenario: Scenario, files: int
) -> None:
    digests = []
    for threads, order in ((1, 0), (2, files)):
        with home(threads) as settings:
            run(project, settings, scenario, files=order)
            digests.append(
                (published_digest(settings), [read_manifest(settings, night).digest() for night in NIGHTS])
            )
    assert digests[0] == digests[1]


def told(one: Event | None) -> tuple[object, ...] | None:
    """What an event is, whatever its line number; copies are told alike."""
    return one and (
        one.day,
        one.terminal,
        one.second,
        one.stan,
        one.rrn,
        one.kind,
        one.amount_minor,
        one.card,
        one.approved,
    )


def said(line: Settled | None) -> tuple[object, ...] | None:
    """What a line says, whatever its line number; copies are told alike."""
    return line and (
        line.day,
        line.event.number,
        line.gross_minor,
        line.fee_minor,
        line.rrn,
        line.stan,
        line.second,
    )


def believed(settings: Settings, written: Written) -> tuple[Counter[Any], Counter[Any]]:
    """Items and breaks without ids and line numbers."""

    def sides(row: Row) -> tuple[object, ...]:
        event = written.logged.get((row["terminal_file"], row["terminal_line"]))
        line = written.settled.get((row["settlement_file"], row["settlement_line"]))
        return told(event), said(line)

    rows = ask(settings, "select * from marts.fct_reconciliation_history")
    breaks = ask(settings, "select * from marts.fct_breaks")
    return (
        Counter(
            (row["run_date"], row["match_state"], row["excluded_reason"], row["match_rule"], *sides(row))
            for row in rows
        ),
        Counter(
            (
                row["break_type"],
                row["status"],
                row["opened_on"],
                row["closed_on"],
                row["amount_at_risk_minor"],
                row["payout_id"],
                *sides(row),
            )
            for row in breaks
        ),
    )


@pytest.mark.slow
@few
@given(scenario=scenarios(), order=st.integers(1, 1000))
def test_belief__rows_in_another_order__is_the_same_up_to_line_numbers(
    project: tuple[Node, ...], scenario: Scenario, order: int
) -> None:
    # Of records that are copies by definition and yet differ, the first one stands: there the order decides.
    copies = Counter(
        (one.terminal, one.day, one.stan, one.kind, one.second, one.amount_minor) for one in scenario.events
    )
    assume(max(copies.values()) == 1)
    beliefs = []
    for shuffled in (0, order):
        with home() as settings:
            written = run(project, settings, replace(scenario, order=shuffled))
            beliefs.append(believed(settings, written))
    assert beliefs[0] == beliefs[1]


# ---------------------------------------------------------------------------------------------- decisions
@pytest.mark.slow
@few
@given(scenario=scenarios(), kept=st.integers(0, 3), merchant=st.integers(0, 1))
def test_accepted_file__came_short_at_first__the_nights_are_as_if_it_had_come_whole(
    project: tuple[Node, ...], scenario: Scenario, kept: int, merchant: int
) -> None:
    name = zm_name(0, merchant)
    with home() as settings:
        written = write_inbox(settings, scenario)
        path = settings.inbox / "unionpay" / name
        if not path.exists() or path.stat().st_size <= 609:
            return  # nothing to cut
        content = path.read_bytes()
        path.write_bytes(content[: 609 * min(max(kept, 1), len(content) // 609 - 1)])
        run_night(project, settings, NIGHTS[0], data_tests=False)
        put(settings, "unionpay", name, content)
        run_night(project, settings, NIGHTS[1], data_tests=False)
        files = read_files_before(settings, NIGHTS[1].replace(year=2027))
        moment = datetime(2026, 11, 16, tzinfo=UTC)
        write_decision(
            settings,
            decide(
                settings, files, name, action="supersede", reason="cut", decided_by="li", decided_at=moment
            ),
        )
        for night in NIGHTS:
            assert run_night(project, settings, night, from_archive=True) == []
        accepted = believed(settings, written)
    with home() as settings:
        assert accepted == believed(settings, run(project, settings, scenario))


# ---------------------------------------------------------------------------------------------- a late file
def test_late_file__blames_nobody_while_it_is_missing__and_heals_when_it_comes(
    project: tuple[Node, ...],
) -> None:
    third = NIGHTS[1] + timedelta(days=1)
    sales = tuple(sale(number, terminal=number % 3, line=Line() if number else None) for number in range(6))
    of_shop = "merchant_id = 'M000001' and break_type = 'missing_in_settlement'"
    with home() as settings:
        write_inbox(settings, Scenario(events=sales))
        late = settings.inbox / "unionpay" / zm_name(0, 0)
        content = late.read_bytes()
        late.unlink()
        for night in NIGHTS:
            run_night(project, settings, night, data_tests=False)
        missing = ask(settings, f"select * from marts.fct_breaks where {of_shop} order by terminal_line")
        files = ask(
            settings, "select logical_key, business_date from marts.fct_files where state = 'missing'"
        )
        put(settings, "unionpay", late.name, content)
        assert run_night(project, settings, third) == []
        healed = ask(settings, f"select * from marts.fct_breaks where {of_shop} order by terminal_line")
        still = ask(
            settings, "select logical_key, business_date from marts.fct_files where state = 'missing'"
        )

    expected = {"logical_key": MER_IDS[0], "business_date": DAYS[0]}
    assert expected in files
    assert expected not in still
    # The other shop's file came, so its sales are settled; all of this shop wait for the file, the lost one too.
    assert len(missing) == sum(one.merchant == 0 for one in sales)
    assert all(row["file_missing"] and row["opened_on"] == NIGHTS[1] for row in missing)
    closed = [row for row in healed if row["status"] == "closed"]
    assert len(closed) == len(missing) - 1
    assert all(row["closed_on"] == third and late.name in row["closed_by"] for row in closed)
    # What was not in the file is now the acquirer's to explain.
    (left,) = (row for row in healed if row["status"] == "open")
    assert not left["file_missing"]


def sale(number: int, *, terminal: int, line: Line | None) -> Event:
    """An ordinary sale of the first day, unlike any other."""
    return Event(
        number=number,
        day=0,
        second=36_000 + 600 * number,
        terminal=terminal,
        stan=number + 1,
        rrn=number + 1,
        kind="sale",
        amount_minor=1_000 + number,
        approved=True,
        original=None,
        card=1232,
        logged=1,
        line=line,
    )


# ---------------------------------------------------------------------------------------------- the harness
@pytest.mark.slow
def test_compiled_project__against_the_real_night__publishes_the_same_bytes(
    project: tuple[Node, ...], tmp_path: Path
) -> None:
    example = Scenario(
        events=(
            *(sale(number, terminal=number % 3, line=Line() if number else None) for number in range(6)),
            replace(sale(6, terminal=0, line=Line(delta_minor=-500)), day=1),
            replace(sale(7, terminal=1, line=Line(rrn=None, has_stan=False, shift_s=60)), approved=False),
            replace(sale(8, terminal=2, line=Line(copies=2)), logged=2),
            replace(sale(9, terminal=0, line=Line()), kind="refund", original=1, amount_minor=400),
        ),
        payouts=(0, -7),
        stray_minor=12_345,
    )
    tables: list[dict[str, str]] = []
    for way in ("compiled", "real"):
        settings = settings_of(tmp_path / way)
        write_inbox(settings, example)
        for night in NIGHTS:
            if way == "compiled":
                run_night(project, settings, night, data_tests=False)
            else:
                run_real_night(settings, night)
        manifests = [read_manifest(settings, night).tables for night in NIGHTS]
        tables.append(
            {
                f"{night} {name}": part.sha256
                for night, of_night in zip(NIGHTS, manifests, strict=True)
                for name, part in of_night.items()
                if name != "dispute_candidates"
            }
        )
    assert tables[0] == tables[1]
