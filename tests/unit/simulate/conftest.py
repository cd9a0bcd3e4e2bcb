"""One small simulation for all tests of the generator, and the files of it read back without its own code."""

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from posrecon.simulate import SimulationSummary, simulate

START = date(2026, 11, 11)
NIGHTS = 5
ROWS = 2000


@dataclass(frozen=True)
class Simulated:
    out: Path
    summary: SimulationSummary

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.out / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def truth(self, name: str) -> list[dict[str, str]]:
        """Labels of one break type, or of pairs."""
        return [row for row in self.rows("truth.csv") if (row["break_type"] or "pair") == name]

    def log_line(self, label: dict[str, str]) -> dict[str, str]:
        """The physical line of a terminal log that a label names."""
        lines = (self.out / "terminal_log" / label["terminal_file"]).read_text(encoding="utf-8").split("\n")
        cells = lines[int(label["terminal_line"]) - 1].split(",")
        return dict(zip(lines[0].split(","), cells, strict=True))

    def zm_files(self) -> list[Path]:
        return sorted((self.out / "unionpay").glob("INN*ZM_*"))

    def zme_files(self) -> list[Path]:
        return sorted((self.out / "unionpay").glob("INN*ZME_*"))

    def logs(self) -> dict[str, list[dict[str, str]]]:
        """Every terminal log by name."""
        paths = (self.out / "terminal_log").glob("terminal_log*")
        return {path.name: self.rows(f"terminal_log/{path.name}") for path in paths}

    def undone(self) -> set[tuple[str, str, str]]:
        """(terminal, batch, STAN) of every event that a void or a reversal takes back."""
        return {
            (row["terminal_id"], row["batch_no"], row["orig_stan"])
            for rows in self.logs().values()
            for row in rows
            if row["txn_type"] in ("void", "reversal") and row["response_code"] == "00"
        }

    def zm_line(self, label: dict[str, str]) -> bytes:
        """The physical line of a settlement file that a label names."""
        content = (self.out / "unionpay" / label["settlement_file"]).read_bytes()
        return content.split(b"\r\n")[int(label["settlement_line"]) - 1]


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    out = tmp_path_factory.mktemp("simulated") / "inbox"
    return Simulated(out=out, summary=simulate(out, seed=7, nights=NIGHTS, rows=ROWS, start=START))
