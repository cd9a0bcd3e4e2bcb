-- Grain: one row per (payout, bank entry) that fits well enough to be meant, while neither was chosen by any rule.

with

accepted as (

    select * from {{ ref('int_recon__payout_entries') }}

),

paid as (

    select distinct payout_id from accepted

),

used as (

    select distinct entry_key from accepted

)

select
    candidates.payout_id,
    candidates.entry_key

from {{ ref('int_recon__payout_candidates') }} as candidates
left join paid
    on candidates.payout_id = paid.payout_id
left join used
    on candidates.entry_key = used.entry_key
where
    paid.payout_id is null
    and used.entry_key is null
    and (
        (
            candidates.is_named
            and candidates.is_on_due_date
            and sign(candidates.amount_minor) = sign(candidates.outstanding_minor)
        )
        or candidates.amount_minor = candidates.outstanding_minor
    )
