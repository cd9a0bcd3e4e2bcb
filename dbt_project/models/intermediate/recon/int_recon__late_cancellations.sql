-- Grain: one row per event that an earlier night had decided for good and that a void or reversal of tonight takes
-- back. Its settled line, if it has one, is money that is not ours.

select
    known.item_key,
    settled.line_key,
    voided.cancellation_key,
    voided.voided_reason,
    known.merchant_id,
    known.terminal_id,
    known.batch_no,
    known.channel,
    lines.acquirer,
    {{ payout_id(
        'lines.acquirer', 'lines.merchant_id', 'lines.settlement_date', 'lines.currency', 'merchants.currency'
    ) }} as payout_id,
    known.currency,
    known.txn_type,
    known.txn_local,
    known.amount_minor

from {{ ref('int_recon__voided_items') }} as voided
inner join {{ source('opening', 'known_events') }} as known
    on voided.item_key = known.item_key
left join {{ ref('int_recon__terminal_pool') }} as pool
    on voided.item_key = pool.item_key
left join {{ source('opening', 'settled_events') }} as settled
    on voided.item_key = settled.item_key
left join {{ source('opening', 'known_lines') }} as lines
    on settled.line_key = lines.line_key
left join {{ ref('stg_reference__merchants') }} as merchants
    on lines.merchant_id = merchants.merchant_id
left join {{ source('opening', 'cancelled_events') }} as cancelled
    on voided.item_key = cancelled.item_key
where
    pool.item_key is null
    and cancelled.item_key is null
    and known.is_effective
