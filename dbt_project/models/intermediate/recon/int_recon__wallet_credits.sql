-- Grain: one row per bank credit of a wallet that no withdrawal was found for yet. A payout may have taken it: that
-- says which sales it pays, a withdrawal says that the wallet sent it, and both are asked of the same money. UnionPay
-- keeps no balance that one could withdraw.

{{ config(materialized='view') }}

select
    entry_key,
    acquirer,
    account,
    currency,
    amount_minor,
    value_date
from {{ ref('stg_bank__entries') }}
where acquirer not in ('unionpay') and amount_minor > 0

union all

select
    entry_key,
    acquirer,
    account,
    currency,
    amount_minor,
    value_date
from {{ source('opening', 'wallet_credits') }}
