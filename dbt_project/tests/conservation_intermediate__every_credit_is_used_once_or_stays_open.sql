-- Lost if this fails: a bank credit that funds two payouts with the same money (one of them was never paid), or one
-- that is forgotten although it explains nothing yet. What an entry pays adds up to the entry, to the last unit.

with

entries as (

    select
        entry_key,
        acquirer,
        amount_minor
    from {{ ref('stg_bank__entries') }}
    where acquirer is not null

    union all

    select
        entry_key,
        acquirer,
        amount_minor
    from {{ source('opening', 'bank_entries') }}

),

uses as (

    select
        entry_key,
        'funds ' || min(payout_id) as use_of_entry,
        sum(amount_minor) as amount_minor
    from {{ ref('int_recon__payout_entries') }}
    group by entry_key

    union all

    select
        entry_key,
        'open' as use_of_entry,
        amount_minor
    from {{ ref('int_recon__closing_bank_entries') }}

)

select
    entries.entry_key,
    entries.acquirer,
    entries.amount_minor,
    count(uses.entry_key) as use_count,
    min(uses.use_of_entry) as first_use,
    max(uses.use_of_entry) as last_use

from entries
full outer join uses
    on entries.entry_key = uses.entry_key
group by entries.entry_key, entries.acquirer, entries.amount_minor
having
    count(uses.entry_key) is distinct from 1
    or entries.entry_key is null
    or max(uses.amount_minor) is distinct from entries.amount_minor
