-- Lost if this fails: the money of raw rows that staging drops or doubles, for example the lines of an acquirer that
-- no staging model reads.

with

counted as (

    select
        'terminal events' as what,
        'raw' as layer,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ source('raw', 'terminal_events') }}

    union all

    select
        'terminal events' as what,
        'staging' as layer,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ ref('stg_terminal__events') }}

    union all

    select
        'settlement lines' as what,
        'raw' as layer,
        count(*) as row_count,
        sum(net_minor) as total_minor
    from {{ source('raw', 'settlement_lines') }}

    union all

    select
        'settlement lines' as what,
        'staging' as layer,
        count(*) as row_count,
        sum(net_minor) as total_minor
    from ({{ staged_settlement_lines() }}) as settlement_lines

    union all

    select
        'bank entries' as what,
        'raw' as layer,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ source('raw', 'bank_entries') }}

    union all

    select
        'bank entries' as what,
        'staging' as layer,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ ref('stg_bank__entries') }}

    union all

    select
        'ledger entries' as what,
        'raw' as layer,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ source('raw', 'ledger_entries') }}

    union all

    select
        'ledger entries' as what,
        'staging' as layer,
        count(*) as row_count,
        sum(amount_minor) as total_minor
    from {{ ref('stg_wallet__ledger_entries') }}

)

select
    arrived.what,
    arrived.row_count as raw_rows,
    staged.row_count as staged_rows,
    arrived.total_minor as raw_minor,
    staged.total_minor as staged_minor

from counted as arrived
inner join counted as staged
    on arrived.what = staged.what
where
    arrived.layer = 'raw'
    and staged.layer = 'staging'
    and (
        arrived.row_count is distinct from staged.row_count
        or arrived.total_minor is distinct from staged.total_minor
    )
