-- Grain: one row per payout of the pool, in exactly one state.

with

received as (

    select
        accepted.payout_id,
        accepted.funding_rule,
        accepted.entry_key,
        entries.amount_minor
    from {{ ref('int_recon__payout_entries') }} as accepted
    inner join {{ ref('int_recon__bank_pool') }} as entries
        on accepted.entry_key = entries.entry_key

),

paid as (

    select distinct payout_id from {{ ref('int_recon__payout_entries') }}

),

taken as (

    select distinct entry_key from {{ ref('int_recon__payout_entries') }}

),

-- A free entry of the same merchant that fits several open payouts, none of which was chosen.
undecided as (

    select distinct candidates.payout_id
    from {{ ref('int_recon__payout_candidates') }} as candidates
    left join paid
        on candidates.payout_id = paid.payout_id
    left join taken
        on candidates.entry_key = taken.entry_key
    where
        paid.payout_id is null
        and taken.entry_key is null
        and (
            candidates.is_named and candidates.is_on_due_date
            or candidates.amount_minor = candidates.outstanding_minor
        )

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
        pool.received_minor + coalesce(received.amount_minor, 0) as received_minor,
        coalesce(pool.first_entry_key, received.entry_key) as first_entry_key,
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
