-- Grain: one row per matchable terminal event that no rule of the first tier paired.
-- Why a table: almost everything pairs on its reference, so this is small. Later passes, groups and suggestions read it
-- a dozen times, and only here are the wide keys of the ladder written.

with

paired as (
    {% for rule in var('match_ladder') if rule.tier == 1 %}
    select item_key from {{ ref(match_pass_model(rule)) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select matchable.*
from {{ ref('int_recon__matchable_items') }} as matchable
left join paired
    on matchable.item_key = paired.item_key
where paired.item_key is null
