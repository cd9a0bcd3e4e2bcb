"""Run whole simulations through the command line, seed by seed, and score each against its labels.

    python -m tests.benchmarks.seeds --seeds 1-20 --nights 6 --rows 50000 --jobs 2 --home DIR

With --supersede, the largest settlement file of the first day comes short at first and whole in the second night, where
it is accepted: the labels stay as they are, because the nights must come out as if it had come whole at once.

Each seed has a home of its own under DIR. It is removed when the score is 1.0 throughout and kept for a look
otherwise. DIR/report.json holds everything that is printed, and what was wrong.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from posrecon.files import write_json
from posrecon.settings import PROJECT_ROOT
from posrecon.simulate.generator import DEFAULT_START
from posrecon.simulate.settlement import RECORD_BYTES

ZM_LINE_BYTES = RECORD_BYTES + 2
# Nights of a simulation have no files missing or refused, but a warning of the night must not end the run.
NIGHT_IS_DONE = (0, 3)


class SeedError(Exception):
    """A command of a seed ended with an error; its text is the command's own."""


@dataclass(frozen=True)
class SeedResult:
    """One seed.

    Attributes:
        perfect: Precision and recall of pairs and of every type are 1.0, with the right money on the right night.
        pairs: Labelled pairs.
        wrong, missed: Pairs published but not labelled, and the reverse.
        wrong_minor, missed_minor: Their settled money.
        below: (name, precision, recall) of every type, and of pairs, below 1.
        timing_wrong, delta_wrong, groups_wrong: Breaks on another night, with other money, in other groups.
        types: Labels by break type.
        rules: Pairs by rung of the ladder, as (rule, right, wrong).
        labels_later: Labels that only a night after the last one can know.
        seconds: For all commands of the seed.
        error: Why it ended early, if it did.
    """

    seed: int
    perfect: bool
    pairs: int = 0
    wrong: int = 0
    missed: int = 0
    wrong_minor: int = 0
    missed_minor: int = 0
    below: tuple[tuple[str, float, float], ...] = ()
    timing_wrong: int = 0
    delta_wrong: int = 0
    groups_wrong: int = 0
    types: dict[str, int] | None = None
    rules: tuple[tuple[str, int, int], ...] = ()
    labels_later: int = 0
    seconds: float = 0.0
    error: str = ""

    def line(self) -> str:
        """The seed in one line."""
        if self.error:
            return f"seed {self.seed}: FAILED after {self.seconds:.0f} s: {self.error}"
        below = ", ".join(f"{name} {precision:.4f}/{recall:.4f}" for name, precision, recall in self.below)
        others = "".join(
            f", {count} {what}"
            for count, what in (
                (self.timing_wrong, "on another night"),
                (self.delta_wrong, "with other money"),
                (self.groups_wrong, "groups apart"),
            )
            if count
        )
        verdict = "1.0" if self.perfect else f"below 1: {below or 'none'}{others}"
        return (
            f"seed {self.seed}: {self.pairs:,} pairs, {self.wrong} wrong, {self.missed} missed; "
            f"{len(self.types or {})} break types, {sum((self.types or {}).values()):,} breaks; {verdict}; "
            f"{self.seconds:.0f} s"
        )


def seeds_of(text: str) -> list[int]:
    """Seeds named as `1-20`, `3` or `1,4,7-9`.

    Raises:
        ValueError: A part is no number or range.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        seeds += range(int(first), int(last if dash else first) + 1)
    return seeds


def run_seed(
    seed: int, *, nights: int, rows: int, home: Path, threads: int, supersede: bool = False
) -> SeedResult:
    """Simulate, run every night and score; an error of a command is a result, so that other seeds go on."""
    began = time.perf_counter()
    shutil.rmtree(home, ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSRECON_")} | {
        "POSRECON_HOME": str(home),
        "POSRECON_THREADS": str(threads),
        "PYTHONPATH": str(PROJECT_ROOT / "include"),
    }

    def command(*arguments: str, good: Sequence[int] = (0,)) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "posrecon.cli", *arguments, "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in good:
            raise SeedError(f"{arguments[0]} {arguments[-1]}: {done.stderr[-2000:].strip()}")
        content: dict[str, Any] = json.loads(done.stdout)
        return content

    inbox, truth = home / "inbox", home / "inbox" / "truth.csv"
    try:
        command(
            "simulate", "--out", str(inbox), "--seed", str(seed), "--nights", str(nights), "--rows", str(rows)
        )
        first, *others = run_dates(nights)
        short = max(
            inbox.glob(f"unionpay/INN{DEFAULT_START:%y%m%d}88ZM_*"),
            key=lambda path: (path.stat().st_size, path.name),
        )
        whole = short.read_bytes()
        if supersede:
            records = len(whole) // ZM_LINE_BYTES
            short.write_bytes(whole[: (records - records // 3) * ZM_LINE_BYTES])
        command("night", "--date", str(first), good=NIGHT_IS_DONE)
        for run_date in others:
            if supersede and run_date == others[0]:
                short.write_bytes(whole)
            command("night", "--date", str(run_date), good=NIGHT_IS_DONE)
            if supersede and run_date == others[0]:
                command("files", "accept", short.name, "--supersede", "--reason", "the first one was cut")
        # 1 is a score below 1.0, which is a result.
        scored = command("score", "--truth", str(truth), "--strict", good=(0, 1))
    except (SeedError, json.JSONDecodeError) as error:
        return SeedResult(seed, perfect=False, seconds=time.perf_counter() - began, error=str(error))
    result = result_of(seed, scored, seconds=time.perf_counter() - began)
    if result.perfect:
        shutil.rmtree(home)
    return result


def run_dates(nights: int) -> Iterator[date]:
    """The nights that read a simulation."""
    return (DEFAULT_START + timedelta(days=1 + night) for night in range(nights))


def result_of(seed: int, scored: dict[str, Any], *, seconds: float) -> SeedResult:
    """The result of a seed from what `posrecon score --json` says."""
    every = [scored["pairs"], *scored["breaks"]]
    pairs = scored["pairs"]
    return SeedResult(
        seed,
        perfect=scored["perfect"],
        pairs=pairs["true_positives"] + pairs["false_negatives"],
        wrong=pairs["false_positives"],
        missed=pairs["false_negatives"],
        wrong_minor=scored["wrong_minor"],
        missed_minor=scored["missed_minor"],
        below=tuple(
            (one["name"], one["precision"], one["recall"])
            for one in every
            if one["precision"] < 1 or one["recall"] < 1
        ),
        timing_wrong=scored["timing_wrong"],
        delta_wrong=sum(one["delta_wrong"] for one in every),
        groups_wrong=scored["groups_wrong"],
        types={one["name"]: one["true_positives"] + one["false_negatives"] for one in scored["breaks"]},
        rules=tuple((tier["rule"], tier["right"], tier["wrong"]) for tier in scored["tiers"]),
        labels_later=scored["labels_later"],
        seconds=seconds,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds; exit code 1 when one is below 1.0 or failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.seeds", description=__doc__)
    parser.add_argument("--seeds", type=seeds_of, default=[1, 2], help="1-20, or 1,4,7-9")
    parser.add_argument("--nights", type=int, default=6)
    parser.add_argument("--rows", type=int, default=5000, help="terminal events per night")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time")
    parser.add_argument("--threads", type=int, default=1, help="DuckDB threads of each seed")
    parser.add_argument("--home", type=Path, required=True, help="scratch folder; gets report.json")
    parser.add_argument("--supersede", action="store_true", help="one file comes short, then whole")
    given = parser.parse_args(arguments)
    report = given.home.absolute() / "report.json"
    results: list[SeedResult] = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for result in pool.map(
            lambda seed: run_seed(
                seed,
                nights=given.nights,
                rows=given.rows,
                home=report.parent / f"seed-{seed}",
                threads=given.threads,
                supersede=given.supersede,
            ),
            given.seeds,
        ):
            results.append(result)
            print(result.line(), flush=True)
            content = {"nights": given.nights, "rows": given.rows, "seeds": [asdict(one) for one in results]}
            write_json(report, content, sort_keys=False)
    perfect = sum(result.perfect for result in results)
    print(
        f"{perfect} of {len(results)} seeds are 1.0; {sum(one.pairs for one in results):,} pairs, "
        f"{sum(one.wrong for one in results)} wrong, {sum(one.missed for one in results)} missed; {report}"
    )
    return 0 if perfect == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
