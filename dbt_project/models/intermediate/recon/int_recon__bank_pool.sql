-- Grain: one row per bank entry of a known acquirer that explains no payout yet.

{{ config(materialized='view') }}

select
    entry_key,
    account,
    acquirer,
    currency,
    narrative,
    amount_minor,
    value_date
from {{ ref('stg_bank__entries') }}
where acquirer is not null

union all

select
    entry_key,
    account,
    acquirer,
    currency,
    narrative,
    amount_minor,
    value_date
from {{ source('opening', 'bank_entries') }}
