-- Grain: one row per item and match state whose break a decision keeps closed, last night or tonight.
-- The item itself stays what the records make it, unmatched or ambiguous, and stays on watch: money that comes after
-- all still finds it. It is only no longer open: it is out of the control until it is matched or the decision is
-- withdrawn.

with

closed_breaks as (

    select
        subject_key,
        break_type,
        1 as was_closed,
        0 as is_closed
    from {{ source('opening', 'breaks') }}
    where decision_id is not null

    union all

    select
        subject_key,
        break_type,
        0 as was_closed,
        1 as is_closed
    from {{ ref('int_recon__closing_breaks') }}
    where decision_id is not null

)

select
    subject_key,
    case break_type when 'ambiguous_match' then 'ambiguous' else 'unmatched' end as match_state,
    max(was_closed) = 1 as was_closed,
    max(is_closed) = 1 as is_closed

from closed_breaks
where
    subject_key is not null
    and break_type in ('missing_in_settlement', 'refund_not_settled', 'missing_in_terminal_log', 'ambiguous_match')
group by subject_key, case break_type when 'ambiguous_match' then 'ambiguous' else 'unmatched' end
