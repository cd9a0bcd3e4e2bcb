"""Money is an integer in minor units of its currency; the exponent comes from ISO 4217."""

# ISO 4217 minor-unit exponents that differ from 2 (list one, 2024 edition).
_EXPONENT_NOT_TWO = {
    "BHD": 3, "BIF": 0, "CLF": 4, "CLP": 0, "DJF": 0, "GNF": 0, "IQD": 3, "ISK": 0, "JOD": 3, "JPY": 0,
    "KMF": 0, "KRW": 0, "KWD": 3, "LYD": 3, "OMR": 3, "PYG": 0, "RWF": 0, "TND": 3, "UGX": 0, "UYI": 0,
    "UYW": 4, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}  # fmt: skip


def currency_exponent(currency: str) -> int:
    """Number of minor-unit digits of an ISO 4217 currency: CNY 2, JPY 0, KWD 3."""
    return _EXPONENT_NOT_TWO.get(currency, 2)


def exponents() -> dict[str, int]:
    """Every currency whose exponent is not 2, for building set-based look-ups."""
    return dict(_EXPONENT_NOT_TWO)


def format_minor(amount_minor: int, currency: str = "CNY") -> str:
    """Render minor units for people: 123456 CNY → '1,234.56'. Exact: no float is involved."""
    exponent = currency_exponent(currency)
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(exponent + 1, "0")
    whole, fraction = (digits[:-exponent], digits[-exponent:]) if exponent else (digits, "")
    return f"{sign}{int(whole):,}" + (f".{fraction}" if fraction else "")
