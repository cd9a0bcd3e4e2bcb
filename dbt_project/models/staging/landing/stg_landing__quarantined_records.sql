-- Grain: one row per refused record of a loaded file of tonight.

select
    file_no,
    line_no,
    reason,
    record_masked

from {{ source('raw', 'quarantined_records') }}
