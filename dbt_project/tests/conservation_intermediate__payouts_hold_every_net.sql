-- Lost if this fails: net money that an acquirer stated and that no payout waits for, so that the bank could keep it
-- unseen. Nets of tonight's lines plus last night's open payouts are tonight's payouts, per acquirer and currency.

with

counted as (

    select
        acquirer,
        currency,
        1 as line_count,
        0 as payout_lines,
        net_minor as stated_minor,
        0 as expected_minor,
        0 as opening_received_minor,
        0 as received_minor
    from {{ ref('int_recon__settlement_pool') }}
    where opening_state is null

    union all

    select
        acquirer,
        currency,
        line_count,
        0 as payout_lines,
        expected_net_minor as stated_minor,
        0 as expected_minor,
        received_minor as opening_received_minor,
        0 as received_minor
    from {{ source('opening', 'payouts') }}

    union all

    select
        entries.acquirer,
        entries.currency,
        0 as line_count,
        0 as payout_lines,
        0 as stated_minor,
        0 as expected_minor,
        entries.amount_minor as opening_received_minor,
        0 as received_minor
    from (select distinct entry_key from {{ ref('int_recon__payout_entries') }}) as accepted
    inner join {{ ref('int_recon__bank_pool') }} as entries
        on accepted.entry_key = entries.entry_key

    union all

    select
        acquirer,
        currency,
        0 as line_count,
        line_count as payout_lines,
        0 as stated_minor,
        expected_net_minor as expected_minor,
        0 as opening_received_minor,
        received_minor
    from {{ ref('int_recon__payout_states') }}

),

totals as (

    select
        acquirer,
        currency,
        sum(line_count) as line_count,
        sum(payout_lines) as payout_lines,
        sum(stated_minor) as stated_minor,
        sum(expected_minor) as expected_minor,
        sum(opening_received_minor) as attributed_minor,
        sum(received_minor) as received_minor
    from counted
    group by acquirer, currency

)

select * from totals
where
    line_count is distinct from payout_lines
    or stated_minor is distinct from expected_minor
    or attributed_minor is distinct from received_minor
