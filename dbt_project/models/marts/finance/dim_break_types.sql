-- Grain: one row per break type, with what it means and what to do, in English and Chinese.

select
    break_type,
    family,
    label_en,
    label_zh,
    remedy_en,
    remedy_zh,
    {{ run_date() }} as run_date

from {{ ref('break_types') }}
