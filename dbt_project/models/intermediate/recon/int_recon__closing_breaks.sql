-- Grain: one row per break ever opened, at its state after tonight.
-- A break keeps the evidence of the night that opened it; what closed it is named in closed_by. Records go before
-- decisions of people: what they explain tonight is closed by them, and what they explain of a break that a decision
-- keeps closed is remembered, for the day on which the decision is withdrawn.

with

files as (

    select * from {{ ref('stg_landing__file_names') }}

),

found as (

    select
        found.*,
        terminal_files.file_id
        || '-'
        || cast(coalesce(found.item_key, found.batch_close_key) % 4294967296 as varchar) as terminal_item_id,
        terminal_files.file_id as terminal_file_id,
        terminal_files.file_name as terminal_file,
        coalesce(found.item_key, found.batch_close_key) % 4294967296 as terminal_line,
        coalesce(items.channel, late.channel, orphans.channel) as terminal_channel,
        coalesce(routed.acquirer, late.acquirer) as routed_acquirer,
        coalesce(items.merchant_id, late.merchant_id, orphans.merchant_id, batches.merchant_id, found.merchant_id)
            as terminal_merchant_id,
        coalesce(items.terminal_id, late.terminal_id, orphans.terminal_id, batches.terminal_id, found.terminal_id)
            as terminal_terminal_id,
        coalesce(items.txn_at, cast(coalesce(late.txn_local, orphans.txn_local) as timestamp with time zone))
            as terminal_txn_at,
        settlement_files.file_id || '-' || cast(found.line_key % 4294967296 as varchar) as settlement_item_id,
        settlement_files.file_id as settlement_file_id,
        settlement_files.file_name as settlement_file,
        found.line_key % 4294967296 as settlement_line,
        {{ payout_id(
            'lines.acquirer', 'lines.merchant_id', 'lines.settlement_date', 'lines.currency', 'merchants.currency'
        ) }} as settlement_payout_id,
        late.payout_id as late_payout_id,
        lines.acquirer as settlement_acquirer,
        lines.channel as settlement_channel,
        lines.merchant_id as settlement_merchant_id,
        lines.terminal_id as settlement_terminal_id,
        lines.txn_local as settlement_txn_local,
        payouts.acquirer as payout_acquirer,
        payouts.merchant_id as payout_merchant_id,
        entries.acquirer as entry_acquirer,
        bank_files.file_id || '-' || cast(found.entry_key % 4294967296 as varchar) as bank_item_id,
        bank_files.file_id as bank_file_id,
        bank_files.file_name as bank_file,
        found.entry_key % 4294967296 as bank_line
    from {{ ref('int_recon__breaks_found') }} as found
    left join {{ ref('int_recon__terminal_pool') }} as items
        on found.item_key = items.item_key
    left join {{ ref('int_recon__item_acquirers') }} as routed
        on found.item_key = routed.item_key
    -- Of an earlier night, and taken back tonight.
    left join {{ ref('int_recon__late_cancellations') }} as late
        on
            found.item_key = late.item_key
            and found.line_key = late.line_key
    -- Of an earlier night, and judged again tonight because its original came.
    left join {{ source('opening', 'orphans') }} as orphans
        on found.item_key = orphans.item_key
    left join {{ ref('stg_terminal__batch_closes') }} as batches
        on found.batch_close_key = batches.batch_close_key
    -- The record after a gap may be of an earlier night and no longer in the pool; its key still says where it stands.
    left join files as terminal_files
        on
            {{ int_div('coalesce(found.item_key, found.batch_close_key)', '4294967296') }}
            = terminal_files.file_no
    left join {{ ref('int_recon__settlement_pool') }} as lines
        on found.line_key = lines.line_key
    left join {{ ref('stg_reference__merchants') }} as merchants
        on lines.merchant_id = merchants.merchant_id
    left join files as settlement_files
        on {{ int_div('found.line_key', '4294967296') }} = settlement_files.file_no
    left join {{ ref('int_recon__payout_states') }} as payouts
        on found.payout_id = payouts.payout_id
    left join {{ ref('int_recon__bank_pool') }} as entries
        on found.entry_key = entries.entry_key
    left join files as bank_files
        on {{ int_div('found.entry_key', '4294967296') }} = bank_files.file_no

),

identified as (

    select
        found.*,
        coalesce(
            found.terminal_item_id,
            found.settlement_item_id,
            found.payout_id,
            found.bank_item_id
        ) as item_id,
        md5(
            found.break_type || '|' || case
                when found.payout_id is not null then found.payout_id
                when found.subject_key = found.line_key then found.settlement_item_id
                when found.subject_key = found.entry_key then found.bank_item_id
                else found.terminal_item_id
            end
            || coalesce('|' || found.subject_part, '')
        ) as break_id
    from found

),

opened_tonight as (

    select
        identified.break_id,
        identified.subject_key,
        identified.subject_part,
        identified.item_id,
        identified.break_type,
        'open' as status,
        {{ run_date() }} as opened_on,
        cast(null as date) as closed_on,
        cast(null as varchar) as closed_by,
        cast(null as varchar) as decision_id,
        cast(null as varchar) as explained_by,
        identified.amount_at_risk_minor,
        identified.currency,
        coalesce(
            identified.payout_acquirer,
            identified.settlement_acquirer,
            identified.entry_acquirer,
            identified.routed_acquirer,
            {{ usual_acquirer('identified.terminal_channel') }}
        ) as acquirer,
        coalesce(
            identified.terminal_channel,
            identified.settlement_channel,
            {{ channel_of_acquirer('coalesce(identified.payout_acquirer, identified.entry_acquirer)') }}
        ) as channel,
        coalesce(
            identified.terminal_merchant_id,
            identified.settlement_merchant_id,
            identified.payout_merchant_id
        ) as merchant_id,
        coalesce(identified.terminal_terminal_id, identified.settlement_terminal_id) as terminal_id,
        coalesce(identified.payout_id, identified.settlement_payout_id, identified.late_payout_id) as payout_id,
        coalesce(
            identified.terminal_txn_at,
            cast(identified.settlement_txn_local as timestamp with time zone)
        ) as txn_at,
        identified.terminal_file,
        identified.terminal_line,
        identified.settlement_file,
        identified.settlement_line,
        identified.bank_file,
        identified.bank_line,
        identified.file_missing,
        identified.detail,
        identified.terminal_file_id,
        identified.settlement_file_id,
        identified.bank_file_id
    from identified
    left join {{ source('opening', 'breaks') }} as known
        on identified.break_id = known.break_id
    where known.break_id is null

),

-- What explains an open break of an earlier night.
explanations as (

    select
        states.item_key as subject_key,
        case states.match_state
            when 'matched'
                then
                    'matched by ' || states.match_rule || ': ' || files.file_name || ' line '
                    || cast(lines.line_no as varchar)
            else 'excluded: ' || states.excluded_reason
        end as explanation
    from {{ ref('int_recon__item_states') }} as states
    left join {{ ref('int_recon__settlement_pool') }} as lines
        on states.line_key = lines.line_key
    left join files
        on lines.file_no = files.file_no
    where
        states.opening_state is not null
        and states.match_state in ('matched', 'excluded')

    union all

    select
        states.line_key as subject_key,
        'matched to ' || files.file_name || ' line ' || cast(items.line_no as varchar) as explanation
    from {{ ref('int_recon__line_states') }} as states
    inner join {{ ref('int_recon__terminal_pool') }} as items
        on states.item_key = items.item_key
    inner join files
        on items.file_no = files.file_no
    where states.opening_state is not null and states.match_state = 'matched'

    union all

    select
        accepted.entry_key as subject_key,
        'explains payout ' || min(accepted.payout_id) as explanation
    from {{ ref('int_recon__payout_entries') }} as accepted
    group by accepted.entry_key

),

-- What changes a break that is found anew every night: it is closed on the night that no longer finds it.
healed as (

    select
        'stan_gap' as break_type,
        filled.item_key as subject_key,
        {{ stan_run('filled.first_missing', 'filled.last_missing') }} as subject_part,
        filled.first_item_key as cause_key,
        case
            when filled.came_count = filled.missing_count then 'all numbers came, the first with '
            else
                cast(filled.came_count as varchar) || ' of ' || cast(filled.missing_count as varchar)
                || ' numbers came, what is still missing is open by itself; the first with '
        end as cause
    from {{ ref('int_recon__filled_gaps') }} as filled

    union all

    select
        'batch_out_of_balance' as break_type,
        totals.batch_close_key as subject_key,
        cast(null as varchar) as subject_part,
        totals.first_item_key as cause_key,
        case
            when totals.is_out_of_balance then 'the batch changed and is open with its new figures, by '
            else 'the batch adds up, with '
        end as cause
    from {{ ref('int_recon__batch_totals') }} as totals
    where totals.first_item_key is not null

    union all

    select
        'orphan_reference' as break_type,
        late.item_key as subject_key,
        cast(null as varchar) as subject_part,
        late.original_key as cause_key,
        'the original came with ' as cause
    from {{ ref('int_recon__late_originals') }} as late

),

healed_by as (

    select
        healed.break_type,
        healed.subject_key,
        healed.subject_part,
        healed.cause || files.file_name || ' line ' || cast(healed.cause_key % 4294967296 as varchar) as explanation
    from healed
    inner join files
        on {{ int_div('healed.cause_key', '4294967296') }} = files.file_no

),

carried as (

    select
        known.*,
        case
            when identified.break_id is null and healed_by.explanation is not null then healed_by.explanation
            when
                known.subject_key is not null
                and known.break_type in (
                    'missing_in_settlement',
                    'refund_not_settled',
                    'missing_in_terminal_log',
                    'ambiguous_match',
                    'unidentified_credit',
                    'unexplained_deduction'
                )
                then explanations.explanation
            when
                known.subject_key is null
                and known.break_type in ('payout_not_received', 'payout_short', 'ambiguous_match')
                and payouts.state in ('funded', 'short', 'over')
                and (known.break_type is distinct from 'payout_' || payouts.state)
                then
                    'payout is ' || payouts.state || ': ' || coalesce(bank_files.file_name, '') || ' entry '
                    || coalesce(cast(payouts.first_entry_key % 4294967296 as varchar), '')
        end as explained_tonight_by,
        decided.closed_by as decided_tonight_by,
        case when not decided.is_withdrawal then decided.decision_id end as decided_tonight_id,
        known.decision_id is not null and coalesce(decided.is_withdrawal, false) as is_given_back,
        -- Whose file is missing is asked anew every night: it may have come without the row in it.
        coalesce(identified.file_missing, known.file_missing) as file_missing_tonight
    from {{ source('opening', 'breaks') }} as known
    left join identified
        on known.break_id = identified.break_id
    left join {{ ref('int_recon__break_decisions') }} as decided
        on known.break_id = decided.break_id
    left join explanations
        on known.subject_key = explanations.subject_key
    left join healed_by
        on
            known.subject_key = healed_by.subject_key
            and known.break_type = healed_by.break_type
            and coalesce(healed_by.subject_part, known.subject_part, '') = coalesce(known.subject_part, '')
    left join {{ ref('int_recon__payout_states') }} as payouts
        on
            known.payout_id = payouts.payout_id
            and known.subject_key is null
    left join files as bank_files
        on {{ int_div('payouts.first_entry_key', '4294967296') }} = bank_files.file_no

),

judged as (

    select
        carried.*,
        coalesce(carried.explained_by, carried.explained_tonight_by) as explained_so_far,
        case
            -- The decision is withdrawn: what came meanwhile closes the break, or it is open again.
            when carried.is_given_back then coalesce(carried.explained_by, carried.explained_tonight_by)
            when carried.status = 'open' then coalesce(carried.explained_tonight_by, carried.decided_tonight_by)
            -- Resolved anew while it was closed: the newer decision keeps it closed.
            when carried.decision_id is not null then coalesce(carried.decided_tonight_by, carried.closed_by)
            else carried.closed_by
        end as closed_by_after,
        case
            when
                (carried.status = 'open' and carried.explained_tonight_by is null)
                or (carried.decision_id is not null and not carried.is_given_back)
                then coalesce(carried.decided_tonight_id, carried.decision_id)
        end as decision_after
    from carried

)

select
    break_id,
    subject_key,
    subject_part,
    item_id,
    break_type,
    case when closed_by_after is null then 'open' else 'closed' end as status,
    opened_on,
    case
        when closed_by_after is null then null
        when status = 'open' or is_given_back then {{ run_date() }}
        else closed_on
    end as closed_on,
    closed_by_after as closed_by,
    decision_after as decision_id,
    case when decision_after is not null then explained_so_far end as explained_by,
    amount_at_risk_minor,
    currency,
    acquirer,
    channel,
    merchant_id,
    terminal_id,
    payout_id,
    txn_at,
    terminal_file,
    terminal_line,
    settlement_file,
    settlement_line,
    bank_file,
    bank_line,
    file_missing_tonight as file_missing,
    detail,
    terminal_file_id,
    settlement_file_id,
    bank_file_id
from judged

union all

select * from opened_tonight
