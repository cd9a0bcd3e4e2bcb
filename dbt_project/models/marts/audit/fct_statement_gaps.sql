-- Grain: one row per bank statement that does not open where the one before it closed, or skips a number.
-- Between the two some statement is missing; the row goes when that has come.

with

files as (

    select * from {{ ref('stg_landing__file_names') }}

),

missing_statements as (

    select distinct
        logical_key,
        business_date
    from {{ ref('int_recon__missing_files') }}
    where feed = 'bank'

)

select
    files.file_id || '-' || cast(statements.statement_key % 4294967296 as varchar) as gap_id,
    statements.account,
    statements.currency,
    statements.gap_since as opened_on,
    statements.previous_date,
    statements.previous_statement_no,
    statements.previous_closing_minor,
    previous_files.file_name as previous_bank_file,
    cast(statements.previous_key % 4294967296 as bigint) as previous_bank_line,
    statements.closing_date as statement_date,
    statements.statement_no,
    statements.opening_minor,
    files.file_name as bank_file,
    cast(statements.statement_key % 4294967296 as bigint) as bank_line,
    cast(statements.difference_minor as bigint) as difference_minor,
    cast(statements.missing_numbers as bigint) as missing_numbers,
    cast(statements.missing_pages as bigint) as missing_pages,
    exists(
        select missing_statements.business_date from missing_statements
        where
            missing_statements.logical_key = statements.account
            and missing_statements.business_date > statements.previous_date
            and missing_statements.business_date < statements.closing_date
    ) as file_missing,
    {{ run_date() }} as run_date

from {{ ref('int_recon__statement_chain') }} as statements
inner join files
    on {{ int_div('statements.statement_key', '4294967296') }} = files.file_no
inner join files as previous_files
    on {{ int_div('statements.previous_key', '4294967296') }} = previous_files.file_no
where statements.is_gap
