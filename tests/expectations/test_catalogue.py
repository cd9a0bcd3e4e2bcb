"""The catalogue is what the suites say, and its reference tables are dated and complete."""

import csv
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from posrecon.errors import NightError
from posrecon.settings import PROJECT_ROOT
from posrecon.validation import catalogue, policy
from tests.expectations.conftest import BREAK_TYPES

EXPECTATIONS = PROJECT_ROOT / "expectations"
REFERENCE = EXPECTATIONS / "reference"
RULES = catalogue.load(EXPECTATIONS / "rules.yml")


def test_suites__are_what_the_catalogue_says() -> None:
    wanted = catalogue.generated_files(RULES, EXPECTATIONS / "great_expectations.yml")
    found = {
        path.relative_to(EXPECTATIONS).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("suites", "validation_definitions", "checkpoints")
        for path in (EXPECTATIONS / folder).glob("*.json")
    }
    assert found == wanted, "run: python -m posrecon.validation.catalogue"


def test_dispute_suite__has_one_rule_per_break_type() -> None:
    assert sorted(rule.break_type for rule in RULES.dispute_rules) == sorted(BREAK_TYPES)
    assert {rule.severity for rule in RULES.dispute_rules} <= {"high", "medium", "low"}
    for rule in RULES.dispute_rules:
        assert rule.notes
        assert rule.remedy_en
        assert any("\u4e00" <= letter <= "\u9fff" for letter in rule.remedy_zh), rule.rule_id


def test_break_types__say_the_same_first_step_as_their_dispute_rule() -> None:
    """Readers of the tables see the seed, readers of Data Docs the rule; the catalogue leads."""
    with (PROJECT_ROOT / "dbt_project" / "seeds" / "break_types.csv").open(encoding="utf-8") as stream:
        seed = {row["break_type"]: (row["remedy_en"], row["remedy_zh"]) for row in csv.DictReader(stream)}
    assert seed == {rule.break_type: (rule.remedy_en, rule.remedy_zh) for rule in RULES.dispute_rules}


def test_every_rule__says_what_whose_and_what_to_do_in_both_languages() -> None:
    chinese = re.compile("[\u4e00-\u9fff]")
    for rule in RULES.rules.values():
        said = (rule.rule_id, rule.severity, rule.owner, rule.description, rule.remedy_en, rule.materiality)
        assert all(said), rule.rule_id
        assert chinese.search(rule.explanation_zh), rule.rule_id
        assert chinese.search(rule.remedy_zh), rule.rule_id
        assert bool(rule.break_type) == bool(rule.route) == (rule.suite == catalogue.DISPUTES), rule.rule_id


def test_data_quality_rules__are_errors_or_warnings__in_every_feed() -> None:
    for suite in RULES.suites:
        if suite.name != catalogue.DISPUTES:
            assert {rule.severity for rule in suite.rules} == {"error", "warning"}


def test_rows_rules__name_their_relation() -> None:
    for rule in RULES.rules.values():
        query = rule.kwargs.get("unexpected_rows_query")
        assert query is None or "{batch}" in query, rule.rule_id


def test_writing_the_suites__from_nothing__gives_the_checked_in_files(tmp_path: Path) -> None:
    for name in ("rules.yml", "great_expectations.yml"):
        shutil.copyfile(EXPECTATIONS / name, tmp_path / name)
    stale = tmp_path / "suites" / "stale.json"
    stale.parent.mkdir()
    stale.write_text("{}", encoding="utf-8")
    changed = catalogue.write_generated(tmp_path)
    assert stale in changed
    assert not stale.exists()
    assert (tmp_path / "suites" / "bank.json").read_bytes() == (
        EXPECTATIONS / "suites" / "bank.json"
    ).read_bytes()
    assert catalogue.write_generated(tmp_path) == []


def test_shared_rule__is_in_every_suite_that_fills_it_in__with_its_words() -> None:
    for suite in RULES.suites:
        shared = [rule for rule in suite.rules if rule.rule_id.endswith("-CONSERVED")]
        assert len(shared) == (0 if suite.name == catalogue.DISPUTES else 1), suite.name
    conserved = RULES.rules["DQ-BK-CONSERVED"]
    assert conserved.description == "As many entries as each accepted file says were loaded are here."
    assert "count(s.entry_key)" in conserved.kwargs["unexpected_rows_query"]


def test_shared_rule__that_a_suite_does_not_fill_in__is_refused(tmp_path: Path) -> None:
    content = yaml.safe_load((EXPECTATIONS / "rules.yml").read_text(encoding="utf-8"))
    del content["suites"][0]["fills"]["many"]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with pytest.raises(NightError, match="asks for many, which a suite does not fill in"):
        catalogue.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rules: rules.append(rules[0]), "DQ-TL-TYPES occurs twice"),
        (lambda rules: rules[1].pop("description"), "DQ-TL-MERCHANT has no description"),
        (lambda rules: rules[1].pop("zh"), "DQ-TL-MERCHANT has no zh"),
        (
            lambda rules: rules[1].update(owner="nobody"),
            "DQ-TL-MERCHANT: the owner is nobody, expected data or",
        ),
    ],
)
def test_catalogue__that_contradicts_itself__is_refused(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    content = yaml.safe_load((EXPECTATIONS / "rules.yml").read_text(encoding="utf-8"))
    change(content["suites"][0]["rules"])
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(NightError, match=message):
        catalogue.load(path)


def _policy(run_date: date, reference: Path = REFERENCE) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    policy.build(connection, run_date, RULES, reference)
    return connection


def test_policy__the_limitation_clock__is_in_force_from_2021_only() -> None:
    count = "select count(*) from policy.clocks where clock = 'limitation_of_action'"
    assert _policy(date(2020, 12, 31)).execute(count).fetchone() == (0,)
    to_court = sum("court" in (rule.route, *rule.escalation) for rule in RULES.dispute_rules)
    assert to_court > 0
    assert _policy(date(2021, 1, 1)).execute(count).fetchone() == (to_court,)


def test_policy__every_rule__has_a_materiality_and_a_clock() -> None:
    connection = _policy(date(2026, 11, 12))
    for table in ("materiality", "clocks"):
        rows = connection.execute(
            f"select rule_id from policy.rules where rule_id not in (select rule_id from policy.{table})"
        ).fetchall()
        assert rows == [], table


@pytest.mark.parametrize(
    ("file_name", "line", "message"),
    [
        (
            "materiality.csv",
            "*,*,5,0,2026-01-01,,twice",
            "line 3 overlaps line 2: both hold from 2026-01-01 on",
        ),
        ("materiality.csv", "DISP-NOBODY,*,5,0,2026-01-01,,unknown", "line 3: unknown rule DISP-NOBODY"),
        (
            "dispute_clocks.csv",
            "acquirer,*,x,act,5,calendar,transaction,2026-01-01,,somebody,certain",
            "line 14: confidence is .certain., expected sourced or secondary or unverified",
        ),
        (
            "dispute_clocks.csv",
            "nobody,*,x,act,5,calendar,transaction,2026-01-01,,somebody,sourced",
            "line 14: unknown route nobody",
        ),
        (
            "dispute_clocks.csv",
            "acquirer,*,x,answer,5,calendar,transaction,2026-01-01,,somebody,sourced",
            "line 14: answer cannot start at transaction",
        ),
        ("volume.csv", "bank,four,2,50,200,2026-01-01,,not a number", "line 3: trailing_weeks is .four."),
    ],
)
def test_policy__a_reference_row_without_effect_or_sense__is_refused(
    tmp_path: Path, file_name: str, line: str, message: str
) -> None:
    shutil.copytree(REFERENCE, tmp_path / "reference")
    with (tmp_path / "reference" / file_name).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(NightError, match=message):
        _policy(date(2026, 11, 12), tmp_path / "reference")


def test_policy__a_rule_that_sends_money_to_the_regulator_of_data__is_refused(tmp_path: Path) -> None:
    content = (EXPECTATIONS / "rules.yml").read_text(encoding="utf-8")
    path = tmp_path / "rules.yml"
    path.write_text(
        content.replace("escalation: [payment_institution]", "escalation: [data_protection]", 1),
        encoding="utf-8",
    )
    with pytest.raises(
        NightError, match=r"names data_protection for DISP-[A-Z-]+, which is no door for money"
    ):
        policy.build(duckdb.connect(), date(2026, 11, 12), catalogue.load(path), REFERENCE)
