-- Grain: one row per accepted record of UnionPay's merchant files (ZM, and ZME for disputes) of tonight.

{{ stage_settlement_lines('unionpay') }}
