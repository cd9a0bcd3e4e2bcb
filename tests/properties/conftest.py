import pytest

from tests.properties.compiled import Node, compile_project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Node, ...]:
    """The dbt project, compiled once for all examples."""
    return compile_project(tmp_path_factory.mktemp("compiled"))
