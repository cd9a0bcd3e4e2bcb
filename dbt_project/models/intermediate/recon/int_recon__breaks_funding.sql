-- Grain: one row per break between payouts and the bank.
-- payout_short, payout_over, payout_not_received: of a payout; ambiguous_match: of one that several credits or several
-- payouts of one credit fit equally well, once it is due. unidentified_credit: a credit of a known acquirer that
-- explains no payout and cannot be meant for one. unexplained_deduction: a debit on a settlement account, whoever
-- booked it, that no negative payout explains.

with

missing_statements as (

    select distinct
        logical_key,
        business_date
    from {{ ref('int_recon__missing_files') }}
    where feed = 'bank'

),

-- Money of a payout may stand in any statement of its account after the settlement date that has not come, and lines
-- of it in any file of its acquirer for that day: without these, nobody can say who owes what.
without_all_files as (

    select distinct payouts.payout_id
    from {{ ref('int_recon__payout_states') }} as payouts
    left join missing_statements
        on
            payouts.settlement_account = missing_statements.logical_key
            and payouts.settlement_date < missing_statements.business_date
    left join {{ ref('int_recon__missing_files') }} as missing_lines
        on
            payouts.acquirer = missing_lines.feed
            and payouts.acquirer_merchant_id = missing_lines.logical_key
            and payouts.settlement_date = missing_lines.business_date
    where missing_statements.logical_key is not null or missing_lines.logical_key is not null

),

missing_settlement as (

    select distinct
        merchants.acquirer,
        merchants.settlement_account
    from {{ ref('int_recon__missing_files') }} as missing_files
    inner join {{ ref('int_recon__acquirer_merchants') }} as merchants
        on
            missing_files.feed = merchants.acquirer
            and missing_files.logical_key = merchants.acquirer_merchant_id

),

used as (

    select distinct entry_key from {{ ref('int_recon__payout_entries') }}

),

undecided as (

    select distinct entry_key from {{ ref('int_recon__undecided_entries') }}

),

settlement_accounts as (

    select distinct settlement_account from {{ ref('stg_reference__merchants') }}

),

-- Entries of an acquirer stay open until a payout explains them; anyone else's debit is judged once.
entries as (

    select
        entry_key,
        account,
        acquirer,
        currency,
        amount_minor,
        value_date
    from {{ ref('int_recon__bank_pool') }}

    union all

    select
        entry_key,
        account,
        acquirer,
        currency,
        amount_minor,
        value_date
    from {{ ref('stg_bank__entries') }}
    where acquirer is null and amount_minor < 0

),

unexplained as (

    select entries.*
    from entries
    left join settlement_accounts
        on entries.account = settlement_accounts.settlement_account
    left join used
        on entries.entry_key = used.entry_key
    left join undecided
        on entries.entry_key = undecided.entry_key
    where
        used.entry_key is null
        and undecided.entry_key is null
        and (entries.amount_minor > 0 or settlement_accounts.settlement_account is not null)

)

select
    case payouts.state
        when 'ambiguous' then 'ambiguous_match'
        else 'payout_' || payouts.state
    end as break_type,
    payouts.payout_id,
    payouts.first_entry_key as entry_key,
    cast(null as bigint) as subject_key,
    abs(payouts.received_minor - payouts.expected_net_minor) as amount_at_risk_minor,
    payouts.currency,
    without_all_files.payout_id is not null as file_missing,
    {{ json_detail([
        ('expected_net_minor', 'payouts.expected_net_minor'),
        ('received_minor', 'payouts.received_minor'),
        ('delta_minor', 'payouts.received_minor - payouts.expected_net_minor'),
        ('due_date', 'payouts.due_date'),
        ('funding_rule', 'payouts.funding_rule'),
    ]) }} as detail

from {{ ref('int_recon__payout_states') }} as payouts
left join without_all_files
    on payouts.payout_id = without_all_files.payout_id
where
    payouts.state in ('short', 'over', 'not_received')
    or (payouts.state = 'ambiguous' and payouts.due_date < {{ run_date() }})

union all

select
    case when unexplained.amount_minor < 0 then 'unexplained_deduction' else 'unidentified_credit' end
        as break_type,
    cast(null as varchar) as payout_id,
    unexplained.entry_key,
    unexplained.entry_key as subject_key,
    abs(unexplained.amount_minor) as amount_at_risk_minor,
    unexplained.currency,
    -- Its lines may be in a settlement file that has not come.
    missing_settlement.acquirer is not null as file_missing,
    {{ json_detail([
        ('account', 'unexplained.account'),
        ('acquirer', 'unexplained.acquirer'),
        ('amount_minor', 'unexplained.amount_minor'),
        ('value_date', 'unexplained.value_date'),
    ]) }} as detail

from unexplained
left join missing_settlement
    on
        unexplained.acquirer = missing_settlement.acquirer
        and unexplained.account = missing_settlement.settlement_account
