-- Lost if this fails: a claim. A break that an earlier night opened is still there with its type, date and money; one
-- that records closed stays closed as it was; one that closes tonight says when and why. What a decision closed stays
-- closed until the decision is withdrawn, and then is open, or closed tonight by what came meanwhile.

select
    opening.break_id,
    opening.break_type,
    opening.item_id,
    opening.status as opening_status,
    closing.status,
    opening.amount_at_risk_minor as opening_minor,
    closing.amount_at_risk_minor

from {{ source('opening', 'breaks') }} as opening
left join {{ ref('int_recon__closing_breaks') }} as closing
    on opening.break_id = closing.break_id
left join {{ ref('int_recon__break_decisions') }} as decisions
    on opening.break_id = decisions.break_id
where
    closing.break_id is null
    or opening.break_type is distinct from closing.break_type
    or opening.opened_on is distinct from closing.opened_on
    or opening.amount_at_risk_minor is distinct from closing.amount_at_risk_minor
    or (closing.status = 'open' and (closing.closed_on is not null or closing.decision_id is not null))
    or (closing.status = 'closed' and (closing.closed_on is null or closing.closed_by is null))
    or (
        opening.status = 'closed'
        and opening.decision_id is null
        and (
            closing.status is distinct from 'closed'
            or opening.closed_on is distinct from closing.closed_on
            or opening.closed_by is distinct from closing.closed_by
            or closing.decision_id is not null
        )
    )
    or (
        opening.decision_id is not null
        and coalesce(decisions.is_withdrawal, false) = false
        and (
            closing.status is distinct from 'closed'
            or opening.closed_on is distinct from closing.closed_on
            or closing.decision_id is null
        )
    )
    or (
        opening.decision_id is not null
        and coalesce(decisions.is_withdrawal, false)
        and (
            closing.decision_id is not null
            or (closing.status = 'closed' and closing.closed_on is distinct from {{ run_date() }})
        )
    )
    or (
        opening.status = 'open'
        and closing.status = 'closed'
        and closing.closed_on is distinct from {{ run_date() }}
    )
    -- A decision that nobody acts on.
    or (opening.status = 'open' and decisions.is_withdrawal = false and closing.status = 'open')
