"""The dbt project compiled once, then run as plain SQL: a night of a few records in a second, without dbt.

Everything around the SQL is the real thing: receipts, parsers, registry, doors of the warehouse, publishing. Only dbt's
own process and the dispute rules are left out. A slow test shows that both ways publish the same bytes.
"""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from posrecon.landing import parse_file, receive, register
from posrecon.settings import Settings
from posrecon.validation.candidates import CANDIDATE_COLUMNS
from posrecon.warehouse.connection import connect
from posrecon.warehouse.expose import expose
from posrecon.warehouse.publish import publish
from tests.dbt.project import DBT, make_warehouse, run_dbt

COMPILED_FOR = "2026-11-13"
SCHEMAS = ("staging", "intermediate", "marts", "reference")


@dataclass(frozen=True, repr=False)
class Node:
    """One model, seed or data test, compiled.

    Attributes:
        relation: Schema and name, quoted; empty for a test.
        kind: table, view, seed or test.
        sql: What dbt would run, for the night COMPILED_FOR; the path of the file for a seed.
        columns: (name, type) where the model's contract is enforced.
    """

    name: str
    relation: str
    kind: str
    sql: str
    columns: tuple[tuple[str, str], ...] = ()


def compile_project(scratch: Path) -> tuple[Node, ...]:
    """Compile the project with dbt; nodes in an order in which they can run, data tests last."""
    warehouse = scratch / "warehouse.duckdb"
    make_warehouse(warehouse)
    run = run_dbt(["compile"], warehouse=warehouse, scratch=scratch, run_date=COMPILED_FOR)
    assert run.returncode == 0, run.output[-4000:]
    nodes = json.loads((run.target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    ordered: dict[str, Node] = {}

    def visit(name: str) -> None:
        if name in ordered or name not in nodes:
            return
        for parent in nodes[name]["depends_on"].get("nodes", []):
            visit(parent)
        ordered[name] = _node(nodes[name])

    for name, node in sorted(nodes.items()):
        if node["resource_type"] in ("model", "seed"):
            visit(name)
    models = list(ordered.values())
    for name, node in sorted(nodes.items()):
        if node["resource_type"] == "test":
            ordered[name] = _node(node)
    return (*models, *(node for node in ordered.values() if node.kind == "test"))


def _node(node: dict[str, Any]) -> Node:
    kind = node["resource_type"]
    if kind == "test":
        return Node(node["name"], "", "test", node["compiled_code"])
    relation = f'"{node["schema"]}"."{node["alias"]}"'
    if kind == "seed":
        types = tuple(node["config"].get("column_types", {}).items())
        return Node(node["name"], relation, "seed", str(DBT / node["original_file_path"]), types)
    contract = node["config"].get("contract", {}).get("enforced")
    columns = tuple((one["name"], one["data_type"]) for one in node["columns"].values()) if contract else ()
    return Node(node["name"], relation, node["config"]["materialized"], node["compiled_code"], columns)


def run_night(
    nodes: tuple[Node, ...],
    settings: Settings,
    run_date: date,
    *,
    from_archive: bool = False,
    data_tests: bool = True,
) -> list[str]:
    """Run one night from the inbox (or the archive) to the published tables.

    Returns:
        Names of the data tests that found something.
    """
    for file_id in receive(settings, run_date, from_archive=from_archive):
        parse_file(settings, run_date, file_id)
    register(settings, run_date)
    expose(settings, run_date)
    with connect(settings, settings.warehouse) as warehouse:
        warehouse.execute("begin")  # one write to disk instead of a hundred
        for schema in SCHEMAS:
            warehouse.execute(f"create schema if not exists {schema}")
        for node in nodes:
            if node.kind != "test":
                _build(warehouse, node, run_date)
        tests = [node for node in nodes if node.kind == "test"] if data_tests else []
        failed = [node.name for node in tests if _finds(warehouse, node, run_date)]
        declared = ", ".join(f"{name} {data_type}" for name, data_type in CANDIDATE_COLUMNS)
        warehouse.execute(f"create table marts.dispute_candidates ({declared})")
        warehouse.execute("commit")
    publish(settings, run_date)
    return failed


def _build(warehouse: duckdb.DuckDBPyConnection, node: Node, run_date: date) -> None:
    if node.kind == "seed":
        types = ", ".join(f"'{name}': '{data_type}'" for name, data_type in node.columns)
        typed = f", types = {{{types}}}" if types else ""
        warehouse.execute(
            f"create table {node.relation} as from read_csv('{node.sql}', header = true{typed})"
        )
        return
    sql = _of_night(node.sql, run_date)
    if node.columns:
        casts = ", ".join(f'cast("{name}" as {data_type}) as "{name}"' for name, data_type in node.columns)
        sql = f"select {casts} from ({sql}\n)"
    kind = "view" if node.kind == "view" else "table"
    warehouse.execute(f"create {kind} {node.relation} as {sql}")


def _finds(warehouse: duckdb.DuckDBPyConnection, node: Node, run_date: date) -> bool:
    sql = _of_night(node.sql, run_date)
    return bool(warehouse.execute(f"select 1 from ({sql}\n) limit 1").fetchall())


def _of_night(sql: str, run_date: date) -> str:
    return sql.replace(COMPILED_FOR, str(run_date))
