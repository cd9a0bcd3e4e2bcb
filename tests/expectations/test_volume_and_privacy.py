"""Row counts are judged against the trailing weeks; nothing is told to anybody outside."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
import yaml

from posrecon.errors import NightError
from posrecon.settings import PROJECT_ROOT
from posrecon.validation import data_docs
from posrecon.validation.run import validate
from tests.expectations.conftest import RUN_DATE, Change, make_warehouse


def test_volume__a_third_of_the_same_weekday__is_a_warning_once_two_weeks_are_known(
    home_of: Callable[[str], Path],
) -> None:
    home = home_of("weeks")

    def fewer(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("delete from staging.stg_terminal__events where line_no > 60")
        connection.execute("update raw.files set loaded = 60 where file_no = 1")

    def volume_warnings(week: int, *changes: Change) -> list[str]:
        settings = make_warehouse(home, *changes)
        verdict = validate(settings, RUN_DATE + timedelta(weeks=week))
        return [rule.rule_id for rule in verdict.warnings if rule.rule_id.endswith("-VOLUME")]

    assert volume_warnings(0) == []
    assert volume_warnings(1, fewer) == []
    assert volume_warnings(1) == []
    assert volume_warnings(2, fewer) == ["DQ-TL-VOLUME"]


def test_telemetry__is_off() -> None:
    content = yaml.safe_load(
        (PROJECT_ROOT / "expectations" / "great_expectations.yml").read_text(encoding="utf-8")
    )
    assert content["analytics_enabled"] is False


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example.org/new.js"></script>',
        '<link rel="stylesheet" href="//cdn.example.org/new.css">',
        "<style>@font-face { src: url(https://cdn.example.org/new.woff2) }</style>",
        '<img src="https://example.org/x.png">',
    ],
)
def test_a_reference_that_nobody_knows__is_refused(tag: str) -> None:
    with pytest.raises(NightError, match="Data Docs would load"):
        data_docs.localised(f"<html><head>{tag}</head></html>", "static/")
