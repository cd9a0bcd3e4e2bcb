-- Grain: one row per file ever loaded. Turns a record key into evidence that a person can look up.

select
    file_no,
    file_id,
    file_name

from {{ source('raw', 'file_names') }}
