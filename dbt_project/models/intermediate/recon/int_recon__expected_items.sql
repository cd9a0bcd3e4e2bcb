-- Grain: one row per terminal event of the pool.
-- Says for each what settlement is expected of it, or why none is. Exactly one of the two holds:
-- expects_settlement is true, or excluded_reason is set.

with

events as (

    select
        item_key,
        merchant_id,
        terminal_id,
        channel,
        txn_type,
        is_approved,
        currency,
        amount_minor,
        txn_local,
        business_date,
        opening_state
    from {{ ref('int_recon__terminal_pool') }}

),

judged as (

    select
        events.*,
        case
            when duplicates.item_key is not null then 'duplicate'
            when voided.voided_reason is not null then voided.voided_reason
            when not events.is_approved then 'declined'
            when events.txn_type in ('preauth', 'preauth_void') then 'preauthorisation'
            when events.txn_type = 'void' then 'voided'
            when events.txn_type = 'reversal' then 'reversed'
        end as excluded_reason
    from events
    left join {{ ref('int_recon__terminal_duplicates') }} as duplicates
        on events.item_key = duplicates.item_key
    left join {{ ref('int_recon__voided_items') }} as voided
        on events.item_key = voided.item_key

)

select
    ---------- ids
    judged.item_key,

    ---------- state
    judged.excluded_reason is null as expects_settlement,
    judged.excluded_reason,
    -- A declined, voided or reversed sale or refund may turn out to have a line all the same.
    judged.excluded_reason is null
    or (
        judged.excluded_reason in ('declined', 'voided', 'reversed')
        and judged.txn_type in ('sale', 'refund', 'preauth_completion')
    ) as is_matchable,
    judged.opening_state,

    ---------- money (minor units)
    judged.currency,
    {{ money_sign('judged.txn_type') }} * judged.amount_minor as amount_minor,

    ---------- dates
    due_dates.due_date,
    due_dates.watched_until,
    cast(judged.txn_local + (24 - due_dates.cut_off_hour) * interval '1 hour' as date) as clearing_date

from judged
inner join {{ ref('int_recon__due_dates') }} as due_dates
    on
        judged.channel = due_dates.channel
        and judged.business_date = due_dates.business_date
