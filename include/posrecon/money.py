"""Money is an integer in minor units of its currency; the exponent comes from ISO 4217."""

# ISO 4217 minor-unit exponents that differ from 2 (list one, 2024 edition).
_EXPONENT_NOT_TWO = {
    "BHD": 3, "BIF": 0, "CLF": 4, "CLP": 0, "DJF": 0, "GNF": 0, "IQD": 3, "ISK": 0, "JOD": 3, "JPY": 0,
    "KMF": 0, "KRW": 0, "KWD": 3, "LYD": 3, "OMR": 3, "PYG": 0, "RWF": 0, "TND": 3, "UGX": 0, "UYI": 0,
    "UYW": 4, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}  # fmt: skip


# ISO 4217 numeric codes of currencies in circulation (list one, 2024 edition), as `<letters><digits>`.
_NUMERIC = """
    AED784 AFN971 ALL008 AMD051 ANG532 AOA973 ARS032 AUD036 AWG533 AZN944 BAM977 BBD052 BDT050 BGN975
    BHD048 BIF108 BMD060 BND096 BOB068 BRL986 BSD044 BTN064 BWP072 BYN933 BZD084 CAD124 CDF976 CHF756
    CLF990 CLP152 CNY156 COP170 CRC188 CUP192 CVE132 CZK203 DJF262 DKK208 DOP214 DZD012 EGP818 ERN232
    ETB230 EUR978 FJD242 FKP238 GBP826 GEL981 GHS936 GIP292 GMD270 GNF324 GTQ320 GYD328 HKD344 HNL340
    HTG332 HUF348 IDR360 ILS376 INR356 IQD368 IRR364 ISK352 JMD388 JOD400 JPY392 KES404 KGS417 KHR116
    KMF174 KPW408 KRW410 KWD414 KYD136 KZT398 LAK418 LBP422 LKR144 LRD430 LSL426 LYD434 MAD504 MDL498
    MGA969 MKD807 MMK104 MNT496 MOP446 MRU929 MUR480 MVR462 MWK454 MXN484 MYR458 MZN943 NAD516 NGN566
    NIO558 NOK578 NPR524 NZD554 OMR512 PAB590 PEN604 PGK598 PHP608 PKR586 PLN985 PYG600 QAR634 RON946
    RSD941 RUB643 RWF646 SAR682 SBD090 SCR690 SDG938 SEK752 SGD702 SHP654 SLE925 SOS706 SRD968 SSP728
    STN930 SVC222 SYP760 SZL748 THB764 TJS972 TMT934 TND788 TOP776 TRY949 TTD780 TWD901 TZS834 UAH980
    UGX800 USD840 UYI940 UYU858 UYW927 UZS860 VES928 VND704 VUV548 WST882 XAF950 XCD951 XOF952 XPF953
    YER886 ZAR710 ZMW967 ZWG924
"""


def currency_exponent(currency: str) -> int:
    """Number of minor-unit digits of an ISO 4217 currency: CNY 2, JPY 0, KWD 3."""
    return _EXPONENT_NOT_TWO.get(currency, 2)


def exponents() -> dict[str, int]:
    """Every currency whose exponent is not 2, for building set-based look-ups."""
    return dict(_EXPONENT_NOT_TWO)


def numeric_codes() -> dict[str, str]:
    """ISO 4217 numeric code → letters: 156 → CNY."""
    return {entry[3:]: entry[:3] for entry in _NUMERIC.split()}


def format_minor(amount_minor: int, currency: str = "CNY") -> str:
    """Render minor units for people: 123456 CNY → '1,234.56'. Exact: no float is involved."""
    exponent = currency_exponent(currency)
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(exponent + 1, "0")
    whole, fraction = (digits[:-exponent], digits[-exponent:]) if exponent else (digits, "")
    return f"{sign}{int(whole):,}" + (f".{fraction}" if fraction else "")


def format_money(amount_minor: int | None, currency: str | None) -> str:
    """The same with its currency, '1,234.56 CNY'; '-' for no amount, two digits where no currency is known."""
    if amount_minor is None:
        return "-"
    return f"{format_minor(amount_minor, currency or 'CNY')} {currency or ''}".rstrip()
