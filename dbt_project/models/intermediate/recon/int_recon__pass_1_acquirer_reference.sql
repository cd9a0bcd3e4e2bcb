-- Grain: one row per accepted (item_key, line_key) pair.
-- Why first: the acquirer's reference identifies one capture, so no tolerance in money is needed and a difference
-- in amount surfaces as a break. A reference that fits twice is not decided here.

{{ match_pass('acquirer_reference') }}
