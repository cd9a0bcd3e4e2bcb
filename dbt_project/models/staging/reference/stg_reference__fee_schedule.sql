-- Grain: one row per merchant, channel, card type and period; effective_to is inclusive.

select
    merchant_id,
    channel,
    coalesce(card_type, '*') as card_type,
    rate_bps,
    cap_minor,
    effective_from,
    coalesce(effective_to, cast('9999-12-31' as date)) as effective_to

from {{ source('raw', 'fee_schedule') }}
