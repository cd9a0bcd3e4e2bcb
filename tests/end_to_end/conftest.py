import fcntl
import os
import shutil
from pathlib import Path

import pytest

from posrecon.simulate.generator import simulate
from tests.end_to_end.homes import NIGHT_1, NIGHT_2, Home


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `inbox` (two nights as simulated), `one` (first night run) and `two` (both nights run).

    A night takes half a minute, mostly for loading dbt and Great Expectations, so all tests of all workers share
    these homes and copy what they change.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "prepared_homes"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            simulate(folder / "inbox", seed=11, nights=2, rows=500)
            one = Home(folder / "one")
            shutil.copytree(folder / "inbox", one.path / "inbox", ignore=shutil.ignore_patterns("truth.csv"))
            one.run("night", "--date", str(NIGHT_1))
            one.copy_to(folder / "two").run("night", "--date", str(NIGHT_2))
            (folder / "ready").touch()
    return folder


@pytest.fixture
def one(prepared: Path, tmp_path: Path) -> Home:
    """A copy of the home whose first night is done and whose second night's files wait."""
    return Home(prepared / "one").copy_to(tmp_path / "home")


@pytest.fixture(scope="session")
def two(prepared: Path) -> Home:
    """The home with both nights done. Shared: do not change it."""
    return Home(prepared / "two")
