-- Grain: one row per terminal, merchant and week (from Monday), with what the terminal did in it so far.
-- A week stays open for two more weeks, so that a log that is uploaded late still counts in its own week.
-- active_day_mask has one bit per day with an event, Monday first: days add up over nights without being counted twice.

with

tonight_by_day as (

    select
        merchant_id,
        terminal_id,
        cast(date_trunc('week', business_date) as date) as week_start,
        business_date,
        count(*) as event_count,
        sum(cast(is_approved as integer)) as approval_count,
        sum(case when response_code is null then 1 else 0 end) as time_out_count
    from {{ ref('stg_terminal__events') }}
    group by merchant_id, terminal_id, business_date

),

tonight as (

    select
        merchant_id,
        terminal_id,
        week_start,
        sum(event_count) as event_count,
        sum(approval_count) as approval_count,
        sum(time_out_count) as time_out_count,
        sum(
            case business_date - week_start
                when 0 then 1 when 1 then 2 when 2 then 4 when 3 then 8 when 4 then 16 when 5 then 32 else 64
            end
        ) as active_day_mask
    from tonight_by_day
    group by merchant_id, terminal_id, week_start

),

-- A terminal that says nothing has no events, and is the one to look at.
installed as (

    select distinct
        merchant_id,
        terminal_id,
        cast(date_trunc('week', {{ run_date() }} - interval '1 day') as date) as week_start
    from {{ ref('stg_reference__terminals') }}
    where
        installed_on < {{ run_date() }}
        and coalesce(removed_on >= {{ run_date() }} - interval '1 day', true)

),

parts as (

    select
        merchant_id,
        terminal_id,
        week_start,
        event_count,
        approval_count,
        time_out_count,
        active_day_mask
    from tonight

    union all

    select
        merchant_id,
        terminal_id,
        week_start,
        0 as event_count,
        0 as approval_count,
        0 as time_out_count,
        0 as active_day_mask
    from installed

    union all

    select
        merchant_id,
        terminal_id,
        week_start,
        event_count,
        approval_count,
        time_out_count,
        active_day_mask
    from {{ source('opening', 'terminal_weeks') }}
    where week_start + interval '21 days' >= {{ run_date() }}

)

select
    merchant_id,
    terminal_id,
    week_start,
    cast(sum(event_count) as bigint) as event_count,
    cast(sum(approval_count) as bigint) as approval_count,
    cast(sum(time_out_count) as bigint) as time_out_count,
    cast(bit_or(cast(active_day_mask as integer)) as integer) as active_day_mask

from parts
group by merchant_id, terminal_id, week_start
