-- Grain: one row per terminal event received tonight; later nights look here for repeats.

{{ config(materialized='view') }}

select
    item_key,
    merchant_id,
    terminal_id,
    batch_no,
    stan,
    txn_type,
    txn_local,
    amount_minor

from {{ ref('stg_terminal__events') }}
