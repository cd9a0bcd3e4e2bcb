-- Grain: one row per terminal event that another acquirer settles than the usual one of its channel.
-- Why only those: for all others the channel says it. The longest beginning of the card number that fits decides, so
-- that one acquirer may settle all cards but those of another.

with

fitting as (

    select
        pool.item_key,
        listed.acquirer,
        row_number() over (
            partition by pool.item_key
            order by length(listed.card_prefix) desc, listed.acquirer asc
        ) as preference
    from {{ ref('int_recon__terminal_pool') }} as pool
    inner join {{ ref('stg_reference__acquirer_merchants') }} as listed
        on
            pool.merchant_id = listed.merchant_id
            and pool.channel = listed.channel
            and substr(coalesce(pool.card_masked, ''), 1, length(listed.card_prefix)) = listed.card_prefix

)

select
    item_key,
    acquirer

from fitting
where preference = 1
