{# All that is promised of one model's columns, checked in one scan; returns one row per promise that is broken.
   Why not dbt's own unique, not_null and accepted_values: each is a query and a node of its own, and the cost of a
   night of a thousand records was almost only that.

   unique:   columns without a repeated value (nulls aside).
   not_null: columns without a null.
   one_of:   column → the values it may have (nulls aside). #}
{% test columns_hold(model, unique=[], not_null=[], one_of={}) %}
{%- set promises = [] -%}
{%- for column in unique -%}
    {%- do promises.append((column, 'unique', 'count(' ~ column ~ ') - count(distinct ' ~ column ~ ')')) -%}
{%- endfor -%}
{%- for column in not_null -%}
    {%- do promises.append((column, 'not_null', 'count(*) - count(' ~ column ~ ')')) -%}
{%- endfor -%}
{%- for column, values in one_of.items() -%}
    {%- set others = 'case when ' ~ column ~ " not in ('" ~ values | join("', '") ~ "') then 1 end" -%}
    {%- do promises.append((column, 'one_of', 'count(' ~ others ~ ')')) -%}
{%- endfor -%}
with

counted as (

    select
        {%- for _, _, broken in promises %}
        {{ broken }} as broken_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ model }}

)

{% for column, promise, _ in promises %}
select
    '{{ column }}' as column_name,
    '{{ promise }}' as promise,
    broken_{{ loop.index }} as row_count
from counted
where broken_{{ loop.index }} > 0
{{ 'union all' if not loop.last }}
{% endfor %}
{% endtest %}
