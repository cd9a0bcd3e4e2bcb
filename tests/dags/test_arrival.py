"""A night whose files come from real servers: settlement by SFTP and late, bills from S3, those of one source never."""

import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
import yaml

from posrecon.settings import PROJECT_ROOT, Settings
from posrecon.simulate import simulate
from tests.dags.test_scheduler import DAG, Airflow, standalone
from tests.servers import S3Server, SftpServer, needs_sshd, scratch_folder
from tests.unit.landing.key_rings import PASSPHRASE, KeyRing

pytestmark = [
    pytest.mark.slow,
    needs_sshd,
    pytest.mark.skipif(
        shutil.which("gpg") is None,
        reason="GnuPG is not installed here (apt-get install gnupg): PGP is not tested",
    ),
]

ZONE = ZoneInfo("Asia/Shanghai")
US = "posrecon test <us@example.invalid>"
NIGHT_TIMEOUT_S = 900
UPLOAD_TIMEOUT_S = 600


def project_of(folder: Path, transports: dict[str, dict[str, Any]]) -> Path:
    """The project as it is, but for what some sources say about arrival."""
    sources = folder / "include" / "sources"
    shutil.copytree(PROJECT_ROOT / "include" / "sources", sources)
    for name in ("dags", "dbt_project", "expectations", "include/posrecon"):
        (folder / name).symlink_to(PROJECT_ROOT / name)
    for name, keys in transports.items():
        path = sources / f"{name}.yml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["transport"] = keys["transport"]
        if "deadline" in keys:
            document["expected"]["deadline"] = keys["deadline"].strftime("%H:%M:%S")
        path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return folder


class LateSender(threading.Thread):
    """Uploads after the night has looked for the first time: half of the first file, then the rest."""

    def __init__(self, files: list[tuple[str, bytes]], folder: Path, ledger: Path) -> None:
        super().__init__(daemon=True)
        self._files, self._folder, self._ledger = files, folder, ledger
        self.seen_half = False

    def run(self) -> None:
        self._until("select count(*) from first_looks where source = 'unionpay_zm'")
        name, content = self._files[0]
        with (self._folder / name).open("wb") as stream:
            stream.write(content[: len(content) // 2])
            stream.flush()
            self._until(f"select count(*) from seen where location like '%{name}'")
            self.seen_half = True
            stream.write(content[len(content) // 2 :])
        for name, content in self._files[1:]:
            (self._folder / name).write_bytes(content)

    def _until(self, query: str) -> None:
        deadline, pause = time.monotonic() + UPLOAD_TIMEOUT_S, threading.Event()
        while time.monotonic() < deadline:
            try:
                with closing(sqlite3.connect(f"file:{self._ledger}?mode=ro", uri=True)) as database:
                    if database.execute(query).fetchone()[0]:
                        return
            except sqlite3.OperationalError:
                pass  # not made yet
            pause.wait(0.2)
        raise TimeoutError(query)


@dataclass
class Night:
    settings: Settings
    airflow_log: Path
    run: dict[str, Any]
    tasks: list[dict[str, Any]]
    seen_half: bool
    deadline: datetime
    sent: dict[str, int]
    secrets: list[bytes] = field(default_factory=list)

    def pull(self, source: str) -> dict[str, Any]:
        return next(
            task for task in self.tasks if task["task_id"] == "pull" and task["rendered_map_index"] == source
        )

    def log_of_pull(self, source: str) -> str:
        index = self.pull(source)["map_index"]
        logs = (self.settings.home / "airflow" / "logs").rglob(f"*task_id=pull/map_index={index}/*.log")
        return "\n".join(path.read_text(errors="replace") for path in logs)

    def files(self, source: str) -> list[tuple[str, int]]:
        with duckdb.connect(str(self.settings.published / "posrecon.duckdb"), read_only=True) as connection:
            return connection.execute(
                "select state, count(*) from marts.fct_files where source = ? group by all order by all",
                [source],
            ).fetchall()


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    home = tmp_path_factory.mktemp("arrival")
    with scratch_folder() as scratch, tempfile.TemporaryDirectory(prefix="pgp") as rings:
        ours, bank = KeyRing(Path(rings) / "o"), KeyRing(Path(rings) / "b")
        ours.make_key(US, passphrase=PASSPHRASE)
        ours.give(bank, US)
        sftp, s3 = SftpServer(Path(scratch)), S3Server()
        sftp.start()
        try:
            yield _run(home, sftp, s3, ours, bank)
        finally:
            sftp.stop()
            s3.stop()
            ours.close()
            bank.close()


def _run(home: Path, sftp: SftpServer, s3: S3Server, ours: KeyRing, bank: KeyRing) -> Night:
    run_date = datetime.now(ZONE).date()
    simulated = home / "simulated"
    simulate(simulated, seed=5, nights=1, rows=300, start=run_date - timedelta(days=1))
    settings = Settings(home=home / "home")
    for feed in ("terminal_log", "reference", "bank"):
        shutil.copytree(simulated / feed, settings.inbox / feed)
    bucket = s3.client()
    bucket.create_bucket(Bucket="bills")
    bills = sorted((simulated / "wechat").iterdir())
    for path in bills:
        bucket.put_object(Bucket="bills", Key=f"wechat/{path.name}", Body=path.read_bytes())
    settled = [
        (f"{path.name}.pgp", bank.encrypt(path.read_bytes(), to=US))
        for path in sorted((simulated / "unionpay").glob("*ZM_*"))
    ]
    project = home / "project"
    project.mkdir()
    waits, never = _deadlines(run_date, minutes=20), _deadlines(run_date, minutes=2)
    often = {"look_every_s": 2}
    project_of(
        project,
        {
            "unionpay_zm": {
                "transport": {
                    "kind": "sftp",
                    "connection": "acquirer_sftp",
                    "path": str(sftp.root),
                    "ready": {"rule": "stable", "seconds": 3},
                    **often,
                },
                "deadline": waits,
            },
            "wechat_bill": {
                "transport": {"kind": "s3", "connection": "bills_s3", "path": "bills/wechat", **often},
                "deadline": waits,
            },
            "alipay_bill": {
                "transport": {"kind": "s3", "connection": "bills_s3", "path": "bills/alipay", **often},
                "deadline": never,
            },
            # Its connection was forgotten.
            "unionpay_zme": {
                "transport": {"kind": "sftp", "connection": "forgotten", "path": str(sftp.root)}
            },
        },
    )
    late = LateSender(settled, sftp.root, settings.arrival / "ledger.sqlite")
    with standalone(
        settings,
        POSRECON_PROJECT_DIR=str(project),
        POSRECON_GNUPG_HOME=str(ours.folder),
        POSRECON_PGP_PASSPHRASE=PASSPHRASE,
        AIRFLOW_CONN_ACQUIRER_SFTP=sftp.connection(),
        AIRFLOW_CONN_BILLS_S3=s3.connection(),
    ) as airflow:
        run_id = _trigger(airflow, run_date)
        late.start()
        airflow.wait(
            "the night has ended",
            lambda: airflow.run(run_id)["state"] in {"success", "failed"},
            timeout_s=NIGHT_TIMEOUT_S,
        )
        return Night(
            settings=settings,
            airflow_log=airflow.log,
            run=airflow.run(run_id),
            tasks=airflow.tasks(run_id),
            seen_half=late.seen_half,
            deadline=never,
            sent={"unionpay_zm": len(settled), "wechat_bill": len(bills)},
            secrets=[
                sftp.private_key.splitlines()[2].encode(),
                s3.SECRET.encode(),
                PASSPHRASE.encode(),
            ],
        )


def _deadlines(run_date: date, *, minutes: int) -> datetime:
    """An instant that is still the run date: a deadline is a wall clock of that day."""
    wanted = datetime.now(ZONE).replace(microsecond=0) + timedelta(minutes=minutes)
    return min(wanted, datetime.combine(run_date, datetime.max.time(), tzinfo=ZONE).replace(microsecond=0))


def _trigger(airflow: Airflow, run_date: date) -> str:
    body = {"logical_date": datetime.now(ZONE).isoformat(), "conf": {"run_date": run_date.isoformat()}}
    return str(airflow.ask("POST", f"/api/v2/dags/{DAG}/dagRuns", body)["dag_run_id"])


def test_night__files_from_servers__is_published_to_its_end(night: Night) -> None:
    assert night.run["state"] == "success", night.airflow_log.read_text(errors="replace")[-4000:]
    others = [task for task in night.tasks if task is not night.pull("unionpay_zme")]
    assert {task["state"] for task in others} == {"success"}


def test_night__source_that_cannot_be_asked__is_red_and_stops_nobody_else(night: Night) -> None:
    task = night.pull("unionpay_zme")
    assert (task["state"], task["try_number"]) == ("failed", 1)
    log = night.log_of_pull("unionpay_zme")
    assert "Airflow knows no connection of this id" in log
    assert "the night goes on without what it would have fetched" in log


def test_night__settlement_that_came_late_and_in_two_halves__is_read_whole(night: Night) -> None:
    assert night.seen_half
    assert night.files("unionpay_zm") == [("loaded", night.sent["unionpay_zm"])]
    log = night.log_of_pull("unionpay_zm")
    assert "not here" in log
    assert "upload not finished" in log
    assert "looking again at" in log
    assert "DEFERRED" in log.upper()


def test_night__bills_that_were_there__are_fetched_at_once(night: Night) -> None:
    assert night.files("wechat_bill") == [("loaded", night.sent["wechat_bill"])]
    assert "looking again" not in night.log_of_pull("wechat_bill")


def test_night__bills_that_never_came__are_missing_once_the_deadline_has_passed(night: Night) -> None:
    states = dict(night.files("alipay_bill"))
    assert set(states) == {"missing"}
    ended = datetime.fromisoformat(night.pull("alipay_bill")["end_date"])
    assert ended >= night.deadline
    assert "the night goes on without" in night.log_of_pull("alipay_bill")


def test_night__credentials__stand_in_no_log_no_database_and_no_file(night: Night) -> None:
    held: list[str] = []
    for folder, _, names in os.walk(night.settings.home):
        for name in names:
            path = Path(folder) / name
            content = path.read_bytes()
            held += [str(path) for secret in night.secrets if secret in content]
    assert held == []
