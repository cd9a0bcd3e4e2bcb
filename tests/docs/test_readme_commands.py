"""Every command that the README shows is run here, or is what a named test runs."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT
from tests.docs.test_pages import blocks


def commands() -> list[str]:
    """Lines of the README that begin with a dollar, in order."""
    lines = (line for block in blocks(ROOT / "README.md", "console") for line in block.splitlines())
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def outside_settings() -> dict[str, str]:
    """The environment without any setting of posrecon."""
    return {name: value for name, value in os.environ.items() if not name.startswith("POSRECON_")}


def test_readme__shows_nothing_that_is_never_run() -> None:
    others = [line for line in commands() if not re.match(r"export |\.venv/bin/posrecon ", line)]
    assert others == ["make nightly", "make test"]
    # Nobody can run all tests inside a test: continuous integration runs them by the README's own words.
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_readme__make_nightly__ends_with_a_table_and_the_paths_to_it(tmp_path: Path) -> None:
    environment = outside_settings() | {"POSRECON_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["make", "nightly"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    # What the README shows is what comes out, row by row; only the folder differs.
    (shown,) = (block for block in blocks(ROOT / "README.md", "console") if "$ make nightly" in block)
    said = {line.strip() for line in done.stdout.splitlines()}
    rows = [line.strip() for line in shown.splitlines() if not line.startswith("$ ") and "/var/" not in line]
    assert [row for row in rows if row not in said] == []
    assert (tmp_path / "home" / "published" / "data_docs" / "index.html").is_file()
    assert len(list((tmp_path / "home" / "published" / "nights").glob("*.json"))) == 3


def test_readme__the_commands_of_a_night_do_what_they_say(tmp_path: Path) -> None:
    environment = outside_settings()
    said: dict[str, str] = {}
    for line in commands():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            environment[name] = value
        elif line.startswith(".venv/bin/posrecon "):
            arguments = shlex.split(line)
            done = subprocess.run(
                [str(ROOT / arguments[0]), *arguments[1:]],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            said[arguments[1]] = done.stdout
    assert "2026-11-12" in said["status"]
    assert "INN26111188ZM_" in said["files"]
    assert re.search(r"\b(missing|amount|fee|duplicate|declined)_", said["breaks"])
