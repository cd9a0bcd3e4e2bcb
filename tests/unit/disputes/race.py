"""What a racing process does; a module of its own, because the process starts from its name."""

from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from posrecon.disputes.database import ConflictError
from posrecon.disputes.desk import desk
from posrecon.settings import Settings
from tests.unit.disputes.nights import actor


def assign(url: str, home: str, name: str, gate: Barrier, told: Any) -> None:
    """Take case 1, having looked at its version 1, at the same moment as others do."""
    with desk(Settings(home=Path(home), cases_url=url)) as cases:
        gate.wait(timeout=60)
        try:
            cases.assign([1], name, actor=actor(name), if_version=1)
            told.put((name, "won"))
        except ConflictError as error:
            told.put((name, error.what))
