-- Lost if this fails: the money of a record that is still open tonight and that no later night would look for, or of
-- one that is done and would be matched again.

select
    'terminal' as side,
    states.item_key as record_key,
    states.match_state,
    states.is_final,
    closing.item_key as closing_key

from {{ ref('int_recon__item_states') }} as states
full outer join {{ ref('int_recon__closing_terminal_items') }} as closing
    on states.item_key = closing.item_key
where
    states.is_final is distinct from (closing.item_key is null)
    or (states.is_final and states.match_state in ('pending', 'unmatched', 'ambiguous'))

union all

select
    'settlement' as side,
    states.line_key as record_key,
    states.match_state,
    states.is_final,
    closing.line_key as closing_key

from {{ ref('int_recon__line_states') }} as states
full outer join {{ ref('int_recon__closing_settlement_items') }} as closing
    on states.line_key = closing.line_key
where
    states.is_final is distinct from (closing.line_key is null)
    or (states.is_final and states.match_state in ('pending', 'unmatched', 'ambiguous'))
