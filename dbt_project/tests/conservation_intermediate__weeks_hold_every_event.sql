-- Wrong if this fails: a terminal that seems to lose records or to fall silent, or to be well, because its events were
-- dropped or counted twice. Tonight's events plus the weeks that were still open are tonight's weeks.

with

counted as (

    select
        count(*) as event_count,
        sum(cast(is_approved as integer)) as approval_count,
        sum(cast(response_code is null as integer)) as time_out_count,
        0 as is_week
    from {{ ref('stg_terminal__events') }}

    union all

    select
        sum(event_count) as event_count,
        sum(approval_count) as approval_count,
        sum(time_out_count) as time_out_count,
        0 as is_week
    from {{ source('opening', 'terminal_weeks') }}
    where week_start >= {{ run_date() }} - interval '21 days'

    union all

    select
        sum(event_count) as event_count,
        sum(approval_count) as approval_count,
        sum(time_out_count) as time_out_count,
        1 as is_week
    from {{ ref('int_recon__closing_terminal_weeks') }}

),

totals as (

    select
        sum((1 - is_week) * coalesce(event_count, 0)) as events,
        sum(is_week * coalesce(event_count, 0)) as week_events,
        sum((1 - is_week) * coalesce(approval_count, 0)) as approvals,
        sum(is_week * coalesce(approval_count, 0)) as week_approvals,
        sum((1 - is_week) * coalesce(time_out_count, 0)) as time_outs,
        sum(is_week * coalesce(time_out_count, 0)) as week_time_outs
    from counted

)

select * from totals
where
    events is distinct from week_events
    or approvals is distinct from week_approvals
    or time_outs is distinct from week_time_outs
