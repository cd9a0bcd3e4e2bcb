-- Grain: one row per batch total that a terminal printed.

select
    ---------- ids
    {{ record_key() }} as batch_close_key,
    file_no,
    line_no,
    merchant_id,
    terminal_id,
    batch_no,

    ---------- attributes
    currency,
    sale_count,
    refund_count,

    ---------- money (minor units)
    sale_amount_minor,
    refund_amount_minor,

    ---------- times
    business_date

from {{ source('raw', 'batch_closes') }}
