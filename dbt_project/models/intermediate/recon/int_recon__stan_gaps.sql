-- Grain: one row per contiguous run of STANs that a terminal did not log within one batch, as far as tonight knows.
-- A terminal counts every message, so a hole is a lost record. Numbers run 000001–999999 and wrap, so a batch is read
-- as an arc of a circle: the largest hole is the part of the circle where the batch is not, every other is a gap.
-- A STAN that is no number belongs to no sequence. A run of an earlier night stays as it was until a number comes;
-- then the batch is read again, and what is still missing is one run or several others.

with

tonight as (

    select * from {{ ref('int_recon__trace_numbers') }}

),

earlier as (

    {% for known, txn_date in [
        ('known_events', 'cast(known.txn_local as date)'),
        ('known_refused', 'cast(null as date)'),
    ] %}
    select
        known.merchant_id,
        known.terminal_id,
        known.batch_no,
        try_cast(known.stan as integer) as stan_no,
        known.item_key,
        {{ txn_date }} as txn_date
    from {{ source('opening', known) }} as known
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
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

logged as (

    select
        merchant_id,
        terminal_id,
        batch_no,
        stan_no,
        min(item_key) as item_key,
        min(txn_date) as txn_date
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
        logged.txn_date,
        lag(logged.txn_date) over (
            partition by logged.merchant_id, logged.terminal_id, logged.batch_no
            order by logged.stan_no
        ) as previous_txn_date,
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
        least(previous_txn_date, txn_date) as from_date,
        greatest(previous_txn_date, txn_date) as to_date,
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

),

untouched as (

    select gaps.*
    from {{ source('opening', 'stan_gaps') }} as gaps
    left join {{ ref('int_recon__filled_gaps') }} as filled
        on
            gaps.item_key = filled.item_key
            and gaps.first_missing = filled.first_missing
    where filled.item_key is null

)

select
    ranked.merchant_id,
    ranked.terminal_id,
    ranked.batch_no,
    ranked.item_key,
    ranked.from_date,
    ranked.to_date,
    cast(ranked.first_missing as integer) as first_missing,
    cast(ranked.last_missing as integer) as last_missing,
    cast(ranked.missing_count as integer) as missing_count,
    cast(null as bigint) as amount_at_risk_minor,
    cast(null as varchar) as currency

from ranked
left join untouched
    on
        ranked.merchant_id = untouched.merchant_id
        and ranked.terminal_id = untouched.terminal_id
        and ranked.batch_no = untouched.batch_no
        and ranked.first_missing = untouched.first_missing
        and ranked.last_missing = untouched.last_missing
where
    ranked.missing_count > 0
    and ranked.size_rank > 1
    and untouched.item_key is null

union all

select
    merchant_id,
    terminal_id,
    batch_no,
    item_key,
    from_date,
    to_date,
    first_missing,
    last_missing,
    missing_count,
    amount_at_risk_minor,
    currency
from untouched
