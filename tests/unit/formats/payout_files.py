"""Reports of acquirers that pay out with an itemised report."""

STRIPE_HEADER = (
    "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,available_on,currency,gross,fee,net,"
    "reporting_category,charge_id,payment_intent_id,customer_email,customer_name,payment_metadata[order_id],description"
)


def stripe_record(**changed: str) -> str:
    values = {
        "automatic_payout_id": "po_1", "automatic_payout_effective_at": "2026-11-11",
        "balance_transaction_id": "txn_1", "created": "2026-11-11 10:00:00", "currency": "cny", "gross": "50.00",
        "fee": "1.00", "net": "49.00", "reporting_category": "charge", "charge_id": "ch_1",
        "customer_email": "person@example.com", "customer_name": "Zhang Sanfeng",
        "payment_metadata[order_id]": "ORDER-1", "description": "noodles",
    }  # fmt: skip
    values.update(changed)
    return ",".join(values.get(name, "") for name in STRIPE_HEADER.split(","))


def stripe_file(*records: str) -> bytes:
    return ("\n".join((STRIPE_HEADER, *(records or (stripe_record(),)))) + "\n").encode()
