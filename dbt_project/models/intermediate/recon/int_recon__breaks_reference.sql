-- Grain: one row per break that tonight's data shows on a reference to an earlier transaction.
-- refund_exceeds_original: the refund with which the refunds of one sale exceed it; those after it add nothing new.
-- orphan_reference: an approved void or reversal, or a refund in force, whose original is nowhere in the look-back. It
-- is found every night until its original comes.

with

refunds as (

    select * from {{ ref('int_recon__refund_totals') }}

),

missing_logs as (

    select min(business_date) as first_missing_date
    from {{ ref('int_recon__missing_files') }}
    where feed = 'terminal_log'

)

select
    'refund_exceeds_original' as break_type,
    item_key,
    item_key as subject_key,
    refunded_minor - original_amount_minor as amount_at_risk_minor,
    currency,
    false as file_missing,
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
    orphans.item_key,
    orphans.item_key as subject_key,
    orphans.amount_minor as amount_at_risk_minor,
    orphans.currency,
    -- The original may be in a log that has not come.
    coalesce(missing_logs.first_missing_date <= cast(orphans.txn_local as date), false) as file_missing,
    {{ json_detail([
        ('txn_type', 'orphans.txn_type'),
        ('orig_stan', 'orphans.orig_stan'),
        ('orig_batch_no', 'orphans.orig_batch_no'),
        ('orig_rrn', 'orphans.orig_rrn'),
    ]) }} as detail
from {{ ref('int_recon__orphans') }} as orphans
cross join missing_logs
