-- Grain: one row per break that tonight's data shows on the status of a record.
-- declined_but_settled, reversed_but_settled: a line whose event was never approved, or was taken back, also on a night
-- after the one that paired them: the pair stands, and is wrong.
-- duplicate_in_*: the later copy of a record. chargeback: a dispute line, with its original where it is known.
-- ambiguous_match: a member of a group that fits several ways.

with

groups as (

    select
        item_key,
        line_key,
        min(group_id) as group_id,
        min(match_rule) as match_rule
    from {{ ref('int_recon__ambiguous_candidates') }}
    group by item_key, line_key

)

select
    case
        when states.not_expected_reason = 'declined' then 'declined_but_settled'
        else 'reversed_but_settled'
    end as break_type,
    states.item_key,
    states.line_key,
    states.item_key as subject_key,
    abs(pool.gross_minor) as amount_at_risk_minor,
    pool.currency,
    false as file_missing,
    {{ json_detail([
        ('not_expected_reason', 'states.not_expected_reason'),
        ('settled_minor', 'pool.gross_minor'),
    ]) }} as detail
from {{ ref('int_recon__item_states') }} as states
inner join {{ ref('int_recon__settlement_pool') }} as pool
    on states.line_key = pool.line_key
where states.match_state = 'matched' and not states.expects_settlement

union all

select
    'reversed_but_settled' as break_type,
    item_key,
    line_key,
    item_key as subject_key,
    amount_minor as amount_at_risk_minor,
    currency,
    false as file_missing,
    {{ json_detail([
        ('not_expected_reason', 'voided_reason'),
        ('settled_before_it', 'true'),
    ]) }} as detail
from {{ ref('int_recon__late_cancellations') }}
where line_key is not null

union all

{% for break_type, copies, pool, key, money in [
    ('duplicate_in_terminal_log', 'int_recon__terminal_duplicates', 'int_recon__terminal_pool', 'item_key', 'amount_minor'),
    ('duplicate_in_settlement', 'int_recon__settlement_duplicates', 'int_recon__settlement_pool', 'line_key', 'gross_minor'),
] %}
select
    '{{ break_type }}' as break_type,
    {% if key == 'item_key' %}duplicates.item_key{% else %}cast(null as bigint) as item_key{% endif %},
    {% if key == 'line_key' %}duplicates.line_key{% else %}cast(null as bigint) as line_key{% endif %},
    duplicates.{{ key }} as subject_key,
    abs(pool.{{ money }}) as amount_at_risk_minor,
    pool.currency,
    false as file_missing,
    {{ json_detail([
        ('first_file', 'first_files.file_name'),
        ('first_line', 'duplicates.first_' ~ key ~ ' % 4294967296'),
        ('first_file_id', 'first_files.file_id'),
    ]) }} as detail
from {{ ref(copies) }} as duplicates
inner join {{ ref(pool) }} as pool
    on duplicates.{{ key }} = pool.{{ key }}
left join {{ ref('stg_landing__file_names') }} as first_files
    on {{ int_div('duplicates.first_' ~ key, '4294967296') }} = first_files.file_no

union all
{% endfor %}
select
    'chargeback' as break_type,
    cast(null as bigint) as item_key,
    pool.line_key,
    pool.line_key as subject_key,
    abs(pool.gross_minor) as amount_at_risk_minor,
    pool.currency,
    false as file_missing,
    {{ json_detail([
        ('disputed_minor', 'pool.gross_minor'),
        ('orig_stan', 'pool.orig_stan'),
        ('orig_txn_local', 'cast(pool.orig_txn_local as varchar)'),
        ('original_file', 'original_files.file_name'),
        ('original_line', 'originals.original_key % 4294967296'),
        ('original_file_id', 'original_files.file_id'),
    ]) }} as detail
from {{ ref('int_recon__line_states') }} as states
inner join {{ ref('int_recon__settlement_pool') }} as pool
    on states.line_key = pool.line_key
left join {{ ref('int_recon__chargeback_originals') }} as originals
    on states.line_key = originals.line_key
left join {{ ref('stg_landing__file_names') }} as original_files
    on {{ int_div('originals.original_key', '4294967296') }} = original_files.file_no
where states.excluded_reason = 'chargeback'

union all

select
    'ambiguous_match' as break_type,
    groups.item_key,
    cast(null as bigint) as line_key,
    groups.item_key as subject_key,
    max(abs(states.amount_minor)) as amount_at_risk_minor,
    min(states.currency) as currency,
    false as file_missing,
    {{ json_detail([
        ('group_id', 'min(groups.group_id)'),
        ('match_rule', 'min(groups.match_rule)'),
        ('candidate_count', 'count(*)'),
    ]) }} as detail
from groups
inner join {{ ref('int_recon__item_states') }} as states
    on groups.item_key = states.item_key
where states.match_state = 'ambiguous'
group by groups.item_key

union all

select
    'ambiguous_match' as break_type,
    cast(null as bigint) as item_key,
    groups.line_key,
    groups.line_key as subject_key,
    max(abs(states.gross_minor)) as amount_at_risk_minor,
    min(states.currency) as currency,
    false as file_missing,
    {{ json_detail([
        ('group_id', 'min(groups.group_id)'),
        ('match_rule', 'min(groups.match_rule)'),
        ('candidate_count', 'count(*)'),
    ]) }} as detail
from groups
inner join {{ ref('int_recon__line_states') }} as states
    on groups.line_key = states.line_key
where states.match_state = 'ambiguous'
group by groups.line_key
