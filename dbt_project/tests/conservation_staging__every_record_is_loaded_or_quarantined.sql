-- Lost if this fails: the money of records that a file held and that are neither loaded nor refused by name.
-- Every physical record of a loaded file is loaded or stands in quarantine with its reason.

with

refused as (

    select
        file_no,
        count(*) as refused_records
    from {{ ref('stg_landing__quarantined_records') }}
    group by file_no

)

select
    files.file_id,
    files.file_name,
    files.records,
    files.loaded,
    files.quarantined,
    coalesce(refused.refused_records, 0) as refused_records

from {{ ref('stg_landing__files') }} as files
left join refused
    on files.file_no = refused.file_no
where
    files.state = 'loaded'
    and (
        files.records is distinct from files.loaded + files.quarantined
        or files.quarantined is distinct from coalesce(refused.refused_records, 0)
    )
