-- Grain: one row per break that people decided about since last night: their last word.
-- A case resolved and taken up again between two nights changes nothing.

select
    break_id,
    decision_id,
    is_withdrawal,
    case
        when not is_withdrawal then 'decided: ' || replace(outcome, '_', ' ') || ' in case ' || case_no
    end as closed_by

from {{ ref('stg_landing__case_decisions') }}
-- One case holds a break at a time, so its own steps give the order; the rest makes it total.
qualify row_number() over (
    partition by break_id
    order by decided_at desc, case_no desc, event_no desc
) = 1
