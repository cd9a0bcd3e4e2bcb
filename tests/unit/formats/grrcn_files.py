"""Files of American Express's global reconciliation (GRRCN, delimited), as its public description lays them out."""

PAYEE, SHOP = "9330000017", "9330000025"


def money(minor: int) -> str:
    """A blank or a minus, and 15 digits."""
    return f"{'-' if minor < 0 else ' '}{abs(minor):015}"


def record(*fields: str) -> str:
    """Every field in quotes; lines are padded with blanks on the right."""
    return (",".join(f'"{field}"' for field in fields)).ljust(400)


def _head(kind: str) -> tuple[str, ...]:
    return (kind, PAYEE, "002", "9211234550", "20261111", "CNY")


HEADER = record("HEADER", "20261111", "113207", "0000000026", "GRRCN", "SAMPLES.COM", "2.01")


def summary(net: int, *, gross: int, discount: int, adjustment: int = 0, opening_debit: int = 0) -> str:
    amounts = (net, gross, discount, 0, adjustment, 0)
    opening = money(opening_debit) if opening_debit else ""
    return record(*_head("SUMMARY"), "", *(money(amount) for amount in amounts), opening, "", "", "", "")


def submission(gross: int, *, discount: int) -> str:
    amounts = (money(amount) for amount in (gross, gross, discount, 0, 0, gross - discount))
    days = (SHOP, "20261111", "20261112", "000000000000000", "CNY")
    return record(*_head("SUBMISSION"), *days, "", "", *amounts, " 002500", "", "0000002")


def transaction(
    amount: int, *, number: str = "1", approval: str = "168208", card: str = "375310XXXXX4009"
) -> str:
    return record(
        *_head("TRANSACTN"), SHOP, "20261111", "20261112", "000000000000000", "CNY", "", f"INV{number}", "",
        card, "", money(4000), money(amount), "20261111", "171512", "002391206015076", approval, "10000001", "5812", "",
        f"P60LG7C3734Z7G0000000{number:0>2}", "", "", "", "", "", "", "   ",
    )  # fmt: skip


def corrected(kind: str, net: int, *, gross: int, discount: int = 0) -> str:
    return record(
        *_head(kind), SHOP, "20261111", "", "INV9", "", "375310XXXXX4009", "", "20261112", "", "CNY", f"{kind[:2]}77",
        "4513", "Credit not presented", money(gross), money(discount), money(0), money(0), money(net), "", "", "", "",
    )  # fmt: skip


PRICING = record(
    *_head("TXNPRICING"), SHOP, "", "", "INV1", "", "375310XXXXX4009", money(3000), "20261111", "1A"
)


def grrcn(*records: str, lines: int | None = None) -> bytes:
    """Header, records, trailer with the number of all lines."""
    count = len(records) + 2 if lines is None else lines
    trailer = record("TRAILER", "0000000026", f"{count:010}")
    return ("\r\n".join((HEADER, *records, trailer)) + "\r\n").encode()


DETAILS = (
    submission(4000, discount=100),
    transaction(3000),
    PRICING,
    transaction(1000, number="2", approval="168209"),
)
SETTLED = (summary(3900, gross=4000, discount=100), *DETAILS)
