"""Every rule of the reconciliation, as dbt unit tests; and the proof that these notice a changed rule."""

import shutil
from pathlib import Path

import pytest

from tests.dbt.project import DBT, declared_unit_tests, run_dbt

RECON = "models/intermediate/recon"


def test_unit_tests__all_run_and_pass(empty_warehouse: Path, tmp_path: Path) -> None:
    run = run_dbt(["test", "--select", "test_type:unit"], warehouse=empty_warehouse, scratch=tmp_path)
    assert run.failed() == [], run.output[-6000:]
    assert run.returncode == 0, run.output[-4000:]
    ran = sorted(result["unique_id"].rsplit(".", 1)[-1] for result in run.results)
    declared = declared_unit_tests()
    assert ran == sorted(declared)
    assert len(declared) >= 140


def test_unit_test_names__are_told_apart() -> None:
    declared = declared_unit_tests()
    assert len(declared) == len(set(declared))


# (file, what stands there, what it becomes, models whose unit tests must notice)
MUTATIONS = [
    (f"{RECON}/int_recon__due_dates.sql", "where is_banking_day", "where true", "int_recon__due_dates"),
    (f"{RECON}/int_recon__due_dates.sql", "+ due_days.due_days", "+ 1", "int_recon__due_dates"),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "        and tonight.amount_minor = firsts.amount_minor\n",
        "",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "tonight.batch_no is not distinct from firsts.batch_no",
        "tonight.batch_no = firsts.batch_no",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "        and tonight.txn_type = firsts.txn_type\n",
        "",
        "int_recon__settlement_duplicates",
    ),
    (
        f"{RECON}/int_recon__voided_items.sql",
        "order by events.txn_local desc",
        "order by events.txn_local",
        "int_recon__voided_items",
    ),
    (
        f"{RECON}/int_recon__voided_items.sql",
        "'preauth_void') and is_approved",
        "'preauth_void')",
        "int_recon__voided_items",
    ),
    (
        f"{RECON}/int_recon__voided_items.sql",
        "cancellations.txn_local >= events.txn_local",
        "cancellations.txn_local > events.txn_local",
        "int_recon__voided_items",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, terminal_id, rrn, direction]",
        "[acquirer, terminal_id, rrn, direction]",
        "int_recon__pass_1_acquirer_reference",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, terminal_id, rrn, direction]",
        "[acquirer, merchant_id, terminal_id, rrn]",
        "int_recon__pass_1_acquirer_reference",
    ),
    ("dbt_project.yml", "window_s: 86400", "window_s: 86401", "int_recon__pass_1_acquirer_reference"),
    ("dbt_project.yml", "window_s: 1\n", "window_s: 2\n", "int_recon__pass_2_trace_and_time"),
    ("dbt_project.yml", "excluded_watch_days: 2", "excluded_watch_days: 3", "int_recon__item_states"),
    ("dbt_project.yml", "terminal_log_grace_days: 1", "terminal_log_grace_days: 2", "int_recon__line_states"),
    ("dbt_project.yml", "unionpay: 23", "unionpay: 24", "int_recon__expected_items"),
    ("dbt_project.yml", "fee_tolerance_minor: 0", "fee_tolerance_minor: 1", "int_recon__breaks_value"),
    (
        "macros/matching.sql",
        "{{ rule.window_s }}",
        "{{ rule.window_s }} - 1",
        "int_recon__pass_1_acquirer_reference",
    ),
    (
        "macros/matching.sql",
        "where fitting.expects_settlement or contested.line_key is null",
        "",
        "int_recon__pass_1_acquirer_reference",
    ),
    (
        "macros/matching.sql",
        "    group by candidates.line_key\n    having count(*) = 1",
        "    group by candidates.line_key",
        "int_recon__pass_1_acquirer_reference",
    ),
    ("macros/fees.sql", "50000000'", "49999999'", "int_recon__expected_fees"),
    (
        "macros/fees.sql",
        "coalesce({{ cap_minor }}, 9223372036854775807)",
        "9223372036854775807",
        "int_recon__expected_fees",
    ),
    (
        f"{RECON}/int_recon__expected_fees.sql",
        "case when schedule.card_type = '*' then 1 else 0 end asc",
        "case when schedule.card_type = '*' then 0 else 1 end asc",
        "int_recon__expected_fees",
    ),
    (
        f"{RECON}/int_recon__item_states.sql",
        "{{ run_date() }} <= expected.due_date",
        "{{ run_date() }} < expected.due_date",
        "int_recon__item_states",
    ),
    (
        f"{RECON}/int_recon__breaks_existence.sql",
        "items.clearing_date = missing_files.business_date",
        "true",
        "int_recon__breaks_existence",
    ),
    (
        f"{RECON}/int_recon__breaks_value.sql",
        "where abs(fee_minor - expected_fee_minor) >",
        "where abs(fee_minor - expected_fee_minor) >=",
        "int_recon__breaks_value",
    ),
    (
        f"{RECON}/int_recon__breaks_value.sql",
        "and coalesce(items.expects_settlement, true)",
        "",
        "int_recon__breaks_value",
    ),
    (
        f"{RECON}/int_recon__breaks_timing.sql",
        "pool.settlement_date > states.due_date",
        "pool.settlement_date >= states.due_date",
        "int_recon__breaks_timing",
    ),
    (
        f"{RECON}/int_recon__breaks_timing.sql",
        "greatest(1, settled_day",
        "greatest(0, settled_day",
        "int_recon__breaks_timing",
    ),
    (
        f"{RECON}/int_recon__missing_files.sql",
        "where state = 'loaded'",
        "where true",
        "int_recon__missing_files",
    ),
    (
        f"{RECON}/int_recon__payout_pool.sql",
        "where opening_state is null",
        "where true",
        "int_recon__payout_pool",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "where entry_count = 1 and payout_count = 1",
        "where entry_count = 1",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_states.sql",
        "{{ run_date() }} <= due_date",
        "{{ run_date() }} < due_date",
        "int_recon__payout_states",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "where known.break_id is null",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "when known.status = 'closed' then null",
        "when false then null",
        "int_recon__closing_breaks",
    ),
    (
        "models/marts/finance/rpt_daily_control.sql",
        "sum(is_unexplained * abs(amount_minor))",
        "abs(sum(is_unexplained * amount_minor))",
        "rpt_daily_control",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text", "becomes", "model"),
    MUTATIONS,
    ids=[f"{Path(file).stem}-{text.strip()[:40]}" for file, text, _, _ in MUTATIONS],
)
def test_changed_rule__is_noticed_by_a_unit_test(
    empty_warehouse: Path, tmp_path: Path, file: str, text: str, becomes: str, model: str
) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(DBT, project, ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"))
    original = (project / file).read_text(encoding="utf-8")
    assert text in original, f"{file} no longer says {text!r}: choose another text to change"
    (project / file).write_text(original.replace(text, becomes), encoding="utf-8")
    run = run_dbt(
        ["test", "--select", f"{model},test_type:unit"],
        warehouse=empty_warehouse,
        scratch=tmp_path,
        project=project,
    )
    statuses = [result["status"] for result in run.results]
    # An error would mean that the change broke the SQL instead of the rule.
    assert "fail" in statuses, run.output[-3000:]
    assert "error" not in statuses, run.output[-3000:]
