-- Grain: one row per void, reversal or refund whose original may still come.

{{ config(materialized='view') }}

select
    item_key,
    merchant_id,
    terminal_id,
    channel,
    txn_type,
    orig_stan,
    orig_batch_no,
    orig_rrn,
    txn_local,
    currency,
    amount_minor

from {{ ref('int_recon__orphans') }}
