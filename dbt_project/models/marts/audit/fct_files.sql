-- Grain: one row per file seen tonight, and one per file that is still missing.
-- A missing file has no bytes and no hash; its id is made from its logical name, so it is the same on every night.

with

received as (

    select
        file_id,
        source,
        logical_name,
        file_name,
        sha256,
        bytes,
        business_date,
        state,
        records,
        loaded,
        quarantined,
        declared_minor,
        computed_minor,
        encoding,
        reason,
        feed,
        logical_key,
        file_no,
        true as is_final
    from {{ ref('stg_landing__files') }}

),

missing as (

    select
        'missing-' || substr(md5(source || '|' || logical_key || '|' || cast(business_date as varchar)), 1, 16)
            as file_id,
        source,
        logical_name,
        cast(null as varchar) as file_name,
        cast(null as varchar) as sha256,
        cast(null as bigint) as bytes,
        business_date,
        'missing' as state,
        cast(null as bigint) as records,
        cast(null as bigint) as loaded,
        cast(null as bigint) as quarantined,
        cast(null as bigint) as declared_minor,
        cast(null as bigint) as computed_minor,
        cast(null as varchar) as encoding,
        'expected by the calendar of the source, not received' as reason,
        feed,
        logical_key,
        cast(null as bigint) as file_no,
        false as is_final
    from {{ ref('int_recon__missing_files') }}

),

all_files as (

    select * from received

    union all

    select * from missing

)

select
    file_id,
    source,
    logical_name,
    file_name,
    sha256,
    bytes,
    business_date,
    {{ run_date() }} as run_date,
    state,
    records,
    loaded,
    quarantined,
    declared_minor,
    computed_minor,
    encoding,
    reason,
    feed,
    logical_key,
    file_no,
    is_final

from all_files
