"""Time a night of a million events against one query over the same records, and watch its memory.

    python -m tests.benchmarks.night [--events N] [--merchants M] [--home DIR] [--memory-limit 2GB]
        [--datacompy-python PYTHON]

Everything is measured in one run on one machine, so that only ratios of the same run are compared: step by step, dbt
node by dbt node, and beside it one DuckDB query, one Polars join and datacompy on the same records. datacompy cannot
live beside our locked requirements, so it runs in a Python of its own that you name; without one, the report says that
it was not measured. The report is written to `bench/report.md` under POSRECON_HOME; nothing fails on a slow machine.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb

from posrecon.errors import PosreconError
from posrecon.formats.unionpay_zm import offsets
from posrecon.orchestration import ModelRun, read_run_results
from posrecon.settings import PROJECT_ROOT, Settings
from posrecon.simulate.generator import simulate

RUN_DATE = date(2026, 11, 12)
MEMORY_MAX_MB = 4000
SLOWEST_NODES = 25
# About one event in ten is declined, voided or settled on the next clearing day, so a night needs more
# events than lines.
EVENTS = 1_100_000

RECEIVED = "received"
WECHAT_COLUMNS = 27
LAYERS = ("staging", "intermediate", "marts")
IMPORTS = {
    "Python": "pass",
    "posrecon command": "import posrecon.cli",
    "dbt": "import dbt.cli.main",
    "Great Expectations": "import great_expectations",
}


@dataclass
class Measured:
    """What one command took.

    Attributes:
        seconds: Wall clock.
        peak_mb: Highest sum of the resident memory of the process and its children; shared pages count for each.
        peak_by_step: The same within each step that the command told of.
        said: Standard output.
    """

    seconds: float = 0.0
    peak_mb: int = 0
    peak_by_step: dict[str, int] = field(default_factory=dict)
    said: str = ""


def main() -> int:
    """Run the benchmark and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--merchants", type=int, default=200, help="Each sends one settlement file.")
    parser.add_argument("--home", type=Path, default=Settings().home / "bench")
    parser.add_argument("--memory-limit", help="DuckDB's limit; beyond it a night spills to disk.")
    parser.add_argument("--datacompy-python", type=Path, help="A Python that has datacompy and polars.")
    asked = parser.parse_args()
    if asked.memory_limit:
        os.environ["POSRECON_MEMORY_LIMIT"] = asked.memory_limit
    shutil.rmtree(asked.home / "large", ignore_errors=True)
    shutil.rmtree(asked.home / "small", ignore_errors=True)

    startup = {
        name: measure([sys.executable, "-c", code], asked.home).seconds for name, code in IMPORTS.items()
    }
    small = _night(asked.home / "small", events=1000, merchants=8)
    large = _night(asked.home / "large", events=asked.events, merchants=asked.merchants)
    inputs = _inputs(asked.home / "large")
    rivals = {
        "DuckDB, files as received": _rival(_received_code(asked.home / "large" / RECEIVED), asked.home),
        "DuckDB": _rival(_duckdb_code(inputs), asked.home),
        "Polars": _rival(_polars_code(inputs), asked.home),
    }
    if asked.datacompy_python:
        rivals["datacompy (Polars)"] = _rival(
            _datacompy_code(inputs), asked.home, python=str(asked.datacompy_python)
        )
    report = _report(startup, small, large, rivals, inputs) + _nodes(asked.home / "large")
    (asked.home / "report.md").write_text(report, encoding="utf-8")
    print(report)
    print(f"Written to {asked.home / 'report.md'}")
    return 0


# ------------------------------------------------------------------------------------------------ the night


def _night(home: Path, *, events: int, merchants: int) -> tuple[Measured, dict[str, float], dict[str, int]]:
    """Simulate one business date and run its night; returns what was measured, seconds by step, and counts."""
    print(f"Simulating {events:,} events of {merchants} merchants", flush=True)
    simulate(home / "inbox", seed=7, nights=1, rows=events, merchants=merchants)
    (home / "inbox" / "truth.csv").unlink()
    # The night takes the files away; the query over them reads the same bytes under another name.
    shutil.copytree(home / "inbox", home / RECEIVED, copy_function=os.link)
    print("Running the night", flush=True)
    command = [sys.executable, "-m", "posrecon.cli", "night", "--date", str(RUN_DATE), "--json"]
    measured = measure(command, home, allowed=(0, 3))
    summary = json.loads(measured.said)
    counts = {name: summary[name] for name in ("events", "lines")} | {"matched": summary["states"]["matched"]}
    return measured, summary["seconds"], counts


def measure(command: list[str], home: Path, *, allowed: tuple[int, ...] = (0,)) -> Measured:
    """Run a command; steps are the last-but-one words of the lines that it writes to standard error."""
    home.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"POSRECON_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT / "include")}
    measured = Measured()
    step = "start"
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        errors: list[str] = []

        def listen() -> None:
            nonlocal step
            for line in process.stderr or ():
                errors.append(line)
                if line.endswith("…\n"):
                    step = line.split()[1]

        said: list[str] = []
        readers = [
            threading.Thread(target=listen),
            threading.Thread(target=lambda: said.extend(process.stdout or ())),
        ]
        for reader in readers:
            reader.start()
        while process.poll() is None:
            used = _resident_mb(process.pid)
            measured.peak_mb = max(measured.peak_mb, used)
            measured.peak_by_step[step] = max(measured.peak_by_step.get(step, 0), used)
            time.sleep(0.02)
        measured.seconds = time.perf_counter() - started
        for reader in readers:
            reader.join()
    if process.returncode not in allowed:
        raise PosreconError(
            f"{' '.join(command[:5])} ended with {process.returncode}: {''.join(errors)[-2000:]}"
        )
    measured.said = "".join(said)
    return measured


def _resident_mb(root: int) -> int:
    """Resident memory of a process and all its descendants, from /proc."""
    pages, page = 0, os.sysconf("SC_PAGE_SIZE")
    waiting = [root]
    while waiting:
        process = waiting.pop()
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
            for task in Path(f"/proc/{process}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return pages * page // 1_000_000


# ------------------------------------------------------------------------------------------------ the rivals


def _inputs(home: Path) -> dict[str, Path]:
    """The same records as CSV: the terminal log in one piece, the settlement lines, the merchants. Not timed.

    Taken from the night's own partitions, because the files themselves are in the encrypted archive by now.
    """
    folder = home / "csv"
    folder.mkdir()
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as warehouse:
        for name, query in {
            "terminal_log": "select merchant_id, terminal_id, batch_no, stan, rrn, auth_code, txn_type, channel, "
            "card_masked as card_no, card_type, amount_minor, currency, txn_local as txn_time, response_code, "
            "orig_stan, orig_batch_no, orig_rrn, merchant_order_no, channel_txn_no from raw.terminal_events",
            "settlement_lines": "select * from raw.settlement_lines",
            "merchants": "select merchant_id, unionpay_mer_id from raw.merchants",
        }.items():
            warehouse.execute(f"copy ({query}) to '{folder / name}.csv' (header)")
    return {path.stem: path for path in folder.glob("*.csv")}


def _rival(code: str, home: Path, *, python: str = sys.executable) -> tuple[float, float, Measured]:
    """Run a script that prints seconds of its query and rows written; returns (query s, rows, whole process)."""
    measured = measure([python, "-c", code], home)
    seconds, rows = measured.said.split()
    return float(seconds), float(rows), measured


def _duckdb_script(query: str, target: Path) -> str:
    """A script that writes a query as Parquet and prints its seconds and its rows."""
    return f"""
import duckdb, time
started = time.perf_counter()
connection = duckdb.connect(config={{"threads": 2}})
connection.execute("set enable_progress_bar = false")  # it would stand between the figures
rows = connection.execute('''
    copy (
{query}    ) to '{target}' (format parquet, compression zstd)
''').fetchall()[0][0]
print(time.perf_counter() - started, rows)
"""


def _received_code(received: Path) -> str:
    """One query over the terminal log, the UnionPay records and the WeChat bills as they came.

    Alipay's bills are zips in GBK, which DuckDB cannot open; the query is spared them, the night is not.
    """
    at = {name: f"substr(record, {first + 1}, {last - first})" for name, (first, last) in offsets().items()}
    cells = ", ".join(f"'c{number}': 'varchar'" for number in range(WECHAT_COLUMNS))
    return _duckdb_script(
        f"""\
        with events as (
            select *, case txn_type when 'refund' then -1 else 1 end as direction
            from read_csv('{received}/terminal_log/terminal_log_*.csv', all_varchar = true)
            where response_code = '00'
        ),
        merchants as (select * from read_csv('{received}/reference/merchants.csv', all_varchar = true)),
        unionpay as (
            select
                m.merchant_id, {at["term_id"]} as terminal_id, {at["rrn"]} as rrn,
                {at["amount"]}::bigint as gross_minor, substr({at["fee"]}, 2)::bigint as fee_minor,
                substr({at["settled"]}, 2)::bigint as net_minor,
                case {at["settled"]}[1] when 'D' then -1 else 1 end as direction
            from read_csv(
                '{received}/unionpay/*', auto_detect = false, header = false, delim = '\\x01', quote = '', escape = '',
                encoding = 'latin-1', columns = {{'record': 'varchar'}}
            )
            join merchants as m on m.unionpay_mer_id = {at["mer_id"]}
        ),
        wechat as (
            select
                m.merchant_id, c6[2:] as merchant_order_no, case c9 when '`SUCCESS' then 1 else -1 end as direction,
                (c12[2:]::decimal(15, 2) * 100)::bigint as gross_minor,
                (c22[2:]::decimal(15, 5) * 100)::bigint as fee_minor, gross_minor - fee_minor as net_minor
            from read_csv(
                '{received}/wechat/*', auto_detect = false, header = false, skip = 1, delim = ',', quote = '',
                escape = '', null_padding = true, columns = {{{cells}}}
            )
            join merchants as m on m.wechat_mch_id = c2[2:]
            where starts_with(c0, '`2') and c9 is not null
        )
        select e.*, l.gross_minor, l.fee_minor, l.net_minor
        from events as e
        join unionpay as l using (merchant_id, terminal_id, rrn, direction)
        union all by name
        select e.*, l.gross_minor, l.fee_minor, l.net_minor
        from events as e
        join wechat as l using (merchant_id, merchant_order_no, direction)
""",
        received.with_suffix(".parquet"),
    )


def _duckdb_code(inputs: dict[str, Path]) -> str:
    return _duckdb_script(
        f"""\
        with events as (
            select *, case txn_type when 'refund' then -1 else 1 end as direction
            from read_csv('{inputs["terminal_log"]}', all_varchar = true)
            where response_code = '00' and rrn <> ''
        ),
        lines as (
            select l.*, m.merchant_id, case l.txn_type when 'refund' then -1 else 1 end as direction
            from read_csv('{inputs["settlement_lines"]}', all_varchar = true) as l
            join read_csv('{inputs["merchants"]}', all_varchar = true) as m on m.unionpay_mer_id =
            l.acquirer_merchant_id where l.rrn <> ''
        )
        select e.*, l.file_no, l.line_no, l.gross_minor, l.fee_minor, l.net_minor, l.settlement_date
        from events as e
        join lines as l using (merchant_id, terminal_id, rrn, direction)
""",
        inputs["merchants"].with_name("duckdb.parquet"),
    )


def _polars_code(inputs: dict[str, Path]) -> str:
    return f"""
import time
import polars as pl
started = time.perf_counter()
def read(path):
    return pl.scan_csv(path, infer_schema=False)
direction = pl.when(pl.col("txn_type") == "refund").then(-1).otherwise(1).alias("direction")
events = read('{inputs["terminal_log"]}').filter((pl.col("response_code") == "00") & (pl.col("rrn") != ""))
lines = read('{inputs["settlement_lines"]}').filter(pl.col("rrn") != "").join(
    read('{inputs["merchants"]}'), left_on="acquirer_merchant_id", right_on="unionpay_mer_id"
).with_columns(direction).select(
    "merchant_id", "terminal_id", "rrn", "direction", "file_no", "line_no", "gross_minor", "fee_minor", "net_minor",
    "settlement_date",
)
path = '{inputs["merchants"].with_name("polars.parquet")}'
events.with_columns(direction).join(lines, on=["merchant_id", "terminal_id", "rrn", "direction"]).sink_parquet(
    path, compression="zstd"
)
rows = pl.scan_parquet(path).select(pl.len()).collect().item()
print(time.perf_counter() - started, rows)
"""


def _datacompy_code(inputs: dict[str, Path]) -> str:
    return f"""
import time
import datacompy
import polars as pl
started = time.perf_counter()
def read(path):
    return pl.read_csv(path, infer_schema=False)
direction = pl.when(pl.col("txn_type") == "refund").then(-1).otherwise(1).alias("direction")
keys = ["merchant_id", "terminal_id", "rrn", "direction"]
events = read('{inputs["terminal_log"]}').filter((pl.col("response_code") == "00") & (pl.col("rrn") != ""))
events = events.with_columns(direction).select(
    *keys, (pl.col("amount_minor").cast(pl.Int64) * pl.col("direction")).alias("amount")
)
lines = read('{inputs["settlement_lines"]}').filter(pl.col("rrn") != "").join(
    read('{inputs["merchants"]}'), left_on="acquirer_merchant_id", right_on="unionpay_mer_id"
).with_columns(direction).select(*keys, pl.col("gross_minor").cast(pl.Int64).alias("amount"))
compared = datacompy.PolarsCompare(events, lines, join_columns=keys)
print(time.perf_counter() - started, compared.intersect_rows.height)
"""


# ------------------------------------------------------------------------------------------------ the report


def _nodes(home: Path) -> str:
    """What dbt's nodes took, layer by layer, the slowest first."""
    lines = ["| layer | nodes | sum, s | of which tests, s |", "|---|---:|---:|---:|"]
    every: list[tuple[str, ModelRun]] = []
    for layer in LAYERS:
        runs = read_run_results(home / "dbt" / "target" / f"run_results_{layer}.json")
        every += [(layer, run) for run in runs]
        total, tests = sum(r.seconds for r in runs), sum(r.seconds for r in runs if r.kind == "test")
        lines.append(f"| {layer} | {len(runs)} | {total:.1f} | {tests:.1f} |")
    lines += ["", f"The {SLOWEST_NODES} slowest nodes (two run at a time):", ""]
    lines += ["| node | layer | s |", "|---|---|---:|"]
    slowest = sorted(every, key=lambda entry: -entry[1].seconds)[:SLOWEST_NODES]
    lines += [f"| {run.name} | {layer} | {run.seconds:.2f} |" for layer, run in slowest]
    return "\n".join([*lines, ""])


def _report(
    startup: dict[str, float],
    small: tuple[Measured, dict[str, float], dict[str, int]],
    large: tuple[Measured, dict[str, float], dict[str, int]],
    rivals: dict[str, tuple[float, float, Measured]],
    inputs: dict[str, Path],
) -> str:
    measured, seconds, counts = large
    work = sum(seconds.values()) - sum(small[1].values())
    size_mb = sum(path.stat().st_size for path in inputs.values()) // 1_000_000
    lines = [
        "# A night, measured",
        "",
        f"{counts['events']:,} terminal events and {counts['lines']:,} settlement lines ({size_mb} MB as CSV); "
        f"{counts['matched']:,} items matched. {os.cpu_count()} cores, Python {sys.version.split()[0]}, "
        f"DuckDB {duckdb.__version__}; DuckDB's memory limit is {Settings().memory_limit}.",
        "",
        "| step | s | of which start-up and fixed cost, s | peak memory, MB |",
        "|---|---:|---:|---:|",
    ]
    for step, took in seconds.items():
        lines.append(
            f"| {step} | {took:.1f} | {small[1][step]:.1f} | {measured.peak_by_step.get(step, 0):,} |"
        )
    lines += [
        f"| **night** | **{measured.seconds:.1f}** | **{small[0].seconds:.1f}** | **{measured.peak_mb:,}** |",
        "",
        "Fixed cost: the same steps of a night with 1,000 events, in the same run. Of it, loading alone takes: "
        + ", ".join(f"{name} {took:.2f} s" for name, took in startup.items())
        + ". dbt loads while files are parsed.",
        "",
        f"Peak memory is {measured.peak_mb:,} MB; the limit is {MEMORY_MAX_MB:,} MB: "
        f"{'kept' if measured.peak_mb <= MEMORY_MAX_MB else 'NOT KEPT'}.",
        "",
        "| one query over the same records (as CSV where nothing is said), joined on pass 1, written as Parquet "
        "| s | rows | peak, MB |",
        "|---|---:|---:|---:|",
    ]
    for name, (took, rows, whole) in rivals.items():
        lines.append(f"| {name} | {took:.1f} | {int(rows):,} | {whole.peak_mb:,} |")
    if "datacompy (Polars)" not in rivals:
        lines += ["", "datacompy was not measured: it needs a Python of its own (`--datacompy-python`)."]
    lines.append("")
    for name, (took, _, _) in rivals.items():
        # Small runs on a busy machine can be faster than the small night; then there is nothing to say.
        net = f"; without fixed cost {work / took:.1f} times" if work > 0 else ""
        lines.append(f"The night takes {measured.seconds / took:.1f} times the {name} query{net}.")
    lines += [
        "",
        "A query reads and joins once; over the files as received it leaves out Alipay's bills. The night also "
        "receives, hashes, encrypts and archives the files, checks fixed-width records and totals, masks cards, finds "
        "repeats, voids and reversals, matches in passes with uniqueness on both sides, judges fees, dates and "
        "payouts, tests conservation on each layer, runs the expectations and publishes.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
