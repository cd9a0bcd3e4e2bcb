-- Lost if this fails: the money of records that came tonight, or stayed open last night, and that nobody looks at.
-- Tonight's staging plus last night's opening is the pool, in rows and in money, on both sides.

with

counted as (

    select
        'terminal' as side,
        0 as is_pool,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ ref('stg_terminal__events') }}

    union all

    select
        'terminal' as side,
        0 as is_pool,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ source('opening', 'terminal_items') }}

    union all

    select
        'terminal' as side,
        1 as is_pool,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ ref('int_recon__terminal_pool') }}

    union all

    select
        'settlement' as side,
        0 as is_pool,
        count(*) as row_count,
        sum(gross_minor) as total_minor
    from ({{ staged_settlement_lines() }}) as settlement_lines

    union all

    select
        'settlement' as side,
        0 as is_pool,
        count(*) as row_count,
        sum(gross_minor) as total_minor
    from {{ source('opening', 'settlement_items') }}

    union all

    select
        'settlement' as side,
        1 as is_pool,
        count(*) as row_count,
        sum(gross_minor) as total_minor
    from {{ ref('int_recon__settlement_pool') }}

),

totals as (

    select
        side,
        sum((1 - is_pool) * row_count) as received_rows,
        sum(is_pool * row_count) as pool_rows,
        sum((1 - is_pool) * coalesce(total_minor, 0)) as received_minor,
        sum(is_pool * coalesce(total_minor, 0)) as pool_minor
    from counted
    group by side

)

select * from totals
where
    received_rows is distinct from pool_rows
    or received_minor is distinct from pool_minor
