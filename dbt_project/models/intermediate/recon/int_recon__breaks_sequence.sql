-- Grain: one row per break that tonight's data shows on the terminals' own counting.
-- batch_out_of_balance: a printed total that the log does not reach or exceeds. stan_gap: a run of lost records,
-- priced from the terminal's own average of the night that found it and marked as an estimate.
-- subject_part tells the states of one batch, and the runs before one record, apart: a change closes the old break and
-- opens a new one. file_missing: another log of those days has not come, and what is missing may be in it.

with

missing_logs as (

    select distinct business_date
    from {{ ref('int_recon__missing_files') }}
    where feed = 'terminal_log'

),

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
    logged_figures as subject_part,
    abs(sale_amount_minor - logged_sale_amount_minor)
    + abs(refund_amount_minor - logged_refund_amount_minor) as amount_at_risk_minor,
    currency,
    exists(
        select missing_logs.business_date from missing_logs
        where missing_logs.business_date between {{ days_after('totals.business_date', -1) }} and totals.business_date
    ) as file_missing,
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
from {{ ref('int_recon__batch_totals') }} as totals
where is_out_of_balance

union all

select
    'stan_gap' as break_type,
    gaps.item_key,
    cast(null as bigint) as batch_close_key,
    gaps.merchant_id,
    gaps.terminal_id,
    gaps.item_key as subject_key,
    {{ stan_run('gaps.first_missing', 'gaps.last_missing') }} as subject_part,
    coalesce(
        gaps.amount_at_risk_minor,
        cast({{ int_div('gaps.missing_count * averages.total_minor', 'averages.record_count') }} as bigint),
        0
    ) as amount_at_risk_minor,
    coalesce(gaps.currency, averages.currency, merchants.currency) as currency,
    exists(
        select missing_logs.business_date from missing_logs
        where missing_logs.business_date between gaps.from_date and gaps.to_date
    ) as file_missing,
    {{ json_detail([
        ('batch_no', 'gaps.batch_no'),
        ('first_missing', "lpad(cast(gaps.first_missing as varchar), 6, '0')"),
        ('last_missing', "lpad(cast(gaps.last_missing as varchar), 6, '0')"),
        ('missing_count', 'gaps.missing_count'),
        ('amount_is_estimate', 'true'),
    ]) }} as detail
from {{ ref('int_recon__stan_gaps') }} as gaps
left join averages
    on
        gaps.terminal_id = averages.terminal_id
        and gaps.merchant_id = averages.merchant_id
left join {{ ref('stg_reference__merchants') }} as merchants
    on gaps.merchant_id = merchants.merchant_id
