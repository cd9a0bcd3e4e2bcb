-- Grain: one row per contiguous run of STANs that a terminal did not log within one batch.
-- A terminal counts every message, so a hole is a lost record. Numbers run 000001–999999 and wrap, so a batch is read
-- as an arc of a circle: the largest hole is the part of the circle where the batch is not, every other one is a gap.
-- A STAN that is no number belongs to no sequence.

with

tonight as (

    select
        events.merchant_id,
        events.terminal_id,
        events.batch_no,
        try_cast(events.stan as integer) as stan_no,
        min(events.item_key) as item_key
    from {{ ref('stg_terminal__events') }} as events
    where try_cast(events.stan as integer) is not null and events.batch_no is not null
    group by events.merchant_id, events.terminal_id, events.batch_no, try_cast(events.stan as integer)

),

earlier as (

    select
        known.merchant_id,
        known.terminal_id,
        known.batch_no,
        try_cast(known.stan as integer) as stan_no,
        min(known.item_key) as item_key
    from {{ source('opening', 'known_events') }} as known
    inner join (select distinct
        merchant_id,
        terminal_id,
        batch_no
    from tonight) as batches
        on
            known.merchant_id = batches.merchant_id
            and known.terminal_id = batches.terminal_id
            and known.batch_no = batches.batch_no
    where try_cast(known.stan as integer) is not null
    group by known.merchant_id, known.terminal_id, known.batch_no, try_cast(known.stan as integer)

),

logged as (

    select
        merchant_id,
        terminal_id,
        batch_no,
        stan_no,
        min(item_key) as item_key
    from (
        select * from tonight
        union all
        select * from earlier
    ) as both_parts
    group by merchant_id, terminal_id, batch_no, stan_no

),

-- Most batches have no hole: numbers that are as many as they span need no sorting.
with_holes as (

    select
        merchant_id,
        terminal_id,
        batch_no,
        min(stan_no) as first_stan_no,
        max(stan_no) as last_stan_no
    from logged
    group by merchant_id, terminal_id, batch_no
    having count(*) < max(stan_no) - min(stan_no) + 1

),

steps as (

    select
        logged.merchant_id,
        logged.terminal_id,
        logged.batch_no,
        logged.stan_no,
        logged.item_key,
        with_holes.first_stan_no,
        with_holes.last_stan_no,
        lag(logged.stan_no) over (
            partition by logged.merchant_id, logged.terminal_id, logged.batch_no
            order by logged.stan_no
        ) as previous_stan_no
    from logged
    inner join with_holes
        on
            logged.merchant_id = with_holes.merchant_id
            and logged.terminal_id = with_holes.terminal_id
            and logged.batch_no = with_holes.batch_no

),

holes as (

    -- The hole ends just before this record; the first record of the circle follows the last one.
    select
        merchant_id,
        terminal_id,
        batch_no,
        item_key,
        coalesce(previous_stan_no, last_stan_no) % 999999 + 1 as first_missing,
        (stan_no + 999997) % 999999 + 1 as last_missing,
        case
            when previous_stan_no is null then 999999 - last_stan_no + stan_no - 1
            else stan_no - previous_stan_no - 1
        end as missing_count
    from steps

),

ranked as (

    select
        *,
        row_number() over (
            partition by merchant_id, terminal_id, batch_no
            order by missing_count desc, first_missing asc
        ) as size_rank
    from holes

)

select
    merchant_id,
    terminal_id,
    batch_no,
    item_key,
    first_missing,
    last_missing,
    missing_count

from ranked
where missing_count > 0 and size_rank > 1
