-- Grain: one row per movement on the balance of a wallet account of tonight.
-- Evidence of what the acquirer charged; what it says it paid out is looked for at the bank.

select
    ---------- ids
    {{ record_key() }} as entry_key,
    file_no,
    line_no,
    acquirer,
    account,
    entry_no,
    acquirer_txn_no,
    merchant_order_no,

    ---------- attributes
    entry_kind,
    entry_text,
    currency,

    ---------- money (minor units)
    amount_minor,
    balance_minor,

    ---------- times
    booked_local

from {{ source('raw', 'ledger_entries') }}
