-- Grain: one row per accepted (item_key, line_key) pair.
-- Wallets: the order number of a sale, and the refund's own number of a refund, are ours and go through unchanged.

{{ match_pass('order_number') }}
