-- Grain: one row per (payout, bank entry) of the same acquirer, account and currency within the window.
-- is_named: the text names the merchant, by our id or by the acquirer's. A text that names another merchant of the
-- account speaks against the pair, so those are left out.

with

entries as (

    select * from {{ ref('int_recon__bank_pool') }}

),

payouts as (

    select * from {{ ref('int_recon__payout_pool') }}

),

-- Every merchant that a text may name, also one that has no open payout: its money is not another's.
accounts as (

    select
        acquirer,
        merchant_id,
        acquirer_merchant_id,
        settlement_account
    from payouts

    union

    select
        'unionpay' as acquirer,
        merchant_id,
        unionpay_mer_id as acquirer_merchant_id,
        settlement_account
    from {{ ref('stg_reference__merchants') }}
    where unionpay_mer_id is not null

),

named as (

    select distinct
        entries.entry_key,
        accounts.merchant_id
    from entries
    inner join accounts
        on
            entries.acquirer = accounts.acquirer
            and entries.account = accounts.settlement_account
    where
        contains(entries.narrative, accounts.merchant_id)
        or contains(entries.narrative, accounts.acquirer_merchant_id)

),

named_entries as (

    select distinct entry_key from named

)

select
    payouts.payout_id,
    entries.entry_key,
    named.merchant_id is not null as is_named,
    entries.value_date = payouts.due_date as is_on_due_date,
    entries.amount_minor,
    payouts.expected_net_minor - payouts.received_minor as outstanding_minor

from payouts
inner join entries
    on
        payouts.acquirer = entries.acquirer
        and payouts.settlement_account = entries.account
        and payouts.currency = entries.currency
        and entries.value_date > payouts.settlement_date
        and entries.value_date <= payouts.due_date + interval '{{ var("payout_window_days") }} days'
left join named
    on
        entries.entry_key = named.entry_key
        and payouts.merchant_id = named.merchant_id
left join named_entries
    on entries.entry_key = named_entries.entry_key
where named.merchant_id is not null or named_entries.entry_key is null
