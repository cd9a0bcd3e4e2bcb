-- Lost if this fails: a line counted as the money of two sales, or of a sale that does not know it.
-- Every accepted pair is matched on both sides, each names the other, and no record is matched outside a pair.

with

items as (

    select
        item_key,
        line_key,
        match_state
    from {{ ref('int_recon__item_states') }}
    where match_state = 'matched' or line_key is not null

),

lines as (

    select
        item_key,
        line_key,
        match_state
    from {{ ref('int_recon__line_states') }}
    where match_state = 'matched' or item_key is not null

)

select
    pairs.item_key as pair_item_key,
    pairs.line_key as pair_line_key,
    items.item_key,
    items.match_state as item_state,
    lines.line_key,
    lines.match_state as line_state

from {{ ref('int_recon__pairs') }} as pairs
full outer join items
    on
        pairs.item_key = items.item_key
        and pairs.line_key = items.line_key
full outer join lines
    on
        coalesce(pairs.item_key, items.item_key) = lines.item_key
        and coalesce(pairs.line_key, items.line_key) = lines.line_key
where
    pairs.item_key is null
    or items.match_state is distinct from 'matched'
    or lines.match_state is distinct from 'matched'
