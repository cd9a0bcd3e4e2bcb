"""The dbt project as dbt itself reads it, parsed once per run into a scratch folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.repository import DBT


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`dbt parse`, with every warning an error; gives manifest.json."""
    target = tmp_path_factory.mktemp("dbt")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            "--quiet",
            "--warn-error",
            "parse",
            "--profiles-dir",
            str(DBT),
            "--target-path",
            str(target / "target"),
            "--log-path",
            str(target / "logs"),
        ],
        cwd=DBT,
        env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"dbt parse: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    parsed: dict[str, Any] = json.loads((target / "target" / "manifest.json").read_text(encoding="utf-8"))
    return parsed
