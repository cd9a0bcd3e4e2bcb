-- Grain: one row per (channel, business_date) met tonight.
-- Due is the n-th banking day after the business date. A date that is no banking day counts from the one before
-- it: a sale of Saturday is due on Monday. Make-up workdays are banking days: 2018-04-04 is due on Sunday 2018-04-08.

with

met as (

    select distinct
        channel,
        business_date
    from {{ ref('int_recon__terminal_pool') }}

),

due_days as (
    {% for channel, days in var('settlement_due_days').items() %}
    select
        '{{ channel }}' as channel,
        {{ days }} as due_days
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

banking_days as (

    select
        calendar_date,
        banking_day_no
    from {{ ref('stg_reference__banking_calendar') }}
    where is_banking_day

)

select
    met.channel,
    met.business_date,
    banking_days.calendar_date as due_date

from met
inner join due_days
    on met.channel = due_days.channel
inner join {{ ref('stg_reference__banking_calendar') }} as calendar
    on met.business_date = calendar.calendar_date
inner join banking_days
    on calendar.banking_day_no + due_days.due_days = banking_days.banking_day_no
