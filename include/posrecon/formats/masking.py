"""Card numbers never leave a parser in the clear: the same masks in Python and in SQL."""

import re

from posrecon.redaction import is_luhn

_RUN = re.compile(r"(\d{6})\d{3,9}(\d{4})")
_CARD = re.compile(r"(?<!\d)[3-6]\d{12,18}(?!\d)")
_SPACED = re.compile(r"(?<!\d)\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{1,7}(?!\d)")

# RE2 patterns for DuckDB. A run of 13 to 19 digits keeps its first six and last four.
SQL_RUN = r"(\d{6})\d{3,9}(\d{4})"
SQL_SPACED = r"\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{1,7}"

MASK_MACROS = rf"""
create or replace temp macro mask_text(t) as
    regexp_replace(regexp_replace(t, '{SQL_RUN}', '\1****\2', 'g'), '{SQL_SPACED}', '****', 'g');

-- True when a text surely holds no card number: one needs 13 digits in a row or in groups, and a star among the first
-- 13 letters with fewer than 13 behind it leaves no room for them. Every masked number is such a text.
create or replace temp macro is_no_whole_card(t) as
    t is null or length(t) < 13 or (position('*' in t) between 1 and 13 and length(t) - position('*' in t) < 13);

-- First six, stars for the rest, last four.
create or replace temp macro mask_card(digits) as
    left(digits, 6) || repeat('*', length(digits) - 10) || right(digits, 4);

-- Sum of the Luhn digits is a multiple of ten; the rightmost digit counts once, the next one twice, …
create or replace temp macro is_luhn(digits) as
    list_sum(list_transform(
        range(1, length(digits) + 1),
        lambda i: case
            when i % 2 = 1 then digits[-i]::int
            else (digits[-i]::int * 2) // 10 + (digits[-i]::int * 2) % 10
        end
    )) % 10 = 0;

create or replace temp macro mask_luhn(t) as
    list_reduce(
        list_filter(regexp_extract_all(t, '\d+'), lambda d: length(d) between 13 and 19 and is_luhn(d)),
        lambda text, d: replace(text, d, mask_card(d)),
        t
    );
"""

# `mask_cards` of Python: only what can be a card number, so that merchant ids stay readable.
CARD_MACROS = r"""
create or replace temp macro mask_cards(t) as
    list_reduce(
        list_filter(
            regexp_extract_all(t, '\d+'),
            lambda d: length(d) between 13 and 19 and d[1] between '3' and '6' and is_luhn(d)
        ),
        lambda text, d: replace(text, d, left(d, 6) || '****' || right(d, 4)),
        t
    );
"""


def mask_text(text: str) -> str:
    """Mask every run of 13 to 19 digits in a text, and card numbers written in groups of four."""
    return _SPACED.sub("****", _RUN.sub(r"\1****\2", text))


def mask_cards(text: str) -> str:
    """Mask what can only be a card number, in a bank's text that also holds references we match on; as SQL does.

    A run of exactly 13 to 19 digits that starts with 3 to 6 and passes the Luhn check; a UnionPay merchant id
    (15 digits, 898…) or an Alipay id (2088…) stays readable.
    """
    return _CARD.sub(lambda run: mask_text(run[0]) if is_luhn(run[0]) else run[0], text)


def hmac_pads(key: bytes) -> tuple[bytes, bytes]:
    """Inner and outer pad of HMAC-SHA256, so that SQL can finish it: H(outer ‖ H(inner ‖ message))."""
    block = key.ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
