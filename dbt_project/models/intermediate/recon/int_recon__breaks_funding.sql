-- Grain: one row per payout that the bank paid short, over, or not at all by its due date.

select
    'payout_' || state as break_type,
    payout_id,
    abs(received_minor - expected_net_minor) as amount_at_risk_minor,
    currency,
    {{ json_detail([
        ('expected_net_minor', 'expected_net_minor'),
        ('received_minor', 'received_minor'),
        ('delta_minor', 'received_minor - expected_net_minor'),
        ('due_date', 'due_date'),
        ('funding_rule', 'funding_rule'),
    ]) }} as detail

from {{ ref('int_recon__payout_states') }}
where state in ('short', 'over', 'not_received')
