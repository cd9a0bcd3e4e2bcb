{# The night being reconciled, as a date literal. #}
{% macro run_date() -%}
    cast('{{ var("run_date") }}' as date)
{%- endmacro %}

{# One physical record of one received file, for ever: 32 bits of line under the number of the file. #}
{% macro record_key(alias='') -%}
    {%- set p = alias ~ '.' if alias else '' -%}
    {{ p }}file_no * 4294967296 + {{ p }}line_no
{%- endmacro %}

{# Sign of the money that a transaction type moves to the merchant; 0 for what moves none by itself. #}
{% macro money_sign(txn_type) -%}
    case
        when {{ txn_type }} in ('sale', 'preauth_completion') then 1
        when {{ txn_type }} = 'refund' then -1
        else 0
    end
{%- endmacro %}

{# The name under which a payout is known everywhere. Money in another currency than the merchant's own is a payout of
   its own, and says so. #}
{% macro payout_id(acquirer, merchant_id, settlement_date, currency, merchant_currency) -%}
    {{ acquirer }} || ':' || {{ merchant_id }} || ':' || cast({{ settlement_date }} as varchar)
    || case when {{ currency }} = coalesce({{ merchant_currency }}, 'CNY') then '' else ':' || {{ currency }} end
{%- endmacro %}

{# Tonight's settlement lines of every acquirer; their staging models have the same columns. #}
{% macro staged_settlement_lines() -%}
    {%- for feed in ['unionpay', 'wechat', 'alipay', 'generic'] %}
    select * from {{ ref('stg_' ~ feed ~ '__settlement_lines') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# A run of STANs as people write it: 000100-000105. #}
{% macro stan_run(first_stan, last_stan) -%}
    lpad(cast({{ first_stan }} as varchar), 6, '0') || '-' || lpad(cast({{ last_stan }} as varchar), 6, '0')
{%- endmacro %}
