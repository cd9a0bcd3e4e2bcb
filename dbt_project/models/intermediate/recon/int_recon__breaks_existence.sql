-- Grain: one row per break that tonight's data shows on the existence of a counterpart.
-- missing_in_settlement, refund_not_settled: money is expected and the due date has passed without a line.
-- missing_in_terminal_log: a line that no event explains once the grace for late uploads is over.

with

missing_files as (

    -- Two files of one feed, merchant and day may be missing: the break is one all the same.
    select distinct
        feed,
        logical_key,
        business_date
    from {{ ref('int_recon__missing_files') }}

),

items as (

    select
        states.item_key,
        states.amount_minor,
        states.currency,
        states.due_date,
        states.clearing_date,
        pool.txn_type,
        pool.channel,
        merchants.acquirer,
        merchants.acquirer_merchant_id
    from {{ ref('int_recon__item_states') }} as states
    inner join {{ ref('int_recon__terminal_pool') }} as pool
        on states.item_key = pool.item_key
    left join {{ ref('int_recon__item_acquirers') }} as routed
        on states.item_key = routed.item_key
    left join {{ ref('int_recon__acquirer_merchants') }} as merchants
        on
            pool.merchant_id = merchants.merchant_id
            and merchants.acquirer = coalesce(routed.acquirer, {{ usual_acquirer('pool.channel') }})
    where states.match_state = 'unmatched'

),

lines as (

    select
        states.line_key,
        states.gross_minor,
        states.currency,
        pool.settlement_date,
        cast(pool.txn_local as date) as business_date
    from {{ ref('int_recon__line_states') }} as states
    inner join {{ ref('int_recon__settlement_pool') }} as pool
        on states.line_key = pool.line_key
    where states.match_state = 'unmatched'

)

select
    case items.txn_type when 'refund' then 'refund_not_settled' else 'missing_in_settlement' end
        as break_type,
    items.item_key,
    cast(null as bigint) as line_key,
    items.item_key as subject_key,
    abs(items.amount_minor) as amount_at_risk_minor,
    items.currency,
    missing_files.feed is not null as file_missing,
    {{ json_detail([
        ('expected_minor', 'items.amount_minor'),
        ('due_date', 'items.due_date'),
        ('clearing_date', 'items.clearing_date'),
    ]) }} as detail

from items
left join missing_files
    on
        items.acquirer = missing_files.feed
        and items.acquirer_merchant_id = missing_files.logical_key
        and items.clearing_date = missing_files.business_date

union all

select
    'missing_in_terminal_log' as break_type,
    cast(null as bigint) as item_key,
    lines.line_key,
    lines.line_key as subject_key,
    abs(lines.gross_minor) as amount_at_risk_minor,
    lines.currency,
    missing_files.feed is not null as file_missing,
    {{ json_detail([
        ('settled_minor', 'lines.gross_minor'),
        ('settlement_date', 'lines.settlement_date'),
    ]) }} as detail

from lines
left join missing_files
    on
        missing_files.feed = 'terminal_log'
        and lines.business_date = missing_files.business_date
