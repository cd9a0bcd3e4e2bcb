{# The ladder of match passes is data (`match_ladder` in dbt_project.yml); these macros turn one rung into SQL. #}

{% macro match_rule(name) -%}
    {{ return((var('match_ladder') | selectattr('name', 'equalto', name) | list)[0]) }}
{%- endmacro %}

{% macro match_pass_model(rule) -%}
    {{ return('int_recon__pass_' ~ rule.tier ~ '_' ~ rule.name) }}
{%- endmacro %}

{# The rungs above this one that serve the same acquirer, in order; ladders of other channels never meet it. #}
{% macro match_rules_before(rule) -%}
    {%- set earlier = [] -%}
    {%- for other in var('match_ladder') -%}
        {%- if other.name == rule.name -%}{{ return(earlier) }}{%- endif -%}
        {%- if other.acquirers | select('in', rule.acquirers) | list -%}{%- do earlier.append(other) -%}{%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{# True for the acquirers that a rung serves. `other` in its list is every acquirer that no rung names. #}
{% macro match_serves(rule, acquirer) -%}
    {%- if 'other' not in rule.acquirers -%}
        {{ acquirer }} in ('{{ rule.acquirers | join("', '") }}')
    {%- else -%}
        {%- set not_served = [] -%}
        {%- for name in var('match_ladder') | map(attribute='acquirers') | sum(start=[]) | unique | sort -%}
            {%- if name not in rule.acquirers -%}{%- do not_served.append(name) -%}{%- endif -%}
        {%- endfor -%}
        {{ acquirer }} not in ('{{ not_served | join("', '") }}')
    {%- endif -%}
{%- endmacro %}

{# What a rung looks at: the first tier sees everything, the others what it left. #}
{% macro match_side(rule, side) -%}
    {{ return('int_recon__' ~ ('matchable_' if rule.tier == 1 else 'left_') ~ side) }}
{%- endmacro %}

{# The `fitting` CTE of one rung: every (item, line) that agrees on all keys within the window.
   Expects CTEs `items` and `lines` with the columns of int_recon__matchable_items and _lines. #}
{% macro match_fitting(rule) -%}
fitting as (

    select
        items.item_key,
        lines.line_key,
        items.expects_settlement,
        abs(lines.amount_minor - items.amount_minor) as amount_apart_minor

    from items
    inner join lines
        on
            {%- for key in rule['keys'] %}
            {{ 'and ' if not loop.first }}items.{{ key }} = lines.{{ key }}
            {%- endfor %}
            and {{ seconds_apart('items.txn_local', 'lines.txn_local') }}
            <= {{ tolerance_tonight('match_window_s', "'" ~ rule.name ~ "'") }}
    where
        {{ match_serves(rule, 'items.acquirer') }}
        {%- if not rule.identifies %}
        and items.expects_settlement
        {%- endif %}

)
{%- endmacro %}

{# The `candidates` CTE of one rung, among the rows of another CTE with the columns of `fitting`.
   A line that fits both an event that expects money and one that does not (declined, voided) is the former's. #}
{% macro match_candidates(among) -%}
contested as (

    select line_key
    from {{ among }}
    group by line_key
    having max(cast(expects_settlement as integer)) > min(cast(expects_settlement as integer))

),

candidates as (

    select
        {{ among }}.item_key,
        {{ among }}.line_key,
        {{ among }}.amount_apart_minor

    from {{ among }}
    left join contested
        on {{ among }}.line_key = contested.line_key
    where {{ among }}.expects_settlement or contested.line_key is null

)
{%- endmacro %}

{# One rung: grain is one row per accepted (item_key, line_key). #}
{% macro match_pass(name) -%}
{%- set rule = match_rule(name) -%}
{%- set earlier = match_rules_before(rule) -%}
with

{% if earlier %}
paired as (
    {% for pass in earlier %}
    select
        item_key,
        line_key
    from {{ ref(match_pass_model(pass)) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),
{% endif %}

items as (

    select matchable.*
    from {{ ref(match_side(rule, 'items')) }} as matchable
    {%- if earlier %}
    left join paired
        on matchable.item_key = paired.item_key
    where paired.item_key is null
    {%- endif %}

),

lines as (

    select matchable.*
    from {{ ref(match_side(rule, 'lines')) }} as matchable
    {%- if earlier %}
    left join paired
        on matchable.line_key = paired.line_key
    where paired.line_key is null
    {%- endif %}

),

{{ match_fitting(rule) }},

{% for side in ['item', 'line'] %}
crowded_{{ side }}s as (

    select {{ side }}_key
    from fitting
    group by {{ side }}_key
    having count(*) > 1

),

{% endfor %}
-- Almost always one item fits one line and nothing else does: that is a pair, and the ranking below is spared.
alone as (

    select
        fitting.item_key,
        fitting.line_key

    from fitting
    left join crowded_items
        on fitting.item_key = crowded_items.item_key
    left join crowded_lines
        on fitting.line_key = crowded_lines.line_key
    where crowded_items.item_key is null and crowded_lines.line_key is null

),

crowd as (

    select fitting.*

    from fitting
    left join crowded_items
        on fitting.item_key = crowded_items.item_key
    left join crowded_lines
        on fitting.line_key = crowded_lines.line_key
    where crowded_items.item_key is not null or crowded_lines.line_key is not null

),

{{ match_candidates('crowd') }},

best_of_item as (

    select
        item_key,
        min(amount_apart_minor) as amount_apart_minor
    from candidates
    group by item_key

),

best_of_line as (

    select
        line_key,
        min(amount_apart_minor) as amount_apart_minor
    from candidates
    group by line_key

),

-- The one line that is nearest in money to the item; an item with two such lines has none.
choice_of_item as (

    select
        candidates.item_key,
        min(candidates.line_key) as line_key
    from candidates
    inner join best_of_item
        on
            candidates.item_key = best_of_item.item_key
            and candidates.amount_apart_minor = best_of_item.amount_apart_minor
    group by candidates.item_key
    having count(*) = 1

),

choice_of_line as (

    select
        candidates.line_key,
        min(candidates.item_key) as item_key
    from candidates
    inner join best_of_line
        on
            candidates.line_key = best_of_line.line_key
            and candidates.amount_apart_minor = best_of_line.amount_apart_minor
    group by candidates.line_key
    having count(*) = 1

)

select
    item_key,
    line_key

from alone

union all

select
    choice_of_item.item_key,
    choice_of_item.line_key

from choice_of_item
inner join choice_of_line
    on
        choice_of_item.item_key = choice_of_line.item_key
        and choice_of_item.line_key = choice_of_line.line_key
{%- endmacro %}
