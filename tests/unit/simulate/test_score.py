"""The score finds every kind of difference between what was published and what was labelled."""

import json
from datetime import date
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from posrecon.errors import UsageError
from posrecon.settings import Settings
from posrecon.simulate import Score, render, score, to_dict
from posrecon.simulate.truth import BREAK_TYPES
from tests.unit.simulate.conftest import Simulated

LAST = date(2026, 11, 16)


def publish(home: Path, truth: Path, run_date: date) -> Settings:
    """A warehouse that knows exactly what the labels say by `run_date`."""
    settings = Settings(home=home)
    settings.published.mkdir(parents=True)
    with duckdb.connect(str(settings.published / "posrecon.duckdb")) as connection:
        connection.execute("create schema marts")
        connection.execute(f"create table truth as from read_csv('{truth}', all_varchar = true)")
        connection.execute(
            f"""
            create table marts.fct_reconciliation as
            select date '{run_date}' as run_date, 'matched' as match_state, terminal_file,
                terminal_line::bigint as terminal_line, settlement_file, settlement_line::bigint as settlement_line,
                250::bigint as settled_amount_minor, 1 + rowid % 4 as match_tier,
                'card_and_amount_in_time_order' as match_rule
            from truth where record_type = 'pair' and detected_on <= '{run_date}'
            union all
            select date '{run_date}', 'pending', 'terminal_log_20261116.csv', 2, null, null, null, null, null
            """
        )
        connection.execute(
            f"""
            create table marts.fct_breaks as
            select break_type, terminal_file, terminal_line::bigint as terminal_line, settlement_file,
                settlement_line::bigint as settlement_line, payout_id, bank_file,
                bank_line::bigint as bank_line, detected_on::date as opened_on,
                case when closed_on <= '{run_date}' then closed_on::date end as closed_on,
                case when closed_on <= '{run_date}' then 'closed' else 'open' end as status,
                coalesce(abs(delta_minor::bigint), 100) as amount_at_risk_minor,
                case when break_type in ('amount_mismatch', 'payout_over')
                    then json_object('delta_minor', delta_minor::bigint)::varchar
                    when break_type = 'ambiguous_match'
                    then json_object('group_id', 'a name of my own ' || group_id)::varchar end as detail
            from truth where record_type = 'break' and detected_on <= '{run_date}'
            """
        )
    return settings


def change(settings: Settings, *statements: str) -> None:
    with duckdb.connect(str(settings.published / "posrecon.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def truth(simulated: Simulated) -> Path:
    return simulated.out / "truth.csv"


@pytest.fixture
def settings(tmp_path: Path, truth: Path) -> Settings:
    return publish(tmp_path / "home", truth, LAST)


def of_type(result: Score, name: str) -> tuple[int, int, int, int]:
    (scored,) = (scored for scored in result.breaks if scored.name == name)
    return (scored.true_positives, scored.false_positives, scored.false_negatives, scored.delta_wrong)


def test_everything_as_labelled__is_perfect(settings: Settings, truth: Path) -> None:
    result = score(settings, truth)
    assert result.perfect
    assert result.run_date == LAST
    assert result.pairs.precision == result.pairs.recall == 1.0
    assert result.pairs.true_positives > 8000
    assert result.matched_minor == 250 * result.pairs.true_positives
    assert len(result.breaks) == len(BREAK_TYPES) == 23
    assert all(scored.true_positives > 0 for scored in result.breaks)


def test_labels_of_later_nights__are_left_out(tmp_path: Path, truth: Path) -> None:
    result = score(publish(tmp_path / "home", truth, date(2026, 11, 13)), truth)
    assert result.perfect
    assert result.labels_later > 0
    # The late lines have not come yet, so their first breaks are still open.
    assert of_type(result, "late_settlement") == (0, 0, 0, 0)


def test_a_finding_of_a_later_night__is_wrong_before_its_time(tmp_path: Path, truth: Path) -> None:
    early = publish(tmp_path / "home", truth, date(2026, 11, 13))
    change(
        early,
        """insert into marts.fct_breaks select break_type, terminal_file, terminal_line::bigint, settlement_file,
            settlement_line::bigint, payout_id, null, null, date '2026-11-13', null, 'open', 1, null
        from truth where break_type = 'late_settlement' limit 1""",
    )
    assert of_type(score(early, truth), "late_settlement")[1] == 1


def test_a_wrong_pair__costs_precision_and_recall_and_is_named(settings: Settings, truth: Path) -> None:
    change(
        settings,
        """update marts.fct_reconciliation set settlement_line = settlement_line + 5000
        where terminal_file = 'terminal_log_20261111.csv' and terminal_line = 2""",
    )
    result = score(settings, truth)
    assert not result.perfect
    assert (result.pairs.false_positives, result.pairs.false_negatives) == (1, 1)
    assert result.pairs.precision < 1.0
    assert result.pairs.recall < 1.0
    assert result.pairs.precision_text.startswith("0.99")
    assert "terminal_log_20261111.csv line 2 <-> INN261111" in result.pairs.wrong[0]
    assert "terminal_log_20261111.csv line 2 <-> INN261111" in result.pairs.missing[0]


def test_a_missing_break__costs_recall_alone(settings: Settings, truth: Path) -> None:
    before = of_type(score(settings, truth), "fee_mismatch")
    change(
        settings,
        """delete from marts.fct_breaks where rowid = (
            select min(rowid) from marts.fct_breaks where break_type = 'fee_mismatch')""",
    )
    assert of_type(score(settings, truth), "fee_mismatch") == (before[0] - 1, 0, 1, 0)


def test_a_break_found_twice__costs_precision(settings: Settings, truth: Path) -> None:
    before = of_type(score(settings, truth), "payout_short")
    change(settings, "insert into marts.fct_breaks from marts.fct_breaks where break_type = 'payout_short'")
    assert of_type(score(settings, truth), "payout_short") == (before[0], before[0], 0, 0)


def test_a_type_that_no_label_names__counts_as_wrong(settings: Settings, truth: Path) -> None:
    change(
        settings,
        "update marts.fct_breaks set break_type = 'no_such_type' where break_type = 'declined_but_settled'",
    )
    result = score(settings, truth)
    right, wrong, missing, _ = of_type(result, "no_such_type")
    assert (right, missing) == (0, 0)
    assert wrong == of_type(result, "declined_but_settled")[2] > 0


@pytest.mark.parametrize("name", ["amount_mismatch", "payout_over", "payout_short", "payout_not_received"])
def test_another_money_difference__is_found_and_still_not_perfect(
    name: str, settings: Settings, truth: Path
) -> None:
    before = of_type(score(settings, truth), name)
    change(
        settings,
        f"""update marts.fct_breaks set amount_at_risk_minor = amount_at_risk_minor + 1,
            detail = case when detail is not null then '{{"delta_minor": 1}}' end
        where break_type = '{name}'""",
    )
    result = score(settings, truth)
    assert of_type(result, name) == (before[0], 0, 0, before[0])
    assert not result.perfect


def test_a_sign_of_a_difference__counts_where_it_is_told(settings: Settings, truth: Path) -> None:
    change(
        settings,
        """update marts.fct_breaks
        set detail = json_object('delta_minor', -(detail ->> '$.delta_minor')::bigint)::varchar
        where break_type = 'amount_mismatch'""",
    )
    assert of_type(score(settings, truth), "amount_mismatch")[3] > 0


def test_a_closed_break__may_carry_the_line_that_closed_it(settings: Settings, truth: Path) -> None:
    change(
        settings,
        """update marts.fct_breaks set settlement_file = 'INN26111388ZM_1', settlement_line = 1
        where break_type = 'missing_in_settlement' and status = 'closed'""",
    )
    assert score(settings, truth).perfect


@pytest.mark.parametrize(
    "statement",
    [
        "update marts.fct_breaks set status = 'open', closed_on = null",
        "update marts.fct_breaks set opened_on = opened_on - 1 where break_type = 'missing_in_settlement'",
    ],
)
def test_a_break_of_another_night__is_a_finding_but_not_perfect(
    statement: str, settings: Settings, truth: Path
) -> None:
    change(settings, statement)
    result = score(settings, truth)
    assert all(scored.perfect for scored in (result.pairs, *result.breaks))
    assert result.timing_wrong > 0
    assert result.timing[0].startswith("missing_in_settlement: terminal_log_")
    assert not result.perfect


def test_long_lists__stop_at_twenty_and_the_counts_do_not(settings: Settings, truth: Path) -> None:
    change(settings, "delete from marts.fct_reconciliation where match_state = 'matched'")
    result = score(settings, truth)
    assert result.pairs.false_negatives > 8000
    assert len(result.pairs.missing) == 20
    assert result.pairs.precision_text == "-"


def test_json_and_table__say_what_was_compared(settings: Settings, truth: Path) -> None:
    change(settings, "delete from marts.fct_breaks where break_type = 'late_settlement'")
    result = score(settings, truth)
    plain = json.loads(json.dumps(to_dict(result)))
    assert plain["run_date"] == "2026-11-16"
    assert plain["perfect"] is False
    late = next(scored for scored in plain["breaks"] if scored["name"] == "late_settlement")
    assert late["recall"] == 0.0
    assert late["missing"]
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as shown:
        console.print(render(result))
    text = shown.get()
    assert "late_settlement: missed: terminal_log_" in text
    assert "Score as of 2026-11-16" in text


def test_without_a_night_or_labels__the_error_says_what_to_do(
    settings: Settings, truth: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="Run a night first"):
        score(Settings(home=tmp_path / "empty"), truth)
    with pytest.raises(UsageError, match=r"Give the truth\.csv"):
        score(settings, tmp_path / "absent.csv")
    other = tmp_path / "other.csv"
    other.write_text("merchant_id,name\nM1,x\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"Give the truth\.csv"):
        score(settings, other)


def test_table__fits_eighty_columns(settings: Settings, truth: Path) -> None:
    change(settings, "update marts.fct_reconciliation set settled_amount_minor = 1234567")
    console = Console(width=80)
    with console.capture() as shown:
        console.print(render(score(settings, truth)))
    assert "…" not in shown.get()
    assert "duplicate_in_terminal_log" in shown.get()
    assert "4 card_and_amount_in_time_order" in shown.get()


def test_pairs__are_told_by_rung_and_by_money(settings: Settings, truth: Path) -> None:
    change(
        settings,
        """update marts.fct_reconciliation set settlement_line = settlement_line + 5000
        where terminal_file = 'terminal_log_20261111.csv' and terminal_line = 2""",
        """insert into marts.fct_reconciliation
        select run_date, 'unmatched', null, null, settlement_file, settlement_line - 5000, 777, null, null
        from marts.fct_reconciliation where settlement_line > 5000""",
    )
    result = score(settings, truth)
    assert [tier.tier for tier in result.tiers] == [1, 2, 3, 4]
    assert sum(tier.wrong for tier in result.tiers) == 1
    assert sum(tier.right for tier in result.tiers) == result.pairs.true_positives
    assert sum(tier.right_minor + tier.wrong_minor for tier in result.tiers) == result.matched_minor
    assert (result.wrong_minor, result.missed_minor) == (250, 777)
    so_far = [result.recall_after(tier) for tier in result.tiers]
    assert so_far == sorted(so_far)
    assert so_far[-1] == result.pairs.recall_text
    right = result.matched_minor - 250
    assert result.precision_minor_text == f"0.{right * 10_000 // result.matched_minor:04d}"
    assert result.recall_minor_text == f"0.{right * 10_000 // (right + 777):04d}"


@pytest.mark.parametrize("name", ["unidentified_credit", "unexplained_deduction"])
def test_bank_evidence__is_the_file_and_the_entry(name: str, settings: Settings, truth: Path) -> None:
    before = of_type(score(settings, truth), name)
    assert before[0] > 1
    change(
        settings,
        f"""update marts.fct_breaks set bank_line = bank_line + 40
        where rowid = (select min(rowid) from marts.fct_breaks where break_type = '{name}')""",
    )
    result = score(settings, truth)
    assert of_type(result, name) == (before[0] - 1, 1, 1, 0)
    assert " entry 4" in next(scored for scored in result.breaks if scored.name == name).wrong[0]


@pytest.mark.parametrize(
    "statement",
    [
        # Two groups under one name, a group under two names, a member without one.
        """update marts.fct_breaks set detail = '{"group_id": "x"}' where break_type = 'ambiguous_match'""",
        """update marts.fct_breaks set detail = '{"group_id": "x"}' where rowid = (
            select min(rowid) from marts.fct_breaks where break_type = 'ambiguous_match')""",
        """update marts.fct_breaks set detail = null where rowid = (
            select min(rowid) from marts.fct_breaks where break_type = 'ambiguous_match')""",
    ],
)
def test_a_group_of_equal_candidates__must_be_one_group(
    statement: str, settings: Settings, truth: Path
) -> None:
    assert score(settings, truth).groups_wrong == 0
    change(settings, statement)
    result = score(settings, truth)
    assert of_type(result, "ambiguous_match")[1:] == (0, 0, 0)
    assert result.groups_wrong >= 1
    assert not result.perfect
