-- Grain: one row per accepted settlement record of tonight of an acquirer that only a source YAML describes.

{{ stage_settlement_lines() }}
