-- Wrong if this fails: a claim against an acquirer for money that has come. Every open break that says "missing" is
-- about a record, or a payout, that tonight still leaves open; every one that says "unexplained" is about a bank entry
-- that paid nothing tonight.

select
    breaks.break_id,
    breaks.break_type,
    breaks.item_id,
    coalesce(items.match_state, lines.match_state, payouts.state) as state_tonight

from {{ ref('int_recon__closing_breaks') }} as breaks
left join {{ ref('int_recon__item_states') }} as items
    on breaks.subject_key = items.item_key
left join {{ ref('int_recon__line_states') }} as lines
    on breaks.subject_key = lines.line_key
left join {{ ref('int_recon__payout_states') }} as payouts
    on breaks.payout_id = payouts.payout_id
left join (select distinct entry_key from {{ ref('int_recon__payout_entries') }}) as used
    on breaks.subject_key = used.entry_key
where
    breaks.status = 'open'
    and (
        (
            breaks.break_type in ('missing_in_settlement', 'refund_not_settled')
            and coalesce(items.match_state in ('unmatched', 'ambiguous'), false) = false
        )
        or (
            breaks.break_type = 'missing_in_terminal_log'
            and coalesce(lines.match_state in ('unmatched', 'ambiguous'), false) = false
        )
        or (
            breaks.break_type = 'payout_not_received'
            and coalesce(payouts.state in ('not_received', 'ambiguous', 'pending'), false) = false
        )
        or (
            breaks.break_type = 'payout_short'
            and coalesce(payouts.state = 'short', false) = false
        )
        or (
            breaks.break_type in ('unidentified_credit', 'unexplained_deduction')
            and used.entry_key is not null
        )
    )
