-- Lost if this fails: money that was open last night and that tonight forgot without matching or excluding it.

select
    'terminal' as side,
    opening.item_key as record_key,
    opening.merchant_id,
    opening.match_state as opening_state,
    states.match_state

from {{ source('opening', 'terminal_items') }} as opening
left join {{ ref('int_recon__item_states') }} as states
    on opening.item_key = states.item_key
where opening.match_state is distinct from states.opening_state

union all

select
    'settlement' as side,
    opening.line_key as record_key,
    opening.merchant_id,
    opening.match_state as opening_state,
    states.match_state

from {{ source('opening', 'settlement_items') }} as opening
left join {{ ref('int_recon__line_states') }} as states
    on opening.line_key = states.line_key
where opening.match_state is distinct from states.opening_state
