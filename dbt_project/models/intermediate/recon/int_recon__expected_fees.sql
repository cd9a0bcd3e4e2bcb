-- Grain: one row per settlement line of the pool whose merchant has a rate in force.
-- The row of the schedule in force on the transaction's business date applies; a rate that names the acquirer beats
-- one for its channel, then a rate for the card type beats `*`, then the later effective_from. The fee is judged on
-- the settled gross.

with

lines as (

    select
        line_key,
        merchant_id,
        acquirer,
        channel,
        card_type,
        cast(txn_local as date) as business_date,
        gross_minor
    from {{ ref('int_recon__settlement_pool') }}
    where line_kind = 'transaction'

),

asked as (

    select distinct
        merchant_id,
        acquirer,
        channel,
        card_type,
        business_date
    from lines

),

in_force as (

    select
        asked.*,
        schedule.rate_bps,
        schedule.cap_minor,
        tolerance.value as tolerance_minor,
        row_number() over (
            partition by asked.merchant_id, asked.acquirer, asked.channel, asked.card_type, asked.business_date
            order by
                case when schedule.channel = asked.acquirer then 0 else 1 end asc,
                case when schedule.card_type = '*' then 1 else 0 end asc,
                schedule.effective_from desc,
                schedule.rate_bps asc,
                schedule.cap_minor asc
        ) as preference
    from asked
    inner join {{ ref('stg_reference__fee_schedule') }} as schedule
        on
            asked.merchant_id = schedule.merchant_id
            and (schedule.channel = asked.acquirer or schedule.channel = asked.channel)
            and (schedule.card_type = '*' or asked.card_type = schedule.card_type)
            and asked.business_date between schedule.effective_from and schedule.effective_to
    inner join {{ ref('tolerances') }} as tolerance
        on {{ tolerance_in_force('tolerance', 'fee_tolerance_minor', 'asked.business_date') }}

)

select
    lines.line_key,
    {{ scheduled_fee_minor('lines.gross_minor', 'in_force.rate_bps', 'in_force.cap_minor') }}
        as expected_fee_minor,
    in_force.rate_bps,
    in_force.cap_minor,
    in_force.tolerance_minor

from lines
inner join in_force
    on
        lines.merchant_id = in_force.merchant_id
        and lines.acquirer = in_force.acquirer
        and lines.channel = in_force.channel
        and lines.card_type is not distinct from in_force.card_type
        and lines.business_date = in_force.business_date
where in_force.preference = 1
