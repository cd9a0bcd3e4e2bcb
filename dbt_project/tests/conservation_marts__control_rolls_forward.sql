-- Lost if this fails: money between two nights. Opening is what last night closed with; opening + new − matched −
-- excluded − closed is closing, to the last unit; nothing leaves otherwise but what people decided tonight; closing is
-- what opens tomorrow.

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

closed_by_decision as (

    select * from {{ ref('int_recon__items_closed_by_decision') }}

),

carried_in as (

    select
        'terminal' as side,
        items.item_key as subject_key,
        coalesce(routed.acquirer, {{ usual_acquirer('items.channel') }}) as acquirer,
        items.channel,
        items.currency,
        items.match_state,
        {{ money_sign('items.txn_type') }} * items.amount_minor as amount_minor
    from {{ source('opening', 'terminal_items') }} as items
    left join {{ ref('int_recon__item_acquirers') }} as routed
        on items.item_key = routed.item_key

    union all

    select
        'settlement' as side,
        line_key as subject_key,
        acquirer,
        channel,
        currency,
        match_state,
        gross_minor as amount_minor
    from {{ source('opening', 'settlement_items') }}

),

carried_out as (

    select
        'terminal' as side,
        items.item_key as subject_key,
        coalesce(routed.acquirer, {{ usual_acquirer('items.channel') }}) as acquirer,
        items.channel,
        items.currency,
        items.match_state,
        {{ money_sign('items.txn_type') }} * items.amount_minor as amount_minor
    from {{ ref('int_recon__closing_terminal_items') }} as items
    left join {{ ref('int_recon__item_acquirers') }} as routed
        on items.item_key = routed.item_key

    union all

    select
        'settlement' as side,
        line_key as subject_key,
        acquirer,
        channel,
        currency,
        match_state,
        gross_minor as amount_minor
    from {{ ref('int_recon__closing_settlement_items') }}

),

opened as (

    select
        carried_in.*,
        coalesce(decided.was_closed, false) as was_closed
    from carried_in
    left join closed_by_decision as decided
        on
            carried_in.subject_key = decided.subject_key
            and carried_in.match_state = decided.match_state
    where carried_in.match_state in ('pending', 'unmatched', 'ambiguous')

),

left_open as (

    select
        carried_out.*,
        coalesce(decided.is_closed, false) as is_closed
    from carried_out
    left join closed_by_decision as decided
        on
            carried_out.subject_key = decided.subject_key
            and carried_out.match_state = decided.match_state
    where carried_out.match_state in ('pending', 'unmatched', 'ambiguous')

),

balances as (

    select
        side,
        acquirer,
        channel,
        currency,
        1 as opened_items,
        amount_minor as opened_minor,
        0 as left_items,
        0 as left_minor,
        0 as decided_items,
        0 as decided_minor
    from opened
    where not was_closed

    union all

    select
        side,
        acquirer,
        channel,
        currency,
        0 as opened_items,
        0 as opened_minor,
        1 as left_items,
        amount_minor as left_minor,
        0 as decided_items,
        0 as decided_minor
    from left_open
    where not is_closed

    union all

    -- Closed tonight: still in the pool, open in the balance of last night, and no longer in tonight's.
    select
        left_open.side,
        left_open.acquirer,
        left_open.channel,
        left_open.currency,
        0 as opened_items,
        0 as opened_minor,
        0 as left_items,
        0 as left_minor,
        1 as decided_items,
        left_open.amount_minor as decided_minor
    from left_open
    inner join opened
        on left_open.subject_key = opened.subject_key
    where left_open.is_closed and not opened.was_closed

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
        sum(left_minor) as left_minor,
        sum(decided_items) as decided_items,
        sum(decided_minor) as decided_minor
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
    control.closed_items,
    summed.decided_items

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
    or control.closed_items is distinct from coalesce(summed.decided_items, 0)
    or control.closed_minor is distinct from coalesce(summed.decided_minor, 0)
    or control.opening_items is distinct from coalesce(summed.opened_items, 0)
    or control.opening_minor is distinct from coalesce(summed.opened_minor, 0)
    or control.closing_items is distinct from coalesce(summed.left_items, 0)
    or control.closing_minor is distinct from coalesce(summed.left_minor, 0)
