-- Lost if this fails: a claim. A break that an earlier night opened is still there with its type, date and money; a
-- closed one stays closed as it was; one that closes tonight says when and why.

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
where
    closing.break_id is null
    or opening.break_type is distinct from closing.break_type
    or opening.opened_on is distinct from closing.opened_on
    or opening.amount_at_risk_minor is distinct from closing.amount_at_risk_minor
    or (
        opening.status = 'closed'
        and (
            closing.status is distinct from 'closed'
            or opening.closed_on is distinct from closing.closed_on
            or opening.closed_by is distinct from closing.closed_by
        )
    )
    or (
        opening.status = 'open'
        and closing.status = 'closed'
        and (closing.closed_on is distinct from {{ run_date() }} or closing.closed_by is null)
    )
