-- Grain: one row per accepted (payout, bank entry); an entry explains one payout, a payout takes one entry a night.
-- In order: the text names the merchant and the amount is exact, on the due date and then within the window; the text
-- names the merchant and it is the only open payout due on the value date (short or over); no name, but the
-- amount is exact and unique on the account. What still fits several ways is not chosen.

with

candidates as (

    select * from {{ ref('int_recon__payout_candidates') }}

),
{% set rules = [
    ('named_exact_on_due_date', 'is_named and is_on_due_date and amount_minor = outstanding_minor'),
    ('named_exact', 'is_named and amount_minor = outstanding_minor'),
    ('named_on_due_date', 'is_named and is_on_due_date'),
    ('exact_amount_on_due_date', 'not is_named and is_on_due_date and amount_minor = outstanding_minor'),
    ('exact_amount', 'not is_named and amount_minor = outstanding_minor'),
] %}
{% for name, predicate in rules %}

fits_{{ name }} as (

    select
        candidates.payout_id,
        candidates.entry_key
    from candidates
    {% if not loop.first %}
    left join taken_before_{{ name }} as by_payout
        on candidates.payout_id = by_payout.payout_id
    left join taken_before_{{ name }} as by_entry
        on candidates.entry_key = by_entry.entry_key
    {% endif %}
    where
        {{ predicate }}
        {%- if not loop.first %}
        and by_payout.payout_id is null
        and by_entry.entry_key is null
        {%- endif %}

),

{{ name }} as (

    select
        payout_id,
        min(entry_key) as entry_key,
        '{{ name }}' as funding_rule
    from (
        select
            payout_id,
            entry_key,
            count(*) over (partition by payout_id) as entry_count,
            count(*) over (partition by entry_key) as payout_count
        from fits_{{ name }}
    ) as counted
    where entry_count = 1 and payout_count = 1
    group by payout_id

){{ ',' }}

taken_before_{{ rules[loop.index][0] if not loop.last else 'end' }} as (
    {% for earlier, _ in rules[:loop.index] %}
    select * from {{ earlier }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

){{ ',' if not loop.last }}
{% endfor %}

select
    payout_id,
    entry_key,
    funding_rule

from taken_before_end
