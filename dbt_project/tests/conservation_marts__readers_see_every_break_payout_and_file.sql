-- Lost if this fails: a claim, a payout or a file that the night knows and its readers do not.

with

counted as (

    select
        'breaks' as what,
        (select count(*) from {{ ref('int_recon__closing_breaks') }}) as known_rows,
        (select sum(known.amount_at_risk_minor) from {{ ref('int_recon__closing_breaks') }} as known) as known_minor,
        count(*) as shown_rows,
        sum(amount_at_risk_minor) as shown_minor
    from {{ ref('fct_breaks') }}

    union all

    select
        'payouts' as what,
        (select count(*) from {{ ref('int_recon__payout_states') }}) as known_rows,
        (
            select sum(known.received_minor - known.expected_net_minor)
            from {{ ref('int_recon__payout_states') }} as known
        ) as known_minor,
        count(*) as shown_rows,
        sum(delta_minor) as shown_minor
    from {{ ref('fct_payouts') }}

    union all

    select
        'files' as what,
        (select count(*) from {{ ref('stg_landing__files') }})
        + (select count(*) from {{ ref('int_recon__missing_files') }}) as known_rows,
        (select sum(known.computed_minor) from {{ ref('stg_landing__files') }} as known) as known_minor,
        count(*) as shown_rows,
        sum(computed_minor) as shown_minor
    from {{ ref('fct_files') }}

)

select * from counted
where
    known_rows is distinct from shown_rows
    or known_minor is distinct from shown_minor
