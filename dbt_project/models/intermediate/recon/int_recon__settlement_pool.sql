-- Grain: one row per settlement line that tonight can still decide: received tonight, or left open last night.
-- Tonight's lines get our merchant id from the acquirer's; an id that no merchant owns stays as received, so the
-- line cannot vanish: it ends as missing_in_terminal_log.

{{ config(materialized='view') }}

with

acquirer_merchants as (

    -- Shops that share an acquirer's id: the first one stands for all until a match says which it was.
    select
        acquirer,
        acquirer_merchant_id,
        min(merchant_id) as merchant_id
    from {{ ref('int_recon__acquirer_merchants') }}
    group by acquirer, acquirer_merchant_id

),

received as (

    {{ staged_settlement_lines() }}

)

select
    lines.line_key,
    lines.file_no,
    lines.line_no,
    {{ run_date() }} as first_run_date,
    cast(null as varchar) as opening_state,
    lines.acquirer,
    coalesce(acquirer_merchants.merchant_id, lines.acquirer_merchant_id) as merchant_id,
    lines.acquirer_merchant_id,
    lines.terminal_id,
    lines.stan,
    lines.rrn,
    lines.auth_code,
    lines.acquirer_txn_no,
    lines.orig_acquirer_txn_no,
    lines.orig_stan,
    lines.orig_txn_local,
    lines.merchant_order_no,
    lines.line_kind,
    lines.channel,
    lines.txn_type,
    lines.card_masked,
    lines.card_type,
    lines.currency,
    lines.gross_minor,
    lines.fee_minor,
    lines.net_minor,
    lines.txn_local,
    lines.settlement_date

from received as lines
left join acquirer_merchants
    on
        lines.acquirer = acquirer_merchants.acquirer
        and lines.acquirer_merchant_id = acquirer_merchants.acquirer_merchant_id

union all

select
    line_key,
    file_no,
    line_no,
    first_run_date,
    match_state as opening_state,
    acquirer,
    merchant_id,
    acquirer_merchant_id,
    terminal_id,
    stan,
    rrn,
    auth_code,
    acquirer_txn_no,
    cast(null as varchar) as orig_acquirer_txn_no,
    cast(null as varchar) as orig_stan,
    cast(null as timestamp) as orig_txn_local,
    merchant_order_no,
    line_kind,
    channel,
    txn_type,
    card_masked,
    card_type,
    currency,
    gross_minor,
    fee_minor,
    net_minor,
    txn_local,
    settlement_date

from {{ source('opening', 'settlement_items') }}
