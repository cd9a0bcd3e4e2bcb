-- Grain: one row per break and decision of a dispute case that tonight reads.

select
    decision_id,
    break_id,
    case_no,
    event_no,
    outcome,
    outcome = 'reopened' as is_withdrawal,
    decided_by,
    decided_at,
    reason

from {{ source('raw', 'case_decisions') }}
