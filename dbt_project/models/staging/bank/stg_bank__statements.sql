-- Grain: one row per bank statement of tonight; opening + entries = closing was verified on arrival.

select
    ---------- ids
    {{ record_key() }} as statement_key,
    file_no,
    line_no,
    account,
    statement_no,

    ---------- attributes
    currency,

    ---------- money (minor units)
    opening_minor,
    closing_minor,

    ---------- times
    opening_date,
    closing_date

from {{ source('raw', 'bank_statements') }}
