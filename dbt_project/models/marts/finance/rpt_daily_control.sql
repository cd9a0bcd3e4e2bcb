-- Grain: one row per acquirer, channel, currency and side of tonight.
-- The roll-forward that finance signs: opening + new − matched − excluded − closed = closing, in items and in money.
-- An excluded event that is still on watch is not open; if a line comes for it after all, it enters as new again. So
-- does an item whose break a decision closed: it leaves as closed, stays on watch, and comes back as new when it is
-- matched or the decision is withdrawn.
-- Money is signed (refunds negative), so it adds up; explained money is absolute, so nothing cancels out.

with

sides as (

    select
        'terminal' as side,
        states.item_key as subject_key,
        coalesce(routed.acquirer, {{ usual_acquirer('pool.channel') }}) as acquirer,
        pool.channel,
        states.currency,
        states.opening_state,
        states.match_state,
        states.amount_minor
    from {{ ref('int_recon__item_states') }} as states
    inner join {{ ref('int_recon__terminal_pool') }} as pool
        on states.item_key = pool.item_key
    left join {{ ref('int_recon__item_acquirers') }} as routed
        on states.item_key = routed.item_key

    union all

    select
        'settlement' as side,
        states.line_key as subject_key,
        pool.acquirer,
        pool.channel,
        states.currency,
        states.opening_state,
        states.match_state,
        states.gross_minor as amount_minor
    from {{ ref('int_recon__line_states') }} as states
    inner join {{ ref('int_recon__settlement_pool') }} as pool
        on states.line_key = pool.line_key

),

moves as (

    select
        sides.side,
        sides.acquirer,
        sides.channel,
        sides.currency,
        sides.amount_minor,
        cast(
            coalesce(sides.opening_state in ('pending', 'unmatched', 'ambiguous'), false)
            and not coalesce(last_night.was_closed, false) as integer
        ) as is_opening,
        cast(sides.match_state = 'matched' as integer) as is_matched,
        cast(sides.match_state = 'excluded' as integer) as is_excluded,
        cast(
            sides.match_state in ('pending', 'unmatched', 'ambiguous')
            and not coalesce(tonight.is_closed, false) as integer
        ) as is_closing,
        cast(
            sides.match_state in ('unmatched', 'ambiguous')
            and not coalesce(tonight.is_closed, false) as integer
        ) as is_unexplained
    from sides
    left join {{ ref('int_recon__items_closed_by_decision') }} as last_night
        on
            sides.subject_key = last_night.subject_key
            and sides.opening_state = last_night.match_state
    left join {{ ref('int_recon__items_closed_by_decision') }} as tonight
        on
            sides.subject_key = tonight.subject_key
            and sides.match_state = tonight.match_state
    -- Still on watch: it left the control on the night that excluded or closed it.
    where
        not (coalesce(sides.opening_state = 'excluded', false) and sides.match_state = 'excluded')
        and not (coalesce(last_night.was_closed, false) and coalesce(tonight.is_closed, false))

),

totals as (

    select
        side,
        acquirer,
        channel,
        currency,
        sum(is_opening) as opening_items,
        sum(is_opening * amount_minor) as opening_minor,
        sum(1 - is_opening) as new_items,
        sum((1 - is_opening) * amount_minor) as new_minor,
        sum(is_matched) as matched_items,
        sum(is_matched * amount_minor) as matched_minor,
        sum(is_excluded) as excluded_items,
        sum(is_excluded * amount_minor) as excluded_minor,
        sum(is_closing) as closing_items,
        sum(is_closing * amount_minor) as closing_minor,
        sum(1 - is_unexplained) as explained_items,
        sum(is_unexplained) as unexplained_items,
        sum((1 - is_unexplained) * abs(amount_minor)) as explained_minor,
        sum(is_unexplained * abs(amount_minor)) as unexplained_minor
    from moves
    group by side, acquirer, channel, currency

)

select
    {{ run_date() }} as run_date,
    acquirer,
    channel,
    currency,
    side,
    cast(opening_items as bigint) as opening_items,
    cast(opening_minor as bigint) as opening_minor,
    cast(new_items as bigint) as new_items,
    cast(new_minor as bigint) as new_minor,
    cast(matched_items as bigint) as matched_items,
    cast(matched_minor as bigint) as matched_minor,
    cast(excluded_items as bigint) as excluded_items,
    cast(excluded_minor as bigint) as excluded_minor,
    -- Closed otherwise: what left without being matched or excluded, because a decision closed its break.
    cast(opening_items + new_items - matched_items - excluded_items - closing_items as bigint)
        as closed_items,
    cast(opening_minor + new_minor - matched_minor - excluded_minor - closing_minor as bigint)
        as closed_minor,
    cast(closing_items as bigint) as closing_items,
    cast(closing_minor as bigint) as closing_minor,
    cast(explained_minor as bigint) as explained_minor,
    cast(unexplained_minor as bigint) as unexplained_minor,
    {% for unit, percentage in [('minor', 'explained_pct'), ('items', 'explained_items_pct')] %}
    cast(
        case
            when explained_{{ unit }} + unexplained_{{ unit }} = 0 then 100
            else
                cast(
                    {{ int_div(
                        'explained_' ~ unit ~ ' * 1000000', 'explained_' ~ unit ~ ' + unexplained_' ~ unit
                    ) }} as bigint
                )
                * 0.0001
        end as decimal(7, 4)
    ) as {{ percentage }},
    {% endfor %}
    cast(explained_items as bigint) as explained_items,
    cast(unexplained_items as bigint) as unexplained_items

from totals
