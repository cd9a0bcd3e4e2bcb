-- Grain: one row per bank statement that later nights need to see that nothing is missing: all of an account's last
-- day, and all of the days on both sides of a gap that is still open.

with

chain as (

    select * from {{ ref('int_recon__statement_chain') }}

),

kept_days as (

    select
        account,
        currency,
        max(closing_date) as closing_date
    from chain
    group by account, currency

    union

    select
        account,
        currency,
        closing_date
    from chain
    where is_gap

    union

    select
        account,
        currency,
        previous_date as closing_date
    from chain
    where is_gap

)

select
    chain.statement_key,
    chain.account,
    chain.currency,
    chain.source,
    chain.statement_no,
    chain.opening_minor,
    chain.closing_date,
    chain.closing_minor,
    chain.is_continued,
    chain.gap_since

from chain
inner join kept_days
    on
        chain.account = kept_days.account
        and chain.currency = kept_days.currency
        and chain.closing_date = kept_days.closing_date
