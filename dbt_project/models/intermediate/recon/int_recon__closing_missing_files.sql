-- Grain: one row per expected file that has not come by tonight.

{{ config(materialized='view') }}

select
    source,
    feed,
    logical_name,
    logical_key,
    business_date

from {{ ref('int_recon__missing_files') }}
