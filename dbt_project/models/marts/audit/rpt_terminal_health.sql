-- Grain: one row per terminal, merchant and week (from Monday) that may still change.
-- Which devices lose records, time out, or fall silent: the cause that repeats is worth more than one dispute.

with

weeks as (

    select * from {{ ref('int_recon__closing_terminal_weeks') }}

),

breaks as (

    select
        merchant_id,
        terminal_id,
        cast(date_trunc('week', opened_on - interval '1 day') as date) as week_start,
        break_type,
        count(*) as break_count
    from {{ ref('int_recon__closing_breaks') }}
    where terminal_id is not null
    group by
        merchant_id,
        terminal_id,
        cast(date_trunc('week', opened_on - interval '1 day') as date),
        break_type

),

breaks_by_terminal as (

    select
        merchant_id,
        terminal_id,
        week_start,
        sum(break_count) as break_count,
        sum(case break_type when 'stan_gap' then break_count else 0 end) as stan_gap_count,
        string_agg(
            break_type || '=' || cast(break_count as varchar), ', '
            order by break_type
        ) as breaks_by_type
    from breaks
    group by merchant_id, terminal_id, week_start

),

observed as (

    select
        weeks.*,
        greatest(weeks.week_start, coalesce(min(terminals.installed_on), weeks.week_start)) as first_day,
        least(
            cast(weeks.week_start + interval '6 days' as date),
            cast({{ run_date() }} - interval '1 day' as date),
            coalesce(max(coalesce(terminals.removed_on, cast('9999-12-31' as date))), cast('9999-12-31' as date))
        ) as last_day
    from weeks
    left join {{ ref('stg_reference__terminals') }} as terminals
        on
            weeks.merchant_id = terminals.merchant_id
            and weeks.terminal_id = terminals.terminal_id
    group by
        weeks.merchant_id,
        weeks.terminal_id,
        weeks.week_start,
        weeks.event_count,
        weeks.approval_count,
        weeks.time_out_count,
        weeks.active_day_mask

)

select
    observed.terminal_id,
    observed.merchant_id,
    observed.week_start,
    observed.event_count as events,
    observed.approval_count as approvals,
    observed.time_out_count as time_outs,
    cast(coalesce(breaks_by_terminal.break_count, 0) as bigint) as breaks,
    breaks_by_terminal.breaks_by_type,
    cast(coalesce(breaks_by_terminal.stan_gap_count, 0) as bigint) as stan_gaps,
    cast(
        greatest(0, observed.last_day - observed.first_day + 1 - bit_count(observed.active_day_mask)) as bigint
    ) as silent_days,
    {{ run_date() }} as run_date,
    observed.week_start + interval '21 days' <= {{ run_date() }} as is_final

from observed
left join breaks_by_terminal
    on
        observed.merchant_id = breaks_by_terminal.merchant_id
        and observed.terminal_id = breaks_by_terminal.terminal_id
        and observed.week_start = breaks_by_terminal.week_start
