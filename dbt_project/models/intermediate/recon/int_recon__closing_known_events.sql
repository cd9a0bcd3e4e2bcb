-- Grain: one row per terminal event received tonight. Later nights look here for repeats, for the originals of refunds
-- and voids, and for the rest of a batch. is_effective: it expects settlement, as far as tonight knows.

{{ config(materialized='view') }}

select
    pool.item_key,
    pool.merchant_id,
    pool.terminal_id,
    pool.batch_no,
    pool.stan,
    pool.rrn,
    pool.orig_rrn,
    pool.orig_stan,
    pool.orig_batch_no,
    pool.merchant_order_no,
    pool.channel,
    pool.txn_type,
    pool.txn_local,
    pool.currency,
    pool.amount_minor,
    pool.is_approved,
    expected.expects_settlement as is_effective

from {{ ref('int_recon__terminal_pool') }} as pool
inner join {{ ref('int_recon__expected_items') }} as expected
    on pool.item_key = expected.item_key
where pool.opening_state is null
