"""A line of 100 MB, or NUL bytes: refused by every layout, in memory and time that do not follow the line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from posrecon.errors import LayoutError
from posrecon.formats import LAYOUTS, Job
from posrecon.landing.sources import NameParts, Source, load_sources
from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.formats.generic_sources import ALLINPAY, ALLINPAY_HEADER, FIXED, keys_of
from tests.unit.formats.test_alipay_bill import a_bill as an_alipay_bill
from tests.unit.formats.test_wechat_bill import a_bill as a_wechat_bill
from tests.unit.landing.files import HEADER, MERCHANTS, settings_of

LINE_MB = 100
GROWTH_MB_MAX = 150

# What stands before the endless line, so that a reader gets as far as it.
HEADS: dict[str, bytes] = {
    "terminal_log": f"{HEADER}\nM1,".encode(),
    "wechat_bill": a_wechat_bill().encode(),
    "alipay_bill": an_alipay_bill().encode(),
    "merchants_csv": MERCHANTS,
    "generic_delimited": f"{ALLINPAY_HEADER}\n".encode(),
    "generic_fixed": b"H20261111\n",
    "camt": b"<Document><BkToCstmrStmt><Stmt><Ntry><AddtlNtryInf>",
    "mt940": b":20:REF\n:25:1\n:28C:1\n:60F:C261110CNY1,00\n:61:",
    "bai2": b"01,BANK,US,261111,0600,1,,,2/\n02,",
}
# Kept as evidence: one is not read, the other is free text in which any line may stand. Parquet and JSON lines are
# forms of the terminal log.
READ = sorted(set(LAYOUTS) - {"evidence", "unionpay_rd"})


def source_of(layout: str, settings: Settings) -> Source:
    generic = {"generic_delimited": ALLINPAY, "generic_fixed": FIXED}
    if layout in generic:
        return Source.model_validate(keys_of(generic[layout]) | {"layout": layout, "encoding": "utf-8"})
    known = (*load_sources(settings.sources_dir), *load_sources(settings.sources_dir / "examples"))
    return next(source for source in known if source.layout == layout)


@contextmanager
def job_for(layout: str, folder: Path) -> Iterator[Job]:
    settings = settings_of(folder / "home")
    scratch = folder / "scratch"
    scratch.mkdir()
    yield Job(
        path=folder / "file",
        file_name="file",
        file_no=1,
        source=source_of(layout, settings),
        name=NameParts(business_date=date(2026, 11, 11), key="898110000000037", part=""),
        scratch=scratch,
        settings=settings,
    )


def _peak_mb() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1000


def read_and_tell(layout: str, folder: Path) -> None:
    """In a process of its own: what became of the file, and how far memory grew for it."""
    with job_for(layout, folder) as job:
        before = _peak_mb()
        try:
            LAYOUTS[layout].peek(job.path, job.source)
            parsed = LAYOUTS[layout].parse(job)
            refused = parsed.quarantined > 0
        except LayoutError:
            refused = True
        print(json.dumps({"refused": refused, "growth_mb": _peak_mb() - before}))


@pytest.mark.skipif(sys.platform != "linux", reason="reads its peak of memory from /proc")
@pytest.mark.parametrize("layout", READ)
def test_a_line_of_100_mb__is_refused_in_flat_memory(layout: str, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(HEADS.get(layout, b""))
        for _ in range(LINE_MB):
            file.write(b"9" * 1_000_000)
    code = (
        "from pathlib import Path; from tests.unit.formats.test_hostile_files import read_and_tell; "
        f"read_and_tell({layout!r}, Path({str(tmp_path)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env={"PYTHONPATH": f"{PROJECT_ROOT / 'include'}:{PROJECT_ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)

    assert told["refused"]
    assert told["growth_mb"] <= GROWTH_MB_MAX


@pytest.mark.parametrize("layout", READ)
def test_nul_bytes__are_no_record(layout: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(HEADS.get(layout, b"") + b"\0\0\0\r\n")
    with job_for(layout, tmp_path) as job:
        try:
            refused = LAYOUTS[layout].parse(job).quarantined > 0
        except LayoutError:
            refused = True

    assert refused
