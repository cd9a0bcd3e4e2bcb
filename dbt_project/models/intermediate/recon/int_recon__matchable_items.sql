-- Grain: one row per terminal event that a settlement line may pair with.
-- Narrow on purpose: the keys that the ladder may name, and nothing else.
-- Why a view: the first tier reads a few of its columns once; what that leaves is written as int_recon__left_items.

{{ config(materialized='view') }}

select
    pool.item_key,
    expected.expects_settlement,
    coalesce(routed.acquirer, {{ usual_acquirer('pool.channel') }}) as acquirer,
    -- The acquirer's id of the merchant is what both sides know: shops of a chain may share it.
    coalesce(merchants.acquirer_merchant_id, pool.merchant_id) as merchant_id,
    pool.terminal_id,
    pool.stan,
    pool.rrn,
    case pool.txn_type when 'refund' then 'refund' else 'sale' end as direction,
    pool.auth_code,
    pool.merchant_order_no,
    substr(pool.card_masked, length(pool.card_masked) - 3) as card_last4,
    pool.currency,
    expected.amount_minor,
    pool.txn_local,
    cast(pool.txn_local as date) as business_date

from {{ ref('int_recon__terminal_pool') }} as pool
inner join {{ ref('int_recon__expected_items') }} as expected
    on pool.item_key = expected.item_key
left join {{ ref('int_recon__item_acquirers') }} as routed
    on pool.item_key = routed.item_key
left join {{ ref('int_recon__acquirer_merchants') }} as merchants
    on
        pool.merchant_id = merchants.merchant_id
        and merchants.acquirer = coalesce(routed.acquirer, {{ usual_acquirer('pool.channel') }})
where expected.is_matchable
