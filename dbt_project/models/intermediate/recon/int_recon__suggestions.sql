-- Grain: one row per (item_key, line_key) that may belong together, while neither side is matched.
-- Nothing here is ever accepted. Each reason names what agrees at the same merchant within a day; a person decides.
-- Reasons that hold for a crowd say nothing, so larger groups are left out.

{% set reasons = [
    ('same_amount', ['amount_minor']),
    ('same_reference', ['rrn']),
    ('same_trace_number', ['terminal_id', 'stan']),
    ('same_order_number', ['merchant_order_no']),
    ('same_card_digits', ['card_last4']),
] %}

with

open_items as (

    select matchable.*
    from {{ ref('int_recon__left_items') }} as matchable
    inner join {{ ref('int_recon__item_states') }} as states
        on matchable.item_key = states.item_key
    where states.match_state in ('pending', 'unmatched', 'ambiguous')

),

open_lines as (

    select matchable.*
    from {{ ref('int_recon__left_lines') }} as matchable
    inner join {{ ref('int_recon__line_states') }} as states
        on matchable.line_key = states.line_key
    where states.match_state in ('pending', 'unmatched', 'ambiguous')

),
{% for reason, keys in reasons %}

{{ reason }} as (

    select
        open_items.item_key,
        open_lines.line_key,
        '{{ reason }}' as reason,
        open_lines.amount_minor - open_items.amount_minor as delta_minor,
        cast({{ seconds_apart('open_items.txn_local', 'open_lines.txn_local') }} as bigint) as seconds_apart
    from open_items
    inner join open_lines
        on
            open_items.acquirer = open_lines.acquirer
            and open_items.merchant_id = open_lines.merchant_id
            and open_items.currency = open_lines.currency
            {%- for key in keys %}
            and open_items.{{ key }} = open_lines.{{ key }}
            {%- endfor %}
            and {{ seconds_apart('open_items.txn_local', 'open_lines.txn_local') }}
            <= {{ tolerance_tonight('suggestion_window_s') }}

),
{% endfor %}

everything as (

    {% for reason, _ in reasons %}
    select * from {{ reason }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

sized as (

    select
        everything.*,
        count(*) over (partition by everything.reason, everything.item_key) as lines_of_item,
        count(*) over (partition by everything.reason, everything.line_key) as items_of_line
    from everything

)

select
    item_key,
    line_key,
    string_agg(
        reason, ', '
        order by reason
    ) as reasons,
    count(*) as reason_count,
    min(delta_minor) as delta_minor,
    min(seconds_apart) as seconds_apart

from sized
where
    greatest(lines_of_item, items_of_line) <= {{ tolerance_tonight('suggestion_group_max') }}
group by item_key, line_key
