-- Grain: one row per run of missing STANs of an earlier night of which at least one number came tonight.

select
    gaps.item_key,
    gaps.first_missing,
    gaps.last_missing,
    gaps.missing_count,
    count(*) as came_count,
    min(tonight.item_key) as first_item_key

from {{ source('opening', 'stan_gaps') }} as gaps
inner join {{ ref('int_recon__trace_numbers') }} as tonight
    on
        gaps.merchant_id = tonight.merchant_id
        and gaps.terminal_id = tonight.terminal_id
        and gaps.batch_no = tonight.batch_no
        and (
            tonight.stan_no between gaps.first_missing and gaps.last_missing
            or (
                -- The run wraps from 999999 to 000001.
                gaps.first_missing > gaps.last_missing
                and (tonight.stan_no >= gaps.first_missing or tonight.stan_no <= gaps.last_missing)
            )
        )
group by gaps.item_key, gaps.first_missing, gaps.last_missing, gaps.missing_count
