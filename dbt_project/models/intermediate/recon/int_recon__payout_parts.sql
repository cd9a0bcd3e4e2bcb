-- Grain: one row per payout of the pool and part of its expected net, as far as tonight knows.
-- `book` is what our own records expect: events that were paired with the payout's lines, less the agreed fees. Every
-- other part has the name of the break that makes the acquirer's figure differ from it; or adjustment, which no sale
-- explains; or awaiting_log while the terminal's log is not due. So the parts of a payout add up to its expected net.
-- A line that an earlier night left open leaves the part of that night and enters tonight's.

{% set outside_the_book %}
    case states.match_state
        when 'pending' then 'awaiting_log'
        when 'unmatched' then 'missing_in_terminal_log'
        when 'ambiguous' then 'ambiguous_match'
        when 'excluded'
            then case states.excluded_reason
                when 'duplicate' then 'duplicate_in_settlement' else states.excluded_reason
            end
    end
{% endset %}

with

lines as (

    select
        pool.acquirer,
        pool.merchant_id,
        pool.settlement_date,
        pool.currency,
        pool.gross_minor,
        pool.fee_minor,
        pool.net_minor,
        items.amount_minor as expected_minor,
        -- A difference within the tolerance is agreed.
        case
            when abs(pool.fee_minor - fees.expected_fee_minor) > fees.tolerance_minor then fees.expected_fee_minor
            else pool.fee_minor
        end as agreed_fee_minor,
        coalesce(
            {{ outside_the_book }},
            case
                when items.expects_settlement and items.currency = pool.currency then 'book'
                when items.expects_settlement then 'currency_mismatch'
                when items.not_expected_reason = 'declined' then 'declined_but_settled'
                else 'reversed_but_settled'
            end
        ) as part
    from {{ ref('int_recon__line_states') }} as states
    inner join {{ ref('int_recon__settlement_pool') }} as pool
        on states.line_key = pool.line_key
    left join {{ ref('int_recon__item_states') }} as items
        on states.item_key = items.item_key
    left join {{ ref('int_recon__expected_fees') }} as fees
        on states.line_key = fees.line_key

),

summed as (

    select
        acquirer,
        merchant_id,
        settlement_date,
        currency,
        part,
        count(*) as line_count,
        sum(net_minor) as net_minor,
        sum(expected_minor - agreed_fee_minor) as booked_minor,
        count(*) filter (where gross_minor is distinct from expected_minor) as amount_count,
        sum(gross_minor - expected_minor) as amount_minor,
        count(*) filter (where fee_minor is distinct from agreed_fee_minor) as fee_count,
        sum(agreed_fee_minor - fee_minor) as fee_minor,
        count(*) filter (where net_minor is distinct from gross_minor - fee_minor) as net_count,
        sum(net_minor - gross_minor + fee_minor) as net_difference_minor
    from lines
    group by acquirer, merchant_id, settlement_date, currency, part

),

moves as (

    select
        acquirer,
        merchant_id,
        settlement_date,
        currency,
        part,
        line_count,
        net_minor as amount_minor
    from summed
    where part is distinct from 'book'

    {% for name, count, money in [
        ('book', 'line_count', 'booked_minor'),
        ('amount_mismatch', 'amount_count', 'amount_minor'),
        ('fee_mismatch', 'fee_count', 'fee_minor'),
        ('net_mismatch', 'net_count', 'net_difference_minor'),
    ] %}
    union all

    select
        acquirer,
        merchant_id,
        settlement_date,
        currency,
        '{{ name }}' as part,
        {{ count }} as line_count,
        {{ money }} as amount_minor
    from summed
    where part = 'book'
    {% endfor %}

    union all

    select
        states.acquirer,
        states.merchant_id,
        states.settlement_date,
        states.currency,
        {{ outside_the_book }} as part,
        -1 as line_count,
        -states.net_minor as amount_minor
    from (
        select
            acquirer,
            merchant_id,
            settlement_date,
            currency,
            net_minor,
            opening_state as match_state,
            cast(null as varchar) as excluded_reason
        from {{ ref('int_recon__settlement_pool') }}
        where opening_state is not null
    ) as states

),

all_parts as (

    select
        pool.payout_id,
        moves.part,
        moves.line_count,
        moves.amount_minor
    from moves
    -- A payout that was paid in full or more is final, and so are its parts.
    inner join {{ ref('int_recon__payout_pool') }} as pool
        on
            moves.acquirer = pool.acquirer
            and moves.merchant_id = pool.merchant_id
            and moves.settlement_date = pool.settlement_date
            and moves.currency = pool.currency

    union all

    select
        payout_id,
        part,
        line_count,
        amount_minor
    from {{ source('opening', 'payout_parts') }}

)

select
    payout_id,
    part,
    cast(sum(line_count) as bigint) as line_count,
    cast(sum(amount_minor) as bigint) as amount_minor

from all_parts
group by payout_id, part
having sum(line_count) is distinct from 0
