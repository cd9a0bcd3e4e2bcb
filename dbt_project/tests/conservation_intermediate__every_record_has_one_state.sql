-- Lost if this fails: the money of a record that no state accounts for (it would never be missed), or money that two
-- states count twice. A record also vanishes when its channel has no due days or its date is not in the calendar.

with

counted as (

    select
        'terminal' as side,
        pool.item_key as record_key,
        count(states.item_key) as state_count,
        min(abs(states.amount_minor)) as state_minor,
        min({{ money_sign('pool.txn_type') }} * {{ money_sign('pool.txn_type') }} * pool.amount_minor) as pool_minor
    from {{ ref('int_recon__terminal_pool') }} as pool
    left join {{ ref('int_recon__item_states') }} as states
        on pool.item_key = states.item_key
    group by pool.item_key

    union all

    select
        'settlement' as side,
        pool.line_key as record_key,
        count(states.line_key) as state_count,
        min(states.gross_minor) as state_minor,
        min(pool.gross_minor) as pool_minor
    from {{ ref('int_recon__settlement_pool') }} as pool
    left join {{ ref('int_recon__line_states') }} as states
        on pool.line_key = states.line_key
    group by pool.line_key

)

select * from counted
where
    state_count is distinct from 1
    or state_minor is distinct from pool_minor
