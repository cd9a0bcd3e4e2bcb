-- Grain: one row per refund that came tonight and is in force, or that came earlier and whose original came tonight.
-- The original is a sale or completion of the same merchant: by reference number for cards, by order number for
-- wallets. original_key is null when no such sale is known within the look-back, or none was named.
-- refunded_minor adds up refunds in the order in which they were received, so that a late upload cannot move the
-- refund that exceeds the sale to a night that is over.
-- History is long and refunds are few, so events meet the named references before anything else is asked of them, and
-- what is read twice is spelled twice: a CTE would be written down whole.

{% set tonight %}
    select
        pool.item_key,
        pool.merchant_id,
        pool.channel,
        pool.currency,
        pool.txn_type,
        pool.orig_rrn,
        case
            when pool.txn_type = 'refund' then pool.orig_rrn
            when pool.channel = 'card' then pool.rrn
            else pool.merchant_order_no
        end as original_reference,
        pool.txn_local,
        pool.amount_minor,
        expected.expects_settlement as is_effective,
        1 as night_no
    from {{ ref('int_recon__terminal_pool') }} as pool
    inner join {{ ref('int_recon__expected_items') }} as expected
        on pool.item_key = expected.item_key
    where pool.opening_state is null
{% endset %}

with

refunds_tonight as (

    select * from ({{ tonight }}) as tonight
    where txn_type = 'refund' and is_effective

),

refunds as (

    select
        item_key,
        merchant_id,
        channel,
        orig_rrn,
        currency,
        amount_minor,
        true as is_tonight
    from refunds_tonight

    union all

    select
        orphans.item_key,
        orphans.merchant_id,
        orphans.channel,
        orphans.orig_rrn,
        orphans.currency,
        orphans.amount_minor,
        false as is_tonight
    from {{ source('opening', 'orphans') }} as orphans
    inner join {{ ref('int_recon__late_originals') }} as late
        on orphans.item_key = late.item_key
    where orphans.txn_type = 'refund'

),

named as (

    select distinct
        merchant_id,
        channel,
        orig_rrn
    from refunds
    where orig_rrn is not null

),

events as (

    select * from ({{ tonight }}) as tonight

    union all

    select
        item_key,
        merchant_id,
        channel,
        currency,
        txn_type,
        orig_rrn,
        case
            when txn_type = 'refund' then orig_rrn
            when channel = 'card' then rrn
            else merchant_order_no
        end as original_reference,
        txn_local,
        amount_minor,
        is_effective,
        0 as night_no
    from {{ source('opening', 'known_events') }}

),

everything as (

    select
        events.item_key,
        named.merchant_id,
        named.channel,
        named.orig_rrn,
        events.txn_type,
        events.txn_local,
        events.amount_minor,
        -- It may have been taken back since.
        events.is_effective and voided.item_key is null and cancelled.item_key is null as is_effective,
        events.night_no
    from events
    inner join named
        on
            events.merchant_id = named.merchant_id
            and events.channel = named.channel
            and events.original_reference = named.orig_rrn
    left join {{ ref('int_recon__voided_items') }} as voided
        on events.item_key = voided.item_key
    left join {{ source('opening', 'cancelled_events') }} as cancelled
        on events.item_key = cancelled.item_key

),

-- A sale counts as an original even when it was declined or voided: it is found, whatever became of it.
originals as (

    select
        everything.merchant_id,
        everything.channel,
        everything.orig_rrn,
        min(everything.item_key) as original_key,
        max(case when everything.is_effective then everything.amount_minor else 0 end) as original_amount_minor
    from everything
    where everything.txn_type in ('sale', 'preauth_completion')
    group by everything.merchant_id, everything.channel, everything.orig_rrn

),

running as (

    select
        everything.item_key,
        sum(everything.amount_minor) over (
            partition by everything.merchant_id, everything.channel, everything.orig_rrn
            order by everything.night_no, everything.txn_local, everything.item_key
            rows between unbounded preceding and current row
        ) as refunded_minor
    from everything
    where everything.txn_type = 'refund' and everything.is_effective

)

select
    refunds.item_key,
    refunds.currency,
    refunds.amount_minor,
    originals.original_key,
    originals.original_amount_minor,
    cast(coalesce(running.refunded_minor, refunds.amount_minor) as bigint) as refunded_minor

from refunds
left join originals
    on
        refunds.merchant_id = originals.merchant_id
        and refunds.channel = originals.channel
        and refunds.orig_rrn = originals.orig_rrn
left join running
    on refunds.item_key = running.item_key
-- What came earlier may have been taken back since, or lie beyond the look-back.
where refunds.is_tonight or running.item_key is not null
