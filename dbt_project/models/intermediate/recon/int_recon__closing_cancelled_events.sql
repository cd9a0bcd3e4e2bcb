-- Grain: one row per event of an earlier night that tonight's records take back: what that night counted no longer
-- counts.

select voided.item_key

from {{ ref('int_recon__voided_items') }} as voided
left join {{ ref('stg_terminal__events') }} as received
    on voided.item_key = received.item_key
where received.item_key is null and voided.cancellation_key is not null
