-- Grain: one row per date.

select
    calendar_date,
    is_banking_day,
    banking_day_no,
    is_provisional

from {{ source('raw', 'banking_calendar') }}
