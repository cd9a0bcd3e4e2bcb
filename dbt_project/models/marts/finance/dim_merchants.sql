-- Grain: one row per merchant, from the newest reference file received up to tonight.

select
    merchant_id,
    name,
    city,
    settlement_account,
    unionpay_mer_id,
    wechat_mch_id,
    alipay_pid,
    currency,
    {{ run_date() }} as run_date

from {{ ref('stg_reference__merchants') }}
