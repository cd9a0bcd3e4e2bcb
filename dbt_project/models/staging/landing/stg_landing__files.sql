-- Grain: one row per file received tonight, whatever became of it.

select
    file_no,
    file_id,
    source,
    feed,
    logical_name,
    logical_key,
    file_name,
    sha256,
    bytes,
    business_date,
    state,
    records,
    loaded,
    quarantined,
    declared_minor,
    computed_minor,
    encoding,
    reason

from {{ source('raw', 'files') }}
