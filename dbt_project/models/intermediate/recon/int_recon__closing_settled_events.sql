-- Grain: one row per event that was paired tonight with the line that it expected; later nights look here when a void
-- comes after the money.

{{ config(materialized='view') }}

select
    item_key,
    line_key

from {{ ref('int_recon__item_states') }}
where match_state = 'matched' and expects_settlement
