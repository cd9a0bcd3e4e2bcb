-- Grain: one row per acquirer and merchant of ours that it settles, with the acquirer's id for the merchant.
-- Shops of a chain may share one acquirer's id: its files cannot tell them apart, only a match can.

{{ config(materialized='view') }}

{% set ids = {'unionpay': 'unionpay_mer_id', 'wechat': 'wechat_mch_id', 'alipay': 'alipay_pid'} %}

{% for acquirer, column in ids.items() %}
select
    '{{ acquirer }}' as acquirer,
    merchant_id,
    {{ column }} as acquirer_merchant_id,
    settlement_account
from {{ ref('stg_reference__merchants') }}
where {{ column }} is not null
{{ 'union all' if not loop.last }}
{% endfor %}
