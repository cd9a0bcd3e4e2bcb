"""Every rule of the reconciliation, as dbt unit tests; and the proof that these notice a changed rule."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dbt.project import DBT, declared_unit_tests, run_dbt

RECON = "models/intermediate/recon"
TOLERANCES = "seeds/tolerances.csv"


def test_unit_tests__all_run_and_pass(empty_warehouse: Path, tmp_path: Path) -> None:
    run = run_dbt(["test", "--select", "test_type:unit"], warehouse=empty_warehouse, scratch=tmp_path)
    assert run.failed() == [], run.output[-6000:]
    assert run.returncode == 0, run.output[-4000:]
    ran = sorted(result["unique_id"].rsplit(".", 1)[-1] for result in run.results)
    declared = declared_unit_tests()
    assert ran == sorted(declared)
    assert len(declared) >= 260


def test_unit_test_names__are_told_apart() -> None:
    declared = declared_unit_tests()
    assert len(declared) == len(set(declared))


AUTHORISATION_KEYS = (
    "[acquirer, merchant_id, terminal_id, auth_code, card_last4, business_date, direction, currency, "
    "amount_minor]"
)

# (file, what stands there, what it becomes, models whose unit tests must notice)
MUTATIONS = [
    (f"{RECON}/int_recon__due_dates.sql", "where is_banking_day", "where true", "int_recon__due_dates"),
    (f"{RECON}/int_recon__due_dates.sql", "+ in_force.due_days", "+ 1", "int_recon__due_dates"),
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
    (
        TOLERANCES,
        "acquirer_reference,86400",
        "acquirer_reference,86401",
        "int_recon__pass_1_acquirer_reference",
    ),
    (TOLERANCES, "trace_and_time,1,", "trace_and_time,2,", "int_recon__pass_2_trace_and_time"),
    (f"{RECON}/int_recon__item_states.sql", "> watched_until", ">= watched_until", "int_recon__item_states"),
    (
        f"{RECON}/int_recon__line_states.sql",
        "< settlement_days.terminal_log_due_date",
        "<= settlement_days.terminal_log_due_date",
        "int_recon__line_states",
    ),
    (TOLERANCES, "terminal_log_grace_days,*,1", "terminal_log_grace_days,*,2", "int_recon__settlement_days"),
    (TOLERANCES, "payout_due_days,unionpay,1", "payout_due_days,unionpay,2", "int_recon__settlement_days"),
    (TOLERANCES, "payout_window_days,*,15", "payout_window_days,*,16", "int_recon__settlement_days"),
    (
        "macros/tolerances.sql",
        "between {{ alias }}.effective_from and {{ alias }}.effective_to",
        ">= {{ alias }}.effective_from",
        "int_recon__due_dates",
    ),
    (
        "macros/tolerances.sql",
        "between {{ alias }}.effective_from and {{ alias }}.effective_to",
        "<= {{ alias }}.effective_to",
        "int_recon__settlement_days",
    ),
    (
        f"{RECON}/int_recon__expected_items.sql",
        "(24 - due_dates.cut_off_hour)",
        "0",
        "int_recon__expected_items",
    ),
    (
        "macros/matching.sql",
        "<= {{ tolerance_tonight('match_window_s'",
        "< {{ tolerance_tonight('match_window_s'",
        "int_recon__pass_1_acquirer_reference",
    ),
    (
        "macros/matching.sql",
        "where {{ among }}.expects_settlement or contested.line_key is null",
        "",
        "int_recon__pass_1_acquirer_reference",
    ),
    (
        "macros/matching.sql",
        "    group by candidates.line_key\n    having count(*) = 1",
        "    group by candidates.line_key",
        "int_recon__pass_1_acquirer_reference",
    ),
    # A pair is spared the ranking only when neither side fits anything else.
    (
        "macros/matching.sql",
        "having count(*) > 1",
        "having count(*) > 2",
        "int_recon__pass_1_acquirer_reference",
    ),
    (
        "macros/matching.sql",
        "where crowded_items.item_key is null and crowded_lines.line_key is null",
        "where crowded_items.item_key is null",
        "int_recon__pass_1_acquirer_reference",
    ),
    (
        f"{RECON}/int_recon__left_items.sql",
        "where paired.item_key is null",
        "where true",
        "int_recon__left_items",
    ),
    (
        f"{RECON}/int_recon__left_lines.sql",
        "where paired.line_key is null",
        "where true",
        "int_recon__left_lines",
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
        "split_part(expected.logical_name, '/', 1) = loaded.file_family",
        "false",
        "int_recon__missing_files",
    ),
    (
        f"{RECON}/int_recon__missing_files.sql",
        "split_part(expected.logical_name, '/', 1) = loaded.file_family",
        "true",
        "int_recon__missing_files",
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
        "where counted.group_count = 1",
        "where true",
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
        "models/marts/finance/rpt_daily_control.sql",
        "sum(is_unexplained * abs(amount_minor))",
        "abs(sum(is_unexplained * amount_minor))",
        "rpt_daily_control",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[merchant_id, terminal_id, auth_code, card_last4, business_date, direction, currency, amount_minor]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[acquirer, terminal_id, auth_code, card_last4, business_date, direction, currency, amount_minor]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[acquirer, merchant_id, auth_code, card_last4, business_date, direction, currency, amount_minor]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[acquirer, merchant_id, terminal_id, card_last4, business_date, direction, currency, amount_minor]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[acquirer, merchant_id, terminal_id, auth_code, business_date, direction, currency, amount_minor]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[acquirer, merchant_id, terminal_id, auth_code, card_last4, direction, currency, amount_minor]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[acquirer, merchant_id, terminal_id, auth_code, card_last4, business_date, currency, amount_minor]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[acquirer, merchant_id, terminal_id, auth_code, card_last4, business_date, direction, amount_minor]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        AUTHORISATION_KEYS,
        "[acquirer, merchant_id, terminal_id, auth_code, card_last4, business_date, direction, currency]",
        "int_recon__pass_3_authorisation",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, card_last4, direction, currency, amount_minor]",
        "[merchant_id, card_last4, direction, currency, amount_minor]",
        "int_recon__pass_4_card_and_amount",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, card_last4, direction, currency, amount_minor]",
        "[acquirer, card_last4, direction, currency, amount_minor]",
        "int_recon__pass_4_card_and_amount",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, card_last4, direction, currency, amount_minor]",
        "[acquirer, merchant_id, direction, currency, amount_minor]",
        "int_recon__pass_4_card_and_amount",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, card_last4, direction, currency, amount_minor]",
        "[acquirer, merchant_id, card_last4, currency, amount_minor]",
        "int_recon__pass_4_card_and_amount",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, card_last4, direction, currency, amount_minor]",
        "[acquirer, merchant_id, card_last4, direction, amount_minor]",
        "int_recon__pass_4_card_and_amount",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, card_last4, direction, currency, amount_minor]",
        "[acquirer, merchant_id, card_last4, direction, currency]",
        "int_recon__pass_4_card_and_amount",
    ),
    (TOLERANCES, "card_and_amount,300", "card_and_amount,301", "int_recon__pass_4_card_and_amount"),
    (TOLERANCES, "card_and_amount,300", "card_and_amount,299", "int_recon__pass_4_card_and_amount"),
    ("macros/matching.sql", "        and items.expects_settlement\n", "", "int_recon__pass_3_authorisation"),
    (
        "macros/matching.sql",
        "        and items.expects_settlement\n",
        "",
        "int_recon__pass_4_card_and_amount",
    ),
    (
        "macros/matching.sql",
        "    group by candidates.item_key\n    having count(*) = 1",
        "    group by candidates.item_key",
        "int_recon__pass_4_card_and_amount",
    ),
    (
        "macros/matching.sql",
        "    where paired.item_key is null",
        "    where true",
        "int_recon__pass_3_authorisation",
    ),
    (
        "macros/matching.sql",
        "    where paired.line_key is null",
        "    where true",
        "int_recon__pass_4_card_and_amount",
    ),
    (
        f"{RECON}/int_recon__matchable_items.sql",
        "cast(pool.txn_local as date) as business_date",
        "cast(pool.txn_local + interval '1 hour' as date) as business_date",
        "int_recon__matchable_items",
    ),
    (
        f"{RECON}/int_recon__matchable_items.sql",
        "- 3) as card_last4",
        "- 2) as card_last4",
        "int_recon__matchable_items",
    ),
    (
        f"{RECON}/int_recon__matchable_lines.sql",
        "cast(pool.txn_local as date) as business_date",
        "cast(pool.txn_local + interval '1 hour' as date) as business_date",
        "int_recon__matchable_lines",
    ),
    (
        f"{RECON}/int_recon__matchable_lines.sql",
        "- 3) as card_last4",
        "- 2) as card_last4",
        "int_recon__matchable_lines",
    ),
    (
        f"{RECON}/int_recon__matchable_items.sql",
        "where expected.is_matchable",
        "where true",
        "int_recon__matchable_items",
    ),
    (
        f"{RECON}/int_recon__matchable_lines.sql",
        "    and pool.line_kind = 'transaction'",
        "",
        "int_recon__matchable_lines",
    ),
    (
        f"{RECON}/int_recon__matchable_lines.sql",
        "duplicates.line_key is null\n    and",
        "",
        "int_recon__matchable_lines",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "count(distinct item_key) = count(distinct line_key)\n            and ",
        "",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "            and count(*) = count(distinct item_key) * count(distinct line_key)\n",
        "",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "            and min(item_amount_minor) = max(item_amount_minor)\n",
        "",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "            and min(line_amount_minor) = max(line_amount_minor)\n",
        "",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "order by keyed.item_local, keyed.item_key",
        "order by keyed.item_key",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "order by keyed.line_local, keyed.line_key",
        "order by keyed.line_key",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "pair_count > 1",
        "pair_count > 0",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "            paired.{{ key }} is null\n            {%- for",
        "            true\n            {%- for",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__interchangeable_pairs.sql",
        "            and {{ earlier.name }}__group.{{ key }} is null\n",
        "",
        "int_recon__interchangeable_pairs",
    ),
    (
        f"{RECON}/int_recon__breaks_existence.sql",
        "where states.match_state = 'unmatched'",
        "where true",
        "int_recon__breaks_existence",
    ),
    (
        f"{RECON}/int_recon__breaks_existence.sql",
        "when 'refund' then 'refund_not_settled'",
        "when 'refunds' then 'refund_not_settled'",
        "int_recon__breaks_existence",
    ),
    (
        f"{RECON}/int_recon__breaks_existence.sql",
        "items.acquirer_merchant_id = missing_files.logical_key",
        "true",
        "int_recon__breaks_existence",
    ),
    (
        f"{RECON}/int_recon__breaks_existence.sql",
        "lines.business_date = missing_files.business_date",
        "true",
        "int_recon__breaks_existence",
    ),
    (
        f"{RECON}/int_recon__breaks_existence.sql",
        "missing_files.feed = 'terminal_log'",
        "true",
        "int_recon__breaks_existence",
    ),
    (
        f"{RECON}/int_recon__breaks_existence.sql",
        "    select distinct\n        feed",
        "    select\n        feed",
        "int_recon__breaks_existence",
    ),
    (
        f"{RECON}/int_recon__breaks_value.sql",
        "where gross_minor is distinct from expected_minor and currency = expected_currency",
        "where currency = expected_currency",
        "int_recon__breaks_value",
    ),
    (
        f"{RECON}/int_recon__breaks_value.sql",
        " and currency = expected_currency",
        "",
        "int_recon__breaks_value",
    ),
    (
        f"{RECON}/int_recon__breaks_value.sql",
        "where currency is distinct from expected_currency",
        "where false",
        "int_recon__breaks_value",
    ),
    (
        f"{RECON}/int_recon__breaks_value.sql",
        "where net_minor is distinct from gross_minor - fee_minor",
        "where net_minor is distinct from gross_minor + fee_minor",
        "int_recon__breaks_value",
    ),
    (
        f"{RECON}/int_recon__breaks_value.sql",
        "    where opening_state is null",
        "    where true",
        "int_recon__breaks_value",
    ),
    (
        f"{RECON}/int_recon__breaks_value.sql",
        "states.match_state is distinct from 'excluded'\n        and",
        "",
        "int_recon__breaks_value",
    ),
    (
        f"{RECON}/int_recon__breaks_timing.sql",
        "    and states.expects_settlement\n",
        "",
        "int_recon__breaks_timing",
    ),
    (
        f"{RECON}/int_recon__breaks_status.sql",
        "when states.not_expected_reason = 'declined'",
        "when states.not_expected_reason = 'voided'",
        "int_recon__breaks_status",
    ),
    (
        f"{RECON}/int_recon__breaks_status.sql",
        "where states.match_state = 'matched' and not states.expects_settlement",
        "where states.match_state = 'matched'",
        "int_recon__breaks_status",
    ),
    (
        f"{RECON}/int_recon__breaks_status.sql",
        "where states.match_state = 'ambiguous'",
        "where true",
        "int_recon__breaks_status",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "tonight.merchant_id = firsts.merchant_id\n        and ",
        "",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "        and tonight.terminal_id = firsts.terminal_id\n",
        "",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "        and tonight.stan = firsts.stan\n",
        "",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "        and tonight.txn_type = firsts.txn_type\n",
        "",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "        and tonight.txn_local = firsts.txn_local\n",
        "",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "where firsts.is_known or tonight.item_key > firsts.first_item_key",
        "where true",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "where firsts.is_known or tonight",
        "where tonight",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__terminal_duplicates.sql",
        "min(case when firsts.is_known then firsts.first_item_key end),",
        "",
        "int_recon__terminal_duplicates",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "        and tonight.acquirer_merchant_id = firsts.acquirer_merchant_id\n",
        "",
        "int_recon__settlement_duplicates",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "        and tonight.line_kind = firsts.line_kind\n",
        "",
        "int_recon__settlement_duplicates",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "        and tonight.transaction_key = firsts.transaction_key\n",
        "",
        "int_recon__settlement_duplicates",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "where firsts.is_known or tonight.line_key > firsts.first_line_key",
        "where true",
        "int_recon__settlement_duplicates",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "where firsts.is_known or tonight",
        "where tonight",
        "int_recon__settlement_duplicates",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "min(case when firsts.is_known then firsts.first_line_key end),",
        "",
        "int_recon__settlement_duplicates",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "    where opening_state is null",
        "    where true",
        "int_recon__settlement_duplicates",
    ),
    (
        f"{RECON}/int_recon__breaks_reference.sql",
        "    refunded_minor > original_amount_minor\n",
        "    refunded_minor >= original_amount_minor\n",
        "int_recon__breaks_reference",
    ),
    (
        f"{RECON}/int_recon__breaks_reference.sql",
        "    and refunded_minor - amount_minor <= original_amount_minor\n",
        "",
        "int_recon__breaks_reference",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "where totals.original_key is null",
        "where true",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "        and pool.is_approved\n",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "        and duplicates.item_key is null\n",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "        pool.opening_state is null\n        and ",
        "        ",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "in ('void', 'reversal', 'preauth_void')",
        "in ('void', 'reversal')",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "in ('void', 'reversal', 'preauth_void')",
        "in ('void', 'preauth_void')",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "cancellations.merchant_id = known_originals.merchant_id",
        "true",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "and cancellations.terminal_id = known_originals.terminal_id",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "and cancellations.orig_stan = known_originals.stan",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "            and cancellations.orig_batch_no is not distinct from known_originals.batch_no\n",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "is not distinct from known_originals.batch_no",
        "= known_originals.batch_no",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "            and cancellations.txn_local >= known_originals.txn_local\n",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "cancellations.txn_local >= known_originals.txn_local",
        "cancellations.txn_local > known_originals.txn_local",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "            and cancellations.item_key is distinct from known_originals.item_key\n",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "            and known_originals.txn_type is distinct from 'reversal'\n",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "where found.item_key is null",
        "where true",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "events.is_effective and voided.item_key is null",
        "events.is_effective",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "events.is_effective and voided.item_key is null",
        "voided.item_key is null",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "order by everything.night_no, everything.txn_local",
        "order by everything.txn_local",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "everything.night_no, everything.txn_local, ",
        "everything.night_no, ",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "when pool.channel = 'card' then pool.rrn\n            else pool.merchant_order_no",
        "else pool.rrn",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "when pool.channel = 'card' then pool.rrn\n            else pool.merchant_order_no",
        "else coalesce(pool.merchant_order_no, pool.rrn)",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "where txn_type = 'refund' and is_effective",
        "where txn_type = 'refund'",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "    where pool.opening_state is null\n",
        "",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "    where everything.txn_type in ('sale', 'preauth_completion')\n    group by",
        "    group by",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "    where everything.txn_type in ('sale', 'preauth_completion')",
        "    where everything.txn_type in ('sale')",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "case when everything.is_effective then everything.amount_minor else 0 end",
        "everything.amount_minor",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "events.merchant_id = named.merchant_id",
        "true",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "            and events.channel = named.channel\n",
        "",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "totals.sale_count is distinct from totals.logged_sale_count",
        "false",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "totals.sale_amount_minor is distinct from totals.logged_sale_amount_minor",
        "false",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "totals.refund_count is distinct from totals.logged_refund_count",
        "false",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "totals.refund_amount_minor is distinct from totals.logged_refund_amount_minor",
        "false",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__breaks_sequence.sql",
        "    where expected.opening_state is null\n",
        "",
        "int_recon__breaks_sequence",
    ),
    (
        f"{RECON}/int_recon__breaks_sequence.sql",
        "case when expected.expects_settlement then abs(expected.amount_minor) else 0 end",
        "abs(expected.amount_minor)",
        "int_recon__breaks_sequence",
    ),
    (
        f"{RECON}/int_recon__breaks_sequence.sql",
        "gaps.terminal_id = averages.terminal_id",
        "true",
        "int_recon__breaks_sequence",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "where expected.expects_settlement and expected.opening_state is null",
        "where expected.expects_settlement",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "where expected.expects_settlement and expected.opening_state is null",
        "where expected.opening_state is null",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "where known.is_effective and voided.item_key is null",
        "where known.is_effective",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "where known.is_effective and voided.item_key is null",
        "where voided.item_key is null",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "        and closes.terminal_id = logged.terminal_id\n",
        "",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "        and closes.batch_no = logged.batch_no\n",
        "",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "        and closes.currency = logged.currency\n",
        "",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "case when txn_type = 'refund' then 0 else 1 end",
        "1",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__batch_totals.sql",
        "case when txn_type = 'refund' then amount_minor else 0 end",
        "0",
        "int_recon__batch_totals",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "    and ranked.size_rank > 1\n",
        "",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "ranked.missing_count > 0",
        "ranked.missing_count > 1",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "ranked.missing_count > 0",
        "true",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "order by missing_count desc, first_missing",
        "order by first_missing",
        "int_recon__stan_gaps",
    ),
    (f"{RECON}/int_recon__stan_gaps.sql", "999999 - last_stan_no + stan_no - 1", "0", "int_recon__stan_gaps"),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "(stan_no + 999997) % 999999 + 1",
        "stan_no - 1",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "% 999999 + 1 as first_missing",
        "+ 1 as first_missing",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "            and known.batch_no = batches.batch_no\n",
        "",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "count(*) < max(stan_no) - min(stan_no) + 1",
        "count(*) < max(stan_no) - min(stan_no)",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "{% set exact = 'sum(free.outstanding_minor) = max(free.amount_minor)' %}",
        "{% set exact = 'abs(sum(free.outstanding_minor) - max(free.amount_minor)) <= 1' %}",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "{% if name != 'named_and_dated' %} and counted.entry_count = 1{% endif %}",
        " and counted.entry_count = 1",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "{% if name != 'named_and_dated' %} and counted.entry_count = 1{% endif %}",
        "",
        "int_recon__payout_entries",
    ),
    (f"{RECON}/int_recon__payout_entries.sql", " and ' ~ same_sign", "'", "int_recon__payout_entries"),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "by_merchant_and_due_date, 'free.is_named and free.is_on_due_date'",
        "by_merchant_and_due_date, 'free.is_named'",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "'free.payout_id', 'not free.is_named', exact",
        "'free.payout_id', 'not free.is_named', 'count(*) = 1'",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "\"free.settlement_account || '|' || cast(free.settlement_date as varchar)\"",
        "'free.settlement_account'",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "\"free.settlement_account || '|' || cast(free.due_date as varchar)\"",
        "'free.settlement_account'",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "free.acquirer || '|' || free.currency",
        "free.currency",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "free.acquirer || '|' || free.currency",
        "free.acquirer",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "\"free.merchant_id || '|' || cast(free.due_date as varchar)\"",
        "'free.payout_id'",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "{% if 'sum' in name %}free.outstanding_minor as amount_minor{% else %}free.amount_minor{% endif %}",
        "free.amount_minor",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "    paid.payout_id is null\n    and ",
        "        ",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "    and used.entry_key is null\n",
        "",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "        and payouts.settlement_account = entries.account\n",
        "",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "        and payouts.currency = entries.currency\n",
        "",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "    or payouts.due_date = payouts.settlement_date\n",
        "",
        "int_recon__payout_candidates",
    ),
    (TOLERANCES, "payout_due_days,amex,0", "payout_due_days,amex,1", "int_recon__settlement_days"),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "payouts.settlement_date < entries.value_date",
        "payouts.settlement_date <= entries.value_date",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "or (\n        named.merchant_id is not null",
        "or (\n        false",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "        = payouts.settlement_date\n",
        "        <= payouts.settlement_date\n",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "    and payouts.settlement_date <= entries.value_date\n",
        "",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "payouts.payable_until >= entries.value_date",
        "payouts.payable_until > entries.value_date",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "(named.merchant_id is not null or named_entries.entry_key is null)",
        "true",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__undecided_entries.sql",
        "    paid.payout_id is null\n    and ",
        "    ",
        "int_recon__undecided_entries",
    ),
    (
        f"{RECON}/int_recon__undecided_entries.sql",
        "    and used.entry_key is null\n",
        "",
        "int_recon__undecided_entries",
    ),
    (
        f"{RECON}/int_recon__undecided_entries.sql",
        "            and candidates.is_on_due_date\n",
        "",
        "int_recon__undecided_entries",
    ),
    (
        f"{RECON}/int_recon__undecided_entries.sql",
        "            and sign(candidates.amount_minor) = sign(candidates.outstanding_minor)\n",
        "",
        "int_recon__undecided_entries",
    ),
    (
        f"{RECON}/int_recon__undecided_entries.sql",
        "        or candidates.amount_minor = candidates.outstanding_minor\n",
        "",
        "int_recon__undecided_entries",
    ),
    (
        f"{RECON}/int_recon__payout_states.sql",
        "received_minor < expected_net_minor then 'short'",
        "received_minor <= expected_net_minor - 2 then 'short'",
        "int_recon__payout_states",
    ),
    (
        f"{RECON}/int_recon__payout_states.sql",
        "        when expected_net_minor = 0 then 'funded'\n",
        "",
        "int_recon__payout_states",
    ),
    (
        f"{RECON}/int_recon__payout_states.sql",
        "        when is_undecided then 'ambiguous'\n",
        "",
        "int_recon__payout_states",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "in ('short', 'over', 'not_received')",
        "in ('short', 'over', 'not_received', 'ambiguous')",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "payouts.settlement_account = missing_statements.logical_key",
        "true",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "            and payouts.settlement_date < missing_statements.business_date\n",
        "",
        "int_recon__breaks_funding",
    ),
    (f"{RECON}/int_recon__breaks_funding.sql", "    where feed = 'bank'\n", "", "int_recon__breaks_funding"),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "        used.entry_key is null\n        and ",
        "        ",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "        and undecided.entry_key is null\n",
        "",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "        and (entries.amount_minor > 0 or settlement_accounts.settlement_account is not null)\n",
        "",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "entries.amount_minor > 0 or settlement_accounts",
        "settlement_accounts",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "where acquirer is null and amount_minor < 0",
        "where acquirer is null",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "where acquirer is null and amount_minor < 0",
        "where acquirer is null and amount_minor < -1",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "where acquirer is null and amount_minor < 0",
        "where amount_minor < 0",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "        and unexplained.account = missing_settlement.settlement_account\n",
        "",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "unexplained.acquirer = missing_settlement.acquirer",
        "true",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "case when unexplained.amount_minor < 0 then",
        "case when unexplained.amount_minor < -5 then",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "fees.expected_fee_minor) > fees.tolerance_minor",
        "fees.expected_fee_minor) >= fees.tolerance_minor",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "items.expects_settlement and items.currency = pool.currency",
        "items.expects_settlement",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "when items.not_expected_reason = 'declined'",
        "when false",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "sum(expected_minor - agreed_fee_minor) as booked_minor",
        "sum(gross_minor - agreed_fee_minor) as booked_minor",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "-1 as line_count",
        "0 as line_count",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "        where opening_state is not null\n",
        "",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "            and moves.settlement_date = pool.settlement_date\n",
        "",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "            and moves.currency = pool.currency\n",
        "",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_parts.sql",
        "having sum(line_count) is distinct from 0",
        "",
        "int_recon__payout_parts",
    ),
    (
        f"{RECON}/int_recon__payout_residuals.sql",
        "parts.part not in ('book', 'awaiting_log')",
        "parts.part not in ('book')",
        "int_recon__payout_residuals",
    ),
    (
        f"{RECON}/int_recon__payout_residuals.sql",
        "parts.part not in ('book', 'awaiting_log')",
        "parts.part not in ('awaiting_log')",
        "int_recon__payout_residuals",
    ),
    (
        f"{RECON}/int_recon__payout_residuals.sql",
        "    having count(*) = 1",
        "",
        "int_recon__payout_residuals",
    ),
    (
        f"{RECON}/int_recon__payout_residuals.sql",
        "used.entry_key is null and undecided",
        "undecided",
        "int_recon__payout_residuals",
    ),
    (
        f"{RECON}/int_recon__payout_residuals.sql",
        " and undecided.entry_key is null",
        "",
        "int_recon__payout_residuals",
    ),
    (
        f"{RECON}/int_recon__payout_residuals.sql",
        "        and entries.entry_count = 1\n",
        "",
        "int_recon__payout_residuals",
    ),
    (
        f"{RECON}/int_recon__payout_residuals.sql",
        "        and entries.payout_count = 1\n",
        "",
        "int_recon__payout_residuals",
    ),
    (
        f"{RECON}/int_recon__payout_residuals.sql",
        "when entries.residual_minor > 0",
        "when entries.residual_minor < 0",
        "int_recon__payout_residuals",
    ),
    (
        "models/marts/finance/fct_payouts.sql",
        "('undecided', 'not_received', 'unexplained')",
        "('not_received', 'unexplained')",
        "fct_payouts",
    ),
    (
        "models/marts/finance/fct_payouts.sql",
        "abs(payouts.received_minor), abs(residuals.residual_minor)",
        "abs(payouts.received_minor)",
        "fct_payouts",
    ),
    (
        "models/marts/finance/rpt_daily_control.sql",
        "sum(is_unexplained) as unexplained_items",
        "sum(is_closing) as unexplained_items",
        "rpt_daily_control",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "where refunds.is_tonight or running.item_key is not null",
        "",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__refund_totals.sql",
        "where orphans.txn_type = 'refund'",
        "where false",
        "int_recon__refund_totals",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "late.channel, orphans.channel",
        "late.channel",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        ", identified.late_payout_id",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "coalesce(late.txn_local, orphans.txn_local)",
        "late.txn_local",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__late_cancellations.sql",
        "on lines.merchant_id = merchants.merchant_id",
        "on known.merchant_id = merchants.merchant_id",
        "int_recon__late_cancellations",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "                    'unidentified_credit',\n",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "                    'unexplained_deduction'\n",
        "                    'x'\n",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "                    'ambiguous_match',\n",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "                    'missing_in_terminal_log',\n",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "                    'missing_in_settlement',\n",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "coalesce(identified.file_missing, known.file_missing)",
        "known.file_missing",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "coalesce(identified.file_missing, known.file_missing)",
        "identified.file_missing",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "states.match_state in ('matched', 'excluded')",
        "states.match_state in ('matched')",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "payouts.state in ('funded', 'short', 'over')",
        "payouts.state in ('funded', 'short', 'over', 'ambiguous')",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "                and (known.break_type is distinct from 'payout_' || payouts.state)\n",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        ", batches.merchant_id, found.merchant_id",
        ", batches.merchant_id",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        ", batches.merchant_id, found.merchant_id",
        ", found.merchant_id",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "case when decision_after is not null then explained_so_far end as explained_by",
        "explained_so_far as explained_by",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "coalesce(carried.explained_tonight_by, carried.decided_tonight_by)",
        "coalesce(carried.decided_tonight_by, carried.explained_tonight_by)",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "known.decision_id is not null and coalesce(decided.is_withdrawal, false)",
        "coalesce(decided.is_withdrawal, false)",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "when carried.is_given_back then coalesce(carried.explained_by, carried.explained_tonight_by)",
        "when carried.is_given_back then null",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "(carried.status = 'open' and carried.explained_tonight_by is null)",
        "(carried.status = 'open')",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "when status = 'open' or is_given_back then",
        "when status = 'open' or decision_id is not null then",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__break_decisions.sql",
        "order by decided_at desc, case_no desc, event_no desc",
        "order by case_no desc, event_no, decided_at",
        "int_recon__break_decisions",
    ),
    (
        f"{RECON}/int_recon__break_decisions.sql",
        "        when not is_withdrawal then 'decided: '",
        "        when true then 'decided: '",
        "int_recon__break_decisions",
    ),
    (
        f"{RECON}/int_recon__items_closed_by_decision.sql",
        "    subject_key is not null\n    and break_type in",
        "    break_type in",
        "int_recon__items_closed_by_decision",
    ),
    (
        f"{RECON}/int_recon__items_closed_by_decision.sql",
        "case break_type when 'ambiguous_match' then 'ambiguous' else 'unmatched' end",
        "'unmatched'",
        "int_recon__items_closed_by_decision",
    ),
    (
        "models/marts/finance/rpt_daily_control.sql",
        "            and not coalesce(last_night.was_closed, false) as integer\n",
        "            as integer\n",
        "rpt_daily_control",
    ),
    (
        "models/marts/finance/rpt_daily_control.sql",
        "        and not (coalesce(last_night.was_closed, false) and coalesce(tonight.is_closed, false))\n",
        "",
        "rpt_daily_control",
    ),
    (
        "models/marts/finance/rpt_daily_control.sql",
        "            and sides.match_state = tonight.match_state\n",
        "",
        "rpt_daily_control",
    ),
    (
        "models/marts/finance/fct_break_decisions.sql",
        "coalesce(breaks.opened_on < {{ run_date() }}, false) = false",
        "breaks.opened_on is null",
        "fct_break_decisions",
    ),
    (
        "models/marts/finance/fct_break_decisions.sql",
        "when decisions.is_withdrawal and breaks.status = 'open' then",
        "when decisions.is_withdrawal then",
        "fct_break_decisions",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "min(accepted.payout_id)",
        "max(accepted.payout_id)",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_known_events.sql",
        "where pool.opening_state is null",
        "",
        "int_recon__closing_known_events",
    ),
    (
        f"{RECON}/int_recon__closing_terminal_weeks.sql",
        "when response_code is null then 1",
        "when not is_approved then 1",
        "int_recon__closing_terminal_weeks",
    ),
    (
        f"{RECON}/int_recon__closing_terminal_weeks.sql",
        "interval '21 days' >=",
        "interval '21 days' >",
        "int_recon__closing_terminal_weeks",
    ),
    (
        f"{RECON}/int_recon__closing_terminal_weeks.sql",
        "interval '21 days' >=",
        "interval '28 days' >=",
        "int_recon__closing_terminal_weeks",
    ),
    (
        f"{RECON}/int_recon__closing_terminal_weeks.sql",
        "installed_on < {{ run_date() }}",
        "installed_on <= {{ run_date() }}",
        "int_recon__closing_terminal_weeks",
    ),
    (
        f"{RECON}/int_recon__closing_terminal_weeks.sql",
        "removed_on >= {{",
        "removed_on > {{",
        "int_recon__closing_terminal_weeks",
    ),
    (
        f"{RECON}/int_recon__closing_terminal_weeks.sql",
        "when 4 then 16",
        "when 4 then 8",
        "int_recon__closing_terminal_weeks",
    ),
    (
        f"{RECON}/int_recon__closing_terminal_weeks.sql",
        "bit_or(cast(active_day_mask as integer))",
        "sum(active_day_mask)",
        "int_recon__closing_terminal_weeks",
    ),
    (
        "models/marts/audit/rpt_terminal_health.sql",
        "coalesce(min(terminals.installed_on), weeks.week_start)",
        "weeks.week_start",
        "rpt_terminal_health",
    ),
    (
        "models/marts/audit/rpt_terminal_health.sql",
        "coalesce(max(coalesce(terminals.removed_on, cast('9999-12-31' as date))), cast('9999-12-31' as date))",
        "cast('9999-12-31' as date)",
        "rpt_terminal_health",
    ),
    (
        "models/marts/audit/rpt_terminal_health.sql",
        "cast({{ run_date() }} - interval '1 day' as date),",
        "cast({{ run_date() }} as date),",
        "rpt_terminal_health",
    ),
    (
        "models/marts/audit/rpt_terminal_health.sql",
        "greatest(0, observed.last_day",
        "(observed.last_day",
        "rpt_terminal_health",
    ),
    (
        "models/marts/audit/rpt_terminal_health.sql",
        "opened_on - interval '1 day'",
        "opened_on",
        "rpt_terminal_health",
    ),
    (
        "models/marts/audit/rpt_terminal_health.sql",
        "interval '21 days' <=",
        "interval '21 days' <",
        "rpt_terminal_health",
    ),
    (
        "models/marts/audit/rpt_terminal_health.sql",
        "case break_type when 'stan_gap' then break_count else 0 end",
        "break_count",
        "rpt_terminal_health",
    ),
    (
        f"{RECON}/int_recon__acquirer_merchants.sql",
        "'wechat': 'wechat_mch_id', 'alipay': 'alipay_pid'",
        "'wechat': 'wechat_mch_id'",
        "int_recon__acquirer_merchants",
    ),
    (
        f"{RECON}/int_recon__acquirer_merchants.sql",
        "select distinct",
        "select",
        "int_recon__acquirer_merchants",
    ),
    (
        f"{RECON}/int_recon__item_acquirers.sql",
        "order by length(listed.card_prefix) desc",
        "order by length(listed.card_prefix) asc",
        "int_recon__item_acquirers",
    ),
    (
        f"{RECON}/int_recon__item_acquirers.sql",
        "            and pool.channel = listed.channel\n",
        "",
        "int_recon__item_acquirers",
    ),
    (
        f"{RECON}/int_recon__item_acquirers.sql",
        "substr(coalesce(pool.card_masked, ''), 1, length(listed.card_prefix)) = listed.card_prefix",
        "true",
        "int_recon__item_acquirers",
    ),
    (
        f"{RECON}/int_recon__line_states.sql",
        "pool.line_kind in ('dispute', 'adjustment')",
        "pool.line_kind = 'dispute'",
        "int_recon__line_states",
    ),
    (
        "macros/staging.sql",
        "coalesce(channel, {{ channel_of_acquirer('acquirer') }}) as channel",
        "{{ channel_of_acquirer('acquirer') }} as channel",
        "stg_generic__settlement_lines",
    ),
    (
        f"{RECON}/int_recon__expected_fees.sql",
        "        and lines.channel = in_force.channel\n",
        "",
        "int_recon__expected_fees",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "            identified.settlement_channel,\n",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__expected_fees.sql",
        "case when schedule.channel = asked.acquirer then 0 else 1 end asc,",
        "",
        "int_recon__expected_fees",
    ),
    (
        "dbt_project.yml",
        "acquirers: [wechat, alipay, other]",
        "acquirers: [wechat, alipay]",
        "int_recon__pass_1_order_number",
    ),
    (
        f"{RECON}/int_recon__acquirer_merchants.sql",
        "where {{ column }} is not null",
        "where true",
        "int_recon__acquirer_merchants",
    ),
    (
        f"{RECON}/int_recon__matchable_items.sql",
        "coalesce(merchants.acquirer_merchant_id, pool.merchant_id)",
        "pool.merchant_id",
        "int_recon__matchable_items",
    ),
    (
        f"{RECON}/int_recon__matchable_items.sql",
        "coalesce(merchants.acquirer_merchant_id, pool.merchant_id)",
        "merchants.acquirer_merchant_id",
        "int_recon__matchable_items",
    ),
    (
        f"{RECON}/int_recon__matchable_items.sql",
        "        and merchants.acquirer = coalesce(routed.acquirer, {{ usual_acquirer('pool.channel') }})\n",
        "",
        "int_recon__matchable_items",
    ),
    (
        f"{RECON}/int_recon__chargeback_originals.sql",
        "        and disputes.acquirer_merchant_id = lines.acquirer_merchant_id\n",
        "",
        "int_recon__chargeback_originals",
    ),
    (
        f"{RECON}/int_recon__chargeback_originals.sql",
        "disputes.acquirer = lines.acquirer\n        and ",
        "",
        "int_recon__chargeback_originals",
    ),
    (
        f"{RECON}/int_recon__chargeback_originals.sql",
        "        and disputes.orig_stan = lines.stan\n",
        "",
        "int_recon__chargeback_originals",
    ),
    (
        f"{RECON}/int_recon__chargeback_originals.sql",
        "        and disputes.orig_txn_local = lines.txn_local\n",
        "",
        "int_recon__chargeback_originals",
    ),
    (
        f"{RECON}/int_recon__chargeback_originals.sql",
        "min(lines.line_key)",
        "max(lines.line_key)",
        "int_recon__chargeback_originals",
    ),
    (
        f"{RECON}/int_recon__chargeback_originals.sql",
        "where line_kind = 'transaction'",
        "where true",
        "int_recon__chargeback_originals",
    ),
    (
        f"{RECON}/int_recon__breaks_status.sql",
        "where states.excluded_reason = 'chargeback'",
        "where states.excluded_reason is not null",
        "int_recon__breaks_status",
    ),
    (
        f"{RECON}/int_recon__breaks_status.sql",
        "('original_line', 'originals.original_key % 4294967296')",
        "('original_line', 'originals.original_key')",
        "int_recon__breaks_status",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "and open_items.merchant_id = open_lines.merchant_id",
        "and true",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "open_items.acquirer = open_lines.acquirer",
        "true",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "and open_items.currency = open_lines.currency",
        "and true",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "<= {{ tolerance_tonight('suggestion_window_s') }}",
        "< {{ tolerance_tonight('suggestion_window_s') }}",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "<= {{ tolerance_tonight('suggestion_window_s') }}",
        "<= 2 * {{ tolerance_tonight('suggestion_window_s') }}",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "['terminal_id', 'stan']",
        "['stan']",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "        order by reason\n",
        "        order by reason desc\n",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "greatest(lines_of_item, items_of_line)",
        "items_of_line",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "greatest(lines_of_item, items_of_line)",
        "lines_of_item",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "items_of_line) <= {{",
        "items_of_line) < {{",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "'pending', 'unmatched', 'ambiguous'",
        "'pending', 'unmatched', 'ambiguous', 'matched'",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "'pending', 'unmatched', 'ambiguous'",
        "'unmatched', 'ambiguous'",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__suggestions.sql",
        "open_lines.amount_minor - open_items.amount_minor",
        "open_items.amount_minor - open_lines.amount_minor",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "contains(texts.words, ids.id_words)",
        "contains(texts.words, ids.id_text)",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "and contains(texts.numbers, ' ' || ids.id_text || ' ')",
        "and contains(texts.numbers, ids.id_text)",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "and contains(texts.numbers, ' ' || ids.id_text || ' ')",
        "and false",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "replace(cast(payouts.settlement_date as varchar), '-', ' ')",
        "'never'",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "replace(cast(payouts.settlement_date as varchar), '-', '')",
        "'never'",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "free.is_named and free.is_dated and ' ~ same_sign",
        "free.is_named and ' ~ same_sign",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "free.is_named and free.is_dated and ' ~ same_sign",
        "free.is_dated and ' ~ same_sign",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__payout_entries.sql",
        "'free.is_named and free.is_dated and ' ~ same_sign",
        "'free.is_named and free.is_dated'",
        "int_recon__payout_entries",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "payouts.due_date < {{ run_date() }}",
        "payouts.due_date <= {{ run_date() }}",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "payouts.state = 'ambiguous' and payouts",
        "payouts",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "('payout_not_received', 'payout_short', 'ambiguous_match')",
        "('payout_not_received', 'payout_short')",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "and payouts.state in ('funded', 'short', 'over')",
        "and true",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__voided_items.sql",
        "where known.txn_type in",
        "where false and known.txn_type in",
        "int_recon__voided_items",
    ),
    (
        f"{RECON}/int_recon__settlement_duplicates.sql",
        "coalesce(terminal_id, '') || '|'",
        "terminal_id || '|'",
        "int_recon__settlement_duplicates",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, merchant_order_no, direction]",
        "[acquirer, merchant_order_no, direction]",
        "int_recon__pass_1_order_number",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, merchant_order_no, direction]",
        "[merchant_id, merchant_order_no, direction]",
        "int_recon__pass_1_order_number",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, merchant_order_no, direction]",
        "[acquirer, merchant_id, merchant_order_no]",
        "int_recon__pass_1_order_number",
    ),
    (
        "dbt_project.yml",
        "[acquirer, merchant_id, merchant_order_no, direction]",
        "[acquirer, merchant_id, direction]",
        "int_recon__pass_1_order_number",
    ),
    (
        "dbt_project.yml",
        "acquirers: [wechat, alipay, other]",
        "acquirers: [wechat, alipay, unionpay, other]",
        "int_recon__pass_1_order_number",
    ),
    (
        "dbt_project.yml",
        "acquirers: [wechat, alipay, other]",
        "acquirers: [wechat]",
        "int_recon__pass_1_order_number",
    ),
    (
        TOLERANCES,
        "order_number,604800",
        "order_number,604799",
        "int_recon__pass_1_order_number",
    ),
    (
        TOLERANCES,
        "order_number,604800",
        "order_number,604801",
        "int_recon__pass_1_order_number",
    ),
    (
        TOLERANCES,
        "suggestion_group_max,*,10",
        "suggestion_group_max,*,11",
        "int_recon__suggestions",
    ),
    (
        f"{RECON}/int_recon__payout_candidates.sql",
        "    where longer.entry_key is null\n",
        "",
        "int_recon__payout_candidates",
    ),
    (
        f"{RECON}/int_recon__missing_files.sql",
        "case feed when 'bank' then feed else source end",
        "source",
        "int_recon__missing_files",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "payouts.settlement_date < missing_statements.business_date",
        "payouts.settlement_date <= missing_statements.business_date",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "            and payouts.settlement_date = missing_lines.business_date\n",
        "",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__breaks_funding.sql",
        "or missing_lines.logical_key is not null",
        "",
        "int_recon__breaks_funding",
    ),
    (
        f"{RECON}/int_recon__filled_gaps.sql",
        "between gaps.first_missing and gaps.last_missing",
        "between gaps.first_missing + 1 and gaps.last_missing",
        "int_recon__filled_gaps",
    ),
    (
        f"{RECON}/int_recon__filled_gaps.sql",
        "between gaps.first_missing and gaps.last_missing",
        "between gaps.first_missing and gaps.last_missing - 1",
        "int_recon__filled_gaps",
    ),
    (
        f"{RECON}/int_recon__filled_gaps.sql",
        "tonight.stan_no >= gaps.first_missing or ",
        "",
        "int_recon__filled_gaps",
    ),
    (
        f"{RECON}/int_recon__filled_gaps.sql",
        "        and gaps.batch_no = tonight.batch_no\n",
        "",
        "int_recon__filled_gaps",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "    where filled.item_key is null\n",
        "",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__stan_gaps.sql",
        "    and untouched.item_key is null\n",
        "",
        "int_recon__stan_gaps",
    ),
    (
        f"{RECON}/int_recon__batch_changes.sql",
        "or expected.opening_state = 'excluded'",
        "",
        "int_recon__batch_changes",
    ),
    (
        f"{RECON}/int_recon__batch_changes.sql",
        "-1 as event_count",
        "0 as event_count",
        "int_recon__batch_changes",
    ),
    (
        f"{RECON}/int_recon__closing_batch_closes.sql",
        "    totals.is_out_of_balance\n    or ",
        "    ",
        "int_recon__closing_batch_closes",
    ),
    (TOLERANCES, "late_record_days,*,15", "late_record_days,*,14", "int_recon__closing_batch_closes"),
    (TOLERANCES, "late_record_days,*,15", "late_record_days,*,16", "int_recon__closing_batch_closes"),
    (
        f"{RECON}/int_recon__late_cancellations.sql",
        "    pool.item_key is null\n    and ",
        "    ",
        "int_recon__late_cancellations",
    ),
    (
        f"{RECON}/int_recon__late_cancellations.sql",
        "    and cancelled.item_key is null\n",
        "",
        "int_recon__late_cancellations",
    ),
    (
        f"{RECON}/int_recon__late_cancellations.sql",
        "    and known.is_effective\n",
        "",
        "int_recon__late_cancellations",
    ),
    (
        f"{RECON}/int_recon__closing_cancelled_events.sql",
        "received.item_key is null and ",
        "",
        "int_recon__closing_cancelled_events",
    ),
    (
        f"{RECON}/int_recon__late_originals.sql",
        "        and orphans.txn_local >= events.txn_local\n",
        "",
        "int_recon__late_originals",
    ),
    (
        f"{RECON}/int_recon__late_originals.sql",
        " and events.txn_type in ('sale', 'preauth_completion')",
        "",
        "int_recon__late_originals",
    ),
    (
        f"{RECON}/int_recon__orphans.sql",
        "where late.item_key is null",
        "",
        "int_recon__orphans",
    ),
    (
        f"{RECON}/int_recon__breaks_status.sql",
        "where line_key is not null\n",
        "",
        "int_recon__breaks_status",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "when identified.break_id is null and healed_by",
        "when healed_by",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__closing_breaks.sql",
        "            || coalesce('|' || found.subject_part, '')\n",
        "",
        "int_recon__closing_breaks",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "and later.opening_minor = earlier.closing_minor",
        "and later.opening_minor <= earlier.closing_minor",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "(later.place > earlier.place or later.number_no is null or earlier.number_no is null)",
        "true",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "                earlier_days.earlier_date = earlier.closing_date",
        "                false",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "later.closing_date = earlier.closing_date\n                    and",
        "false and",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "placed.source = previous.source\n                and extract",
        "extract",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "and extract(year from placed.closing_date) = extract(year from previous.closing_date)",
        "and true",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "and placed.number_no - previous.number_no > 1",
        "and placed.number_no - previous.number_no > 2",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "and (placed.number_no is distinct from date_part('doy', placed.closing_date))",
        "and true",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "calendar.banking_day_no - previous_calendar.banking_day_no > 1",
        "false",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "is distinct from (placed.closing_date - previous.closing_date)",
        "is not null",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "and placed.page_no - previous.page_no > 1",
        "and placed.page_no - previous.page_no > 9",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "or missing_numbers > 0 or missing_pages > 0",
        "or missing_pages > 0",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "or missing_numbers > 0 or missing_pages > 0",
        "or missing_numbers > 0",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "        and not is_continued\n",
        "",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "        and not is_repeat\n",
        "",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "coalesce(gap_since, ",
        "coalesce(null, ",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "[0-9]{1,5})(/([0-9]{1,5}))?$', 1)",
        "[0-9]+)(/([0-9]{1,5}))?$', 1)",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__statement_chain.sql",
        "order by closing_date, coalesce(number_no, 0)",
        "order by coalesce(number_no, 0), closing_date",
        "int_recon__statement_chain",
    ),
    (
        f"{RECON}/int_recon__closing_statements.sql",
        "max(closing_date) as closing_date",
        "min(closing_date) as closing_date",
        "int_recon__closing_statements",
    ),
    (
        f"{RECON}/int_recon__closing_statements.sql",
        "previous_date as closing_date",
        "closing_date",
        "int_recon__closing_statements",
    ),
    (
        f"{RECON}/int_recon__closing_statements.sql",
        "and chain.currency = kept_days.currency",
        "and true",
        "int_recon__closing_statements",
    ),
    (
        f"{RECON}/int_recon__withdrawal_pool.sql",
        "where entry_kind = 'payout'",
        "where true",
        "int_recon__withdrawal_pool",
    ),
    (
        f"{RECON}/int_recon__withdrawal_pool.sql",
        "            and all_withdrawals.acquirer_txn_no = moved.acquirer_txn_no\n",
        "",
        "int_recon__withdrawal_pool",
    ),
    (
        f"{RECON}/int_recon__withdrawal_pool.sql",
        "            and all_withdrawals.acquirer_merchant_id = moved.account\n",
        "",
        "int_recon__withdrawal_pool",
    ),
    (
        f"{RECON}/int_recon__withdrawal_pool.sql",
        "            and all_withdrawals.amount_minor = moved.amount_minor\n",
        "            and moved.amount_minor > 0\n",
        "int_recon__withdrawal_pool",
    ),
    (
        f"{RECON}/int_recon__withdrawal_pool.sql",
        "calendar.banking_day_no + due.value",
        "calendar.banking_day_no + 2",
        "int_recon__withdrawal_pool",
    ),
    (
        f"{RECON}/int_recon__withdrawal_pool.sql",
        "where is_banking_day",
        "where true",
        "int_recon__withdrawal_pool",
    ),
    (
        f"{RECON}/int_recon__withdrawal_pool.sql",
        "coalesce(scopes.scope, 'other')",
        "'wechat'",
        "int_recon__withdrawal_pool",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "            and accounts.settlement_account = credits.account\n",
        "",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "            accounts.acquirer = credits.acquirer\n            and ",
        "            ",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "            and withdrawals.currency = credits.currency\n",
        "",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "withdrawals.booked_on <= credits.value_date",
        "withdrawals.booked_on < credits.value_date",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "            and withdrawals.booked_on <= credits.value_date\n",
        "",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "withdrawals.payable_until >= credits.value_date",
        "withdrawals.payable_until > credits.value_date",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "    where not withdrawals.is_returned\n",
        "",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "where amount_minor = received_minor",
        "where received_minor - amount_minor between -1 and 1",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "order by value_date, entry_key",
        "order by entry_key",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "where withdrawal_rank = entry_rank",
        "where true",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "        and candidates.value_date <= candidates.due_date\n",
        "",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "        and candidates.due_date < {{ run_date() }}\n",
        "",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "        and used.entry_key is null\n",
        "",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "where entry_count = 1 and withdrawal_count = 1",
        "where withdrawal_count = 1",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "where entry_count = 1 and withdrawal_count = 1",
        "where entry_count = 1",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "{{ run_date() }} <= withdrawals.due_date",
        "{{ run_date() }} < withdrawals.due_date",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "            and withdrawals.booked_on <= missing_files.business_date\n",
        "",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__withdrawal_states.sql",
        "where missing_files.feed = 'bank'",
        "where true",
        "int_recon__withdrawal_states",
    ),
    (
        f"{RECON}/int_recon__wallet_credits.sql",
        "acquirer not in ('unionpay') and amount_minor > 0",
        "acquirer not in ('unionpay')",
        "int_recon__wallet_credits",
    ),
    (
        f"{RECON}/int_recon__wallet_credits.sql",
        "acquirer not in ('unionpay') and amount_minor > 0",
        "amount_minor > 0",
        "int_recon__wallet_credits",
    ),
    (
        f"{RECON}/int_recon__closing_withdrawals.sql",
        "('pending', 'differs', 'not_received')",
        "('pending', 'not_received')",
        "int_recon__closing_withdrawals",
    ),
    (
        f"{RECON}/int_recon__closing_wallet_credits.sql",
        "states.state = 'differs'",
        "false",
        "int_recon__closing_wallet_credits",
    ),
    (
        f"{RECON}/int_recon__closing_wallet_credits.sql",
        "states.state is null",
        "true",
        "int_recon__closing_wallet_credits",
    ),
    (
        f"{RECON}/int_recon__closing_wallet_credits.sql",
        "{{ run_date() }} <=",
        "{{ run_date() }} <",
        "int_recon__closing_wallet_credits",
    ),
]


Mutation = tuple[str, str, str, str]
NUMBERED = list(enumerate(MUTATIONS))


def _in_model(mutation: Mutation) -> bool:
    return mutation[0].startswith("models/")


def _in_variables(mutation: Mutation) -> bool:
    return mutation[0] == "dbt_project.yml"


def _in_seed(mutation: Mutation) -> bool:
    return mutation[0].startswith("seeds/")


def _changed(mutation: Mutation) -> str:
    file, text, becomes, _ = mutation
    original = (DBT / file).read_text(encoding="utf-8")
    assert text in original, f"{file} no longer says {text!r}: choose another text to change"
    assert text != becomes
    return original.replace(text, becomes)


def _changed_variables(mutation: Mutation) -> dict[str, Any]:
    before = yaml.safe_load((DBT / mutation[0]).read_text(encoding="utf-8"))["vars"]
    after = yaml.safe_load(_changed(mutation))["vars"]
    changed = {name: value for name, value in after.items() if value != before[name]}
    assert changed, f"{mutation[1]!r} is no variable"
    return changed


def _with_seed(unit: dict[str, Any], mutation: Mutation) -> dict[str, Any]:
    """The unit test with the rows of the changed seed, wherever it reads the seed as it stands."""
    rows = list(csv.DictReader(_changed(mutation).splitlines()))
    seed = f"ref('{Path(mutation[0]).stem}')"
    given = [{**each, "rows": rows} if each == {"input": seed} else each for each in unit["given"]]
    return {**unit, "given": given}


def _copy_project(target: Path) -> Path:
    shutil.copytree(DBT, target, ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"))
    return target


@pytest.fixture(scope="module")
def mutants(empty_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """Statuses of the unit tests by number of the change: every changed model stands beside the others as a copy.

    One dbt process judges them all, since reading the project takes longer than all tests of one model.
    """
    scratch = tmp_path_factory.mktemp("mutants")
    project = _copy_project(scratch / "dbt_project")
    tests_of: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((project / "models").rglob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "unit_tests" in content:
            for unit in content["unit_tests"]:
                tests_of.setdefault(unit["model"], []).append(unit)
            path.unlink()
    units = []
    for number, mutation in NUMBERED:
        model = mutation[3]
        if _in_model(mutation):
            assert Path(mutation[0]).stem == model
            copy = f"{model}__mutant_{number}"
            (project / RECON / f"{copy}.sql").write_text(_changed(mutation), encoding="utf-8")
            given: dict[str, Any] = {}
        elif _in_variables(mutation):
            copy = model
            given = _changed_variables(mutation)
        elif _in_seed(mutation):
            copy = model
            given = {}
        else:
            continue
        for each in tests_of[model]:
            unit = _with_seed(each, mutation) if _in_seed(mutation) else each
            variables = {**given, **unit.get("overrides", {}).get("vars", {})}
            name = f"{unit['name']}__mutant_{number}"
            units.append({**unit, "name": name, "model": copy, "overrides": {"vars": variables}})
    (project / "models" / "mutants.yml").write_text(
        yaml.safe_dump({"version": 2, "unit_tests": units}, allow_unicode=True), encoding="utf-8"
    )
    run = run_dbt(
        ["test", "--select", "test_type:unit"], warehouse=empty_warehouse, scratch=scratch, project=project
    )
    assert len(run.results) == len(units), run.output[-4000:]
    statuses: dict[int, list[str]] = {}
    for result in run.results:
        number = int(result["unique_id"].rsplit("__mutant_", 1)[1])
        statuses.setdefault(number, []).append(result["status"])
    return statuses


def _ids(numbered: list[tuple[int, Mutation]]) -> list[str]:
    return [f"{number}-{Path(file).stem}-{text.strip()[:40]}" for number, (file, text, *_) in numbered]


TOGETHER = [
    (number, change)
    for number, change in NUMBERED
    if _in_model(change) or _in_variables(change) or _in_seed(change)
]
ALONE = [(number, change) for number, change in NUMBERED if (number, change) not in TOGETHER]


@pytest.mark.slow
@pytest.mark.parametrize("numbered", TOGETHER, ids=_ids(TOGETHER))
def test_changed_rule__is_noticed_by_a_unit_test(
    mutants: dict[int, list[str]], numbered: tuple[int, Mutation]
) -> None:
    # An error would mean that the change broke the SQL instead of the rule.
    assert set(mutants[numbered[0]]) <= {"pass", "fail"}
    assert "fail" in mutants[numbered[0]]


@pytest.mark.slow
@pytest.mark.parametrize("numbered", ALONE, ids=_ids(ALONE))
def test_changed_macro__is_noticed_by_a_unit_test(
    empty_warehouse: Path, tmp_path: Path, numbered: tuple[int, Mutation]
) -> None:
    """A macro is shared by all models, so each change needs a project of its own."""
    _, mutation = numbered
    project = _copy_project(tmp_path / "dbt_project")
    (project / mutation[0]).write_text(_changed(mutation), encoding="utf-8")
    run = run_dbt(
        ["test", "--select", f"{mutation[3]},test_type:unit"],
        warehouse=empty_warehouse,
        scratch=tmp_path,
        project=project,
    )
    statuses = {result["status"] for result in run.results}
    assert statuses <= {"pass", "fail"}, run.output[-3000:]
    assert "fail" in statuses, run.output[-3000:]
