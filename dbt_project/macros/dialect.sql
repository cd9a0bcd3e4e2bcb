{# Everything that DuckDB and Spark spell differently, and nothing else. #}

{# Integer division that truncates; only ever used after rounding was added. #}
{% macro int_div(numerator, denominator) -%}
    {{ return(adapter.dispatch('int_div', 'posrecon')(numerator, denominator)) }}
{%- endmacro %}
{% macro default__int_div(numerator, denominator) -%}
    (({{ numerator }}) // ({{ denominator }}))
{%- endmacro %}
{% macro spark__int_div(numerator, denominator) -%}
    (({{ numerator }}) div ({{ denominator }}))
{%- endmacro %}

{# Whole seconds between two wall-clock times; never negative. #}
{% macro seconds_apart(one, other) -%}
    {{ return(adapter.dispatch('seconds_apart', 'posrecon')(one, other)) }}
{%- endmacro %}
{% macro default__seconds_apart(one, other) -%}
    abs(epoch({{ one }} - {{ other }}))
{%- endmacro %}
{% macro spark__seconds_apart(one, other) -%}
    abs(unix_timestamp({{ one }}) - unix_timestamp({{ other }}))
{%- endmacro %}

{# A JSON object from alternating names and SQL expressions, keys in the order given. #}
{% macro json_detail(pairs) -%}
    {{ return(adapter.dispatch('json_detail', 'posrecon')(pairs)) }}
{%- endmacro %}
{% macro default__json_detail(pairs) -%}
    cast(json_object({% for name, expression in pairs %}'{{ name }}', {{ expression }}{{ ', ' if not loop.last }}{% endfor %}) as varchar)
{%- endmacro %}
{% macro spark__json_detail(pairs) -%}
    to_json(named_struct({% for name, expression in pairs %}'{{ name }}', {{ expression }}{{ ', ' if not loop.last }}{% endfor %}))
{%- endmacro %}

{# A text in blanks, with blanks around every character that is neither letter nor digit: words are then found by
   `contains`, and a hyphen or a stroke is a word of its own. #}
{% macro spaced(expression) -%}
    {{ return(adapter.dispatch('spaced', 'posrecon')(expression)) }}
{%- endmacro %}
{% macro default__spaced(expression) -%}
    (' ' || regexp_replace({{ expression }}, '([^0-9A-Za-z])', ' \1 ', 'g') || ' ')
{%- endmacro %}
{% macro spark__spaced(expression) -%}
    (' ' || regexp_replace({{ expression }}, '([^0-9A-Za-z])', ' $1 ') || ' ')
{%- endmacro %}
