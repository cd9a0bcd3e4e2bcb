-- Grain: one row per orphan of an earlier night whose original came tonight.

with

orphans as (

    select * from {{ source('opening', 'orphans') }}

),

events as (

    select
        item_key,
        merchant_id,
        terminal_id,
        channel,
        batch_no,
        stan,
        rrn,
        merchant_order_no,
        txn_type,
        txn_local
    from {{ ref('stg_terminal__events') }}

)

select
    orphans.item_key,
    min(events.item_key) as original_key

from orphans
inner join events
    on
        orphans.merchant_id = events.merchant_id
        and orphans.terminal_id = events.terminal_id
        and orphans.orig_stan = events.stan
        and orphans.orig_batch_no is not distinct from events.batch_no
        and orphans.txn_local >= events.txn_local
        and events.txn_type is distinct from 'reversal'
where orphans.txn_type is distinct from 'refund'
group by orphans.item_key

union all

select
    orphans.item_key,
    min(events.item_key) as original_key
from orphans
inner join events
    on
        orphans.merchant_id = events.merchant_id
        and orphans.channel = events.channel
        and orphans.orig_rrn = case orphans.channel when 'card' then events.rrn else events.merchant_order_no end
where orphans.txn_type = 'refund' and events.txn_type in ('sale', 'preauth_completion')
group by orphans.item_key
