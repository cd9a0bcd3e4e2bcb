-- Grain: one row per accepted (item_key, line_key) pair.
-- Why last: nothing here identifies the transaction; only a card's last digits, the same money and minutes do. It is
-- accepted when nothing else at the merchant fits, on either side.

{{ match_pass('card_and_amount') }}
