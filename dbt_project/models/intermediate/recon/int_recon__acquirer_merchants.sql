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

union all
{% endfor %}
-- An acquirer may settle several channels of a merchant, under one id.
select distinct
    listed.acquirer,
    listed.merchant_id,
    listed.acquirer_merchant_id,
    merchants.settlement_account
from {{ ref('stg_reference__acquirer_merchants') }} as listed
left join {{ ref('stg_reference__merchants') }} as merchants
    on listed.merchant_id = merchants.merchant_id
