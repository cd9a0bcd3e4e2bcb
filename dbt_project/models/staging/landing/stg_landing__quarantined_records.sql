-- Grain: one row per refused record of a loaded file of tonight.
-- merchant_id, terminal_id, batch_no and stan are what could be read of a terminal's record; null otherwise.

select
    {{ record_key() }} as record_key,
    file_no,
    line_no,
    reason,
    record_masked,
    merchant_id,
    terminal_id,
    batch_no,
    stan

from {{ source('raw', 'quarantined_records') }}
