-- Grain: one row per refund that came tonight and is in force.
-- The original is a sale or completion of the same merchant: by reference number for cards, by order number for
-- wallets. original_key is null when no such sale is known within the look-back, or none was named.
-- refunded_minor adds up refunds in the order in which they were received, so that a late upload cannot move the
-- refund that exceeds the sale to a night that is over.

with

tonight as (

    select
        pool.item_key,
        pool.merchant_id,
        pool.channel,
        pool.currency,
        pool.txn_type,
        pool.rrn,
        pool.orig_rrn,
        pool.merchant_order_no,
        pool.txn_local,
        pool.amount_minor,
        expected.expects_settlement as is_effective,
        1 as night_no
    from {{ ref('int_recon__terminal_pool') }} as pool
    inner join {{ ref('int_recon__expected_items') }} as expected
        on pool.item_key = expected.item_key
    where pool.opening_state is null

),

refunds_tonight as (

    select * from tonight
    where txn_type = 'refund' and is_effective

),

named as (

    select distinct
        merchant_id,
        channel,
        orig_rrn
    from refunds_tonight
    where orig_rrn is not null

),

known as (

    select
        events.item_key,
        events.merchant_id,
        events.channel,
        events.currency,
        events.txn_type,
        events.rrn,
        events.orig_rrn,
        events.merchant_order_no,
        events.txn_local,
        events.amount_minor,
        -- It may have been taken back since.
        events.is_effective and voided.item_key is null as is_effective,
        0 as night_no
    from {{ source('opening', 'known_events') }} as events
    left join {{ ref('int_recon__voided_items') }} as voided
        on events.item_key = voided.item_key
    where events.txn_type in ('sale', 'preauth_completion', 'refund')

),

everything as (

    select * from tonight
    union all
    select * from known

),

-- A sale counts as an original even when it was declined or voided: it is found, whatever became of it.
originals as (

    select
        named.merchant_id,
        named.channel,
        named.orig_rrn,
        min(everything.item_key) as original_key,
        max(case when everything.is_effective then everything.amount_minor else 0 end) as original_amount_minor
    from named
    inner join everything
        on
            named.merchant_id = everything.merchant_id
            and named.channel = everything.channel
            and named.orig_rrn
            = case named.channel when 'card' then everything.rrn else everything.merchant_order_no end
    where everything.txn_type in ('sale', 'preauth_completion')
    group by named.merchant_id, named.channel, named.orig_rrn

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
    inner join named
        on
            everything.merchant_id = named.merchant_id
            and everything.channel = named.channel
            and everything.orig_rrn = named.orig_rrn
    where everything.txn_type = 'refund' and everything.is_effective

)

select
    refunds.item_key,
    refunds.currency,
    refunds.amount_minor,
    originals.original_key,
    originals.original_amount_minor,
    cast(coalesce(running.refunded_minor, refunds.amount_minor) as bigint) as refunded_minor

from refunds_tonight as refunds
left join originals
    on
        refunds.merchant_id = originals.merchant_id
        and refunds.channel = originals.channel
        and refunds.orig_rrn = originals.orig_rrn
left join running
    on refunds.item_key = running.item_key
