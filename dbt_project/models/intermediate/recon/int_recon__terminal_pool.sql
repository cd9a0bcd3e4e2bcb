-- Grain: one row per terminal event that tonight can still decide: received tonight, or left open last night.
-- Why a view: it is wide. The models that decide read the few columns they need, the mart reads the rest once.

{{ config(materialized='view') }}

{% set columns = [
    'merchant_id',
    'terminal_id',
    'batch_no',
    'stan',
    'rrn',
    'auth_code',
    'merchant_order_no',
    'orig_stan',
    'orig_batch_no',
    'orig_rrn',
    'txn_type',
    'channel',
    'card_masked',
    'card_token',
    'card_type',
    'currency',
    'is_approved',
    'amount_minor',
    'txn_at',
    'txn_local',
    'business_date',
] %}

select
    item_key,
    file_no,
    line_no,
    {{ run_date() }} as first_run_date,
    cast(null as varchar) as opening_state,
    {{ columns | join(',\n    ') }},
    cast(null as varchar) as opening_voided_reason

from {{ ref('stg_terminal__events') }}

union all

select
    item_key,
    file_no,
    line_no,
    first_run_date,
    match_state as opening_state,
    {{ columns | join(',\n    ') }},
    voided_reason as opening_voided_reason

from {{ source('opening', 'terminal_items') }}
