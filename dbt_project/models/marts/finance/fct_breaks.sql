-- Grain: one row per break ever opened (one item and one type), at its state after tonight.

select
    break_id,
    item_id,
    break_type,
    status,
    opened_on,
    closed_on,
    closed_by,
    cast(coalesce(closed_on, {{ run_date() }}) - opened_on as bigint) as age_days,
    amount_at_risk_minor,
    currency,
    merchant_id,
    terminal_id,
    payout_id,
    terminal_file,
    terminal_line,
    settlement_file,
    settlement_line,
    bank_file,
    bank_line,
    file_missing,
    detail,
    txn_at,
    acquirer,
    channel,
    {{ run_date() }} as run_date

from {{ ref('int_recon__closing_breaks') }}
