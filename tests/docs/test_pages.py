"""The pages agree with the code: commands, links, tables, settings, decisions."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from posrecon.landing.sources import Source
from posrecon.night import STEPS
from posrecon.settings import Settings
from tests.architecture.repository import ROOT, tracked_files

PAGES = tuple(ROOT / name for name in tracked_files() if name.endswith(".md"))


def blocks(page: Path, language: str) -> list[str]:
    """Contents of the page's fenced blocks in one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def anchor(title: str) -> str:
    """The anchor that a heading gets."""
    kept = re.sub(r"[^\w\- ]", "", title.strip().lower())
    return kept.replace(" ", "-")


def headings(page: Path) -> set[str]:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {anchor(title) for title in re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_link__leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, section = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        if not found.exists() or (section and section not in headings(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_path_in_backticks__exists(page: Path) -> None:
    """`tests/architecture/test_sql.py` in a page is a promise."""
    tops = {name.split("/")[0] for name in tracked_files() if "/" in name}
    mentioned = re.findall(r"`((?:[\w.\-]+/)+[\w.\-]*)`", page.read_text(encoding="utf-8"))
    gone = [path for path in mentioned if path.split("/")[0] in tops and not (ROOT / path).exists()]
    assert gone == []


@pytest.mark.parametrize("name", ["tables", "rules"])
def test_made_page__says_what_it_is_made_from(name: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import runpy, sys; sys.stdout.write(runpy.run_path('docs/make_{name}.py')['page']())",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") == done.stdout, "run `make docs`"


def test_cases_page__lists_the_causes_and_states_that_there_are() -> None:
    from posrecon.disputes.causes import CAUSES
    from posrecon.disputes.states import State

    text = (ROOT / "docs" / "cases.md").read_text(encoding="utf-8")
    table = text.split("| cause | takes | key | why together |\n|---|---|---|---|\n", 1)[1].split("\n\n", 1)[
        0
    ]
    assert table.splitlines() == [
        f"| {cause.name} | {cause.holds} | {cause.key} | {cause.why} |" for cause in CAUSES
    ]
    assert [state for state in State if state not in text] == []


def test_decisions__say_what_why_what_breaks_and_what_else_there_was() -> None:
    text = (ROOT / "DECISIONS.md").read_text(encoding="utf-8")
    entries = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert entries
    incomplete = [
        f"{entry.splitlines()[0]}: {part}"
        for entry in entries
        for part in ("**What.**", "**Why.**", "**What breaks.**", "**Alternatives.**")
        if entry.count(part) != 1
    ]
    assert incomplete == []
    numbers = [int(entry.split(".", 1)[0]) for entry in entries]
    assert numbers == list(range(1, len(entries) + 1))


def test_changelog__has_an_unreleased_section() -> None:
    assert "unreleased" in headings(ROOT / "CHANGELOG.md")


def test_make_targets__are_all_explained() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1].split())  # type: ignore[index]
    explained = set(re.findall(r"^([a-z-]+):.*## \S", makefile, flags=re.MULTILINE))
    assert explained == phony
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([a-z-]+)", contributing)) >= phony - {"help"}
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))) <= phony, page


def test_example_environment__lists_settings_that_exist() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = {name.lower() for name in re.findall(r"^#?POSRECON_([A-Z_]+)=", example, flags=re.MULTILINE)}
    known = set(Settings.model_fields)
    assert named <= known
    # The project's folder follows from the package.
    assert known - named <= {"project_dir"}


def test_architecture_page__lists_the_steps_of_the_night() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("| step | does | writes |", 1)[1].split("\n\n", 1)[0]
    listed = re.findall(r"^\| ([a-z]+) \|", table, flags=re.MULTILINE)
    assert listed == [step.name for step in STEPS]


def test_readme_ladder__is_the_ladder() -> None:
    project = yaml.safe_load((ROOT / "dbt_project" / "dbt_project.yml").read_text(encoding="utf-8"))
    ladder = [(str(rung["tier"]), rung["name"]) for rung in project["vars"]["match_ladder"]]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d) \| (\w+) \|", readme, flags=re.MULTILINE) == ladder


def test_readme_bank__is_a_source_that_loads() -> None:
    (example,) = blocks(ROOT / "README.md", "yaml")
    source = Source.model_validate(yaml.safe_load(example))
    named = re.fullmatch(source.pattern, "HARBOUR_6222000100010001_20261112.sta")
    assert named is not None
    assert named["key"] == "6222000100010001"


def test_readme_tables__are_what_is_published() -> None:
    from posrecon.warehouse.publish import VIEWS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    answers = readme.split("## What it answers", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"`((?:fct|dim|rpt|dispute)_\w+)`", answers)) == {view.name for view in VIEWS}


def test_pages__mention_only_commands_that_exist() -> None:
    import typer.main

    from posrecon.cli import app

    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
        mentioned = set(re.findall(r"`posrecon ([a-z]+)\b", text))
        mentioned |= set(re.findall(r"^(?:\$ )?(?:\.venv/bin/)?posrecon ([a-z]+)\b", fenced, re.MULTILINE))
        assert mentioned <= known, page


def test_formats_page__names_every_column_of_the_terminal_log() -> None:
    from posrecon.formats.terminal_csv import BATCH_COLUMNS, LOG_COLUMNS

    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    lists = [set(re.split(r",\s+", found)) for found in re.findall(r"`([a-z_]+(?:,\s+[a-z_]+)+)`", text)]
    assert set(LOG_COLUMNS) in lists
    assert set(BATCH_COLUMNS) in lists
