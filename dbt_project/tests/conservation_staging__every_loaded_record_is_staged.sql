-- Lost if this fails: the money of records that were loaded from a file and that no staging model passes on, for
-- example because a feed has no staging model yet.
-- Rows and money of each loaded file, as counted on arrival, are its rows and money in staging. The total of a
-- settlement file is its net, the total of any other its amounts; batch totals carry none.

with

staged as (

    select
        file_no,
        amount_minor
    from {{ ref('stg_terminal__events') }}

    union all

    select
        file_no,
        cast(null as bigint) as amount_minor
    from {{ ref('stg_terminal__batch_closes') }}

    union all

    select
        file_no,
        net_minor as amount_minor
    from ({{ staged_settlement_lines() }}) as settlement_lines

    union all

    select
        file_no,
        amount_minor
    from {{ ref('stg_bank__entries') }}

    union all

    select
        file_no,
        amount_minor
    from {{ ref('stg_wallet__ledger_entries') }}

),

totals as (

    select
        file_no,
        count(*) as staged_records,
        sum(amount_minor) as staged_minor
    from staged
    group by file_no

)

select
    files.file_id,
    files.file_name,
    files.loaded,
    coalesce(totals.staged_records, 0) as staged_records,
    files.computed_minor,
    totals.staged_minor

from {{ ref('stg_landing__files') }} as files
left join totals
    on files.file_no = totals.file_no
where
    files.state = 'loaded'
    and files.feed is distinct from 'reference'
    and (
        files.loaded is distinct from coalesce(totals.staged_records, 0)
        or coalesce(files.computed_minor, 0) is distinct from coalesce(totals.staged_minor, 0)
    )

union all

-- A record of a file that was never loaded.
select
    cast(null as varchar) as file_id,
    'file_no ' || cast(totals.file_no as varchar) as file_name,
    cast(null as bigint) as loaded,
    totals.staged_records,
    cast(null as bigint) as computed_minor,
    totals.staged_minor

from totals
left join {{ ref('stg_landing__files') }} as files
    on
        totals.file_no = files.file_no
        and files.state = 'loaded'
where files.file_no is null
