-- Grain: one row per batch total that a terminal printed, tonight or not long ago.
-- Logged are the approved sales and completions, net of voids and reversals, and the refunds apart, over all
-- channels; the later copy of a duplicate counts nothing. A total of tonight counts what earlier nights knew of its
-- batch as well; one of an earlier night is carried on by what changes tonight, so that a log that comes late heals it.

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
    left join {{ source('opening', 'cancelled_events') }} as cancelled
        on known.item_key = cancelled.item_key
    where known.is_effective and voided.item_key is null and cancelled.item_key is null

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

),

{% set figures = ['sale_count', 'sale_amount_minor', 'refund_count', 'refund_amount_minor'] %}

totals as (

    select
        closes.batch_close_key,
        closes.merchant_id,
        closes.terminal_id,
        closes.batch_no,
        closes.business_date,
        closes.currency,
        {% for figure in figures %}
        closes.{{ figure }},
        cast(coalesce(logged.{{ figure }}, 0) as bigint) as logged_{{ figure }},
        {% endfor %}
        cast(null as bigint) as first_item_key
    from closes
    left join logged
        on
            closes.merchant_id = logged.merchant_id
            and closes.terminal_id = logged.terminal_id
            and closes.batch_no = logged.batch_no
            and closes.currency = logged.currency

    union all

    select
        earlier_closes.batch_close_key,
        earlier_closes.merchant_id,
        earlier_closes.terminal_id,
        earlier_closes.batch_no,
        earlier_closes.business_date,
        earlier_closes.currency,
        {% for figure in figures %}
        earlier_closes.{{ figure }},
        cast(earlier_closes.logged_{{ figure }} + coalesce(changes.{{ figure }}, 0) as bigint) as logged_{{ figure }},
        {% endfor %}
        changes.first_item_key
    from {{ source('opening', 'batch_closes') }} as earlier_closes
    left join {{ ref('int_recon__batch_changes') }} as changes
        on
            earlier_closes.merchant_id = changes.merchant_id
            and earlier_closes.terminal_id = changes.terminal_id
            and earlier_closes.batch_no = changes.batch_no
            and earlier_closes.currency = changes.currency

)

select
    totals.*,
    -- What tells the state of a batch that is out of balance from a later one.
    cast(totals.logged_sale_count as varchar) || '/' || cast(totals.logged_sale_amount_minor as varchar)
    || ' ' || cast(totals.logged_refund_count as varchar) || '/' || cast(totals.logged_refund_amount_minor as varchar)
        as logged_figures,
    (
        totals.sale_count is distinct from totals.logged_sale_count
        or totals.sale_amount_minor is distinct from totals.logged_sale_amount_minor
        or totals.refund_count is distinct from totals.logged_refund_count
        or totals.refund_amount_minor is distinct from totals.logged_refund_amount_minor
    ) as is_out_of_balance

from totals
