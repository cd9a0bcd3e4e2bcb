-- Lost if this fails: money that is overdue, ambiguous or unexplained tonight and that no break claims, neither an
-- open one nor one that people decided. A bank entry that may belong to several payouts is their ambiguity and has no
-- break of its own.

with

open_breaks as (

    select distinct
        subject_key,
        payout_id,
        break_type
    from {{ ref('int_recon__closing_breaks') }}
    where status = 'open' or decision_id is not null

),

open_tonight as (

    select
        item_key as subject_key,
        match_state as state_tonight,
        case match_state when 'ambiguous' then 'ambiguous_match' else 'missing_in_settlement' end as break_type,
        case match_state when 'ambiguous' then 'ambiguous_match' else 'refund_not_settled' end as or_break_type
    from {{ ref('int_recon__item_states') }}
    where match_state in ('unmatched', 'ambiguous')

    union all

    select
        line_key as subject_key,
        match_state as state_tonight,
        case match_state when 'ambiguous' then 'ambiguous_match' else 'missing_in_terminal_log' end as break_type,
        case match_state when 'ambiguous' then 'ambiguous_match' else 'missing_in_terminal_log' end as or_break_type
    from {{ ref('int_recon__line_states') }}
    where match_state in ('unmatched', 'ambiguous')

)

select
    cast(open_tonight.subject_key as varchar) as subject,
    open_tonight.state_tonight,
    open_tonight.break_type

from open_tonight
left join open_breaks
    on
        open_tonight.subject_key = open_breaks.subject_key
        and open_breaks.break_type in (open_tonight.break_type, open_tonight.or_break_type)
where open_breaks.subject_key is null

union all

select
    payouts.payout_id as subject,
    payouts.state as state_tonight,
    'payout_' || payouts.state as break_type

from {{ ref('int_recon__payout_states') }} as payouts
left join open_breaks
    on
        payouts.payout_id = open_breaks.payout_id
        and 'payout_' || payouts.state = open_breaks.break_type
where
    payouts.state in ('short', 'over', 'not_received')
    and open_breaks.payout_id is null

union all

select
    cast(entries.entry_key as varchar) as subject,
    'open' as state_tonight,
    'unidentified_credit or unexplained_deduction' as break_type

from {{ ref('int_recon__closing_bank_entries') }} as entries
left join (select distinct entry_key from {{ ref('int_recon__undecided_entries') }}) as undecided
    on entries.entry_key = undecided.entry_key
left join open_breaks
    on
        entries.entry_key = open_breaks.subject_key
        and open_breaks.break_type in ('unidentified_credit', 'unexplained_deduction')
where
    undecided.entry_key is null
    and open_breaks.subject_key is null
    and (
        entries.amount_minor > 0
        or (
            entries.amount_minor < 0
            and entries.account in (
                select merchants.settlement_account from {{ ref('stg_reference__merchants') }} as merchants
            )
        )
    )
