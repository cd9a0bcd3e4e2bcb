-- Grain: one row per (channel, business_date) met tonight.
-- Due is the n-th banking day after the business date. A date that is no banking day counts from the one before
-- it: a sale of Saturday is due on Monday. Make-up workdays are banking days: 2018-04-04 is due on Sunday 2018-04-08.
-- The tolerances in force on the business date apply, so a changed one never moves what is already due.

with

met as (

    select distinct
        channel,
        business_date
    from {{ ref('int_recon__terminal_pool') }}

),

in_force as (

    select
        met.channel,
        met.business_date,
        settlement.value as due_days,
        cut_off.value as cut_off_hour,
        watch.value as watch_days
    from met
    inner join {{ ref('tolerances') }} as settlement
        on {{ tolerance_in_force('settlement', 'settlement_due_days', 'met.business_date', 'met.channel') }}
    inner join {{ ref('tolerances') }} as cut_off
        on {{ tolerance_in_force('cut_off', 'clearing_cut_off_hour', 'met.business_date', 'met.channel') }}
    inner join {{ ref('tolerances') }} as watch
        on {{ tolerance_in_force('watch', 'excluded_watch_days', 'met.business_date') }}

),

banking_days as (

    select
        calendar_date,
        banking_day_no
    from {{ ref('stg_reference__banking_calendar') }}
    where is_banking_day

)

select
    in_force.channel,
    in_force.business_date,
    banking_days.calendar_date as due_date,
    {{ days_after('banking_days.calendar_date', 'in_force.watch_days') }} as watched_until,
    in_force.cut_off_hour

from in_force
inner join {{ ref('stg_reference__banking_calendar') }} as calendar
    on in_force.business_date = calendar.calendar_date
inner join banking_days
    on calendar.banking_day_no + in_force.due_days = banking_days.banking_day_no
