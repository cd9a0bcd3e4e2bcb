"""Runs four nights of the real DAG with the work behind it replaced, in a process of its own (see conftest.py).

Night 1 has no files, night 2 has three, night 3 fails in its data, night 4 comes while night 3 is unfinished.
"""

import json
import sys
import threading
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FIRST = date(2026, 3, 2)


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    texts: list[str]

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.texts.append(json.loads(self.rfile.read(length))["text"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def replace_the_work(journal: list[list[str]]) -> None:
    """Let every step only note that it ran; night 2 receives three files, night 3 has bad data."""
    from posrecon import night
    from posrecon.errors import NightError
    from posrecon.files import write_json
    from posrecon.settings import Settings
    from posrecon.warehouse.manifests import Manifest, write_manifest

    def receive(settings: Settings, run_date: date) -> list[str]:
        journal.append([str(run_date), "receive"])
        folder = settings.archive / "receipts" / f"run_date={run_date}"
        folder.mkdir(parents=True, exist_ok=True)
        names = ["a.csv", "b.csv", "c.csv"] if run_date != FIRST else []
        for number, name in enumerate(names):
            receipt = {
                "file_no": number,
                "file_id": f"id-{name}",
                "run_date": str(run_date),
                "feed": "terminal_log",
                "file_name": name,
                "sha256": "00" * 32,
                "bytes": 10 - number,
            }
            write_json(folder / f"{number:08d}.json", receipt)
        return [f"id-{name}" for name in names]

    def note(name: str, result: Any = None) -> Any:
        def step(settings: Settings, run_date: date, *arguments: str) -> Any:
            journal.append([str(run_date), " ".join([name, *arguments])])
            if run_date == FIRST + timedelta(days=2) and arguments == ("intermediate",):
                raise NightError(
                    "int_recon__pairs: expected 0 lost lines, got 2 (INN26030188ZM_1: line 3).",
                    next_step="Look at the rows.",
                )
            return result

        return step

    def publish(settings: Settings, run_date: date) -> None:
        journal.append([str(run_date), "publish"])
        figures = {
            "run_date": str(run_date),
            "states": dict.fromkeys(("matched", "pending", "unmatched", "ambiguous"), 0),
            "breaks": [],
            "candidates": [],
            "explained": {"pct": "100.00", "payouts": {"pct": "100.00"}},
            "file_problems": [],
        }
        write_manifest(settings, Manifest(run_date, None, {}, {}, figures))

    night.receive, night.publish = receive, publish  # type: ignore[assignment]
    outcome = SimpleNamespace(file_name="x", state="loaded", records=1, loaded=1, quarantined=0, reason=None)
    night.parse_file = note("parse_file", outcome)
    for name in ("register", "expose", "transform", "validate"):
        setattr(night, name, note(name))


def main(dags: Path, result: Path) -> None:
    """Run the nights and write what happened."""
    import os

    Hook.texts = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/robot?key=secret"
    os.environ["AIRFLOW_CONN_POSRECON_WEBHOOK"] = json.dumps({"conn_type": "http", "password": address})

    from posrecon import airflow_adapter
    from posrecon.settings import Settings

    journal: list[list[str]] = []
    told: list[dict[str, Any]] = []
    replace_the_work(journal)
    settings = Settings()
    for number in range(4):
        instant = settings.night_instant(FIRST + timedelta(days=number))
        airflow_adapter.run_nights(dags, [instant], lambda event: told.append(dict(event)))

    from airflow.models.dagrun import DagRun
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    with create_session() as session:
        runs = session.query(DagRun).order_by(DagRun.logical_date).all()
        nights = [
            {
                "state": str(run.state),
                "tasks": {
                    f"{ti.task_id}[{ti.map_index}]" if ti.map_index >= 0 else ti.task_id: {
                        "state": str(ti.state),
                        "tries": ti.try_number,
                        "label": ti.rendered_map_index,
                        "pool": ti.pool,
                    }
                    for ti in run.get_task_instances(session=session)
                },
            }
            for run in runs
        ]
        slots = {pool.pool: pool.slots for pool in session.query(Pool).all()}
    server.shutdown()
    content = {"nights": nights, "journal": journal, "told": told, "posted": Hook.texts, "pools": slots}
    result.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
