-- Lost if this fails: the difference between what our books expect, what the acquirer says and what the bank paid. For
-- every payout: book and line parts are the expected net and count its lines once; with the residual they are what was
-- received.

with

summed as (

    select
        payout_id,
        sum(amount_minor) as received_minor,
        sum(amount_minor) filter (where step is distinct from 'bank') as expected_net_minor,
        sum(amount_minor) filter (where step = 'book') as book_net_minor,
        sum(line_count) filter (where part not in ('amount_mismatch', 'fee_mismatch', 'net_mismatch')) as line_count,
        max(part) filter (where step = 'bank') as residual_label
    from {{ ref('fct_payout_parts') }}
    group by payout_id

)

select
    coalesce(payouts.payout_id, summed.payout_id) as payout_id,
    payouts.expected_net_minor,
    summed.expected_net_minor as parts_of_expected_minor,
    payouts.received_minor,
    summed.received_minor as parts_of_received_minor,
    payouts.line_count,
    summed.line_count as lines_of_parts

from {{ ref('fct_payouts') }} as payouts
full outer join summed
    on payouts.payout_id = summed.payout_id
where
    payouts.payout_id is null
    or payouts.line_count is distinct from summed.line_count
    or payouts.expected_net_minor is distinct from summed.expected_net_minor
    or payouts.received_minor is distinct from summed.received_minor
    or payouts.book_net_minor is distinct from coalesce(summed.book_net_minor, 0)
    or payouts.book_net_minor + payouts.named_minor is distinct from payouts.expected_net_minor
    or payouts.residual_label is distinct from coalesce(summed.residual_label, 'none')
    or payouts.unexplained_minor + payouts.explained_minor
    is distinct from greatest(
        abs(payouts.expected_net_minor), abs(payouts.received_minor), abs(payouts.delta_minor)
    )
