-- Grain: one row per payout of tonight's pool and part of the way from our own books to the bank.
-- book + what breaks on its lines add = expected net; expected net + residual = received. Nothing is left over.

with

parts as (

    select
        payout_id,
        case part when 'book' then 1 else 2 end as step_no,
        case part when 'book' then 'book' else 'lines' end as step,
        part,
        line_count,
        amount_minor
    from {{ ref('int_recon__payout_parts') }}

    union all

    select
        payout_id,
        3 as step_no,
        'bank' as step,
        residual_label as part,
        cast(null as bigint) as line_count,
        residual_minor as amount_minor
    from {{ ref('int_recon__payout_residuals') }}
    where residual_minor is distinct from 0

)

select
    parts.payout_id,
    cast(parts.step_no as integer) as step_no,
    parts.step,
    parts.part,
    parts.line_count,
    parts.amount_minor,
    payouts.currency,
    payouts.acquirer,
    payouts.merchant_id,
    payouts.settlement_date,
    payouts.is_final,
    {{ run_date() }} as run_date

from parts
inner join {{ ref('fct_payouts') }} as payouts
    on parts.payout_id = payouts.payout_id
