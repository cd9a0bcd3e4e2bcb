-- Grain: one row per break ever opened (one item and one type), at its state after tonight.
-- Ages run to the closing date, or to tonight: in calendar days, and in banking days after the opening date.

select
    breaks.break_id,
    breaks.item_id,
    breaks.break_type,
    breaks.status,
    breaks.opened_on,
    breaks.closed_on,
    breaks.closed_by,
    cast(coalesce(breaks.closed_on, {{ run_date() }}) - breaks.opened_on as bigint) as age_days,
    cast(last_day.banking_day_no - first_day.banking_day_no as bigint) as age_banking_days,
    breaks.amount_at_risk_minor,
    breaks.currency,
    breaks.merchant_id,
    breaks.terminal_id,
    breaks.payout_id,
    breaks.terminal_file,
    breaks.terminal_line,
    breaks.settlement_file,
    breaks.settlement_line,
    breaks.bank_file,
    breaks.bank_line,
    breaks.file_missing,
    breaks.detail,
    breaks.txn_at,
    breaks.acquirer,
    breaks.channel,
    breaks.decision_id,
    breaks.explained_by,
    breaks.terminal_file_id,
    breaks.settlement_file_id,
    breaks.bank_file_id,
    {{ run_date() }} as run_date

from {{ ref('int_recon__closing_breaks') }} as breaks
inner join {{ ref('stg_reference__banking_calendar') }} as first_day
    on breaks.opened_on = first_day.calendar_date
inner join {{ ref('stg_reference__banking_calendar') }} as last_day
    on coalesce(breaks.closed_on, {{ run_date() }}) = last_day.calendar_date
