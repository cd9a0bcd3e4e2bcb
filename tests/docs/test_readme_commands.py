"""Every command that the README shows is run here, or is what a named test runs."""

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

from tests.architecture.repository import ROOT
from tests.docs.test_pages import blocks

# Commands that a test cannot run inside itself, and the test that does what they do.
RUN_ELSEWHERE = {
    "make test": "tests/docs/test_readme_commands.py::test_readme__the_commands_of_a_night_do_what_they_say",
    "make nightly": "tests/dags/test_nightly_command.py::test_make_nightly",
}


def commands() -> list[str]:
    """Lines of the README that begin with a dollar, in order."""
    lines = (line for block in blocks(ROOT / "README.md", "console") for line in block.splitlines())
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def test_readme__shows_nothing_that_no_test_runs() -> None:
    not_run = [line for line in commands() if not re.match(r"export |\.venv/bin/posrecon ", line)]
    assert set(not_run) == RUN_ELSEWHERE.keys()
    for node_id in RUN_ELSEWHERE.values():
        name, _, test = node_id.partition("::")
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, node_id


def test_readme__the_commands_of_a_night_do_what_they_say(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSRECON_")}
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
