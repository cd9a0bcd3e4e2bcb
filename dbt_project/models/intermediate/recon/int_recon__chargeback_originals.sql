-- Grain: one row per dispute line whose original settlement line is known.
-- A dispute names its original by the trace number and the time of the earlier message, at the same merchant.

with

disputes as (

    select
        line_key,
        acquirer,
        acquirer_merchant_id,
        orig_stan,
        orig_txn_local
    from {{ ref('int_recon__settlement_pool') }}
    where line_kind = 'dispute'

),

lines as (

    select
        line_key,
        acquirer,
        acquirer_merchant_id,
        stan,
        txn_local
    from {{ ref('int_recon__settlement_pool') }}
    where line_kind = 'transaction'

    union all

    select
        line_key,
        acquirer,
        acquirer_merchant_id,
        stan,
        txn_local
    from {{ source('opening', 'known_lines') }}
    where line_kind = 'transaction'

)

select
    disputes.line_key,
    min(lines.line_key) as original_key

from disputes
inner join lines
    on
        disputes.acquirer = lines.acquirer
        and disputes.acquirer_merchant_id = lines.acquirer_merchant_id
        and disputes.orig_stan = lines.stan
        and disputes.orig_txn_local = lines.txn_local
group by disputes.line_key
