"""Runs dbt on warehouses of its own: nothing is written beside the test's scratch folder."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from posrecon.warehouse.declarations import source_tables

DBT = Path(__file__).resolve().parents[2] / "dbt_project"


@dataclass(frozen=True)
class Run:
    """What one dbt command said."""

    returncode: int
    output: str
    results: list[dict[str, Any]]
    target: Path

    def failed(self) -> list[str]:
        """Names of the nodes that did not pass."""
        return sorted(
            result["unique_id"].rsplit(".", 1)[-1]
            for result in self.results
            if result["status"] not in ("success", "pass", "no-op")
        )


def make_warehouse(path: Path, *, as_tables: bool = False) -> None:
    """A warehouse whose schemas `raw` and `opening` are as declared and empty; tables when rows will be added."""
    with duckdb.connect(str(path)) as warehouse:
        for source in ("raw", "opening"):
            warehouse.execute(f"create schema {source}")
            for table in source_tables(DBT, source):
                columns = ", ".join(f"cast(null as {c.data_type}) as {c.name}" for c in table.columns)
                kind = "table" if as_tables else "view"
                warehouse.execute(f"create {kind} {source}.{table.name} as select {columns} where false")


def run_dbt(
    arguments: list[str], *, warehouse: Path, scratch: Path, project: Path = DBT, run_date: str = "2026-11-13"
) -> Run:
    """One dbt process; `scratch` takes its target and logs."""
    target = scratch / "target"
    (target / "run_results.json").unlink(missing_ok=True)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            "--no-use-colors",
            "--no-version-check",
            *arguments,
            "--vars", json.dumps({"run_date": run_date}),
            "--project-dir", str(project),
            "--profiles-dir", str(project),
            "--target-path", str(target),
            "--log-path", str(scratch / "logs"),
        ],
        env={
            **os.environ,
            "POSRECON_WAREHOUSE": str(warehouse),
            "POSRECON_TMP": str(scratch),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    report = target / "run_results.json"
    results = json.loads(report.read_text(encoding="utf-8"))["results"] if report.exists() else []
    return Run(done.returncode, done.stdout + done.stderr, results, target)


def declared_unit_tests() -> list[str]:
    """Names of all unit tests, as the YAML files declare them."""
    return [
        unit["name"]
        for path in sorted((DBT / "models").rglob("*.yml"))
        for unit in yaml.safe_load(path.read_text(encoding="utf-8")).get("unit_tests", [])
    ]
