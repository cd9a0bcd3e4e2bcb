-- Grain: one row per payout of the pool, with what the bank's money leaves open once its lines are explained.
-- The residual is received less expected net. Its label says what it is: none; not_due while the money still has time;
-- not_received and undecided as the payout's state; the name of the part that the bank left out, when the residual is
-- exactly that part turned round; the name of a break of one free bank entry that offsets it exactly; else unexplained.
-- What fits two parts or two entries is unexplained: an equal amount alone never decides between two.

with

payouts as (

    select
        payout_id,
        state,
        received_minor - expected_net_minor as residual_minor
    from {{ ref('int_recon__payout_states') }}

),

books as (

    select
        payout_id,
        amount_minor
    from {{ ref('int_recon__payout_parts') }}
    where part = 'book'

),

fitting_parts as (

    select
        payouts.payout_id,
        min(parts.part) as part
    from payouts
    inner join {{ ref('int_recon__payout_parts') }} as parts
        on
            payouts.payout_id = parts.payout_id
            and payouts.residual_minor = -parts.amount_minor
    where parts.part not in ('book', 'awaiting_log')
    group by payouts.payout_id
    having count(*) = 1

),

offsetting_entries as (

    select
        payouts.payout_id,
        candidates.entry_key,
        payouts.residual_minor,
        count(*) over (partition by payouts.payout_id) as entry_count,
        count(*) over (partition by candidates.entry_key) as payout_count
    from payouts
    inner join {{ ref('int_recon__payout_candidates') }} as candidates
        on
            payouts.payout_id = candidates.payout_id
            and payouts.residual_minor = -candidates.amount_minor
    left join (select distinct entry_key from {{ ref('int_recon__payout_entries') }}) as used
        on candidates.entry_key = used.entry_key
    left join (select distinct entry_key from {{ ref('int_recon__undecided_entries') }}) as undecided
        on candidates.entry_key = undecided.entry_key
    where used.entry_key is null and undecided.entry_key is null

)

select
    payouts.payout_id,
    coalesce(books.amount_minor, 0) as book_net_minor,
    cast(payouts.residual_minor as bigint) as residual_minor,
    case
        when payouts.residual_minor = 0 then 'none'
        when payouts.state = 'pending' then 'not_due'
        when payouts.state = 'ambiguous' then 'undecided'
        when payouts.state = 'not_received' then 'not_received'
        when fitting_parts.part is not null then fitting_parts.part
        when entries.residual_minor > 0 then 'unexplained_deduction'
        when entries.residual_minor < 0 then 'unidentified_credit'
        else 'unexplained'
    end as residual_label

from payouts
left join books
    on payouts.payout_id = books.payout_id
left join fitting_parts
    on payouts.payout_id = fitting_parts.payout_id
left join offsetting_entries as entries
    on
        payouts.payout_id = entries.payout_id
        and entries.entry_count = 1
        and entries.payout_count = 1
