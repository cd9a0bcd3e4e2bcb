-- Grain: one row per settlement line of the pool, in exactly one match state.

with

pool as (

    select
        line_key,
        acquirer,
        line_kind,
        opening_state,
        settlement_date,
        currency,
        gross_minor
    from {{ ref('int_recon__settlement_pool') }}

),

ambiguous as (

    select distinct line_key from {{ ref('int_recon__ambiguous_candidates') }}

),

decided as (

    select
        pool.line_key,
        pool.opening_state,
        pool.currency,
        pool.gross_minor,
        pairs.item_key,
        case
            when duplicates.line_key is not null then 'duplicate'
            when pool.line_kind = 'dispute' then 'chargeback'
            when pool.line_kind = 'adjustment' then 'adjustment'
        end as excluded_reason,
        case
            when pairs.item_key is not null then 'matched'
            when duplicates.line_key is not null or pool.line_kind in ('dispute', 'adjustment') then 'excluded'
            when ambiguous.line_key is not null then 'ambiguous'
            when {{ run_date() }} < settlement_days.terminal_log_due_date then 'pending'
            else 'unmatched'
        end as match_state
    from pool
    left join {{ ref('int_recon__settlement_days') }} as settlement_days
        on
            pool.acquirer = settlement_days.acquirer
            and pool.settlement_date = settlement_days.settlement_date
    left join {{ ref('int_recon__pairs') }} as pairs
        on pool.line_key = pairs.line_key
    left join {{ ref('int_recon__settlement_duplicates') }} as duplicates
        on pool.line_key = duplicates.line_key
    left join ambiguous
        on pool.line_key = ambiguous.line_key

)

select
    line_key,
    item_key,
    match_state,
    excluded_reason,
    opening_state,
    currency,
    gross_minor,
    match_state in ('matched', 'excluded') as is_final

from decided
