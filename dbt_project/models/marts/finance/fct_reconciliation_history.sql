-- Grain: one row per item of tonight's pool at its state after tonight. A matched pair is one row with both sides.
-- What was believed on a past night is that night's rows; the latest state of an item is its final row, or its row of
-- the latest night.
-- Why a view: it is the widest table of all and is written once, by the night's publication. No part of it is named and
-- read twice, because DuckDB would then compute every column for every reader, also for one that sums a single one.

{{ config(materialized='view') }}

with

{% for part, is_paired in [('paired_lines', 'is not null'), ('single_lines', 'is null')] %}
{{ part }} as (

    select
        pool.*,
        states.match_state,
        states.excluded_reason,
        states.is_final,
        fees.expected_fee_minor,
        files.file_id,
        files.file_name,
        {{ payout_id(
            'pool.acquirer', 'pool.merchant_id', 'pool.settlement_date', 'pool.currency', 'merchants.currency'
        ) }} as payout_id
    from {{ ref('int_recon__settlement_pool') }} as pool
    inner join {{ ref('int_recon__line_states') }} as states
        on pool.line_key = states.line_key
    left join {{ ref('int_recon__expected_fees') }} as fees
        on pool.line_key = fees.line_key
    left join {{ ref('stg_reference__merchants') }} as merchants
        on pool.merchant_id = merchants.merchant_id
    inner join {{ ref('stg_landing__file_names') }} as files
        on pool.file_no = files.file_no
    where states.item_key {{ is_paired }}

),
{% endfor %}

items as (

    select
        pool.*,
        states.match_state,
        states.excluded_reason,
        states.match_rule,
        states.match_tier,
        states.line_key,
        states.due_date,
        states.is_final,
        case when states.expects_settlement then states.amount_minor end as expected_amount_minor,
        files.file_id,
        files.file_name
    from {{ ref('int_recon__terminal_pool') }} as pool
    inner join {{ ref('int_recon__item_states') }} as states
        on pool.item_key = states.item_key
    inner join {{ ref('stg_landing__file_names') }} as files
        on pool.file_no = files.file_no

),

with_terminal as (

    select
        items.file_id || '-' || cast(items.line_no as varchar) as item_id,
        items.match_state,
        items.excluded_reason,
        items.match_rule,
        items.match_tier,
        items.business_date,
        items.due_date,
        lines.settlement_date,
        case
            when lines.settlement_date > items.due_date
                then greatest(1, settled_day.banking_day_no - due_day.banking_day_no)
            when lines.settlement_date is not null then 0
        end as days_late,
        coalesce(routed.acquirer, {{ usual_acquirer('items.channel') }}) as acquirer,
        items.channel,
        items.merchant_id,
        items.terminal_id,
        items.batch_no,
        items.stan,
        coalesce(items.rrn, lines.rrn) as rrn,
        coalesce(items.merchant_order_no, lines.merchant_order_no) as merchant_order_no,
        items.txn_type,
        items.card_masked,
        items.card_token,
        items.currency,
        items.expected_amount_minor,
        lines.gross_minor as settled_amount_minor,
        lines.gross_minor - items.expected_amount_minor as delta_minor,
        lines.fee_minor,
        lines.expected_fee_minor,
        lines.net_minor,
        lines.payout_id,
        items.file_id as terminal_file_id,
        items.file_name as terminal_file,
        items.line_no as terminal_line,
        lines.file_id as settlement_file_id,
        lines.file_name as settlement_file,
        lines.line_no as settlement_line,
        items.txn_at,
        items.first_run_date,
        items.is_final,
        items.item_key as record_key
    from items
    left join paired_lines as lines
        on items.line_key = lines.line_key
    left join {{ ref('int_recon__item_acquirers') }} as routed
        on items.item_key = routed.item_key
    left join {{ ref('stg_reference__banking_calendar') }} as due_day
        on items.due_date = due_day.calendar_date
    left join {{ ref('stg_reference__banking_calendar') }} as settled_day
        on lines.settlement_date = settled_day.calendar_date

),

without_terminal as (

    select
        file_id || '-' || cast(line_no as varchar) as item_id,
        match_state,
        excluded_reason,
        cast(null as varchar) as match_rule,
        cast(null as integer) as match_tier,
        cast(txn_local as date) as business_date,
        cast(null as date) as due_date,
        settlement_date,
        cast(null as bigint) as days_late,
        acquirer,
        channel,
        merchant_id,
        terminal_id,
        cast(null as varchar) as batch_no,
        stan,
        rrn,
        merchant_order_no,
        txn_type,
        card_masked,
        cast(null as varchar) as card_token,
        currency,
        cast(null as bigint) as expected_amount_minor,
        gross_minor as settled_amount_minor,
        cast(null as bigint) as delta_minor,
        fee_minor,
        expected_fee_minor,
        net_minor,
        payout_id,
        cast(null as varchar) as terminal_file_id,
        cast(null as varchar) as terminal_file,
        cast(null as bigint) as terminal_line,
        file_id as settlement_file_id,
        file_name as settlement_file,
        line_no as settlement_line,
        cast(txn_local as timestamp with time zone) as txn_at,
        first_run_date,
        is_final,
        line_key as record_key
    from single_lines

),

all_items as (

    select * from with_terminal

    union all

    select * from without_terminal

)

select
    ---------- what, when, in which state
    item_id,
    {{ run_date() }} as run_date,
    match_state,
    excluded_reason,
    match_rule,
    cast(match_tier as integer) as match_tier,
    business_date,
    due_date,
    settlement_date,
    cast(days_late as bigint) as days_late,

    ---------- who and where
    acquirer,
    channel,
    merchant_id,
    terminal_id,
    batch_no,
    stan,
    rrn,
    merchant_order_no,
    txn_type,
    card_masked,
    card_token,

    ---------- money (minor units)
    currency,
    expected_amount_minor,
    settled_amount_minor,
    delta_minor,
    fee_minor,
    cast(expected_fee_minor as bigint) as expected_fee_minor,
    net_minor,
    payout_id,

    ---------- evidence
    terminal_file,
    terminal_line,
    settlement_file,
    settlement_line,

    ---------- more
    txn_at,
    first_run_date,
    is_final,
    record_key,
    terminal_file_id,
    settlement_file_id

from all_items
