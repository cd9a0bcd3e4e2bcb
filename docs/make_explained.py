"""Write docs/explained.md: `posrecon explain` on one example of every break type, from simulated nights.

    python docs/make_explained.py [--home DIR]

The same code writes the same bytes: a test makes the page again and compares.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
SEED, NIGHTS, ROWS = 7, 3, 1000
FIRST_NIGHT = date(2026, 11, 12)
# Card tokens are not shown, but a home has one key for all of its nights.
KEYS = {"POSRECON_TOKEN_KEY": "11" * 32, "POSRECON_ARCHIVE_KEY": "22" * 32}

# How a person would name the example of a type, where it is not by the RRN or the order number.
BY_STAN = frozenset({"declined_but_settled", "stan_gap", "orphan_reference"})
# UnionPay's own reference of the transfers of a settlement date, as simulated statements have it.
BANK_REFERENCE = "UP20261112"
BY_EVIDENCE = frozenset({"missing_in_terminal_log", "duplicate_in_terminal_log", "batch_out_of_balance"})

HEAD = """# Explained: one example of every break type

`posrecon explain KEY` tells the whole story of one transaction, payout or bank entry: the rules in the order in which
they were tried, each with its candidates and what became of them, the dates against the banking calendar, the nights,
the breaks with what was found and what to do, the payout, the bank entry, and the lines as they were received. KEY is
an RRN, a STAN (alone or as `terminal/STAN`), an order or refund number, an item id, a payout id, a bank reference, a
break id, or `file:line` of the evidence.

`docs/make_explained.py` writes this page from {nights} simulated nights (seed {seed}, {rows:,} events each); nothing in
it is written by hand.
"""


def make(home: Path) -> str:
    """Simulate, run the nights, explain; returns the page.

    Args:
        home: A missing folder, or one in which a former call has run the nights.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSRECON_")}
    environment |= {**KEYS, "POSRECON_HOME": str(home), "PYTHONPATH": str(ROOT / "include")}

    def posrecon(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "posrecon.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"posrecon {' '.join(arguments)}: {done.stderr}")
        return done.stdout.strip()

    size = ("--seed", str(SEED), "--nights", str(NIGHTS), "--rows", str(ROWS))
    if not (home / "published" / "posrecon.duckdb").exists():
        posrecon("simulate", "--out", str(home / "inbox"), *size)
        for night in range(NIGHTS):
            posrecon("night", "--date", str(FIRST_NIGHT + timedelta(days=night)))
    with (ROOT / "dbt_project" / "seeds" / "break_types.csv").open(encoding="utf-8") as lines:
        types = list(csv.DictReader(lines))
    page = HEAD.format(nights=NIGHTS, seed=SEED, rows=ROWS)
    with duckdb.connect(str(home / "published" / "posrecon.duckdb"), read_only=True) as published:
        for kind in types:
            key = example(published, kind["break_type"])
            told = posrecon("explain", key, "--limit", "1")
            page += f"\n## {kind['break_type']}\n\n{kind['label_en']}, {kind['label_zh']}.\n\n"
            page += f"```console\n$ posrecon explain {key} --limit 1\n{told}\n```\n"
    told = posrecon("explain", BANK_REFERENCE, "--limit", "1")
    page += "\n## By a bank reference\n\nWhat an entry of a bank statement pays.\n\n"
    page += f"```console\n$ posrecon explain {BANK_REFERENCE} --limit 1\n{told}\n```\n"
    return page


def example(published: duckdb.DuckDBPyConnection, break_type: str) -> str:
    """The key of the first break of a type that names nothing else, as a person would give it."""
    rows = published.execute(
        """
        select
            breaks.item_id, breaks.payout_id, breaks.terminal_file || ':' || breaks.terminal_line as terminal,
            breaks.settlement_file || ':' || breaks.settlement_line as settlement,
            breaks.bank_file || ':' || breaks.bank_line as bank,
            items.rrn, items.merchant_order_no, items.terminal_id || '/' || items.stan as stan,
            (select count(*) from marts.fct_reconciliation as others where others.rrn = items.rrn) as rrns
        from marts.fct_breaks as breaks
        left join marts.fct_reconciliation as items using (item_id)
        where breaks.break_type = ?
        order by breaks.opened_on, breaks.status desc, items.item_id is null, breaks.item_id
        """,
        [break_type],
    ).fetchall()
    if not rows:
        raise RuntimeError(f"the simulation has no {break_type}: choose another seed")
    item_id, payout_id, terminal, settlement, bank, rrn, order_no, stan, rrns = rows[0]
    if break_type.startswith("payout_"):
        return str(payout_id)
    if bank is not None:
        return str(bank)
    if break_type in BY_EVIDENCE:
        return str(terminal or settlement)
    if break_type in BY_STAN and stan is not None:
        return str(stan)
    if rrns == 1:
        return str(rrn)
    return str(order_no or item_id)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="where the nights are run; by default a temporary folder")
    given = parser.parse_args()
    target = ROOT / "docs" / "explained.md"
    with tempfile.TemporaryDirectory() as scratch:
        target.write_text(make(given.home or Path(scratch) / "home"), encoding="utf-8")
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
