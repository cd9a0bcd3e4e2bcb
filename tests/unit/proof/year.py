"""Small nights without a warehouse: files, receipts, manifests and their records, as a night leaves them."""

from datetime import date, timedelta
from pathlib import Path

from posrecon.files import put_in_place, sha256_of, write_json
from posrecon.landing.archive import store
from posrecon.landing.outcomes import Outcome, write_files
from posrecon.landing.receipts import Receipt, file_id_of, highest_file_no, write_receipt
from posrecon.proof import nights
from posrecon.reporting.night_report import report_paths
from posrecon.settings import Settings
from posrecon.warehouse.manifests import Manifest, Partition, previous_night, write_manifest

FIRST = date(2026, 1, 1)
TABLES = ("fct_breaks", "fct_files", "fct_payouts", "fct_reconciliation_history", "rpt_daily_control")


def settings_of(home: Path) -> Settings:
    return Settings(home=home, token_key="11" * 32, archive_key="22" * 32)  # type: ignore[arg-type]


def small_night(settings: Settings, run_date: date, *, files: int = 3, mode: str = "night") -> Manifest:
    """One night: received, registered, published, recorded."""
    nights.begin(settings)
    if mode == "night":
        _receive(settings, run_date, files)
    nights.received(settings, run_date, mode=mode)
    write_files(settings, run_date, [_outcome(run_date)])
    nights.registered(settings, run_date, mode=mode)
    manifest = _manifest(settings, run_date)
    nights.prepared(settings, manifest, mode=mode)
    write_manifest(settings, manifest)
    for path in report_paths(settings, run_date):
        write_json(path, {"night": run_date})
    nights.published(settings, manifest, mode=mode)
    return manifest


def small_nights(settings: Settings, count: int, *, files: int = 3) -> list[date]:
    """Nights in a row; returns their run dates."""
    dates = [FIRST + timedelta(days=n) for n in range(count)]
    for run_date in dates:
        small_night(settings, run_date, files=files)
    return dates


def _receive(settings: Settings, run_date: date, files: int) -> None:
    file_no = highest_file_no(settings)
    settings.tmp.mkdir(parents=True, exist_ok=True)
    for n in range(1, files + 1):
        name = f"terminal_log_{run_date}_{n}.csv"
        path = settings.tmp / name
        path.write_text(f"merchant_id,amount\nM{n:06d},{run_date}\n" * 40, encoding="utf-8")
        sha256 = sha256_of(path)
        store(settings, path, sha256)
        write_receipt(
            settings,
            Receipt(
                file_no=file_no + n,
                file_id=file_id_of(run_date, "terminal_log", name, sha256),
                run_date=run_date,
                feed="terminal_log",
                file_name=name,
                sha256=sha256,
                bytes=path.stat().st_size,
            ),
        )
        path.unlink()


def _outcome(run_date: date) -> Outcome:
    return Outcome(
        file_no=1, file_id="aaaa", source="terminal_log", feed="terminal_log", logical_name="log",
        logical_key="", file_name="log.csv", sha256="aa", bytes=1, business_date=run_date, state="loaded",
        records=1, loaded=1, quarantined=0, declared_minor=None, computed_minor=None, encoding="utf-8",
        reason=None,
    )  # fmt: skip


def _manifest(settings: Settings, run_date: date) -> Manifest:
    tables = {}
    for name in TABLES:
        aside = settings.tmp / f"{name}.parquet"
        aside.write_bytes(f"PAR1 {name} {run_date}".encode() * 200)
        sha256 = sha256_of(aside)
        target = settings.published / "tables" / name / f"run_date={run_date}" / f"{sha256[:12]}.parquet"
        put_in_place(aside, target)
        tables[name] = Partition(str(target.relative_to(settings.published)), 200, sha256, ("a",))
    state = settings.state / "items" / f"run_date={run_date}.parquet"
    aside = settings.tmp / "items.parquet"
    aside.write_bytes(f"items {run_date}".encode())
    put_in_place(aside, state)
    return Manifest(
        run_date, previous_night(settings, run_date), tables, {"items": sha256_of(state)}, {"night": "small"}
    )
