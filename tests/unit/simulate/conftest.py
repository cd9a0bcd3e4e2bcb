"""One small simulation for all tests of the generator, and the files of it read back without its own code."""

import csv
import gzip
import zipfile
from dataclasses import dataclass
from datetime import date
from functools import cached_property
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

    def unionpay(self, name: str) -> list[dict[str, str]]:
        """Labels of one break type, or of pairs, that are about cards."""
        return [row for row in self.truth(name) if not self.is_wallet(row)]

    def wallet(self, name: str) -> list[dict[str, str]]:
        """Labels of one break type, or of pairs, that are about wallets."""
        return [row for row in self.truth(name) if self.is_wallet(row)]

    def is_wallet(self, label: dict[str, str]) -> bool:
        return (
            label["settlement_file"] in self.bills
            or label["payout_id"].startswith(("wechat:", "alipay:"))
            or (label["terminal_file"], label["terminal_line"]) in self.wallet_events
        )

    @cached_property
    def wallet_events(self) -> dict[tuple[str, str], dict[str, str]]:
        """Records of wallets in all terminal logs by file and physical line."""
        return {
            (name, str(number)): row
            for name, rows in self.logs().items()
            for number, row in enumerate(rows, start=2)
            if row["channel"] != "card"
        }

    @cached_property
    def bills(self) -> dict[str, list[str]]:
        """Lines of every trade bill by the name that evidence has for it."""
        found = {}
        for path in sorted((self.out / "wechat").iterdir()):
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
            found[path.name] = content.decode("utf-8-sig").split("\r\n")
        for path in sorted((self.out / "alipay").iterdir()):
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    # Names that are not flagged as UTF-8 come out as code page 437.
                    name = info.filename.encode("cp437").decode("gbk")
                    if "汇总" not in name:
                        found[f"{path.name}!{name}"] = archive.read(info).decode("gbk").split("\r\n")
        return found

    @cached_property
    def bill_lines(self) -> dict[tuple[str, str], dict[str, str]]:
        """Records of all trade bills by evidence name and physical line, cells by header."""
        found = {}
        for name, lines in self.bills.items():
            header_no = next(
                n for n, line in enumerate(lines) if line.startswith(("交易时间", "支付宝交易号"))
            )
            header = lines[header_no].split(",")
            for number, line in enumerate(lines[header_no + 1 :], start=header_no + 2):
                cells = [cell.strip("`\t") for cell in line.split(",")]
                if len(cells) == len(header):
                    found[name, str(number)] = dict(zip(header, cells, strict=True))
        return found

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
