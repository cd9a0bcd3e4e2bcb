-- Lost if this fails: money that the night decided and that no reader sees, or that readers see twice.
-- The history holds every terminal event and every line that no event explains, with the pool's gross, fee and net.

with

pools as (

    select
        (select count(*) from {{ ref('int_recon__terminal_pool') }})
        + (
            select count(*) from {{ ref('int_recon__line_states') }} as states
            where states.item_key is null
        ) as row_count,
        (
            select sum(states.amount_minor) from {{ ref('int_recon__item_states') }} as states
            where states.expects_settlement
        ) as expected_minor,
        sum(gross_minor) as settled_minor,
        sum(fee_minor) as fee_minor,
        sum(net_minor) as net_minor,
        count(*) as line_count
    from {{ ref('int_recon__settlement_pool') }}

),

history as (

    select
        count(*) as row_count,
        sum(expected_amount_minor) as expected_minor,
        sum(settled_amount_minor) as settled_minor,
        sum(fee_minor) as fee_minor,
        sum(net_minor) as net_minor,
        count(settlement_line) as line_count
    from {{ ref('fct_reconciliation_history') }}

)

select
    pools.row_count as pool_rows,
    history.row_count as history_rows,
    pools.line_count as pool_lines,
    history.line_count as history_lines,
    pools.expected_minor as pool_expected_minor,
    history.expected_minor as history_expected_minor,
    pools.settled_minor as pool_settled_minor,
    history.settled_minor as history_settled_minor,
    pools.net_minor as pool_net_minor,
    history.net_minor as history_net_minor

from pools
cross join history
where
    pools.row_count is distinct from history.row_count
    or pools.line_count is distinct from history.line_count
    or pools.expected_minor is distinct from history.expected_minor
    or pools.settled_minor is distinct from history.settled_minor
    or pools.fee_minor is distinct from history.fee_minor
    or pools.net_minor is distinct from history.net_minor
