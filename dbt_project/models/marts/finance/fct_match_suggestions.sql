-- Grain: one row per terminal event and settlement line of tonight that may belong together; neither is matched.
-- For the person who works an open item. No money moves on a suggestion.

with

files as (

    select * from {{ ref('stg_landing__file_names') }}

)

select
    terminal_files.file_id || '-' || cast(items.line_no as varchar) as item_id,
    settlement_files.file_id || '-' || cast(lines.line_no as varchar) as settlement_item_id,
    suggestions.reasons,
    cast(suggestions.reason_count as integer) as reason_count,
    suggestions.delta_minor,
    items.currency,
    suggestions.seconds_apart,
    items.merchant_id,
    terminal_files.file_name as terminal_file,
    items.line_no as terminal_line,
    settlement_files.file_name as settlement_file,
    lines.line_no as settlement_line,
    {{ run_date() }} as run_date

from {{ ref('int_recon__suggestions') }} as suggestions
inner join {{ ref('int_recon__terminal_pool') }} as items
    on suggestions.item_key = items.item_key
inner join {{ ref('int_recon__settlement_pool') }} as lines
    on suggestions.line_key = lines.line_key
inner join files as terminal_files
    on items.file_no = terminal_files.file_no
inner join files as settlement_files
    on lines.file_no = settlement_files.file_no
