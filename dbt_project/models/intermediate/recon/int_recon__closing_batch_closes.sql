-- Grain: one row per batch total that records of later nights may still change, with what was logged so far.
-- One that is out of balance stays until it balances; one that balances stays as long as late records are awaited.

select
    totals.batch_close_key,
    totals.merchant_id,
    totals.terminal_id,
    totals.batch_no,
    totals.business_date,
    totals.currency,
    totals.sale_count,
    totals.sale_amount_minor,
    totals.refund_count,
    totals.refund_amount_minor,
    totals.logged_sale_count,
    totals.logged_sale_amount_minor,
    totals.logged_refund_count,
    totals.logged_refund_amount_minor

from {{ ref('int_recon__batch_totals') }} as totals
inner join {{ ref('tolerances') }} as awaited
    on {{ tolerance_in_force('awaited', 'late_record_days', 'totals.business_date') }}
where
    totals.is_out_of_balance
    or {{ run_date() }} <= {{ days_after('totals.business_date', 'awaited.value') }}
