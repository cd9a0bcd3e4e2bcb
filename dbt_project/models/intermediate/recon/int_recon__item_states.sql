-- Grain: one row per terminal event of the pool, in exactly one match state.
-- is_final: tonight is the last word; the event does not open tomorrow. An excluded event stays on watch for a few
-- days, because the line that should not exist may still come.

with

expected as (

    select * from {{ ref('int_recon__expected_items') }}

),

ambiguous as (

    select distinct item_key from {{ ref('int_recon__ambiguous_candidates') }}

),

decided as (

    select
        expected.item_key,
        expected.excluded_reason,
        expected.expects_settlement,
        expected.is_matchable,
        expected.opening_state,
        expected.currency,
        expected.amount_minor,
        expected.due_date,
        expected.watched_until,
        expected.clearing_date,
        pairs.line_key,
        pairs.match_rule,
        pairs.match_tier,
        case
            when pairs.line_key is not null then 'matched'
            when expected.excluded_reason is not null then 'excluded'
            when ambiguous.item_key is not null then 'ambiguous'
            when {{ run_date() }} <= expected.due_date then 'pending'
            else 'unmatched'
        end as match_state
    from expected
    left join {{ ref('int_recon__pairs') }} as pairs
        on expected.item_key = pairs.item_key
    left join ambiguous
        on expected.item_key = ambiguous.item_key

)

select
    item_key,
    line_key,
    match_state,
    case when match_state = 'excluded' then excluded_reason end as excluded_reason,
    match_rule,
    match_tier,
    opening_state,
    expects_settlement,
    excluded_reason as not_expected_reason,
    currency,
    amount_minor,
    due_date,
    clearing_date,
    match_state = 'matched'
    or (
        match_state = 'excluded'
        and (
            not is_matchable
            or {{ run_date() }} > watched_until
        )
    ) as is_final

from decided
