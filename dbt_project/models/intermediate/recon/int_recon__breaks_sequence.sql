-- Grain: one row per break that tonight's data shows on the terminals' own counting.
-- batch_out_of_balance: a printed total that the log does not reach or exceeds. stan_gap: a run of lost records,
-- priced from the terminal's own average of tonight and marked as an estimate.

with

averages as (

    select
        pool.terminal_id,
        pool.merchant_id,
        min(pool.currency) as currency,
        count(*) as record_count,
        sum(case when expected.expects_settlement then abs(expected.amount_minor) else 0 end) as total_minor
    from {{ ref('int_recon__terminal_pool') }} as pool
    inner join {{ ref('int_recon__expected_items') }} as expected
        on pool.item_key = expected.item_key
    where expected.opening_state is null
    group by pool.terminal_id, pool.merchant_id

)

select
    'batch_out_of_balance' as break_type,
    cast(null as bigint) as item_key,
    batch_close_key,
    merchant_id,
    terminal_id,
    batch_close_key as subject_key,
    abs(sale_amount_minor - logged_sale_amount_minor)
    + abs(refund_amount_minor - logged_refund_amount_minor) as amount_at_risk_minor,
    currency,
    {{ json_detail([
        ('batch_no', 'batch_no'),
        ('sale_count', 'sale_count'),
        ('logged_sale_count', 'logged_sale_count'),
        ('sale_amount_minor', 'sale_amount_minor'),
        ('logged_sale_amount_minor', 'logged_sale_amount_minor'),
        ('refund_count', 'refund_count'),
        ('logged_refund_count', 'logged_refund_count'),
        ('refund_amount_minor', 'refund_amount_minor'),
        ('logged_refund_amount_minor', 'logged_refund_amount_minor'),
    ]) }} as detail
from {{ ref('int_recon__batch_totals') }}
where
    sale_count is distinct from logged_sale_count
    or sale_amount_minor is distinct from logged_sale_amount_minor
    or refund_count is distinct from logged_refund_count
    or refund_amount_minor is distinct from logged_refund_amount_minor

union all

select
    'stan_gap' as break_type,
    gaps.item_key,
    cast(null as bigint) as batch_close_key,
    gaps.merchant_id,
    gaps.terminal_id,
    gaps.item_key as subject_key,
    cast({{ int_div('gaps.missing_count * averages.total_minor', 'averages.record_count') }} as bigint)
        as amount_at_risk_minor,
    averages.currency,
    {{ json_detail([
        ('batch_no', 'gaps.batch_no'),
        ('first_missing', "lpad(cast(gaps.first_missing as varchar), 6, '0')"),
        ('last_missing', "lpad(cast(gaps.last_missing as varchar), 6, '0')"),
        ('missing_count', 'gaps.missing_count'),
        ('amount_is_estimate', 'true'),
    ]) }} as detail
from {{ ref('int_recon__stan_gaps') }} as gaps
inner join averages
    on
        gaps.terminal_id = averages.terminal_id
        and gaps.merchant_id = averages.merchant_id
