-- Grain: one row per accepted (item_key, line_key) pair.
-- Why third: an authorisation code repeats over time, but not for the same terminal, card, day and amount. Some
-- acquirers settle under a reference of their own, and only the authorisation survives.

{{ match_pass('authorisation') }}
