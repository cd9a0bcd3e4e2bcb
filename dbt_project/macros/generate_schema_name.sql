{# Schemas are the layers' own names (staging, intermediate, marts …): there is one warehouse and one target. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
