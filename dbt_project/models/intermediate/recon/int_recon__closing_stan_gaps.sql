-- Grain: one row per run of missing STANs that later nights may still fill.

select
    gaps.merchant_id,
    gaps.terminal_id,
    gaps.batch_no,
    gaps.item_key,
    gaps.from_date,
    gaps.to_date,
    gaps.first_missing,
    gaps.last_missing,
    gaps.missing_count,
    breaks.amount_at_risk_minor,
    breaks.currency

from {{ ref('int_recon__stan_gaps') }} as gaps
inner join {{ ref('int_recon__breaks_sequence') }} as breaks
    on
        gaps.item_key = breaks.subject_key
        and {{ stan_run('gaps.first_missing', 'gaps.last_missing') }} = breaks.subject_part
where breaks.break_type = 'stan_gap'
