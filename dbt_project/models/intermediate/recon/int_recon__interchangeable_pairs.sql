-- Grain: one row per pair of a group whose members are interchangeable.
-- When as many items as lines agree on every key of a rule, each item fits each line, and all carry the same money,
-- it makes no difference to anybody which is which: they pair in time order, and the rule's name says so. Groups of
-- one are what remains when a rival was identified by a later pass.

with

paired as (

    select
        item_key,
        line_key
    from {{ ref('int_recon__pass_pairs') }}

),
{% for rule in var('match_ladder') %}

{{ rule.name }}__group as (

    with

    {% for side, key in [('items', 'item_key'), ('lines', 'line_key')] %}
    {{ side }} as (

        select matchable.*
        from {{ ref('int_recon__left_' ~ side) }} as matchable
        left join paired
            on matchable.{{ key }} = paired.{{ key }}
        {%- for earlier in match_rules_before(rule) %}
        left join {{ earlier.name }}__group
            on matchable.{{ key }} = {{ earlier.name }}__group.{{ key }}
        {%- endfor %}
        where
            paired.{{ key }} is null
            {%- for earlier in match_rules_before(rule) %}
            and {{ earlier.name }}__group.{{ key }} is null
            {%- endfor %}

    ),
    {% endfor %}

    {{ match_fitting(rule) }},

    {{ match_candidates('fitting') }},

    keyed as (

        select
            candidates.item_key,
            candidates.line_key,
            items.txn_local as item_local,
            lines.txn_local as line_local,
            items.amount_minor as item_amount_minor,
            lines.amount_minor as line_amount_minor,
            {% for key in rule['keys'] %}items.{{ key }}
            || '|'
            || {% endfor %}'' as group_key
        from candidates
        inner join items
            on candidates.item_key = items.item_key
        inner join lines
            on candidates.line_key = lines.line_key

    ),

    whole_groups as (

        select group_key
        from keyed
        group by group_key
        having
            count(distinct item_key) = count(distinct line_key)
            and count(*) = count(distinct item_key) * count(distinct line_key)
            and min(item_amount_minor) = max(item_amount_minor)
            and min(line_amount_minor) = max(line_amount_minor)

    ),

    in_order as (

        select
            keyed.item_key,
            keyed.line_key,
            dense_rank() over (
                partition by keyed.group_key
                order by keyed.item_local, keyed.item_key
            ) as item_rank,
            dense_rank() over (
                partition by keyed.group_key
                order by keyed.line_local, keyed.line_key
            ) as line_rank,
            count(*) over (partition by keyed.group_key) as pair_count
        from keyed
        inner join whole_groups
            on keyed.group_key = whole_groups.group_key

    )

    select
        item_key,
        line_key,
        '{{ rule.name }}' || case when pair_count > 1 then '_in_time_order' else '_remaining' end as match_rule,
        {{ rule.tier }} as match_tier
    from in_order
    where item_rank = line_rank

){{ ',' if not loop.last }}
{% endfor %}

{% for rule in var('match_ladder') %}
select * from {{ rule.name }}__group
{{ 'union all' if not loop.last }}
{% endfor %}
