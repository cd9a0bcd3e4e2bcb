-- Grain: one row per settlement line that a terminal event may explain.
-- merchant_id is the acquirer's id, which both sides know: shops of a chain may share it.
-- Later copies and dispute lines are out: they are named as such and never take an event from its own line.
-- Why a view: the first tier reads a few of its columns once; what that leaves is written as int_recon__left_lines.

{{ config(materialized='view') }}

select
    pool.line_key,
    pool.acquirer,
    pool.acquirer_merchant_id as merchant_id,
    pool.terminal_id,
    pool.stan,
    pool.rrn,
    pool.txn_type as direction,
    pool.auth_code,
    pool.merchant_order_no,
    substr(pool.card_masked, length(pool.card_masked) - 3) as card_last4,
    pool.currency,
    pool.gross_minor as amount_minor,
    pool.txn_local,
    cast(pool.txn_local as date) as business_date

from {{ ref('int_recon__settlement_pool') }} as pool
left join {{ ref('int_recon__settlement_duplicates') }} as duplicates
    on pool.line_key = duplicates.line_key
where
    duplicates.line_key is null
    and pool.line_kind = 'transaction'
