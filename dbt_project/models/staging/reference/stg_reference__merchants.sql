-- Grain: one row per merchant.

select
    merchant_id,
    name,
    city,
    settlement_account,
    unionpay_mer_id,
    wechat_mch_id,
    -- Bills append 0156 to the 16-digit PID or not; both name the same partner.
    case when length(alipay_pid) = 20 then substr(alipay_pid, 1, 16) else alipay_pid end as alipay_pid,
    coalesce(currency, 'CNY') as currency

from {{ source('raw', 'merchants') }}
