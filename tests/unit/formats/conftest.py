from pathlib import Path

import pytest

from posrecon.settings import Settings
from tests.unit.landing.files import settings_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "home")
