"""Write the inbox of a simulated acquirer, bank and fleet of terminals, with labels of what is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from posrecon.banking_calendar import add_banking_days
from posrecon.errors import UsageError
from posrecon.simulate import bills, disputes, settlement, terminal_log
from posrecon.simulate import payouts as bank
from posrecon.simulate.events import Events, fault_quota, generate_events, scene_quota
from posrecon.simulate.population import populate, write_reference
from posrecon.simulate.truth import BREAK_TYPES, write_truth

DEFAULT_START = date(2026, 11, 11)
ROWS_MIN = 100
_FEEDS = ("terminal_log", "unionpay", "wechat", "alipay", "bank", "generic", "reference")

Progress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in all)."""


@dataclass(frozen=True)
class SimulationSummary:
    """What was written.

    Attributes:
        first_run_date, last_run_date: Nights that read the files.
        events: Terminal events; `terminal_records` differ by lost and repeated ones.
        labels: Labels of truth.csv by break type, whatever night can know them; 0 for a type with none.
        files: Files beside truth.csv.
    """

    out: Path
    truth: Path
    seed: int
    start: date
    nights: int
    first_run_date: date
    last_run_date: date
    merchants: int
    terminals: int
    events: int
    terminal_records: int
    settlement_lines: int
    pairs: int
    labels: dict[str, int]
    files: int


def simulate(
    out: Path,
    *,
    seed: int,
    nights: int,
    rows: int,
    start: date = DEFAULT_START,
    merchants: int | None = None,
    progress: Progress | None = None,
) -> SimulationSummary:
    """Write `nights` business days of files for the nights start + 1 … start + nights.

    The same arguments write the same bytes.

    Args:
        out: An inbox: gets terminal_log/, unionpay/, wechat/, alipay/, bank/, reference/ and truth.csv.
        seed: Not negative.
        nights: Business days, at least 1.
        rows: Terminal events per business day, at least 100.
        start: First business day.
        merchants: Default one per 500 rows, at least 8; each has at least one line per clearing day.
        progress: Called with (stage, steps done, steps in all).

    Raises:
        UsageError: An argument is out of range, or `out` already holds files of a feed.
    """
    count = max(8, rows // 500) if merchants is None else merchants
    _check(out, seed=seed, nights=nights, rows=rows, merchants=count)

    def report(stage: str) -> Callable[[int, int], None]:
        def step(done: int, total: int) -> None:
            if progress is not None:
                progress(stage, done, total)

        return step

    due_day = np.array(
        [(add_banking_days(start + timedelta(days=day), 1) - start).days for day in range(nights)],
        dtype=np.int64,
    )
    late_days = {day for day in range(nights) if due_day[day] + 1 < nights}
    population = populate(seed=seed, merchants=count)
    report("events")(0, 1)
    events: Events = generate_events(population, seed=seed, nights=nights, rows=rows, late_days=late_days)
    report("events")(1, 1)
    records = terminal_log.log_records(events, population, seed=seed)
    lines = settlement.settle(events, population, seed=seed, nights=nights, due_day=due_day)
    totals = terminal_log.batch_totals(
        events, records, seed=seed, wrong_per_day=max(1, fault_quota(rows) // 2)
    )
    disputed = disputes.dispute(
        lines, events, population, seed=seed, nights=nights, per_day=scene_quota(rows)
    )
    payouts = bank.pay_out(lines, disputed, population, seed=seed, start=start, nights=nights)
    strays = bank.stray_entries(payouts, population, seed=seed, start=start, nights=nights)

    out.mkdir(parents=True, exist_ok=True)
    files = write_reference(population, out / "reference", start=start)
    files += terminal_log.write_files(
        records,
        totals,
        events,
        population,
        out / "terminal_log",
        start=start,
        nights=nights,
        progress=report("terminal log"),
    )
    files += settlement.write_files(
        lines, events, population, out / "unionpay", start=start, progress=report("settlement")
    )
    files += bills.write_bills(lines, events, population, out, start=start, progress=report("bills"))
    files += disputes.write_files(disputed, events, population, out / "unionpay", start=start)
    statements, strays = bank.write_statements(
        payouts,
        strays,
        population,
        out / "bank",
        seed=seed,
        start=start,
        nights=nights,
        progress=report("bank"),
    )
    files += statements
    truth = out / "truth.csv"
    report("truth")(0, 1)
    labels = write_truth(
        truth,
        events=events,
        records=records,
        totals=totals,
        lines=lines,
        disputes=disputed,
        payouts=payouts,
        strays=strays,
        population=population,
        due_day=due_day,
        start=start,
    )
    report("truth")(1, 1)
    return SimulationSummary(
        out=out,
        truth=truth,
        seed=seed,
        start=start,
        nights=nights,
        first_run_date=start + timedelta(days=1),
        last_run_date=start + timedelta(days=nights),
        merchants=count,
        terminals=len(population.terminal_ids),
        events=len(events),
        terminal_records=len(records.event),
        settlement_lines=len(lines),
        pairs=labels.get("pair", 0),
        labels={name: labels.get(name, 0) for name in BREAK_TYPES},
        files=files,
    )


def _check(out: Path, *, seed: int, nights: int, rows: int, merchants: int) -> None:
    if seed < 0:
        raise UsageError(f"seed {seed} is negative.", next_step="Give 0 or more.")
    if nights < 1:
        raise UsageError(f"nights {nights}: expected at least 1.")
    if rows < ROWS_MIN:
        raise UsageError(f"rows {rows}: expected at least {ROWS_MIN} events per night.")
    if not 1 <= merchants <= rows // 10:
        raise UsageError(f"merchants {merchants}: expected 1 to {rows // 10} for {rows} events per night.")
    for feed in _FEEDS:
        found = next((path for path in sorted((out / feed).glob("*")) if path.is_file()), None)
        if found is not None:
            raise UsageError(
                f"{found} is already there: a simulation must not mix with other files.",
                next_step="Choose an empty folder, or remove the files of the earlier one.",
            )
