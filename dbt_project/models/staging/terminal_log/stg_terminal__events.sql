-- Grain: one row per accepted terminal log record of tonight.
-- Terminals write a whole batch or nothing, so no record is dropped here: what does not count is decided later.

select
    ---------- ids
    {{ record_key() }} as item_key,
    file_no,
    line_no,
    merchant_id,
    terminal_id,
    batch_no,
    stan,
    rrn,
    auth_code,
    merchant_order_no,
    channel_txn_no,
    orig_stan,
    orig_batch_no,
    orig_rrn,

    ---------- attributes
    txn_type,
    channel,
    card_masked,
    card_token,
    card_type,
    currency,
    response_code,
    coalesce(response_code = '00', false) as is_approved,
    extras,

    ---------- money (minor units)
    amount_minor,

    ---------- times
    txn_at,
    txn_local,
    business_date

from {{ source('raw', 'terminal_events') }}
