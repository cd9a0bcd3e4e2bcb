-- Grain: one row per terminal and period of installation.

select
    terminal_id,
    merchant_id,
    model,
    location,
    installed_on,
    removed_on,
    {{ run_date() }} as run_date

from {{ ref('stg_reference__terminals') }}
