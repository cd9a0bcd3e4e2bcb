-- Grain: one row per bank statement that another one may still precede or follow, tonight's and those of earlier
-- nights. Each opens where the one before it closed, and carries the next number: what does not is a gap.
-- The order is that of day, number and page. A bank that does not number its statements may send those of a day in any
-- order, so any one of the same day or of the last day before may be the one that closes with the opening balance.

with

pool as (

    select
        statements.statement_key,
        statements.account,
        statements.currency,
        files.source,
        statements.statement_no,
        statements.opening_minor,
        statements.closing_date,
        statements.closing_minor,
        true as is_new,
        false as is_continued,
        cast(null as date) as gap_since
    from {{ ref('stg_bank__statements') }} as statements
    inner join {{ ref('stg_landing__files') }} as files
        on statements.file_no = files.file_no

    union all

    select
        statement_key,
        account,
        currency,
        source,
        statement_no,
        opening_minor,
        closing_date,
        closing_minor,
        false as is_new,
        is_continued,
        gap_since
    from {{ source('opening', 'statements') }}

),

-- As SWIFT writes it: number/page of five digits at most. What is longer is a date or a name, and no number.
numbered as (

    select
        *,
        cast(
            nullif(regexp_extract(statement_no, '^([0-9]{1,5})(/([0-9]{1,5}))?$', 1), '') as integer
        ) as number_no,
        cast(
            nullif(regexp_extract(statement_no, '^([0-9]{1,5})(/([0-9]{1,5}))?$', 3), '') as integer
        ) as page_no
    from pool

),

placed as (

    select
        *,
        row_number() over (
            partition by account, currency
            order by closing_date, coalesce(number_no, 0), coalesce(page_no, 0), statement_key
        ) as place
    from numbered

),

days as (

    select distinct
        account,
        currency,
        closing_date
    from placed

),

earlier_days as (

    select
        account,
        currency,
        closing_date,
        lag(closing_date) over (
            partition by account, currency
            order by closing_date
        ) as earlier_date
    from days

),

tied as (

    select distinct later.statement_key
    from placed as later
    inner join earlier_days
        on
            later.account = earlier_days.account
            and later.currency = earlier_days.currency
            and later.closing_date = earlier_days.closing_date
    inner join placed as earlier
        on
            later.account = earlier.account
            and later.currency = earlier.currency
            and later.opening_minor = earlier.closing_minor
            and later.statement_key is distinct from earlier.statement_key
            and (
                earlier_days.earlier_date = earlier.closing_date
                or (
                    later.closing_date = earlier.closing_date
                    and (later.place > earlier.place or later.number_no is null or earlier.number_no is null)
                )
            )

),

-- The next statement that an earlier night already placed: when that one was continued, what comes late before it
-- only says again what is known.
next_known as (

    select
        arrived.statement_key,
        min(known.place) as place
    from placed as arrived
    inner join placed as known
        on
            arrived.account = known.account
            and arrived.currency = known.currency
            and arrived.place < known.place
    where arrived.is_new and not known.is_new
    group by arrived.statement_key

),

compared as (

    select
        placed.*,
        previous.statement_key as previous_key,
        previous.statement_no as previous_statement_no,
        previous.closing_date as previous_date,
        previous.closing_minor as previous_closing_minor,
        case
            when tied.statement_key is null then placed.opening_minor - previous.closing_minor
            else 0
        end as difference_minor,
        -- A year begins its numbers anew, and a bank may number by the day of the year, or count weekends and holidays.
        case
            when
                placed.source = previous.source
                and extract(year from placed.closing_date) = extract(year from previous.closing_date)
                and placed.number_no - previous.number_no > 1
                and (
                    calendar.banking_day_no - previous_calendar.banking_day_no > 1
                    or (placed.number_no - previous.number_no)
                    is distinct from (placed.closing_date - previous.closing_date)
                )
                and (placed.number_no is distinct from date_part('doy', placed.closing_date))
                then placed.number_no - previous.number_no - 1
            else 0
        end as missing_numbers,
        case
            when
                placed.source = previous.source
                and placed.closing_date = previous.closing_date
                and placed.number_no = previous.number_no
                and placed.page_no - previous.page_no > 1
                then placed.page_no - previous.page_no - 1
            else 0
        end as missing_pages,
        coalesce(followed.is_continued, false) as is_repeat
    from placed
    left join placed as previous
        on
            placed.account = previous.account
            and placed.currency = previous.currency
            and placed.place = previous.place + 1
    left join {{ ref('stg_reference__banking_calendar') }} as calendar
        on placed.closing_date = calendar.calendar_date
    left join {{ ref('stg_reference__banking_calendar') }} as previous_calendar
        on previous.closing_date = previous_calendar.calendar_date
    left join tied
        on placed.statement_key = tied.statement_key
    left join next_known
        on placed.statement_key = next_known.statement_key
    left join placed as followed
        on
            placed.account = followed.account
            and placed.currency = followed.currency
            and next_known.place = followed.place

),

judged as (

    select
        *,
        previous_key is not null
        and not is_continued
        and not is_repeat
        and (difference_minor is distinct from 0 or missing_numbers > 0 or missing_pages > 0) as is_gap
    from compared

)

select
    statement_key,
    account,
    currency,
    source,
    statement_no,
    opening_minor,
    closing_date,
    closing_minor,
    previous_key,
    previous_statement_no,
    previous_date,
    previous_closing_minor,
    difference_minor,
    missing_numbers,
    missing_pages,
    is_gap,
    is_continued or is_repeat or (previous_key is not null and not is_gap) as is_continued,
    case when is_gap then coalesce(gap_since, {{ run_date() }}) end as gap_since

from judged
