-- Grain: one row per approved void or reversal, or refund in force, whose original is nowhere in the look-back: found
-- tonight, or left by an earlier night and still without its original. A refund that names no original has none.

with

refunds as (

    select
        pool.item_key,
        pool.merchant_id,
        pool.terminal_id,
        pool.channel,
        pool.txn_type,
        pool.orig_stan,
        pool.orig_batch_no,
        pool.orig_rrn,
        pool.txn_local,
        pool.currency,
        totals.amount_minor
    from {{ ref('int_recon__refund_totals') }} as totals
    inner join {{ ref('int_recon__terminal_pool') }} as pool
        on totals.item_key = pool.item_key
    where totals.original_key is null

),

cancellations as (

    select
        pool.item_key,
        pool.merchant_id,
        pool.terminal_id,
        pool.channel,
        pool.txn_type,
        pool.orig_stan,
        coalesce(pool.orig_batch_no, pool.batch_no) as orig_batch_no,
        pool.orig_rrn,
        pool.txn_local,
        pool.currency,
        pool.amount_minor
    from {{ ref('int_recon__terminal_pool') }} as pool
    left join {{ ref('int_recon__terminal_duplicates') }} as duplicates
        on pool.item_key = duplicates.item_key
    where
        pool.opening_state is null
        and pool.txn_type in ('void', 'reversal', 'preauth_void')
        and pool.is_approved
        and duplicates.item_key is null

),

known_originals as (

    select
        item_key,
        merchant_id,
        terminal_id,
        batch_no,
        stan,
        txn_type,
        txn_local
    from {{ ref('stg_terminal__events') }}

    union all

    select
        item_key,
        merchant_id,
        terminal_id,
        batch_no,
        stan,
        txn_type,
        txn_local
    from {{ source('opening', 'known_events') }}

),

found as (

    select distinct cancellations.item_key
    from cancellations
    inner join known_originals
        on
            cancellations.merchant_id = known_originals.merchant_id
            and cancellations.terminal_id = known_originals.terminal_id
            and cancellations.orig_stan = known_originals.stan
            and cancellations.orig_batch_no is not distinct from known_originals.batch_no
            -- What int_recon__voided_items takes back: something earlier, and neither the cancellation itself nor a
            -- reversal, which often repeats under the STAN of the original.
            and cancellations.txn_local >= known_originals.txn_local
            and cancellations.item_key is distinct from known_originals.item_key
            and known_originals.txn_type is distinct from 'reversal'

)

select * from refunds

union all

select cancellations.*
from cancellations
left join found
    on cancellations.item_key = found.item_key
where found.item_key is null

union all

select opening.*
from {{ source('opening', 'orphans') }} as opening
left join {{ ref('int_recon__late_originals') }} as late
    on opening.item_key = late.item_key
where late.item_key is null
