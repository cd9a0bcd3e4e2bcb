-- Grain: one row per acquirer's bank entry that explains no payout yet.

select
    pool.entry_key,
    pool.account,
    pool.acquirer,
    pool.currency,
    pool.narrative,
    pool.amount_minor,
    pool.value_date

from {{ ref('int_recon__bank_pool') }} as pool
left join {{ ref('int_recon__payout_entries') }} as accepted
    on pool.entry_key = accepted.entry_key
where accepted.entry_key is null
