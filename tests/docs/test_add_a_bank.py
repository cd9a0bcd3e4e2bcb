"""The page that a new user follows does what it says."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from posrecon import cli
from posrecon.landing.sources import Expected, Source
from posrecon.settings import PROJECT_ROOT
from tests.docs.test_pages import ROOT, blocks
from tests.unit.formats.generic_sources import allinpay_file, allinpay_record

PAGE = ROOT / "docs" / "add-a-bank.md"


def test_example__is_a_source_of_less_than_40_lines_that_reads_a_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example, addition = blocks(PAGE, "yaml")
    assert len(example.splitlines()) < 40
    sources = tmp_path / "project" / "include" / "sources"
    shutil.copytree(PROJECT_ROOT / "include" / "sources", sources)
    (sources / "allinpay_pos.yml").write_text(example, encoding="utf-8")
    monkeypatch.setenv("POSRECON_PROJECT_DIR", str(tmp_path / "project"))
    monkeypatch.setenv("POSRECON_HOME", str(tmp_path / "home"))
    commands = re.findall(r"^\$ posrecon (.+)$", "\n".join(blocks(PAGE, "console")), flags=re.MULTILINE)
    assert [command.split()[:2] for command in commands] == [["sources", "check"], ["sources", "try"]]
    monkeypatch.chdir(tmp_path)
    Path(commands[1].split()[2]).write_bytes(allinpay_file(allinpay_record()))

    assert cli.run(commands[0].split()) == 0
    capsys.readouterr()
    assert cli.run([*commands[1].split(), "--json"]) == 0
    (trial,) = json.loads(capsys.readouterr().out)
    assert (trial["source"], trial["loaded"], trial["computed_minor"]) == ("allinpay_pos", 1, 1227)
    assert Expected.model_validate(yaml.safe_load(addition)["expected"]).calendar == "daily"
    assert Source.model_validate(yaml.safe_load(example) | yaml.safe_load(addition)).expected is not None


def test_formats_page__names_every_key_and_column_of_a_table() -> None:
    from posrecon.landing.tables import COLUMNS, Table

    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    section = text.split("## Any table", 1)[1].split("\n## ", 1)[0]
    named = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", section, flags=re.DOTALL))))
    assert set(Table.model_fields) - named == set()
    for columns in COLUMNS.values():
        assert set(columns) - named == set()


def test_example__is_the_one_that_lies_ready() -> None:
    example, _ = blocks(PAGE, "yaml")
    shipped = ROOT / "include" / "sources" / "allinpay_pos.yml"
    assert shipped.read_text(encoding="utf-8").strip() == example.strip()
