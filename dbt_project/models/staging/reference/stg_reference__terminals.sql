-- Grain: one row per terminal and period of installation.

select
    terminal_id,
    merchant_id,
    model,
    location,
    installed_on,
    removed_on

from {{ source('raw', 'terminals') }}
