-- Lost if this fails: the money of a record that no state accounts for (it would never be missed), or money that two
-- states count twice. A record also vanishes when its channel has no due days or its date is not in the calendar.
-- As many states as records, and a state with the same money for each record: then none has two.

{% set sides = {
    'terminal': {
        'pool': 'int_recon__terminal_pool', 'states': 'int_recon__item_states', 'key': 'item_key',
        'pool_minor': money_sign('pool.txn_type') ~ ' * ' ~ money_sign('pool.txn_type') ~ ' * pool.amount_minor',
        'state_minor': 'abs(states.amount_minor)',
    },
    'settlement': {
        'pool': 'int_recon__settlement_pool', 'states': 'int_recon__line_states', 'key': 'line_key',
        'pool_minor': 'pool.gross_minor', 'state_minor': 'states.gross_minor',
    },
} %}

with

counted as (
    {% for name, side in sides.items() %}
    select
        '{{ name }}' as side,
        (select count(*) from {{ ref(side.pool) }}) as pool_count,
        (select count(*) from {{ ref(side.states) }}) as state_count,
        count(*) as differing_count
    from {{ ref(side.pool) }} as pool
    left join {{ ref(side.states) }} as states
        on pool.{{ side.key }} = states.{{ side.key }}
    where
        states.{{ side.key }} is null
        or {{ side.state_minor }} is distinct from {{ side.pool_minor }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select * from counted
where
    pool_count is distinct from state_count
    or differing_count > 0
