-- Grain: one row per matchable settlement line that no rule of the first tier paired.
-- Why a table: almost everything pairs on its reference, so this is small. Later passes, groups and suggestions read it
-- a dozen times, and only here are the wide keys of the ladder written.

with

paired as (
    {% for rule in var('match_ladder') if rule.tier == 1 %}
    select line_key from {{ ref(match_pass_model(rule)) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select matchable.*
from {{ ref('int_recon__matchable_lines') }} as matchable
left join paired
    on matchable.line_key = paired.line_key
where paired.line_key is null
