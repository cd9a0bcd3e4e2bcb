-- Grain: one row per payout (acquirer, merchant, settlement date) of tonight's pool, at its state after tonight.
-- Explained and unexplained money add up to the larger of what was expected, received or left over, so that neither a
-- payout that never came nor one that came twice looks better than it is.

{% set is_unexplained = "residuals.residual_label in ('undecided', 'not_received', 'unexplained')" %}
{% set unexplained = 'case when ' ~ is_unexplained ~ ' then abs(residuals.residual_minor) else 0 end' %}
{% set in_question %}
    greatest(abs(payouts.expected_net_minor), abs(payouts.received_minor), abs(residuals.residual_minor))
{% endset %}

select
    payouts.payout_id,
    payouts.acquirer,
    payouts.merchant_id,
    payouts.settlement_account,
    payouts.settlement_date,
    payouts.due_date,
    payouts.line_count,
    payouts.expected_net_minor,
    cast(payouts.received_minor as bigint) as received_minor,
    cast(payouts.received_minor - payouts.expected_net_minor as bigint) as delta_minor,
    payouts.state,
    files.file_name as bank_file,
    cast(payouts.first_entry_key % 4294967296 as bigint) as bank_line,
    payouts.currency,
    payouts.funding_rule,
    files.file_id as bank_file_id,
    residuals.book_net_minor,
    cast(payouts.expected_net_minor - residuals.book_net_minor as bigint) as named_minor,
    residuals.residual_label,
    cast({{ in_question }} - {{ unexplained }} as bigint) as explained_minor,
    cast({{ unexplained }} as bigint) as unexplained_minor,
    payouts.state in ('funded', 'over') as is_final,
    {{ run_date() }} as run_date

from {{ ref('int_recon__payout_states') }} as payouts
inner join {{ ref('int_recon__payout_residuals') }} as residuals
    on payouts.payout_id = residuals.payout_id
left join {{ ref('stg_landing__file_names') }} as files
    on {{ int_div('payouts.first_entry_key', '4294967296') }} = files.file_no
