-- Grain: one row per settlement record of tonight, whoever sent it.
-- For what is expected of every acquirer alike; the reconciliation reads the model of each.

select
    ---------- ids
    {{ record_key() }} as line_key,
    file_no,
    line_no,
    acquirer,
    acquirer_merchant_id,
    acquirer_txn_no,
    merchant_order_no,

    ---------- attributes
    line_kind,
    txn_type,
    currency,

    ---------- money (minor units)
    gross_minor,
    fee_minor,
    net_minor,

    ---------- times
    settlement_date

from {{ source('raw', 'settlement_lines') }}
