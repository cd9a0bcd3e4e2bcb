-- Grain: one row per settlement line that opens tomorrow.

select
    pool.line_key,
    pool.file_no,
    pool.line_no,
    pool.first_run_date,
    states.match_state,
    pool.acquirer,
    pool.merchant_id,
    pool.acquirer_merchant_id,
    pool.terminal_id,
    pool.stan,
    pool.rrn,
    pool.auth_code,
    pool.acquirer_txn_no,
    pool.merchant_order_no,
    pool.line_kind,
    pool.channel,
    pool.txn_type,
    pool.card_masked,
    pool.card_type,
    pool.currency,
    pool.gross_minor,
    pool.fee_minor,
    pool.net_minor,
    pool.txn_local,
    pool.settlement_date

from {{ ref('int_recon__settlement_pool') }} as pool
inner join {{ ref('int_recon__line_states') }} as states
    on pool.line_key = states.line_key
where not states.is_final
