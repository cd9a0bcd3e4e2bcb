-- Grain: one row per settlement line that a terminal event may explain.
-- Later copies and dispute lines are out: they are named as such and never take an event from its own line.

select
    pool.line_key,
    pool.acquirer,
    pool.merchant_id,
    pool.terminal_id,
    pool.stan,
    pool.rrn,
    pool.txn_type as direction,
    pool.gross_minor as amount_minor,
    pool.txn_local

from {{ ref('int_recon__settlement_pool') }} as pool
left join {{ ref('int_recon__settlement_duplicates') }} as duplicates
    on pool.line_key = duplicates.line_key
where
    duplicates.line_key is null
    and pool.line_kind = 'transaction'
