"""Run one layer of the dbt project on tonight's warehouse."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

import duckdb

from posrecon.errors import NightError
from posrecon.settings import Settings
from posrecon.warehouse.connection import connect
from posrecon.warehouse.expose import check_night

LAYERS = ("staging", "intermediate", "marts")

# Called with the nodes finished so far and their total.
Progress = Callable[[int, int], None]


def run_layer(settings: Settings, run_date: date, layer: str, *, on_progress: Progress | None = None) -> None:
    """Build one layer with its data tests; unit tests run with the project's own tests, not at night.

    One process per layer: DuckDB has one writer, and a start of dbt costs seconds, so a process per model
    would cost minutes. A test that spans layers runs with the right-most of them (indirect selection
    `buildable`).

    Args:
        settings: Where state lives.
        run_date: The night; the warehouse must have been exposed for it.
        layer: One of `LAYERS`.
        on_progress: Called as nodes finish.

    Raises:
        NightError: A model or a data test failed; names it, with the first lines of the cause.
    """
    with connect(settings, settings.warehouse, read_only=True) as warehouse:
        check_night(warehouse, run_date)
    select = [f"path:models/{layer}"]
    if layer == "staging":
        select += ["path:seeds", "source:*"]
    variables = {"run_date": run_date.isoformat(), "lookback_days": settings.lookback_days}
    end = _dbt(
        settings,
        [
            "build",
            "--select", *select,
            "--indirect-selection", "buildable",
            "--exclude-resource-type", "unit_test",
            "--vars", json.dumps(variables),
        ],
        on_progress,
    )  # fmt: skip
    if not end["success"]:
        raise _failure(settings, run_date, layer, end)


def _dbt(settings: Settings, arguments: list[str], on_progress: Progress | None) -> dict[str, Any]:
    """Run dbt in a child process; returns its last report."""
    folder = settings.home / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "posrecon.transform.worker",
        "--quiet", "--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors",
        "--log-level-file", "info",
        "--log-path", str(folder / "logs"),
        *arguments,
        "--project-dir", str(settings.dbt_dir),
        "--profiles-dir", str(settings.dbt_dir),
        "--target-path", str(folder / "target"),
    ]  # fmt: skip
    environment = os.environ | {
        "POSRECON_WAREHOUSE": str(settings.warehouse),
        "POSRECON_THREADS": str(settings.threads),
        "POSRECON_MEMORY_LIMIT": settings.memory_limit,
        "POSRECON_TMP": str(settings.tmp / "duckdb"),
        "POSRECON_ZONE": settings.zone,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "PYTHONHASHSEED": "0",
    }
    end: dict[str, Any] = {"success": False, "exception": "", "failures": []}
    done = total = 0
    with (folder / "stderr.log").open("w+", encoding="utf-8") as errors:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True
        ) as child:
            try:
                for line in child.stdout or ():
                    report = json.loads(line)
                    if report["event"] == "start":
                        total = report["nodes"]
                    elif report["event"] == "node":
                        done += 1
                    elif report["event"] == "end":
                        end = report
                    if on_progress is not None and total:
                        on_progress(min(done, total), total)
            except BaseException:
                child.kill()
                raise
        if not end["success"] and not end["exception"] and not end["failures"]:
            errors.seek(0)
            end["exception"] = errors.read()[-2000:] or f"dbt ended with exit code {child.returncode}"
    return end


def _failure(settings: Settings, run_date: date, layer: str, end: dict[str, Any]) -> NightError:
    """Turn dbt's report into one error: what failed, where, why, and what to do."""
    log = settings.home / "dbt" / "logs" / "dbt.log"
    if not end["failures"]:
        return NightError(
            f"dbt could not start layer {layer} of the night {run_date}: {_first_lines(end['exception'])}",
            next_step=f"The whole log is {log}.",
        )
    parts = []
    for failure in end["failures"]:
        what = f"{failure['kind']} {failure['name']} ({failure['path']}): {_first_lines(failure['message'])}"
        if failure["kind"] == "test" and failure["status"] == "fail":
            what += _sample(settings, failure["sql"])
        parts.append(what)
    count = len(parts)
    return NightError(
        f"dbt layer {layer} of the night {run_date} failed in {count} place{'s' if count > 1 else ''}: "
        + "; ".join(parts),
        next_step=f"Nothing was published. Look at the rows in {settings.warehouse} and the log {log}; "
        f"then run: posrecon night --date {run_date}.",
    )


def _sample(settings: Settings, sql: str) -> str:
    """The first failing rows of a data test, to show where to look."""
    if not sql:
        return ""
    try:
        with connect(settings, settings.warehouse, read_only=True) as warehouse:
            result = warehouse.execute(f"select * from ({sql}) limit 3")
            names = [column[0] for column in result.description or []]
            rows = result.fetchall()
    except duckdb.Error:
        return ""
    shown = ["{" + ", ".join(f"{n}={v}" for n, v in zip(names, row, strict=True)) + "}" for row in rows]
    return " first rows: " + ", ".join(shown)


def _first_lines(text: str, *, count: int = 6) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " / ".join(lines[:count])
