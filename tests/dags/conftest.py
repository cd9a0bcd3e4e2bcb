"""Airflow runs in child processes only: its settings are read once, at import, from the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from posrecon.local_airflow import airflow_home, environment
from posrecon.settings import PROJECT_ROOT, Settings

DAGS = PROJECT_ROOT / "dags"

INSPECT = """
import json, sys, time
import airflow.sdk  # Airflow's own cost is not the DAG files' cost
import airflow.dag_processing.dagbag
import airflow.providers.standard.decorators.sensor
before, started = set(sys.modules), time.process_time()
bag = airflow.dag_processing.dagbag.DagBag(dag_folder=sys.argv[1], bundle_name="dags-folder")
seconds, loaded = time.process_time() - started, sorted(set(sys.modules) - before)
from airflow.serialization.serialized_objects import DagSerialization
from pendulum import datetime as instant
from airflow.timetables.base import TimeRestriction
from airflow.serialization.encoders import coerce_to_core_timetable
def assets(dag):
    condition = getattr(dag.timetable, "asset_condition", None)
    return sorted(asset.name for asset in condition.objects) if condition is not None else []
def infos(dag):
    if not dag.schedule or assets(dag):
        return []
    from airflow.timetables.base import DataInterval
    timetable = coerce_to_core_timetable(dag.timetable)
    last = DataInterval.exact(instant(2026, 11, 11, 14, 30, tz="UTC"))
    info = timetable.next_dagrun_info(
        last_automated_data_interval=last, restriction=TimeRestriction(None, None, catchup=True))
    return [info.logical_date.isoformat(), info.run_after.isoformat()]
print("RESULT" + json.dumps({
    "errors": {str(k): v for k, v in bag.import_errors.items()},
    "seconds": seconds,
    "loaded": loaded,
    "dags": {dag.dag_id: {
        "serialized": bool(DagSerialization.serialize_dag(dag)),
        "schedule": getattr(dag.timetable, "expression", None),
        "timezone": str(getattr(dag.timetable, "timezone", "")),
        "next": infos(dag), "assets": assets(dag),
        "start_date": str(dag.start_date), "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
        "params": {name: {"value": p.value, "schema": p.schema}
                   for name in dag.params for p in [dag.params.get_param(name)]},
        "tasks": {task.task_id: {
            "pool": task.pool, "pool_slots": task.pool_slots, "retries": task.retries,
            "policy": task.retry_policy.serialize(), "depends_on_past": task.depends_on_past,
            "trigger_rule": str(task.trigger_rule.value), "mapped": task.is_mapped,
            "upstream": sorted(task.upstream_task_ids), "outlets": sorted(a.name for a in task.outlets),
            "on_failure": bool(task.on_failure_callback), "on_success": bool(task.on_success_callback),
        } for task in dag.tasks},
    } for dag in bag.dags.values()},
}, default=str))
"""


def airflow_environment(home: Path, **extra: str) -> dict[str, str]:
    """The environment of the embedded default on a home of the test's own."""
    settings = Settings(home=home)
    airflow_home(settings).mkdir(parents=True, exist_ok=True)
    return os.environ | environment(settings) | extra


def run_python(arguments: list[str], env: dict[str, str], *, timeout_s: int) -> str:
    """Run Python and return what it prints; a failure shows everything that it said."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow sees in the DAG files, loaded once in a fresh process."""
    env = airflow_environment(tmp_path_factory.mktemp("inspected"))
    out = run_python(["-c", INSPECT, str(DAGS)], env, timeout_s=120)
    return json.loads(next(line for line in out.splitlines() if line.startswith("RESULT"))[len("RESULT") :])


@pytest.fixture(scope="session")
def four_nights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What four nights of the real DAG did, with the work behind it replaced (see four_nights.py)."""
    home = tmp_path_factory.mktemp("four_nights")
    result = home / "result.json"
    script = Path(__file__).with_name("four_nights.py")
    run_python([str(script), str(DAGS), str(result)], airflow_environment(home), timeout_s=300)
    return json.loads(result.read_text(encoding="utf-8"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings on an empty home."""
    return Settings(home=tmp_path)
