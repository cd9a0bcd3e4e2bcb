-- Grain: one row per expected file that has not come by tonight.
-- A refused, held or repeated file does not count as come: its rows are not in. A statement is the account's for the
-- day, in whatever format the bank sends it: an account that changes from MT940 to camt misses nothing.
-- So is any file whose logical name begins alike: a message log of the terminals stands for their CSV.

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
        case feed when 'bank' then feed else source end as sent_by,
        split_part(logical_name, '/', 1) as file_family,
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
        expected.logical_key = loaded.logical_key
        and expected.business_date = loaded.business_date
        and (
            case expected.feed when 'bank' then expected.feed else expected.source end = loaded.sent_by
            or split_part(expected.logical_name, '/', 1) = loaded.file_family
        )
where loaded.sent_by is null
