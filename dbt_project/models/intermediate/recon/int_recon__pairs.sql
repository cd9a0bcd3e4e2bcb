-- Grain: one row per pair accepted tonight; an item and a line are in at most one (tested on both sides).

{% for rule in var('match_ladder') %}
select
    item_key,
    line_key,
    '{{ rule.name }}' as match_rule,
    {{ rule.tier }} as match_tier
from {{ ref(match_pass_model(rule)) }}
{{ 'union all' if not loop.last }}
{% endfor %}
