from pathlib import Path

import pytest

from posrecon.settings import Settings
from tests.unit.warehouse.small_night import small_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_settings(tmp_path)
