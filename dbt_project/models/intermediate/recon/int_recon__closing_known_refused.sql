-- Grain: one row per record put into quarantine tonight whose terminal and STAN can be read: it is not missing on a
-- later night either.

select
    record_key as item_key,
    merchant_id,
    terminal_id,
    batch_no,
    stan

from {{ ref('stg_landing__quarantined_records') }}
where merchant_id is not null and terminal_id is not null and stan is not null
