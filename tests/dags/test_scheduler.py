"""A real Airflow: scheduler, DAG processor, API server and triggerer on SQLite, LocalExecutor, on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from posrecon.settings import PROJECT_ROOT, Settings
from posrecon.warehouse.manifests import published_nights
from tests.dags.conftest import airflow_environment, run_python

pytestmark = pytest.mark.slow

DAG = "nightly_reconciliation"
START_TIMEOUT_S = 180
NIGHT_TIMEOUT_S = 600


class Airflow:
    """The REST interface of one running Airflow."""

    def __init__(self, port: int, log: Path, process: "subprocess.Popen[bytes]") -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.log = log
        self.process = process
        self._token = ""

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.address}{path}", data, method=method)  # noqa: S310 - loopback
        request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - loopback
            return json.loads(response.read())

    def log_in(self) -> None:
        self._token = self.ask("GET", "/auth/token")["access_token"]

    def wait(self, what: str, holds: Callable[[], bool], *, timeout_s: int) -> None:
        """Look again until `holds`, the process ends, or the time is up; then say what Airflow said last."""
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if holds():
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass  # not listening yet
            pause.wait(1)
        pytest.fail(f"{what}: not within {timeout_s} s\n{self.log.read_text(errors='replace')[-4000:]}")

    def healthy(self) -> bool:
        parts = self.ask("GET", "/api/v2/monitor/health")
        return all(
            parts[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "metadatabase")
        )

    def knows(self, dag_id: str) -> bool:
        try:
            return bool(self.ask("GET", f"/api/v2/dags/{dag_id}")["dag_id"])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise

    def run(self, run_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}")

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        return self.ask("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances?limit=100")[
            "task_instances"
        ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("scheduler"))


@contextmanager
def standalone(settings: Settings, **extra: str) -> Iterator[Airflow]:
    """A running Airflow on a home, its nightly DAG switched on; `extra` is added to its environment."""
    env = airflow_environment(settings.home)
    port, log = free_port(), settings.home / "airflow" / "standalone.log"
    own = {"POSRECON_HOME": str(settings.home), "PYTHONPATH": env["PYTHONPATH"]}
    with log.open("wb") as noise:
        process = subprocess.Popen(
            [sys.executable, "-m", "posrecon.local_airflow", "up", "--port", str(port)],
            env=os.environ | own | extra,
            cwd=PROJECT_ROOT,
            stdout=noise,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Airflow(port, log, process)
    try:
        running.wait("Airflow is healthy", running.healthy, timeout_s=START_TIMEOUT_S)
        running.log_in()
        running.wait("the DAG is known", lambda: running.knows(DAG), timeout_s=START_TIMEOUT_S)
        running.ask("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
        yield running
    finally:
        # The whole session: Airflow's parts are grandchildren.
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def airflow(settings: Settings) -> Iterator[Airflow]:
    simulate = "from posrecon.simulate import simulate; import sys, pathlib; "
    simulate += "simulate(pathlib.Path(sys.argv[1]), seed=7, nights=3, rows=600)"
    run_python(["-c", simulate, str(settings.inbox)], airflow_environment(settings.home), timeout_s=120)
    with standalone(settings) as running:
        yield running


@pytest.fixture(scope="module")
def nights(airflow: Airflow, settings: Settings) -> list[str]:
    """Three nights, triggered at once: they run one after the other, in the order of their dates."""
    run_ids = []
    for day in (12, 13, 14):
        instant = settings.night_instant(date(2026, 11, day)).isoformat()
        run = airflow.ask("POST", f"/api/v2/dags/{DAG}/dagRuns", {"logical_date": instant})
        run_ids.append(run["dag_run_id"])
    airflow.wait(
        "all three nights have ended",
        lambda: all(airflow.run(run_id)["state"] in {"success", "failed"} for run_id in run_ids),
        timeout_s=NIGHT_TIMEOUT_S,
    )
    return run_ids


def test_scheduler__three_nights_triggered_at_once__all_succeed_and_are_published(
    airflow: Airflow, settings: Settings, nights: list[str]
) -> None:
    states = {run_id: airflow.run(run_id)["state"] for run_id in nights}
    assert set(states.values()) == {"success"}, airflow.log.read_text(errors="replace")[-4000:]
    assert published_nights(settings) == [date(2026, 11, day) for day in (12, 13, 14)]


def test_scheduler__one_active_run__no_night_starts_before_the_one_before_has_ended(
    airflow: Airflow, nights: list[str]
) -> None:
    runs = [airflow.run(run_id) for run_id in nights]
    for before, after in pairwise(runs):
        assert before["end_date"] <= after["start_date"]


def test_scheduler__writers__hold_the_pool_one_after_the_other(airflow: Airflow, nights: list[str]) -> None:
    spans = sorted(
        (task["start_date"], task["end_date"], task["task_id"])
        for run_id in nights
        for task in airflow.tasks(run_id)
        if task["pool"] == "warehouse_writer"
    )
    assert len(spans) == 6 * len(nights)
    for before, after in pairwise(spans):
        assert before[1] <= after[0]


def test_scheduler__parse_tasks__are_named_after_their_files(airflow: Airflow, nights: list[str]) -> None:
    labels = [task["rendered_map_index"] for task in airflow.tasks(nights[0]) if task["task_id"] == "parse"]
    assert any(label.startswith("terminal_log") for label in labels)


def test_scheduler__published_tables__are_asset_events_of_the_night(
    airflow: Airflow, nights: list[str]
) -> None:
    events = airflow.ask("GET", f"/api/v2/assets/events?source_dag_id={DAG}&limit=100")["asset_events"]
    found = {(event["name"], event["extra"].get("run_date")) for event in events}
    assert ("posrecon.marts.fct_breaks", "2026-11-14") in found
    assert ("posrecon.data_docs", "2026-11-12") in found
