-- Grain: one row per accepted record of WeChat Pay's trade bills of tonight.
-- Bills know neither cards nor trace numbers: those columns are null, so that all acquirers have the same ones.

{{ stage_settlement_lines('wechat') }}
