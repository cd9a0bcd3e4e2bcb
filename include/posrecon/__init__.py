"""posrecon: nightly reconciliation of terminal logs, acquirer settlement and bank payouts."""
