-- Grain: one row per later copy of a terminal event (the first one stands).
-- The same event is the same merchant, terminal, batch, STAN, type, time and amount. Copies are ordered by receipt:
-- an earlier night, then the number of the file, then the line; never by the order in which a task ran.

with

tonight as (

    select
        item_key,
        merchant_id,
        terminal_id,
        batch_no,
        stan,
        txn_type,
        txn_local,
        amount_minor
    from {{ ref('stg_terminal__events') }}

),

repeated_tonight as (

    select
        merchant_id,
        terminal_id,
        batch_no,
        stan,
        txn_type,
        txn_local,
        amount_minor,
        min(item_key) as first_item_key
    from tonight
    group by merchant_id, terminal_id, batch_no, stan, txn_type, txn_local, amount_minor
    having count(*) > 1

),

firsts as (

    select
        *,
        false as is_known
    from repeated_tonight

    union all

    select
        merchant_id,
        terminal_id,
        batch_no,
        stan,
        txn_type,
        txn_local,
        amount_minor,
        item_key as first_item_key,
        true as is_known
    from {{ source('opening', 'known_events') }}

)

select
    tonight.item_key,
    coalesce(
        min(case when firsts.is_known then firsts.first_item_key end),
        min(firsts.first_item_key)
    ) as first_item_key

from tonight
inner join firsts
    on
        tonight.merchant_id = firsts.merchant_id
        and tonight.terminal_id = firsts.terminal_id
        and tonight.batch_no is not distinct from firsts.batch_no
        and tonight.stan = firsts.stan
        and tonight.txn_type = firsts.txn_type
        and tonight.txn_local = firsts.txn_local
        and tonight.amount_minor = firsts.amount_minor
-- An earlier night comes first whatever the number of its file: a file that was accepted in place of one of that
-- night has a later number.
where firsts.is_known or tonight.item_key > firsts.first_item_key
group by tonight.item_key
