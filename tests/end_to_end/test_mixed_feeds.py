"""Nights over a mixed inbox, scored: every layout, acquirers of a source YAML, every rung of the ladder."""

import pytest
import yaml

from posrecon.settings import PROJECT_ROOT
from posrecon.simulate.score import Score, score
from tests.end_to_end.homes import NIGHT_1, NIGHT_2, Home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("mixed") / "home")
    arguments = ("--seed", "3", "--nights", "2", "--rows", "1000", "--feeds", "mixed")
    home.run("simulate", "--out", str(home.path / "inbox"), *arguments)
    for night in (NIGHT_1, NIGHT_2):
        home.run("night", "--date", str(night))
    return home


@pytest.fixture(scope="module")
def found(home: Home) -> Score:
    return score(home.settings, home.path / "inbox" / "truth.csv")


def test_score__is_perfect(found: Score) -> None:
    assert found.perfect
    assert found.pairs.true_positives > 1500


def test_every_rung_of_the_ladder__pairs_something_and_nothing_wrong(found: Score) -> None:
    project = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text(encoding="utf-8"))
    ladder = {rule["name"]: rule["tier"] for rule in project["vars"]["match_ladder"]}
    assert len(ladder) == 5
    right = {tier.rule: tier.tier for tier in found.tiers if tier.right}
    assert ladder.items() <= right.items()
    assert [tier for tier in found.tiers if tier.wrong] == []


def test_acquirers_of_a_source_yaml__are_paid_and_their_disputes_are_seen(home: Home) -> None:
    funded = home.ask("select distinct acquirer from marts.fct_payouts where state = 'funded'")
    assert {("allinpay",), ("harbour",)} <= set(funded)
    assert home.ask("select count(*) from marts.fct_files where state not in ('loaded', 'duplicate')") == [
        (0,)
    ]
    assert home.ask("select count(*) from marts.fct_breaks where break_type = 'chargeback'") == [(1,)]
