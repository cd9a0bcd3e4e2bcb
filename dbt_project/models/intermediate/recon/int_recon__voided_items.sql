-- Grain: one row per event that an approved void, reversal or pre-authorisation void takes back.
-- The original is on the same terminal under orig_stan, in orig_batch_no or else the same batch. STANs wrap, so of
-- several originals the last one before the void counts. A void that was itself reversed takes nothing back.
-- Logs come late: a void of an earlier night still takes back a sale of tonight, a reversal of tonight still undoes a
-- void of an earlier night, and a void of tonight takes back a sale that was paired on an earlier night.

with

pool as (

    select
        pool.item_key,
        pool.merchant_id,
        pool.terminal_id,
        pool.batch_no,
        pool.stan,
        pool.orig_stan,
        pool.orig_batch_no,
        pool.txn_type,
        pool.is_approved,
        pool.txn_local,
        pool.opening_voided_reason,
        pool.opening_state
    from {{ ref('int_recon__terminal_pool') }} as pool
    left join {{ ref('int_recon__terminal_duplicates') }} as duplicates
        on pool.item_key = duplicates.item_key
    where duplicates.item_key is null

),

named as (

    select distinct
        merchant_id,
        terminal_id,
        orig_stan as stan,
        coalesce(orig_batch_no, batch_no) as batch_no
    from pool
    where
        opening_state is null
        and txn_type in ('void', 'reversal', 'preauth_void')
        and is_approved

),

events as (

    select
        item_key,
        merchant_id,
        terminal_id,
        batch_no,
        stan,
        orig_stan,
        orig_batch_no,
        txn_type,
        is_approved,
        txn_local
    from pool

    union all

    select
        known.item_key,
        known.merchant_id,
        known.terminal_id,
        known.batch_no,
        known.stan,
        known.orig_stan,
        known.orig_batch_no,
        known.txn_type,
        known.is_approved,
        known.txn_local
    from {{ source('opening', 'known_events') }} as known
    where known.txn_type in ('void', 'reversal', 'preauth_void') and known.is_approved

    union all

    -- Decided for good by an earlier night, and named by a cancellation of tonight.
    select
        known.item_key,
        known.merchant_id,
        known.terminal_id,
        known.batch_no,
        known.stan,
        known.orig_stan,
        known.orig_batch_no,
        known.txn_type,
        known.is_approved,
        known.txn_local
    from {{ source('opening', 'known_events') }} as known
    inner join named
        on
            known.merchant_id = named.merchant_id
            and known.terminal_id = named.terminal_id
            and known.stan = named.stan
            and known.batch_no is not distinct from named.batch_no
    left join pool
        on known.item_key = pool.item_key
    where
        pool.item_key is null
        and not (known.txn_type in ('void', 'reversal', 'preauth_void') and known.is_approved)

),

cancellations as (

    select *
    from events
    where txn_type in ('void', 'reversal', 'preauth_void') and is_approved

),

-- Every original that a cancellation can mean, numbered from the nearest.
originals as (

    select
        cancellations.item_key as cancellation_key,
        cancellations.txn_type as cancellation_type,
        events.item_key as original_key,
        row_number() over (
            partition by cancellations.item_key
            order by events.txn_local desc, events.item_key desc
        ) as nearness
    from cancellations
    inner join events
        on
            cancellations.merchant_id = events.merchant_id
            and cancellations.terminal_id = events.terminal_id
            and cancellations.orig_stan = events.stan
            and coalesce(cancellations.orig_batch_no, cancellations.batch_no)
            is not distinct from events.batch_no
            and cancellations.txn_local >= events.txn_local
            and cancellations.item_key is distinct from events.item_key
            -- A reversal is repeated until the host answers, often under the STAN of the original: the second one
            -- means the original again, not the first reversal.
            and events.txn_type is distinct from 'reversal'

),

nearest as (

    select
        cancellation_key,
        cancellation_type,
        original_key
    from originals
    where nearness = 1

),

effective as (

    select nearest.*
    from nearest
    left join nearest as undone
        on
            nearest.cancellation_key = undone.original_key
            and undone.cancellation_type = 'reversal'
    where undone.cancellation_key is null

),

found_tonight as (

    select
        original_key as item_key,
        min(cancellation_key) as cancellation_key,
        -- A reversal says that the host must undo it; that is the stronger word when both exist.
        case
            when max(cast(cancellation_type = 'reversal' as integer)) = 1 then 'reversed'
            else 'voided'
        end as voided_reason
    from effective
    group by original_key

)

select
    item_key,
    cancellation_key,
    voided_reason
from found_tonight

union all

-- Beyond the look-back for cancellations, what an earlier night decided stands.
select
    pool.item_key,
    cast(null as bigint) as cancellation_key,
    pool.opening_voided_reason as voided_reason
from pool
left join nearest
    on pool.item_key = nearest.original_key
where pool.opening_voided_reason is not null and nearest.original_key is null
