-- Grain: one row per break that tonight's data shows on the amount, the currency, the fee or the net.
-- amount_mismatch, currency_mismatch: of a pair formed tonight whose event expects money.
-- fee_mismatch, net_mismatch: of a line received tonight, matched or not; the later copy of a duplicate and the line
-- of an event that expects no money carry their own break and nothing else.

with

lines as (

    select
        states.line_key,
        states.item_key,
        states.opening_state,
        pool.gross_minor,
        pool.fee_minor,
        pool.net_minor,
        pool.currency,
        items.amount_minor as expected_minor,
        items.currency as expected_currency,
        items.expects_settlement,
        fees.expected_fee_minor,
        fees.rate_bps,
        fees.cap_minor,
        fees.tolerance_minor
    from {{ ref('int_recon__line_states') }} as states
    inner join {{ ref('int_recon__settlement_pool') }} as pool
        on states.line_key = pool.line_key
    left join {{ ref('int_recon__item_states') }} as items
        on states.item_key = items.item_key
    left join {{ ref('int_recon__expected_fees') }} as fees
        on states.line_key = fees.line_key
    where
        states.match_state is distinct from 'excluded'
        and coalesce(items.expects_settlement, true)

),

pairs as (

    select * from lines
    where item_key is not null

),

received_tonight as (

    select * from lines
    where opening_state is null

)

select
    'amount_mismatch' as break_type,
    item_key,
    line_key,
    item_key as subject_key,
    abs(gross_minor - expected_minor) as amount_at_risk_minor,
    currency,
    false as file_missing,
    {{ json_detail([
        ('expected_minor', 'expected_minor'),
        ('settled_minor', 'gross_minor'),
        ('delta_minor', 'gross_minor - expected_minor'),
    ]) }} as detail
from pairs
where gross_minor is distinct from expected_minor and currency = expected_currency

union all

select
    'currency_mismatch' as break_type,
    item_key,
    line_key,
    item_key as subject_key,
    abs(gross_minor) as amount_at_risk_minor,
    currency,
    false as file_missing,
    {{ json_detail([
        ('expected_currency', 'expected_currency'),
        ('settled_currency', 'currency'),
        ('expected_minor', 'expected_minor'),
        ('settled_minor', 'gross_minor'),
    ]) }} as detail
from pairs
where currency is distinct from expected_currency

union all

select
    'fee_mismatch' as break_type,
    item_key,
    line_key,
    line_key as subject_key,
    abs(fee_minor - expected_fee_minor) as amount_at_risk_minor,
    currency,
    false as file_missing,
    {{ json_detail([
        ('gross_minor', 'gross_minor'),
        ('fee_minor', 'fee_minor'),
        ('expected_fee_minor', 'expected_fee_minor'),
        ('delta_minor', 'fee_minor - expected_fee_minor'),
        ('rate_bps', 'cast(rate_bps as varchar)'),
        ('cap_minor', 'cap_minor'),
    ]) }} as detail
from received_tonight
where abs(fee_minor - expected_fee_minor) > tolerance_minor

union all

select
    'net_mismatch' as break_type,
    item_key,
    line_key,
    line_key as subject_key,
    abs(net_minor - (gross_minor - fee_minor)) as amount_at_risk_minor,
    currency,
    false as file_missing,
    {{ json_detail([
        ('gross_minor', 'gross_minor'),
        ('fee_minor', 'fee_minor'),
        ('net_minor', 'net_minor'),
        ('delta_minor', 'net_minor - (gross_minor - fee_minor)'),
    ]) }} as detail
from received_tonight
where net_minor is distinct from gross_minor - fee_minor
