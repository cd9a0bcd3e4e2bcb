"""Homes with nights already run, and the command line as a separate process, as a person runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from posrecon.settings import PROJECT_ROOT, Settings
from posrecon.warehouse.publish import swap_views

NIGHT_1 = date(2026, 11, 12)
NIGHT_2 = date(2026, 11, 13)

# Fixed keys: card tokens are part of the published bytes, so homes can only be compared under one key.
KEYS = {"POSRECON_TOKEN_KEY": "11" * 32, "POSRECON_ARCHIVE_KEY": "22" * 32}


@dataclass(frozen=True)
class Home:
    """A home on disk, and how to run commands on it."""

    path: Path

    @property
    def settings(self) -> Settings:
        return Settings(home=self.path)

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("POSRECON_")}
        return inherited | KEYS | {
            "POSRECON_HOME": str(self.path),
            "PYTHONPATH": str(PROJECT_ROOT / "include"),
        } | more  # fmt: skip

    def run(self, *arguments: str, expect: int = 0, **environment: str) -> dict[str, Any]:
        """Run a command with --json and return what it printed; fails on another exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "posrecon.cli", *arguments, "--json"],
            capture_output=True,
            text=True,
            env=self.environment(**environment),
            check=False,
        )
        assert done.returncode == expect, f"exit code {done.returncode}, expected {expect}\n{done.stderr}"
        content: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
        content["stderr"] = done.stderr
        return content

    def start_night(self, run_date: date) -> "subprocess.Popen[str]":
        """Start a night; see `start`."""
        return self.start("night", "--date", str(run_date))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command in a process group of its own; steps are told on standard error."""
        return subprocess.Popen(
            [sys.executable, "-m", "posrecon.cli", *arguments, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
            start_new_session=True,
        )

    def copy_to(self, path: Path) -> "Home":
        """Copy this home; its readers' file is rebuilt, because views name files absolutely."""
        shutil.copytree(self.path, path)
        copy = Home(path)
        swap_views(copy.settings)
        return copy

    def ask(self, query: str, *, database: str = "posrecon.duckdb") -> list[tuple[Any, ...]]:
        """What a reader sees."""
        with duckdb.connect(str(self.path / "published" / database), read_only=True) as reader:
            return reader.execute(query).fetchall()

    def published_files(self) -> dict[str, bytes]:
        """Every file that readers can reach through tables, by relative path."""
        folder = self.path / "published" / "tables"
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))
        }


def wait_for_step(night: "subprocess.Popen[str]", run_date: date, step: str) -> None:
    """Read what a night says until it begins a step."""
    said = []
    for line in night.stderr or ():
        said.append(line)
        if line.startswith(f"{run_date} {step} "):
            return
    raise AssertionError(f"the night ended before {step}:\n{''.join(said)}")


def kill(night: "subprocess.Popen[str]", *, whole_group: bool) -> None:
    """End a night at once, as a power cut or the out-of-memory killer does."""
    if whole_group:
        os.killpg(night.pid, signal.SIGKILL)
    else:
        night.kill()
    night.communicate()
    assert night.returncode == -signal.SIGKILL
