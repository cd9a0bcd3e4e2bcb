"""The page of examples is what the code says, for every break type."""

import csv
import re
import runpy
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT

PAGE = ROOT / "docs" / "explained.md"


def test_explained__has_an_example_of_every_break_type_in_their_order() -> None:
    with (ROOT / "dbt_project" / "seeds" / "break_types.csv").open(encoding="utf-8") as lines:
        types = [row["break_type"] for row in csv.DictReader(lines)]
    text = PAGE.read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [section.splitlines()[0] for section in sections] == [*types, "By a bank reference"]
    for name, section in zip(types, sections, strict=False):
        assert f"  break {name} (" in section, name
        # Who says so: at least one line as it was received.
        assert re.search(r"^    \| \S|^  calendar: ", section, flags=re.MULTILINE), name


def test_explained__shows_no_whole_card_number() -> None:
    text = PAGE.read_text(encoding="utf-8")
    cards = re.findall(r"(?<![\d_])62\d{14,17}(?!\d)", text)
    assert cards == []


@pytest.mark.slow
def test_explained__made_again_from_a_fresh_home__is_byte_for_byte_the_page(tmp_path: Path) -> None:
    make = runpy.run_path(str(ROOT / "docs" / "make_explained.py"))["make"]
    assert make(tmp_path / "home") == PAGE.read_text(encoding="utf-8"), "run docs/make_explained.py"
