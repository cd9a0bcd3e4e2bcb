"""Time night after night of one home: what is open and what is remembered grows, a night should not.

    python -m tests.benchmarks.growth [--nights 60] [--events N] [--merchants M] [--home DIR]

Every night is a real one, run by the command line in a process of its own. The report is written to
`bench/growth.md` under POSRECON_HOME. Night 1 has no history and is left out of the comparison.
"""

import argparse
import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from posrecon.settings import Settings
from posrecon.simulate.generator import simulate
from tests.benchmarks.night import RUN_DATE, measure

GROWTH_MAX = 1.1


def main() -> int:
    """Run the nights and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--events", type=int, default=200_000, help="Per night.")
    parser.add_argument("--merchants", type=int, default=60)
    parser.add_argument("--home", type=Path, default=Settings().home / "bench" / "growth")
    asked = parser.parse_args()
    if asked.nights < 3:
        parser.error("--nights: at least 3, because the first has no history")
    shutil.rmtree(asked.home, ignore_errors=True)
    simulate(asked.home / "inbox", seed=7, nights=asked.nights, rows=asked.events, merchants=asked.merchants)
    (asked.home / "inbox" / "truth.csv").unlink()

    nights: list[dict[str, float]] = []
    for number in range(asked.nights):
        run_date = RUN_DATE + timedelta(days=number)
        command = [sys.executable, "-m", "posrecon.cli", "night", "--date", str(run_date), "--json"]
        measured = measure(command, asked.home, allowed=(0, 3))
        nights.append({"whole": measured.seconds} | json.loads(measured.said)["seconds"])
        print(f"Night {number + 1} of {asked.nights}: {measured.seconds:.1f} s", flush=True)
    report = _report(nights, asked.events)
    target = asked.home.parent / "growth.md"
    target.write_text(report, encoding="utf-8")
    print(report)
    print(f"Written to {target}")
    return 0


def _report(nights: list[dict[str, float]], events: int) -> str:
    steps = list(nights[0])
    lines = [f"# {len(nights)} nights of {events:,} events", ""]
    lines += ["| night | " + " | ".join(f"{step}, s" for step in steps) + " |"]
    lines += ["|---:|" + "---:|" * len(steps)]
    for number, seconds in enumerate(nights, start=1):
        lines.append(f"| {number} | " + " | ".join(f"{seconds[step]:.1f}" for step in steps) + " |")
    # Single nights of a shared machine differ by more than growth does, so three stand on either side.
    early = sorted(night["whole"] for night in nights[1:4])[len(nights[1:4]) // 2]
    late = sorted(night["whole"] for night in nights[-3:])[1]
    lines += [
        "",
        f"The median of the last three nights is {late / early:.2f} times the median of nights 2 to 4; the limit is "
        f"{GROWTH_MAX}: {'kept' if late <= GROWTH_MAX * early else 'NOT KEPT'}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
