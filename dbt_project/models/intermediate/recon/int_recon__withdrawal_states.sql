-- Grain: one row per withdrawal of the pool, in exactly one state.
-- A credit of the same wallet, account and currency that carries the same money to the fen is the withdrawal's; of as
-- many alike the first is the first's, and none is used twice. When none does and the day is over, the only credit that
-- fell due with it and is nobody's may be it with another amount: `differs`.

with

withdrawals as (

    select * from {{ ref('int_recon__withdrawal_pool') }}

),

-- Shops that share the acquirer's id may have bank accounts of their own.
accounts as (

    select distinct
        acquirer,
        acquirer_merchant_id,
        settlement_account
    from {{ ref('int_recon__acquirer_merchants') }}
    where settlement_account is not null

),

candidates as (

    select
        withdrawals.withdrawal_key,
        withdrawals.booked_on,
        withdrawals.due_date,
        withdrawals.amount_minor,
        credits.entry_key,
        credits.value_date,
        credits.amount_minor as received_minor,
        credits.acquirer || '|' || credits.account || '|' || credits.currency as group_key
    from withdrawals
    inner join accounts
        on
            withdrawals.acquirer = accounts.acquirer
            and withdrawals.acquirer_merchant_id = accounts.acquirer_merchant_id
    inner join {{ ref('int_recon__wallet_credits') }} as credits
        on
            accounts.acquirer = credits.acquirer
            and accounts.settlement_account = credits.account
            and withdrawals.currency = credits.currency
            and withdrawals.booked_on <= credits.value_date
            and withdrawals.payable_until >= credits.value_date
    where not withdrawals.is_returned

),

exact as (

    select
        *,
        dense_rank() over (
            partition by group_key, amount_minor
            order by booked_on, withdrawal_key
        ) as withdrawal_rank,
        dense_rank() over (
            partition by group_key, amount_minor
            order by value_date, entry_key
        ) as entry_rank
    from candidates
    where amount_minor = received_minor

),

arrived as (

    select
        withdrawal_key,
        min(entry_key) as entry_key
    from exact
    where withdrawal_rank = entry_rank
    group by withdrawal_key

),

left_over as (

    select
        candidates.withdrawal_key,
        candidates.entry_key,
        candidates.received_minor
    from candidates
    left join arrived
        on candidates.withdrawal_key = arrived.withdrawal_key
    left join arrived as used
        on candidates.entry_key = used.entry_key
    where
        arrived.withdrawal_key is null
        and used.entry_key is null
        and candidates.value_date <= candidates.due_date
        and candidates.due_date < {{ run_date() }}

),

differs as (

    select
        withdrawal_key,
        entry_key,
        received_minor
    from (
        select
            *,
            count(*) over (partition by withdrawal_key) as entry_count,
            count(*) over (partition by entry_key) as withdrawal_count
        from left_over
    ) as counted
    where entry_count = 1 and withdrawal_count = 1

),

-- Its credit may stand in a statement that has not come.
without_statement as (

    select distinct withdrawals.withdrawal_key
    from withdrawals
    inner join accounts
        on
            withdrawals.acquirer = accounts.acquirer
            and withdrawals.acquirer_merchant_id = accounts.acquirer_merchant_id
    inner join {{ ref('int_recon__missing_files') }} as missing_files
        on
            accounts.settlement_account = missing_files.logical_key
            and withdrawals.booked_on <= missing_files.business_date
    where missing_files.feed = 'bank'

)

select
    withdrawals.*,
    coalesce(arrived.entry_key, differs.entry_key) as entry_key,
    case
        when arrived.entry_key is not null then withdrawals.amount_minor
        else coalesce(differs.received_minor, 0)
    end as received_minor,
    case
        when withdrawals.is_returned then 'returned'
        when arrived.entry_key is not null then 'arrived'
        when differs.entry_key is not null then 'differs'
        when {{ run_date() }} <= withdrawals.due_date then 'pending'
        else 'not_received'
    end as state,
    without_statement.withdrawal_key is not null as file_missing

from withdrawals
left join arrived
    on withdrawals.withdrawal_key = arrived.withdrawal_key
left join differs
    on withdrawals.withdrawal_key = differs.withdrawal_key
left join without_statement
    on withdrawals.withdrawal_key = without_statement.withdrawal_key
