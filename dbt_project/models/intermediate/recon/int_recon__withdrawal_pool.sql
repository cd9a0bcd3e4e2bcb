-- Grain: one row per withdrawal from a wallet account that tonight can still decide, tonight's and those that no bank
-- credit was found for. A withdrawal that the wallet took back under the same number is over.

with

moved as (

    select
        entry_key,
        acquirer,
        account,
        entry_no,
        acquirer_txn_no,
        currency,
        amount_minor,
        cast(booked_local as date) as booked_on
    from {{ ref('stg_wallet__ledger_entries') }}
    where entry_kind = 'payout'

),

all_withdrawals as (

    select
        entry_key as withdrawal_key,
        acquirer,
        account as acquirer_merchant_id,
        entry_no,
        acquirer_txn_no,
        currency,
        -amount_minor as amount_minor,
        booked_on
    from moved
    where amount_minor < 0

    union all

    select
        withdrawal_key,
        acquirer,
        acquirer_merchant_id,
        entry_no,
        acquirer_txn_no,
        currency,
        amount_minor,
        booked_on
    from {{ source('opening', 'withdrawals') }}

),

returned as (

    select distinct all_withdrawals.withdrawal_key
    from all_withdrawals
    inner join moved
        on
            all_withdrawals.acquirer = moved.acquirer
            and all_withdrawals.acquirer_merchant_id = moved.account
            and all_withdrawals.acquirer_txn_no = moved.acquirer_txn_no
            and all_withdrawals.currency = moved.currency
            and all_withdrawals.amount_minor = moved.amount_minor

),

merchants as (

    select
        acquirer,
        acquirer_merchant_id,
        min(merchant_id) as merchant_id
    from {{ ref('int_recon__acquirer_merchants') }}
    group by acquirer, acquirer_merchant_id

),

scopes as (

    select distinct scope
    from {{ ref('tolerances') }}
    where name = 'payout_due_days'

),

banking_days as (

    select
        calendar_date,
        banking_day_no
    from {{ ref('stg_reference__banking_calendar') }}
    where is_banking_day

)

select
    all_withdrawals.withdrawal_key,
    all_withdrawals.acquirer,
    all_withdrawals.acquirer_merchant_id,
    merchants.merchant_id,
    all_withdrawals.entry_no,
    all_withdrawals.acquirer_txn_no,
    all_withdrawals.currency,
    all_withdrawals.amount_minor,
    all_withdrawals.booked_on,
    banking_days.calendar_date as due_date,
    {{ days_after('banking_days.calendar_date', 'payable.value') }} as payable_until,
    returned.withdrawal_key is not null as is_returned

from all_withdrawals
left join merchants
    on
        all_withdrawals.acquirer = merchants.acquirer
        and all_withdrawals.acquirer_merchant_id = merchants.acquirer_merchant_id
left join returned
    on all_withdrawals.withdrawal_key = returned.withdrawal_key
left join scopes
    on all_withdrawals.acquirer = scopes.scope
inner join {{ ref('tolerances') }} as due
    on
        {{ tolerance_in_force(
            'due', 'payout_due_days', 'all_withdrawals.booked_on', "coalesce(scopes.scope, 'other')"
        ) }}
inner join {{ ref('tolerances') }} as payable
    on {{ tolerance_in_force('payable', 'payout_window_days', 'all_withdrawals.booked_on') }}
inner join {{ ref('stg_reference__banking_calendar') }} as calendar
    on all_withdrawals.booked_on = calendar.calendar_date
inner join banking_days
    on calendar.banking_day_no + due.value = banking_days.banking_day_no
