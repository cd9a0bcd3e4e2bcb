-- Grain: one row per decision of a dispute case and break, on the night that read it.
-- fct_breaks shows a break at its latest state; these rows say between which nights a decision kept it closed.

select
    {{ run_date() }} as run_date,
    decisions.decision_id,
    decisions.break_id,
    decisions.case_no,
    decisions.outcome,
    decisions.decided_by,
    decisions.decided_at,
    decisions.reason,
    case
        -- Rebuilt nights may know the break later, or not at all.
        when coalesce(breaks.opened_on < {{ run_date() }}, false) = false then 'no_such_break'
        when (last_words.decision_id is distinct from decisions.decision_id) then 'overtaken'
        when breaks.decision_id = decisions.decision_id then 'closed'
        when decisions.is_withdrawal and breaks.status = 'open' then 'reopened'
        else 'none'
    end as effect

from {{ ref('stg_landing__case_decisions') }} as decisions
inner join {{ ref('int_recon__break_decisions') }} as last_words
    on decisions.break_id = last_words.break_id
left join {{ ref('int_recon__closing_breaks') }} as breaks
    on decisions.break_id = breaks.break_id
