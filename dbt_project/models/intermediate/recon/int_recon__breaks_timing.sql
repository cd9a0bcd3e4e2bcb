-- Grain: one row per pair formed tonight whose settlement date lies after the due date.
-- Lateness is counted in banking days, at least 1: a Saturday after a Friday that was due is late all the same.

select
    'late_settlement' as break_type,
    states.item_key,
    states.line_key,
    states.item_key as subject_key,
    abs(pool.gross_minor) as amount_at_risk_minor,
    pool.currency,
    false as file_missing,
    {{ json_detail([
        ('due_date', 'states.due_date'),
        ('settlement_date', 'pool.settlement_date'),
        ('days_late', 'greatest(1, settled_day.banking_day_no - due_day.banking_day_no)'),
    ]) }} as detail

from {{ ref('int_recon__item_states') }} as states
inner join {{ ref('int_recon__settlement_pool') }} as pool
    on states.line_key = pool.line_key
inner join {{ ref('stg_reference__banking_calendar') }} as due_day
    on states.due_date = due_day.calendar_date
inner join {{ ref('stg_reference__banking_calendar') }} as settled_day
    on pool.settlement_date = settled_day.calendar_date
where
    states.match_state = 'matched'
    and states.expects_settlement
    and pool.settlement_date > states.due_date
