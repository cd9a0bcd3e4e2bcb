-- Grain: one row per acquirer and settlement date met tonight.
-- What is due after it: the terminals' own logs, and the bank credit. The tolerances in force on the settlement date
-- apply. Due is the n-th banking day after it; a date that is no banking day counts from the one before it. Acquirers
-- whose files state the day on which they pay have a scope of their own, 0 days; `other` is every acquirer without one.

with

met as (

    select
        acquirer,
        settlement_date
    from {{ ref('int_recon__settlement_pool') }}

    union

    select
        acquirer,
        settlement_date
    from {{ source('opening', 'payouts') }}

),

scopes as (

    select distinct scope
    from {{ ref('tolerances') }}
    where name = 'payout_due_days'

),

in_force as (

    select
        met.acquirer,
        met.settlement_date,
        grace.value as grace_days,
        due.value as due_days,
        payable.value as window_days
    from met
    left join scopes
        on met.acquirer = scopes.scope
    inner join {{ ref('tolerances') }} as grace
        on {{ tolerance_in_force('grace', 'terminal_log_grace_days', 'met.settlement_date') }}
    inner join {{ ref('tolerances') }} as due
        on {{ tolerance_in_force('due', 'payout_due_days', 'met.settlement_date', "coalesce(scopes.scope, 'other')") }}
    inner join {{ ref('tolerances') }} as payable
        on {{ tolerance_in_force('payable', 'payout_window_days', 'met.settlement_date') }}

),

banking_days as (

    select
        calendar_date,
        banking_day_no
    from {{ ref('stg_reference__banking_calendar') }}
    where is_banking_day

)

select
    in_force.acquirer,
    in_force.settlement_date,
    {{ days_after('in_force.settlement_date', 'in_force.grace_days') }} as terminal_log_due_date,
    banking_days.calendar_date as payout_due_date,
    {{ days_after('banking_days.calendar_date', 'in_force.window_days') }} as payable_until

from in_force
inner join {{ ref('stg_reference__banking_calendar') }} as calendar
    on in_force.settlement_date = calendar.calendar_date
inner join banking_days
    on calendar.banking_day_no + in_force.due_days = banking_days.banking_day_no
