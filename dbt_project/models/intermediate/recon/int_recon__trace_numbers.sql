-- Grain: one row per STAN that a terminal's batch shows tonight, with the first record that has it.
-- A record in quarantine was written by the terminal all the same: when its STAN can be read, it is not missing.

with

events as (

    select
        merchant_id,
        terminal_id,
        batch_no,
        try_cast(stan as integer) as stan_no,
        item_key,
        cast(txn_local as date) as txn_date
    from {{ ref('stg_terminal__events') }}

    union all

    select
        merchant_id,
        terminal_id,
        batch_no,
        try_cast(stan as integer) as stan_no,
        record_key as item_key,
        cast(null as date) as txn_date
    from {{ ref('stg_landing__quarantined_records') }}
    where merchant_id is not null and terminal_id is not null

)

select
    merchant_id,
    terminal_id,
    batch_no,
    stan_no,
    min(item_key) as item_key,
    min(txn_date) as txn_date

from events
where stan_no is not null and batch_no is not null
group by merchant_id, terminal_id, batch_no, stan_no
