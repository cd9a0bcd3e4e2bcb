-- Grain: one row per batch and currency whose logged events change tonight: they came, or were taken back, or count
-- again because what took them back was undone. What an earlier night counted is not counted again.

with

changes as (

    select
        pool.item_key,
        pool.merchant_id,
        pool.terminal_id,
        pool.batch_no,
        pool.currency,
        pool.txn_type,
        pool.amount_minor,
        cast(expected.expects_settlement as integer)
        - case when expected.opening_state is null or expected.opening_state = 'excluded' then 0 else 1 end
            as event_count
    from {{ ref('int_recon__terminal_pool') }} as pool
    inner join {{ ref('int_recon__expected_items') }} as expected
        on pool.item_key = expected.item_key

    union all

    -- Matched on an earlier night and taken back tonight.
    select
        item_key,
        merchant_id,
        terminal_id,
        batch_no,
        currency,
        txn_type,
        amount_minor,
        -1 as event_count
    from {{ ref('int_recon__late_cancellations') }}

)

select
    merchant_id,
    terminal_id,
    batch_no,
    currency,
    min(item_key) as first_item_key,
    sum(case when txn_type = 'refund' then 0 else event_count end) as sale_count,
    sum(case when txn_type = 'refund' then 0 else event_count * amount_minor end) as sale_amount_minor,
    sum(case when txn_type = 'refund' then event_count else 0 end) as refund_count,
    sum(case when txn_type = 'refund' then event_count * amount_minor else 0 end) as refund_amount_minor

from changes
where event_count is distinct from 0
group by merchant_id, terminal_id, batch_no, currency
