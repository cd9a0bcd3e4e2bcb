-- Grain: one row per break that tonight's data shows on a reference to an earlier transaction.
-- refund_exceeds_original: the refund with which the refunds of one sale exceed it; those after it add nothing new.
-- orphan_reference: an approved void or reversal, or a refund in force, whose original is nowhere in the look-back.

with

refunds as (

    select * from {{ ref('int_recon__refund_totals') }}

),

cancellations as (

    select
        pool.item_key,
        pool.merchant_id,
        pool.terminal_id,
        pool.orig_stan,
        coalesce(pool.orig_batch_no, pool.batch_no) as orig_batch_no,
        pool.txn_type,
        pool.txn_local,
        pool.currency,
        pool.amount_minor
    from {{ ref('int_recon__terminal_pool') }} as pool
    left join {{ ref('int_recon__terminal_duplicates') }} as duplicates
        on pool.item_key = duplicates.item_key
    where
        pool.opening_state is null
        and pool.txn_type in ('void', 'reversal', 'preauth_void')
        and pool.is_approved
        and duplicates.item_key is null

),

known_originals as (

    select
        item_key,
        merchant_id,
        terminal_id,
        batch_no,
        stan,
        txn_type,
        txn_local
    from {{ ref('stg_terminal__events') }}

    union all

    select
        item_key,
        merchant_id,
        terminal_id,
        batch_no,
        stan,
        txn_type,
        txn_local
    from {{ source('opening', 'known_events') }}

),

found as (

    select distinct cancellations.item_key
    from cancellations
    inner join known_originals
        on
            cancellations.merchant_id = known_originals.merchant_id
            and cancellations.terminal_id = known_originals.terminal_id
            and cancellations.orig_stan = known_originals.stan
            and cancellations.orig_batch_no is not distinct from known_originals.batch_no
            -- What int_recon__voided_items takes back: something earlier, and neither the cancellation itself nor a
            -- reversal, which often repeats under the STAN of the original.
            and cancellations.txn_local >= known_originals.txn_local
            and cancellations.item_key is distinct from known_originals.item_key
            and known_originals.txn_type is distinct from 'reversal'

)

select
    'refund_exceeds_original' as break_type,
    item_key,
    item_key as subject_key,
    refunded_minor - original_amount_minor as amount_at_risk_minor,
    currency,
    {{ json_detail([
        ('original_minor', 'original_amount_minor'),
        ('refunded_minor', 'refunded_minor'),
        ('delta_minor', 'refunded_minor - original_amount_minor'),
    ]) }} as detail
from refunds
where
    refunded_minor > original_amount_minor
    and refunded_minor - amount_minor <= original_amount_minor

union all

select
    'orphan_reference' as break_type,
    item_key,
    item_key as subject_key,
    amount_minor as amount_at_risk_minor,
    currency,
    {{ json_detail([('txn_type', "'refund'")]) }} as detail
from refunds
where original_key is null

union all

select
    'orphan_reference' as break_type,
    cancellations.item_key,
    cancellations.item_key as subject_key,
    cancellations.amount_minor as amount_at_risk_minor,
    cancellations.currency,
    {{ json_detail([
        ('txn_type', 'cancellations.txn_type'),
        ('orig_stan', 'cancellations.orig_stan'),
        ('orig_batch_no', 'cancellations.orig_batch_no'),
    ]) }} as detail
from cancellations
left join found
    on cancellations.item_key = found.item_key
where found.item_key is null
