-- Grain: one row per file that the sources' calendars expect by tonight.

select
    source,
    feed,
    logical_name,
    coalesce(logical_key, '') as logical_key,
    business_date

from {{ source('raw', 'expected_files') }}
