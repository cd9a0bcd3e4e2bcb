-- Grain: one row per (match_rule, item_key, line_key) that fits, while neither side was decided by any pass.
-- Nothing is chosen here: every member of the group is listed under one group_id. A rule that fits once on both sides
-- was accepted by its pass, so what is left fits several ways.

with

{% for side, key in [('items', 'item_key'), ('lines', 'line_key')] %}
{{ side }} as (

    select matchable.*
    from {{ ref('int_recon__left_' ~ side) }} as matchable
    left join {{ ref('int_recon__pairs') }} as pairs
        on matchable.{{ key }} = pairs.{{ key }}
    where pairs.{{ key }} is null

),
{% endfor %}

{% for rule in var('match_ladder') %}
{{ rule.name }}__left as (

    with

    {{ match_fitting(rule) }},

    {{ match_candidates('fitting') }}

    select
        '{{ rule.name }}' as match_rule,
        {{ rule.tier }} as match_tier,
        candidates.item_key,
        candidates.line_key,
        '{{ rule.name }}'
        {%- for key in rule['keys'] %}
        || '|' || items.{{ key }}
        {%- endfor %} as group_id
    from candidates
    inner join items
        on candidates.item_key = items.item_key

){{ ',' if not loop.last }}
{% endfor %}

{% for rule in var('match_ladder') %}
select * from {{ rule.name }}__left
{{ 'union all' if not loop.last }}
{% endfor %}
