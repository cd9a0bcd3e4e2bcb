-- Grain: one row per payout (acquirer, merchant, settlement date, currency) that tonight can still decide.
-- Expected is the sum of the nets that the acquirer stated, over all lines of the day, later copies and
-- chargebacks included: that is what the acquirer pays, whatever we think of each line.

with

tonight as (

    select
        acquirer,
        merchant_id,
        currency,
        settlement_date,
        min(acquirer_merchant_id) as acquirer_merchant_id,
        count(*) as line_count,
        sum(net_minor) as expected_net_minor
    from {{ ref('int_recon__settlement_pool') }}
    where opening_state is null
    group by acquirer, merchant_id, currency, settlement_date

),

all_payouts as (

    select
        {{ payout_id(
            'tonight.acquirer',
            'tonight.merchant_id',
            'tonight.settlement_date',
            'tonight.currency',
            'merchants.currency'
        ) }} as payout_id,
        tonight.acquirer,
        tonight.merchant_id,
        tonight.acquirer_merchant_id,
        tonight.currency,
        tonight.settlement_date,
        tonight.line_count,
        cast(tonight.expected_net_minor as bigint) as expected_net_minor,
        cast(0 as bigint) as received_minor,
        cast(null as bigint) as first_entry_key
    from tonight
    left join {{ ref('stg_reference__merchants') }} as merchants
        on tonight.merchant_id = merchants.merchant_id

    union all

    select
        payout_id,
        acquirer,
        merchant_id,
        acquirer_merchant_id,
        currency,
        settlement_date,
        line_count,
        expected_net_minor,
        received_minor,
        first_entry_key
    from {{ source('opening', 'payouts') }}

),

-- A late file adds lines to a settlement date that is already open.
summed as (

    select
        payout_id,
        acquirer,
        merchant_id,
        currency,
        settlement_date,
        min(acquirer_merchant_id) as acquirer_merchant_id,
        cast(sum(line_count) as bigint) as line_count,
        cast(sum(expected_net_minor) as bigint) as expected_net_minor,
        cast(sum(received_minor) as bigint) as received_minor,
        min(first_entry_key) as first_entry_key
    from all_payouts
    group by payout_id, acquirer, merchant_id, currency, settlement_date

)

select
    summed.payout_id,
    summed.acquirer,
    summed.merchant_id,
    summed.acquirer_merchant_id,
    merchants.settlement_account,
    summed.currency,
    summed.settlement_date,
    settlement_days.payout_due_date as due_date,
    settlement_days.payable_until,
    summed.line_count,
    summed.expected_net_minor,
    summed.received_minor,
    summed.first_entry_key

from summed
inner join {{ ref('int_recon__settlement_days') }} as settlement_days
    on
        summed.acquirer = settlement_days.acquirer
        and summed.settlement_date = settlement_days.settlement_date
left join {{ ref('stg_reference__merchants') }} as merchants
    on summed.merchant_id = merchants.merchant_id
