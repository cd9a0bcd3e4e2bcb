"""One empty warehouse with every model built, shared by the tests of the rules."""

from pathlib import Path

import pytest

from tests.dbt.project import make_warehouse, run_dbt


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unit tests read the column types of the relations that they replace, so these must exist."""
    scratch = tmp_path_factory.mktemp("empty_warehouse")
    warehouse = scratch / "warehouse.duckdb"
    make_warehouse(warehouse)
    run = run_dbt(
        ["build", "--resource-type", "seed", "--resource-type", "model"],
        warehouse=warehouse,
        scratch=scratch,
    )
    assert run.returncode == 0, run.output[-4000:]
    return warehouse
