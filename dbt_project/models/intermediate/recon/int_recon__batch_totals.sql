-- Grain: one row per batch total that a terminal printed and that came tonight.
-- Logged are the approved sales and completions, net of voids and reversals, and the refunds apart, over all
-- channels; the later copy of a duplicate counts nothing. Events of earlier nights of the same batch count as well.

with

closes as (

    select * from {{ ref('stg_terminal__batch_closes') }}

),

tonight as (

    select
        pool.merchant_id,
        pool.terminal_id,
        pool.batch_no,
        pool.currency,
        pool.txn_type,
        pool.amount_minor
    from {{ ref('int_recon__terminal_pool') }} as pool
    inner join {{ ref('int_recon__expected_items') }} as expected
        on pool.item_key = expected.item_key
    where expected.expects_settlement and expected.opening_state is null

),

earlier as (

    select
        known.merchant_id,
        known.terminal_id,
        known.batch_no,
        known.currency,
        known.txn_type,
        known.amount_minor
    from {{ source('opening', 'known_events') }} as known
    inner join (select distinct
        merchant_id,
        terminal_id,
        batch_no
    from closes) as batches
        on
            known.merchant_id = batches.merchant_id
            and known.terminal_id = batches.terminal_id
            and known.batch_no = batches.batch_no
    left join {{ ref('int_recon__voided_items') }} as voided
        on known.item_key = voided.item_key
    where known.is_effective and voided.item_key is null

),

logged as (

    select
        merchant_id,
        terminal_id,
        batch_no,
        currency,
        sum(case when txn_type = 'refund' then 0 else 1 end) as sale_count,
        sum(case when txn_type = 'refund' then 0 else amount_minor end) as sale_amount_minor,
        sum(case when txn_type = 'refund' then 1 else 0 end) as refund_count,
        sum(case when txn_type = 'refund' then amount_minor else 0 end) as refund_amount_minor
    from (
        select * from tonight
        union all
        select * from earlier
    ) as both_parts
    group by merchant_id, terminal_id, batch_no, currency

)

select
    closes.batch_close_key,
    closes.file_no,
    closes.line_no,
    closes.merchant_id,
    closes.terminal_id,
    closes.batch_no,
    closes.business_date,
    closes.currency,
    closes.sale_count,
    closes.sale_amount_minor,
    closes.refund_count,
    closes.refund_amount_minor,
    cast(coalesce(logged.sale_count, 0) as bigint) as logged_sale_count,
    cast(coalesce(logged.sale_amount_minor, 0) as bigint) as logged_sale_amount_minor,
    cast(coalesce(logged.refund_count, 0) as bigint) as logged_refund_count,
    cast(coalesce(logged.refund_amount_minor, 0) as bigint) as logged_refund_amount_minor

from closes
left join logged
    on
        closes.merchant_id = logged.merchant_id
        and closes.terminal_id = logged.terminal_id
        and closes.batch_no = logged.batch_no
        and closes.currency = logged.currency
