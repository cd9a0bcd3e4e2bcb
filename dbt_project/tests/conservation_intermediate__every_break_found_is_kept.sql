-- Lost if this fails: a claim that tonight's data shows and that no reader would ever see.
-- Last night's breaks plus those found tonight for the first time are tonight's; each found one is there, once.

with

counted as (

    select
        (select count(*) from {{ ref('int_recon__breaks_found') }}) as found_count,
        (select count(*) from {{ source('opening', 'breaks') }}) as opening_count,
        count(*) as closing_count,
        count(distinct break_id) as distinct_count,
        sum(cast(opened_on = {{ run_date() }} as integer)) as opened_count
    from {{ ref('int_recon__closing_breaks') }}

)

select * from counted
where
    closing_count is distinct from distinct_count
    or closing_count is distinct from opening_count + coalesce(opened_count, 0)
    or coalesce(opened_count, 0) > found_count
