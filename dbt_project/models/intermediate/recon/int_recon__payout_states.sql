-- Grain: one row per payout of the pool, in exactly one state.

with

received as (

    select
        payout_id,
        sum(amount_minor) as amount_minor,
        min(entry_key) as first_entry_key,
        min(funding_rule) as funding_rule
    from {{ ref('int_recon__payout_entries') }}
    group by payout_id

),

undecided as (

    select distinct payout_id from {{ ref('int_recon__undecided_entries') }}

),

summed as (

    select
        pool.payout_id,
        pool.acquirer,
        pool.merchant_id,
        pool.acquirer_merchant_id,
        pool.settlement_account,
        pool.currency,
        pool.settlement_date,
        pool.due_date,
        pool.line_count,
        pool.expected_net_minor,
        cast(pool.received_minor + coalesce(received.amount_minor, 0) as bigint) as received_minor,
        coalesce(pool.first_entry_key, received.first_entry_key) as first_entry_key,
        received.funding_rule,
        undecided.payout_id is not null as is_undecided
    from {{ ref('int_recon__payout_pool') }} as pool
    left join received
        on pool.payout_id = received.payout_id
    left join undecided
        on pool.payout_id = undecided.payout_id

)

select
    *,
    case
        when first_entry_key is not null and received_minor = expected_net_minor then 'funded'
        when first_entry_key is not null and received_minor < expected_net_minor then 'short'
        when first_entry_key is not null then 'over'
        when expected_net_minor = 0 then 'funded'
        when is_undecided then 'ambiguous'
        when {{ run_date() }} <= due_date then 'pending'
        else 'not_received'
    end as state

from summed
