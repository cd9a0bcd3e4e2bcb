-- Grain: one row per accepted (payout, bank entry). A payout takes one entry a night, or every one whose text names
-- the merchant and the payout's own day: it may come in parts. An entry pays one payout, or all open payouts of its
-- acquirer to one merchant or one account that share a date, when their sum is the amount to the last fen.
-- The order is the strength of the evidence: a text that names the merchant goes before one that names nobody, an
-- exact amount before a short or long one (whose text says the day, or which is the only one due), one payout before
-- several. What fits several ways is not chosen. A debit never pays a payout that we expect to receive, whomever it
-- names.

{% set exact = 'sum(free.outstanding_minor) = max(free.amount_minor)' %}
{% set same_sign = 'sign(free.amount_minor) = sign(free.outstanding_minor)' %}
{% set exact_sum = 'count(*) > 1 and ' ~ exact %}
{% set of_one_acquirer = "free.acquirer || '|' || free.currency || '|' || " %}
{% set by_merchant_and_due_date = of_one_acquirer ~ "free.merchant_id || '|' || cast(free.due_date as varchar)" %}
{% set by_account_and_settlement_date = of_one_acquirer
    ~ "free.settlement_account || '|' || cast(free.settlement_date as varchar)" %}
{% set by_account_and_due_date = of_one_acquirer ~ "free.settlement_account || '|' || cast(free.due_date as varchar)" %}
{% set rules = [
    ('named_exact_on_due_date', 'free.payout_id', 'free.is_named and free.is_on_due_date', exact),
    ('named_exact', 'free.payout_id', 'free.is_named', exact),
    ('named_sum_on_due_date', by_merchant_and_due_date, 'free.is_named and free.is_on_due_date', exact_sum),
    ('named_and_dated', 'free.payout_id', 'free.is_named and free.is_dated and ' ~ same_sign, 'count(*) = 1'),
    ('named_on_due_date', 'free.payout_id', 'free.is_named and free.is_on_due_date and ' ~ same_sign, 'count(*) = 1'),
    ('exact_amount_on_due_date', 'free.payout_id', 'not free.is_named and free.is_on_due_date', exact),
    ('exact_amount', 'free.payout_id', 'not free.is_named', exact),
    ('account_sum_of_settlement_date', by_account_and_settlement_date, 'not free.is_named', exact_sum),
    ('account_sum_on_due_date', by_account_and_due_date, 'not free.is_named', exact_sum),
] %}

with

candidates as (

    select * from {{ ref('int_recon__payout_candidates') }}

),
{% for name, group_key, fits, adds_up in rules %}

{{ name }}__free as (

    select candidates.*
    from
        candidates
    {%- if not loop.first %}
left join (select distinct payout_id from before_{{ name }}) as paid
    on candidates.payout_id = paid.payout_id
left join (select distinct entry_key from before_{{ name }}) as used
    on candidates.entry_key = used.entry_key
where
    paid.payout_id is null
    and used.entry_key is null
    {%- endif %}

),

{{ name }}__fits as (

    select
        {{ group_key }} as group_key,
        free.entry_key
    from {{ name }}__free as free
    where {{ fits }}
    group by {{ group_key }}, free.entry_key
    having {{ adds_up }}

),

{{ name }}__unique as (

    select
        counted.group_key,
        counted.entry_key
    from (
        select
            group_key,
            entry_key,
            count(*) over (partition by group_key) as entry_count,
            count(*) over (partition by entry_key) as group_count
        from {{ name }}__fits
    ) as counted
    where counted.group_count = 1{% if name != 'named_and_dated' %} and counted.entry_count = 1{% endif %}

),

{{ name }} as (

    select
        free.payout_id,
        free.entry_key,
        '{{ name }}' as funding_rule,
        {% if 'sum' in name %}free.outstanding_minor as amount_minor{% else %}free.amount_minor{% endif %}
    from {{ name }}__free as free
    inner join {{ name }}__unique as chosen
        on
            {{ group_key }} = chosen.group_key
            and free.entry_key = chosen.entry_key
    where {{ fits }}

),

before_{{ rules[loop.index][0] if not loop.last else 'end' }} as (
    {% for earlier in rules[:loop.index] %}
    select * from {{ earlier[0] }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

){{ ',' if not loop.last }}
{% endfor %}

select
    payout_id,
    entry_key,
    funding_rule,
    amount_minor

from before_end
