-- Grain: one row per payout that the bank has not funded in full.

select
    payout_id,
    acquirer,
    merchant_id,
    acquirer_merchant_id,
    settlement_account,
    currency,
    settlement_date,
    due_date,
    line_count,
    expected_net_minor,
    received_minor,
    first_entry_key

from {{ ref('int_recon__payout_states') }}
where state not in ('funded', 'over')
