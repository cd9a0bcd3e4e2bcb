-- Grain: one row per break that tonight's data shows, whether or not an earlier night already opened it.

{% set families = ['existence', 'value', 'status', 'timing'] %}

with

missing_statements as (

    select distinct
        logical_key,
        business_date
    from {{ ref('int_recon__missing_files') }}
    where feed = 'bank'

)

{% for family in families %}
select
    break_type,
    item_key,
    line_key,
    cast(null as varchar) as payout_id,
    subject_key,
    amount_at_risk_minor,
    currency,
    file_missing,
    detail
from {{ ref('int_recon__breaks_' ~ family) }}

union all

{% endfor %}

select
    funding.break_type,
    cast(null as bigint) as item_key,
    cast(null as bigint) as line_key,
    funding.payout_id,
    cast(null as bigint) as subject_key,
    funding.amount_at_risk_minor,
    funding.currency,
    -- Without the statement of the due date, nobody can say that the bank did not pay.
    missing_statements.logical_key is not null as file_missing,
    funding.detail
from {{ ref('int_recon__breaks_funding') }} as funding
inner join {{ ref('int_recon__payout_states') }} as payouts
    on funding.payout_id = payouts.payout_id
left join missing_statements
    on
        payouts.settlement_account = missing_statements.logical_key
        and payouts.due_date = missing_statements.business_date
