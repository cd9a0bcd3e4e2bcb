-- Grain: one row per bank credit of a wallet that a withdrawal may still be found for: the wallet's bill may come later
-- than the statement, and one that differs from its withdrawal stays beside it.

select
    credits.entry_key,
    credits.acquirer,
    credits.account,
    credits.currency,
    credits.amount_minor,
    credits.value_date

from {{ ref('int_recon__wallet_credits') }} as credits
inner join {{ ref('tolerances') }} as payable
    on {{ tolerance_in_force('payable', 'payout_window_days', 'credits.value_date') }}
left join {{ ref('int_recon__withdrawal_states') }} as states
    on credits.entry_key = states.entry_key
where
    states.state = 'differs'
    or (
        states.state is null
        and {{ run_date() }} <= {{ days_after('credits.value_date', 'payable.value') }}
    )
