-- Lost if this fails: money between two nights. Opening is what last night closed with; opening + new − matched −
-- excluded − closed is closing, to the last unit; nothing leaves otherwise; closing is what opens tomorrow.

with

control as (

    select
        side,
        acquirer,
        channel,
        currency,
        opening_items,
        opening_minor,
        closing_items,
        closing_minor,
        opening_items + new_items - matched_items - excluded_items - closed_items as rolled_items,
        opening_minor + new_minor - matched_minor - excluded_minor - closed_minor as rolled_minor,
        closed_items,
        closed_minor
    from {{ ref('rpt_daily_control') }}

),

balances as (

    select
        'terminal' as side,
        coalesce(routed.acquirer, {{ usual_acquirer('items.channel') }}) as acquirer,
        items.channel,
        items.currency,
        1 as opened_items,
        {{ money_sign('items.txn_type') }} * items.amount_minor as opened_minor,
        0 as left_items,
        0 as left_minor
    from {{ source('opening', 'terminal_items') }} as items
    left join {{ ref('int_recon__item_acquirers') }} as routed
        on items.item_key = routed.item_key
    where items.match_state in ('pending', 'unmatched', 'ambiguous')

    union all

    select
        'settlement' as side,
        acquirer,
        channel,
        currency,
        1 as opened_items,
        gross_minor as opened_minor,
        0 as left_items,
        0 as left_minor
    from {{ source('opening', 'settlement_items') }}

    union all

    select
        'terminal' as side,
        coalesce(routed.acquirer, {{ usual_acquirer('items.channel') }}) as acquirer,
        items.channel,
        items.currency,
        0 as opened_items,
        0 as opened_minor,
        1 as left_items,
        {{ money_sign('items.txn_type') }} * items.amount_minor as left_minor
    from {{ ref('int_recon__closing_terminal_items') }} as items
    left join {{ ref('int_recon__item_acquirers') }} as routed
        on items.item_key = routed.item_key
    where items.match_state in ('pending', 'unmatched', 'ambiguous')

    union all

    select
        'settlement' as side,
        acquirer,
        channel,
        currency,
        0 as opened_items,
        0 as opened_minor,
        1 as left_items,
        gross_minor as left_minor
    from {{ ref('int_recon__closing_settlement_items') }}

),

summed as (

    select
        side,
        acquirer,
        channel,
        currency,
        sum(opened_items) as opened_items,
        sum(opened_minor) as opened_minor,
        sum(left_items) as left_items,
        sum(left_minor) as left_minor
    from balances
    group by side, acquirer, channel, currency

)

select
    coalesce(control.side, summed.side) as side,
    coalesce(control.acquirer, summed.acquirer) as acquirer,
    coalesce(control.channel, summed.channel) as channel,
    coalesce(control.currency, summed.currency) as currency,
    summed.opened_minor as left_open_last_night_minor,
    control.opening_minor,
    control.rolled_minor,
    control.closing_minor,
    summed.left_minor as opens_tomorrow_minor,
    control.closed_items

from control
full outer join summed
    on
        control.side = summed.side
        and control.acquirer = summed.acquirer
        and control.channel = summed.channel
        and control.currency = summed.currency
where
    control.side is null
    or control.rolled_items is distinct from control.closing_items
    or control.rolled_minor is distinct from control.closing_minor
    or control.closed_items is distinct from 0
    or control.closed_minor is distinct from 0
    or control.opening_items is distinct from coalesce(summed.opened_items, 0)
    or control.opening_minor is distinct from coalesce(summed.opened_minor, 0)
    or control.closing_items is distinct from coalesce(summed.left_items, 0)
    or control.closing_minor is distinct from coalesce(summed.left_minor, 0)
