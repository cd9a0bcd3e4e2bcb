-- Grain: one row per withdrawal from a wallet account of tonight's pool, at its state after tonight.

select
    wallet_files.file_id || '-' || cast(withdrawals.withdrawal_key % 4294967296 as varchar) as withdrawal_id,
    withdrawals.acquirer,
    withdrawals.acquirer_merchant_id,
    withdrawals.merchant_id,
    withdrawals.entry_no,
    withdrawals.currency,
    withdrawals.booked_on,
    withdrawals.due_date,
    withdrawals.amount_minor,
    cast(withdrawals.received_minor as bigint) as received_minor,
    cast(withdrawals.received_minor - withdrawals.amount_minor as bigint) as delta_minor,
    withdrawals.state,
    withdrawals.file_missing,
    wallet_files.file_name as wallet_file,
    cast(withdrawals.withdrawal_key % 4294967296 as bigint) as wallet_line,
    bank_files.file_name as bank_file,
    cast(withdrawals.entry_key % 4294967296 as bigint) as bank_line,
    withdrawals.state in ('arrived', 'returned') as is_final,
    {{ run_date() }} as run_date

from {{ ref('int_recon__withdrawal_states') }} as withdrawals
inner join {{ ref('stg_landing__file_names') }} as wallet_files
    on {{ int_div('withdrawals.withdrawal_key', '4294967296') }} = wallet_files.file_no
left join {{ ref('stg_landing__file_names') }} as bank_files
    on {{ int_div('withdrawals.entry_key', '4294967296') }} = bank_files.file_no
