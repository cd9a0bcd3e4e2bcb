"""Run the layers of the dbt project on tonight's warehouse."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import date
from types import TracebackType
from typing import Any, Self

import duckdb

from posrecon.errors import NightError
from posrecon.settings import Settings
from posrecon.warehouse.connection import connect
from posrecon.warehouse.expose import check_night

# Called with the nodes finished so far and their total.
Progress = Callable[[int, int], None]


class DbtSession:
    """One dbt process of one night.

    A process of its own, because dbt keeps state (adapters, flags) for the life of a process, and because
    its end gives back the lock on the warehouse and all memory for certain. Starting it loads dbt and
    parses the project in the background; the layers then run in it one after the other without paying for
    that again.

    Args:
        settings: Where state lives; targets and logs of dbt lie under home/dbt.
        run_date: The night; dbt's only variable beside the look-back.
    """

    def __init__(self, settings: Settings, run_date: date) -> None:
        self._settings = settings
        self._run_date = run_date
        self._stack = ExitStack()
        folder = settings.home / "dbt"
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "logs" / "dbt.log"
        self._errors = self._stack.enter_context((folder / "stderr.log").open("w+", encoding="utf-8"))
        variables = {"run_date": run_date.isoformat(), "lookback_days": settings.lookback_days}
        command = [
            sys.executable, "-m", "posrecon.transform.worker",
            "--quiet", "--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors",
            "--log-level-file", "info",
            "--log-path", str(self._log.parent),
            "--project-dir", str(settings.dbt_dir),
            "--profiles-dir", str(settings.dbt_dir),
            "--target-path", str(folder / "target"),
            "--vars", json.dumps(variables),
        ]  # fmt: skip
        environment = os.environ | {
            "POSRECON_WAREHOUSE": str(settings.warehouse),
            "POSRECON_THREADS": str(settings.threads),
            "POSRECON_MEMORY_LIMIT": settings.memory_limit,
            "POSRECON_TMP": str(settings.tmp / "duckdb"),
            "POSRECON_ZONE": settings.zone,
        }
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
            bufsize=1,
        )
        self._stack.callback(self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and wait for it; the warehouse is free afterwards."""
        self._stack.close()

    def run_layer(self, layer: str, on_progress: Progress | None = None) -> None:
        """Build one layer with its data tests; unit tests run with the project's own tests, not at night.

        A test that spans layers runs with the right-most of them (indirect selection `buildable`).

        Raises:
            NightError: A model or a data test failed; names it, with the first lines of the cause.
        """
        with connect(self._settings, self._settings.warehouse, read_only=True) as warehouse:
            check_night(warehouse, self._run_date)
        select = [f"path:models/{layer}"]
        if layer == "staging":  # the first: seeds and tests of the sources go with it
            select += ["path:seeds", "source:*"]
        end = self._dbt(
            [
                "build", "--select", *select, "--indirect-selection", "buildable",
                "--exclude-resource-type", "unit_test",
            ],
            on_progress,
        )  # fmt: skip
        if not end["success"]:
            raise self._failure(layer, end)
        # The next layer's command writes its own over it.
        results = self._settings.home / "dbt" / "target" / "run_results.json"
        if results.exists():
            shutil.copyfile(results, results.with_name(f"run_results_{layer}.json"))

    def _dbt(self, arguments: list[str], on_progress: Progress | None) -> dict[str, Any]:
        """Run one command; returns dbt's last report."""
        if self._child.stdin is None or self._child.stdout is None:
            raise ValueError("the process has no pipes")
        # It may have ended early; what it said before tells why.
        with suppress(BrokenPipeError):
            self._child.stdin.write(json.dumps(arguments) + "\n")
        done = total = 0
        for line in self._child.stdout:
            report: dict[str, Any] = json.loads(line)
            if report["event"] == "end":
                return report
            if report["event"] == "start":
                total = report["nodes"]
            else:
                done += 1
            if on_progress is not None and total:
                on_progress(min(done, total), total)
        code = self._child.wait()
        self._errors.seek(0)
        said = self._errors.read()[-2000:] or f"the process ended with exit code {code}"
        return {"success": False, "exception": said, "failures": []}

    def _failure(self, layer: str, end: dict[str, Any]) -> NightError:
        """Turn dbt's report into one error: what failed, where, why, and what to do."""
        night = self._run_date
        if not end["failures"]:
            return NightError(
                f"dbt could not run layer {layer} of the night {night}: {_first_lines(end['exception'])}",
                next_step=f"The whole log is {self._log}.",
            )
        parts = []
        for failure in end["failures"]:
            what = f"{failure['kind']} {failure['name']} ({failure['path']}): "
            what += _first_lines(failure["message"])
            if failure["kind"] == "test" and failure["status"] == "fail":
                what += _sample(self._settings, failure["sql"])
            parts.append(what)
        count = len(parts)
        return NightError(
            f"dbt layer {layer} of the night {night} failed in {count} place{'s' if count > 1 else ''}: "
            + "; ".join(parts),
            next_step=f"Nothing was published. The rows are in {self._settings.warehouse}, the log is "
            f"{self._log}. Then run: posrecon night --date {night}.",
        )

    def _end(self) -> None:
        """Close the pipe, which ends the child, and wait."""
        if self._child.stdin is not None:
            with suppress(BrokenPipeError):
                self._child.stdin.close()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


def run_layer(settings: Settings, run_date: date, layer: str, *, on_progress: Progress | None = None) -> None:
    """Build one layer in a dbt process of its own, as a scheduler's task does.

    One process per layer, not per model: a start of dbt costs seconds.

    Raises:
        NightError: A model or a data test failed; names it, with the first lines of the cause.
    """
    with DbtSession(settings, run_date) as session:
        session.run_layer(layer, on_progress)


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
