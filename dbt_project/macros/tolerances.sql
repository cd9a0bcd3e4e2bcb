{# Tolerances and windows are dated data (seed `tolerances`): what holds on a date does not change when a later date
   gets another value. #}

{# Condition: this row of the seed holds for a name and a scope (SQL expressions) on a date. #}
{% macro tolerance_in_force(alias, name, on_date, scope="'*'") -%}
    {{ alias }}.name = '{{ name }}'
    and {{ alias }}.scope = {{ scope }}
    and {{ on_date }} between {{ alias }}.effective_from and {{ alias }}.effective_to
{%- endmacro %}

{# The value that holds for the night as a whole, as a scalar. #}
{% macro tolerance_tonight(name, scope="'*'") -%}
    (
        select in_force.value
        from {{ ref('tolerances') }} as in_force
        where {{ tolerance_in_force('in_force', name, run_date(), scope) }}
    )
{%- endmacro %}

{# The date so many calendar days later. #}
{% macro days_after(on_date, days) -%}
    cast({{ on_date }} + {{ days }} * interval '1 day' as date)
{%- endmacro %}
