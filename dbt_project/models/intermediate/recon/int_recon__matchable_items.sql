-- Grain: one row per terminal event that a settlement line may pair with.
-- Narrow on purpose: the keys that the ladder may name, and nothing else.

select
    pool.item_key,
    expected.expects_settlement,
    case pool.channel when 'card' then 'unionpay' else pool.channel end as acquirer,
    pool.merchant_id,
    pool.terminal_id,
    pool.stan,
    pool.rrn,
    case pool.txn_type when 'refund' then 'refund' else 'sale' end as direction,
    expected.amount_minor,
    pool.txn_local

from {{ ref('int_recon__terminal_pool') }} as pool
inner join {{ ref('int_recon__expected_items') }} as expected
    on pool.item_key = expected.item_key
where expected.is_matchable
