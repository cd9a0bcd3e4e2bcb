-- Grain: one row per settlement line received tonight; later nights look here for repeats.

{{ config(materialized='view') }}

select
    line_key,
    acquirer,
    acquirer_merchant_id,
    line_kind,
    txn_type,
    acquirer_txn_no,
    terminal_id,
    stan,
    txn_local,
    merchant_id,
    currency,
    settlement_date

from {{ ref('int_recon__settlement_pool') }}
where opening_state is null
