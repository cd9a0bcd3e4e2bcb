{# Settlement lines of one acquirer: all acquirers have the same columns, null where a layout knows nothing of them.
   Without an acquirer, the lines of all those that have no staging model of their own. #}
{% macro stage_settlement_lines(acquirer=none) -%}
select
    ---------- ids
    {{ record_key() }} as line_key,
    file_no,
    line_no,
    acquirer,
    acquirer_merchant_id,
    terminal_id,
    stan,
    rrn,
    auth_code,
    acquirer_txn_no,
    orig_acquirer_txn_no,
    orig_stan,
    merchant_order_no,

    ---------- attributes
    line_kind,
    coalesce(channel, {{ channel_of_acquirer('acquirer') }}) as channel,
    txn_type,
    txn_code,
    card_masked,
    card_type,
    currency,

    ---------- money (minor units)
    gross_minor,
    fee_minor,
    net_minor,

    ---------- times
    txn_local,
    orig_txn_local,
    settlement_date

from {{ source('raw', 'settlement_lines') }}
{% if acquirer -%}
where acquirer = '{{ acquirer }}'
{%- else -%}
where acquirer is null or acquirer not in ('unionpay', 'wechat', 'alipay')
{%- endif %}
{%- endmacro %}
