-- Grain: one row per terminal event that opens tomorrow.

select
    pool.item_key,
    pool.file_no,
    pool.line_no,
    pool.first_run_date,
    states.match_state,
    pool.merchant_id,
    pool.terminal_id,
    pool.batch_no,
    pool.stan,
    pool.rrn,
    pool.auth_code,
    pool.merchant_order_no,
    pool.orig_stan,
    pool.orig_batch_no,
    pool.orig_rrn,
    pool.txn_type,
    pool.channel,
    pool.card_masked,
    pool.card_token,
    pool.card_type,
    pool.currency,
    pool.is_approved,
    pool.amount_minor,
    pool.txn_at,
    pool.txn_local,
    pool.business_date,
    case
        when states.not_expected_reason in ('voided', 'reversed') then states.not_expected_reason
    end as voided_reason

from {{ ref('int_recon__terminal_pool') }} as pool
inner join {{ ref('int_recon__item_states') }} as states
    on pool.item_key = states.item_key
where not states.is_final
