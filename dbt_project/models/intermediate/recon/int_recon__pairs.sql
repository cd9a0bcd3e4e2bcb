-- Grain: one row per pair accepted tonight; an item and a line are in at most one (tested on both sides).

{{ config(materialized='view') }}

select * from {{ ref('int_recon__pass_pairs') }}

union all

select * from {{ ref('int_recon__interchangeable_pairs') }}
