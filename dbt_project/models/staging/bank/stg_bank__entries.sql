-- Grain: one row per booked entry of tonight's bank statements.

select
    ---------- ids
    {{ record_key() }} as entry_key,
    file_no,
    line_no,
    account,
    statement_no,
    reference,

    ---------- attributes
    acquirer,
    currency,
    narrative,

    ---------- money (minor units, positive = credit)
    amount_minor,

    ---------- times
    value_date,
    entry_date

from {{ source('raw', 'bank_entries') }}
