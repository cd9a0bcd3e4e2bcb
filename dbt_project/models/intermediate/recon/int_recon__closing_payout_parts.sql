-- Grain: one row per payout that the bank has not funded in full, and part of its expected net.

{{ config(materialized='view') }}

select
    parts.payout_id,
    parts.part,
    parts.line_count,
    parts.amount_minor

from {{ ref('int_recon__payout_parts') }} as parts
inner join {{ ref('int_recon__closing_payouts') }} as payouts
    on parts.payout_id = payouts.payout_id
