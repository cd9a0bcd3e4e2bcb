"""The dbt project flows one way, and says what each table is."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest

from tests.architecture.repository import DBT

Manifest = dict[str, Any]

# What a layer may read. A mart may read a dimension or another mart, and a staged table that needs no decision.
MAY_READ = {
    "staging": {"source.raw", "source.opening", "seed"},
    "intermediate": {"staging", "intermediate", "source.opening", "seed"},
    "marts": {"intermediate", "marts", "staging", "seed"},
}
# Intermediate models that decide: each has unit tests that fire, do not fire, and stand at the boundary.
DECIDES = ("pass", "break", "expected", "duplicate", "ambig", "payout")


def models(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Every model of the project."""
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model" and node["package_name"] == "posrecon":
            yield node


def layer(node: dict[str, Any]) -> str:
    return PurePosixPath(node["original_file_path"]).parts[1]


def kind(manifest: Manifest, unique_id: str) -> str:
    """What stands behind a dependency: a layer, `seed`, or `source.<name>`."""
    if unique_id.startswith("source."):
        return f"source.{manifest['sources'][unique_id]['source_name']}"
    node = manifest["nodes"][unique_id]
    return "seed" if node["resource_type"] == "seed" else layer(node)


def test_model__reads_nothing_to_its_right(manifest: Manifest) -> None:
    faults = [
        f"{node['name']} reads {dependency.rsplit('.', 1)[-1]}"
        for node in models(manifest)
        for dependency in node["depends_on"]["nodes"]
        if kind(manifest, dependency) not in MAY_READ[layer(node)]
    ]
    assert faults == []


def test_model__is_named_after_its_layer(manifest: Manifest) -> None:
    prefixes = {"staging": ("stg_",), "intermediate": ("int_",), "marts": ("fct_", "dim_", "rpt_")}
    faults = [node["name"] for node in models(manifest) if not node["name"].startswith(prefixes[layer(node)])]
    assert faults == []


def test_model__has_a_description_that_begins_with_its_grain(manifest: Manifest) -> None:
    faults = [
        node["name"] for node in models(manifest) if not node["description"].strip().startswith("Grain: ")
    ]
    assert faults == []


def test_descriptions__are_not_copied_from_one_another(manifest: Manifest) -> None:
    seen: dict[str, str] = {}
    faults = []
    for node in models(manifest):
        first = seen.setdefault(" ".join(node["description"].split()), node["name"])
        if first != node["name"] and node["description"]:
            faults.append(f"{node['name']} says what {first} says")
    assert faults == []


def test_mart__has_an_enforced_contract_and_every_column_described(manifest: Manifest) -> None:
    faults = []
    for node in models(manifest):
        if layer(node) != "marts":
            continue
        if not node["config"]["contract"]["enforced"]:
            faults.append(f"{node['name']}: the contract is not enforced")
        if not node["columns"]:
            faults.append(f"{node['name']}: no columns")
        for column in node["columns"].values():
            if not column["data_type"]:
                faults.append(f"{node['name']}.{column['name']}: no data_type")
            if not column["description"].strip():
                faults.append(f"{node['name']}.{column['name']}: no description")
    assert faults == []


def test_mart__carries_the_run_date(manifest: Manifest) -> None:
    faults = [n["name"] for n in models(manifest) if layer(n) == "marts" and "run_date" not in n["columns"]]
    assert faults == []


def test_mart__says_in_which_order_it_is_published(manifest: Manifest) -> None:
    """The same rows in the same order are the same bytes."""
    faults = []
    for node in models(manifest):
        if layer(node) != "marts":
            continue
        order = (node["config"].get("meta") or node.get("meta") or {}).get("order_by", [])
        if not order or not set(order) <= node["columns"].keys():
            faults.append(f"{node['name']}: order_by {order}")
    assert faults == []


def test_rule__has_unit_tests(manifest: Manifest) -> None:
    tested: dict[str, int] = {}
    for unit in manifest["unit_tests"].values():
        tested[unit["model"]] = tested.get(unit["model"], 0) + 1
    faults = [
        node["name"]
        for node in models(manifest)
        if layer(node) == "intermediate"
        and any(word in node["name"] for word in DECIDES)
        and "closing" not in node["name"]
        and not tested.get(node["name"])
    ]
    assert faults == []


def test_layer__has_a_test_that_counts_what_comes_out(manifest: Manifest) -> None:
    """Conservation: rows and money in = rows and money out, per layer."""
    singular = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and node.get("test_metadata") is None and "conserv" in node["name"]
    ]
    covered = {
        layer(manifest["nodes"][dependency])
        for node in singular
        for dependency in node["depends_on"]["nodes"]
        if dependency in manifest["nodes"] and manifest["nodes"][dependency]["resource_type"] == "model"
    }
    assert covered == MAY_READ.keys()


@pytest.mark.parametrize("name", ["raw", "opening"])
def test_source_table__has_a_grain_and_typed_columns(manifest: Manifest, name: str) -> None:
    tables = [node for node in manifest["sources"].values() if node["source_name"] == name]
    assert tables
    faults = [table["name"] for table in tables if not table["description"].startswith("Grain: ")]
    faults += [
        f"{table['name']}.{column['name']}"
        for table in tables
        for column in table["columns"].values()
        if not column["data_type"]
    ]
    assert faults == []


def test_models__are_described_beside_their_sql(manifest: Manifest) -> None:
    """A YAML in another folder is found by nobody."""
    faults = [
        node["name"]
        for node in models(manifest)
        if node["patch_path"] is None
        or PurePosixPath(node["patch_path"].split("://", 1)[1]).parent
        != PurePosixPath(node["original_file_path"]).parent
    ]
    assert faults == []
    assert (DBT / "models").is_dir()
