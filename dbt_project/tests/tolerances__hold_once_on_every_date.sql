-- Every tolerance that the models read holds exactly once on every date: no two periods overlap, none is missing.
-- A date without a value would drop records, one with two values would double them.

{% set needed = [
    ('settlement_due_days', 'card'), ('settlement_due_days', 'wechat'), ('settlement_due_days', 'alipay'),
    ('clearing_cut_off_hour', 'card'), ('clearing_cut_off_hour', 'wechat'), ('clearing_cut_off_hour', 'alipay'),
    ('excluded_watch_days', '*'), ('late_record_days', '*'), ('fee_tolerance_minor', '*'), ('terminal_log_grace_days', '*'),
    ('payout_due_days', 'other'), ('payout_window_days', '*'), ('suggestion_window_s', '*'), ('suggestion_group_max', '*'),
] %}
{% for rule in var('match_ladder') %}{% do needed.append(('match_window_s', rule.name)) %}{% endfor %}

with

needed as (
    {% for name, scope in needed %}
    select
        '{{ name }}' as tolerance,
        '{{ scope }}' as scope
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

periods as (

    select
        name,
        scope,
        effective_from,
        effective_to,
        lag(effective_to) over (
            partition by name, scope
            order by effective_from, effective_to
        ) as earlier_effective_to,
        lead(effective_from) over (
            partition by name, scope
            order by effective_from, effective_to
        ) as later_effective_from
    from {{ ref('tolerances') }}

)

select
    name,
    scope,
    effective_from,
    effective_to,
    'periods overlap: the one before ends on ' || cast(earlier_effective_to as varchar) as problem
from periods
where earlier_effective_to >= effective_from

union all

select
    name,
    scope,
    effective_from,
    effective_to,
    'ends before it begins' as problem
from periods
where effective_to < effective_from

union all

select
    name,
    scope,
    effective_from,
    effective_to,
    'no value from ' || cast(effective_to as varchar) || ' (not included) on' as problem
from periods
where
    coalesce(later_effective_from, cast('9999-12-31' as date)) > effective_to + interval '1 day'
    and effective_to < cast('9999-12-31' as date)

union all

select
    name,
    scope,
    effective_from,
    effective_to,
    'no value before ' || cast(effective_from as varchar) || '; the calendar begins on 2004-01-01' as problem
from periods
where earlier_effective_to is null and effective_from > cast('2004-01-01' as date)

union all

select
    needed.tolerance,
    needed.scope,
    cast(null as date) as effective_from,
    cast(null as date) as effective_to,
    'the models read it, but no row has it' as problem
from needed
left join periods
    on
        needed.tolerance = periods.name
        and needed.scope = periods.scope
where periods.name is null

union all

select
    periods.name,
    periods.scope,
    periods.effective_from,
    periods.effective_to,
    'no model reads it; the names are those of this test' as problem
from periods
left join needed
    on
        periods.name = needed.tolerance
        -- Any acquirer may have its own due days.
        and (periods.scope = needed.scope or needed.tolerance = 'payout_due_days')
where needed.tolerance is null
