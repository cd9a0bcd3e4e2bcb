-- Grain: one row per expected file that has not come by tonight.
-- A refused, held or repeated file does not count as come: its rows are not in.

with

expected as (

    select
        source,
        feed,
        logical_name,
        logical_key,
        business_date
    from {{ ref('stg_landing__expected_files') }}

    union

    select
        source,
        feed,
        logical_name,
        logical_key,
        business_date
    from {{ source('opening', 'missing_files') }}

),

loaded as (

    select distinct
        source,
        coalesce(logical_key, '') as logical_key,
        business_date
    from {{ ref('stg_landing__files') }}
    where state = 'loaded'

)

select
    expected.source,
    expected.feed,
    expected.logical_name,
    expected.logical_key,
    expected.business_date

from expected
left join loaded
    on
        expected.source = loaded.source
        and expected.logical_key = loaded.logical_key
        and expected.business_date = loaded.business_date
where loaded.source is null
