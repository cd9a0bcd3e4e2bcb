-- Grain: one row per later copy of a settlement line (the first one stands).
-- The acquirer's own transaction number says what is the same transaction. A line without one is the same as
-- another when terminal, STAN and time agree, as UnionPay's network key does.

with

tonight as (

    select
        line_key,
        acquirer,
        acquirer_merchant_id,
        line_kind,
        txn_type,
        coalesce(
            acquirer_txn_no,
            coalesce(terminal_id, '') || '|' || stan || '|' || cast(txn_local as varchar)
        ) as transaction_key
    from {{ ref('int_recon__settlement_pool') }}
    where opening_state is null

),

repeated_tonight as (

    select
        acquirer,
        acquirer_merchant_id,
        line_kind,
        txn_type,
        transaction_key,
        min(line_key) as first_line_key
    from tonight
    where transaction_key is not null
    group by acquirer, acquirer_merchant_id, line_kind, txn_type, transaction_key
    having count(*) > 1

),

firsts as (

    select
        *,
        false as is_known
    from repeated_tonight

    union all

    select
        acquirer,
        acquirer_merchant_id,
        line_kind,
        txn_type,
        coalesce(
            acquirer_txn_no,
            coalesce(terminal_id, '') || '|' || stan || '|' || cast(txn_local as varchar)
        ) as transaction_key,
        line_key as first_line_key,
        true as is_known
    from {{ source('opening', 'known_lines') }}

)

select
    tonight.line_key,
    coalesce(
        min(case when firsts.is_known then firsts.first_line_key end),
        min(firsts.first_line_key)
    ) as first_line_key

from tonight
inner join firsts
    on
        tonight.acquirer = firsts.acquirer
        and tonight.acquirer_merchant_id = firsts.acquirer_merchant_id
        and tonight.line_kind = firsts.line_kind
        and tonight.txn_type = firsts.txn_type
        and tonight.transaction_key = firsts.transaction_key
-- An earlier night comes first whatever the number of its file: a file that was accepted in place of one of that
-- night has a later number.
where firsts.is_known or tonight.line_key > firsts.first_line_key
group by tonight.line_key
