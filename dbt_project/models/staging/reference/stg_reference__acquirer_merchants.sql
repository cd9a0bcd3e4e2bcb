-- Grain: one row per merchant, channel and beginning of card numbers that another acquirer than the usual one settles.

select
    merchant_id,
    channel,
    coalesce(card_prefix, '') as card_prefix,
    acquirer,
    acquirer_merchant_id

from {{ source('raw', 'acquirer_merchants') }}
