-- Grain: one row per payout (acquirer, merchant, settlement date) of tonight's pool, at its state after tonight.

select
    payouts.payout_id,
    payouts.acquirer,
    payouts.merchant_id,
    payouts.settlement_account,
    payouts.settlement_date,
    payouts.due_date,
    payouts.line_count,
    payouts.expected_net_minor,
    cast(payouts.received_minor as bigint) as received_minor,
    cast(payouts.received_minor - payouts.expected_net_minor as bigint) as delta_minor,
    payouts.state,
    files.file_name as bank_file,
    cast(payouts.first_entry_key % 4294967296 as bigint) as bank_line,
    payouts.currency,
    payouts.funding_rule,
    files.file_id as bank_file_id,
    payouts.state in ('funded', 'over') as is_final,
    {{ run_date() }} as run_date

from {{ ref('int_recon__payout_states') }} as payouts
left join {{ ref('stg_landing__file_names') }} as files
    on {{ int_div('payouts.first_entry_key', '4294967296') }} = files.file_no
