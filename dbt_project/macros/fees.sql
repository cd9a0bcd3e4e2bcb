{# Fee of a signed gross: half-up to the minor unit of |gross| × rate, not above the cap, with the sign of the
   gross (a refund returns the fee of its gross). Integers only: the rate is taken in 1/10 000 of a basis point, so
   the product is divided once, after the half was added. #}
{% macro scheduled_fee_minor(gross_minor, rate_bps, cap_minor) -%}
    sign({{ gross_minor }}) * least(
        {{ int_div(
            'abs(' ~ gross_minor ~ ') * cast(' ~ rate_bps ~ ' * 10000 as bigint) + 50000000',
            '100000000'
        ) }},
        coalesce({{ cap_minor }}, 9223372036854775807)
    )
{%- endmacro %}
