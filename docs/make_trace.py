"""Write docs/trace.md: ten figures of two simulated nights, each followed to the lines as they were received.

Run it with `make docs`, or `python docs/make_trace.py`; it takes two nights, about a minute.
"""

import os
import shutil
import tempfile
from datetime import date
from pathlib import Path

from posrecon.proof.trace import as_text, control_key, trace
from posrecon.reporting.lookup import Row, open_published, rows_of
from posrecon.settings import Settings

PAGE = Path(__file__).with_name("trace.md")
SEED, NIGHTS, ROWS = 11, (date(2026, 11, 12), date(2026, 11, 13)), 500
KEYS = {"POSRECON_TOKEN_KEY": "11" * 32, "POSRECON_ARCHIVE_KEY": "22" * 32}
LINES_SHOWN = 3
LINES_NAMED = 8

HEAD = """# Ten figures, traced

Made by `python docs/make_trace.py`; do not edit. Two simulated nights (`posrecon simulate --seed 11 --nights 2
--rows 500`), ten published figures, each followed by `posrecon audit trace KEY` to the lines of the files as they
were received. A sum is added up again from its lines. A test makes every trace again and compares.

To check one by hand: take the file from the simulated inbox, compare its SHA-256 (`sha256sum FILE`), and look at the
line (`sed -n LINEp FILE`; of a bank statement the line counts entries). The test does that too, for every line here.
"""


def chosen(settings: Settings) -> list[tuple[str, str]]:
    """Ten keys, each with what it is; always the same ones for the same nights."""
    with open_published(settings) as published:

        def first(query: str) -> Row:
            return rows_of(published, f"{query} limit 1")[0]

        def broken(break_type: str) -> str:
            query = f"select break_id from fct_breaks where break_type = '{break_type}' order by break_id"
            return str(first(query)["break_id"])

        pair = first(
            "select * from fct_reconciliation where match_state = 'matched' and acquirer = 'unionpay' "
            "and txn_type = 'sale' and delta_minor = 0 "
            "and payout_id in (select payout_id from fct_payouts where state = 'funded') order by item_id"
        )
        cell = first(
            "select * from rpt_daily_control where side = 'settlement' and acquirer = 'unionpay' "
            "and currency = 'CNY' order by run_date desc"
        )
        wallet = first(
            "select * from rpt_daily_control where side = 'terminal' and acquirer = 'wechat' order by run_date"
        )
        payout = first(
            "select payout_id from fct_payouts where acquirer = 'unionpay' and state = 'funded' order by payout_id"
        )
        candidate = first(
            "select candidate_id from dispute_candidates where break_type = 'amount_mismatch' order by candidate_id"
        )
        disputed = {name: broken(name) for name in ("missing_in_settlement", "duplicate_in_settlement")}
    where = "/".join(cell[name] for name in ("acquirer", "channel", "currency", "side"))
    return [
        ("A matched sale: both lines, and the bank's entry", pair["item_id"]),
        ("Back from its terminal line: every figure that uses it", f"{pair['terminal_file']}:{pair['terminal_line']}"),
        ("A sale that was not settled", disputed["missing_in_settlement"]),
        ("A line settled twice", disputed["duplicate_in_settlement"]),
        ("A dispute candidate: the amount differs", candidate["candidate_id"]),
        ("A payout: its settlement lines add up to it", payout["payout_id"]),
        ("What the second night left open at UnionPay, in money", control_key(cell, "closing_minor")),
        ("What WeChat's terminals brought on the first night, in items", control_key(wallet, "new_items")),
        ("A total of the month's control report", f"report:2026-11/totals/{where}/matched_minor"),
        ("A count of the month's control report", "report:2026-11/breaks/stan_gap/CNY/opened"),
    ]  # fmt: skip


def rendered(settings: Settings) -> str:
    """The page, for the home of the two nights."""
    parts = [HEAD]
    for number, (title, key) in enumerate(chosen(settings), start=1):
        found = trace(settings, key, limit=LINES_SHOWN)
        text = _shortened(as_text(found).splitlines())
        parts.append(f"\n## {number}. {title}\n\n`posrecon audit trace {key} --limit {LINES_SHOWN}`\n")
        parts.append("\n```\n" + "\n".join(text) + "\n```\n")
    return "".join(parts)


def _shortened(lines: list[str]) -> list[str]:
    """The first lines of long lists, and how many more there are; nothing else is left out."""
    kept: list[str] = []
    run: list[str] = []

    def end_run() -> None:
        kept.extend(run[:LINES_NAMED])
        if len(run) > LINES_NAMED:
            kept.append(f"  … and {len(run) - LINES_NAMED} more lines like these")
        run.clear()

    for line in lines:
        is_bare = line.startswith(("  settlement: ", "  terminal log: "))
        if not is_bare:
            end_run()
            kept.append(line.rstrip())
        else:
            run.append(line.rstrip())
    end_run()
    return kept


def main() -> None:
    """Run the two nights in a scratch home and write the page."""
    from posrecon.night import run_night
    from posrecon.simulate.generator import simulate

    os.environ.update(KEYS)
    with tempfile.TemporaryDirectory() as scratch:
        inbox = Path(scratch) / "inbox"
        simulate(inbox, seed=SEED, nights=len(NIGHTS), rows=ROWS)
        home = Path(scratch) / "home"
        shutil.copytree(inbox, home / "inbox", ignore=shutil.ignore_patterns("truth.csv"))
        settings = Settings(home=home)
        for night in NIGHTS:
            run_night(settings, night)
        PAGE.write_text(rendered(settings), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
