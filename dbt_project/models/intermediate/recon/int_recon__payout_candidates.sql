-- Grain: one row per (payout, bank entry) of the same acquirer, account and currency within the window.
-- is_named: the text names the merchant, by our id or by the acquirer's. A text that names another merchant of the
-- account speaks against the pair, so those are left out.

with

entries as (

    select * from {{ ref('int_recon__bank_pool') }}

),

payouts as (

    select * from {{ ref('int_recon__payout_pool') }}

),

-- Every merchant that a text may name, also one that has no open payout: its money is not another's.
accounts as (

    select
        acquirer,
        merchant_id,
        acquirer_merchant_id,
        settlement_account
    from payouts

    union

    select
        acquirer,
        merchant_id,
        acquirer_merchant_id,
        settlement_account
    from {{ ref('int_recon__acquirer_merchants') }}

),

-- An id counts only as a whole word: M1 is not in M12, but it is in M1-20261113. Every other character gets blanks
-- around it, in texts and in ids, so that an id with a hyphen is found as it is written. Ids of digits may stand next
-- to letters (MID898…), so they are looked for among the runs of digits.
texts as (

    select
        entry_key,
        acquirer,
        account,
        {{ spaced('narrative') }} as words,
        ' ' || regexp_replace(narrative, '[^0-9]+', ' ', 'g') || ' ' as numbers
    from entries

),

ids as (

    select
        acquirer,
        merchant_id,
        settlement_account,
        merchant_id as id_text,
        {{ spaced('merchant_id') }} as id_words
    from accounts

    union

    select
        acquirer,
        merchant_id,
        settlement_account,
        acquirer_merchant_id as id_text,
        {{ spaced('acquirer_merchant_id') }} as id_words
    from accounts
    where acquirer_merchant_id is not null

),

found as (

    select distinct
        texts.entry_key,
        ids.merchant_id,
        ids.id_words
    from texts
    inner join ids
        on
            texts.acquirer = ids.acquirer
            and texts.account = ids.settlement_account
    where
        contains(texts.words, ids.id_words)
        or (
            regexp_matches(ids.id_text, '^[0-9]+$')
            and contains(texts.numbers, ' ' || ids.id_text || ' ')
        )

),

-- Of two ids of which one begins the other (M1 and M1-2), a text that has the longer one means that.
named as (

    select distinct
        found.entry_key,
        found.merchant_id
    from found
    left join found as longer
        on
            found.entry_key = longer.entry_key
            and found.id_words is distinct from longer.id_words
            and contains(longer.id_words, found.id_words)
    where longer.entry_key is null

),

named_entries as (

    select distinct entry_key from named

)

select
    payouts.payout_id,
    payouts.acquirer,
    payouts.merchant_id,
    payouts.settlement_account,
    payouts.currency,
    payouts.settlement_date,
    payouts.due_date,
    entries.entry_key,
    named.merchant_id is not null as is_named,
    entries.value_date = payouts.due_date as is_on_due_date,
    -- The text may say which day it pays: 20261113 or 2026-11-13.
    contains(texts.numbers, ' ' || replace(cast(payouts.settlement_date as varchar), '-', '') || ' ')
    or contains(texts.numbers, ' ' || replace(cast(payouts.settlement_date as varchar), '-', ' ') || ' ')
        as is_dated,
    entries.amount_minor,
    payouts.expected_net_minor - payouts.received_minor as outstanding_minor

from payouts
inner join entries
    on
        payouts.acquirer = entries.acquirer
        and payouts.settlement_account = entries.account
        and payouts.currency = entries.currency
        and payouts.payable_until >= entries.value_date
inner join texts
    on entries.entry_key = texts.entry_key
left join named
    on
        entries.entry_key = named.entry_key
        and payouts.merchant_id = named.merchant_id
left join named_entries
    on entries.entry_key = named_entries.entry_key
where
    (named.merchant_id is not null or named_entries.entry_key is null)
    and payouts.settlement_date <= entries.value_date
-- Money comes after the settlement date; on it when the acquirer's file names the day on which it pays, or when the
-- text names the merchant and nothing older of that merchant waits: a Monday's credit is for the weekend.
qualify
    payouts.settlement_date < entries.value_date
    or payouts.due_date = payouts.settlement_date
    or (
        named.merchant_id is not null
        and min(payouts.settlement_date) over (partition by entries.entry_key, payouts.merchant_id)
        = payouts.settlement_date
    )
