-- Grain: one row per accepted (item_key, line_key) pair.
-- Why second: STAN and local time identify one message of a terminal, but STANs wrap and clocks drift. Files without
-- a reference number (older ZM layouts) are matched here.

{{ match_pass('trace_and_time') }}
