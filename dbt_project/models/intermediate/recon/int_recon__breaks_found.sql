-- Grain: one row per break that tonight's data shows, whether or not an earlier night already opened it.
-- subject_key is the record that the break is about; with the type, and subject_part where one record has several, it
-- makes the break's identity.

{% set columns = [
    'break_type',
    'item_key',
    'line_key',
    'batch_close_key',
    'entry_key',
    'payout_id',
    'merchant_id',
    'terminal_id',
    'subject_key',
    'subject_part',
    'amount_at_risk_minor',
    'currency',
    'file_missing',
    'detail',
] %}
{% set texts = ['payout_id', 'subject_part', 'merchant_id', 'terminal_id'] %}
{% set families = {
    'existence': ['item_key', 'line_key', 'subject_key', 'file_missing'],
    'value': ['item_key', 'line_key', 'subject_key', 'file_missing'],
    'status': ['item_key', 'line_key', 'subject_key', 'file_missing'],
    'timing': ['item_key', 'line_key', 'subject_key', 'file_missing'],
    'sequence': [
        'item_key',
        'batch_close_key',
        'merchant_id',
        'terminal_id',
        'subject_key',
        'subject_part',
        'file_missing',
    ],
    'reference': ['item_key', 'subject_key', 'file_missing'],
    'funding': ['payout_id', 'entry_key', 'subject_key', 'file_missing'],
} %}

{% for family, has in families.items() %}
select
{%- for column in columns %}
{% if column in has or column in ('break_type', 'amount_at_risk_minor', 'currency', 'detail') -%}
{{ column }}
{%- elif column == 'file_missing' -%}
false as file_missing
{%- else -%}
cast(null as {{ 'varchar' if column in texts else 'bigint' }}) as {{ column }}
{%- endif %}{{ ',' if not loop.last }}
{%- endfor %}
from {{ ref('int_recon__breaks_' ~ family) }}
{{ 'union all' if not loop.last }}
{% endfor %}
