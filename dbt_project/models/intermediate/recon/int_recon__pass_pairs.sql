-- Grain: one row per pair that a pass of the ladder accepted tonight.

{{ config(materialized='view') }}

{% for rule in var('match_ladder') %}
select
    item_key,
    line_key,
    '{{ rule.name }}' as match_rule,
    {{ rule.tier }} as match_tier
from {{ ref(match_pass_model(rule)) }}
{{ 'union all' if not loop.last }}
{% endfor %}
