-- Grain: one row per withdrawal that has neither arrived at the bank nor been taken back.

select
    withdrawal_key,
    acquirer,
    acquirer_merchant_id,
    entry_no,
    acquirer_txn_no,
    currency,
    amount_minor,
    booked_on

from {{ ref('int_recon__withdrawal_states') }}
where state in ('pending', 'differs', 'not_received')
