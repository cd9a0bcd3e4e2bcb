"""The words of a simulation: types of events, what goes wrong with one, how its line refers to it."""

from enum import IntEnum

RESPONSES = ("00", "51", "55", "91", "")
APPROVED, DECLINED, TIMED_OUT = 0, 1, 4

CURRENCIES = ("CNY", "USD", "HKD", "EUR")


class Kind(IntEnum):
    """Type of a terminal event; the names are those of the native terminal log."""

    SALE = 0
    REFUND = 1
    VOID = 2
    REVERSAL = 3
    PREAUTH = 4
    PREAUTH_COMPLETION = 5


class Channel(IntEnum):
    """Way of paying; the names are those of the native terminal log."""

    CARD = 0
    WECHAT = 1
    ALIPAY = 2


ACQUIRERS = ("unionpay", "wechat", "alipay")
"""Who settles a channel."""

WALLETS = (Channel.WECHAT, Channel.ALIPAY)


class Fault(IntEnum):
    """The one thing that goes wrong with a transaction, if any."""

    NONE = 0
    MISSING_IN_SETTLEMENT = 1
    MISSING_IN_TERMINAL_LOG = 2
    AMOUNT_MISMATCH = 3
    SETTLED_TWICE_SAME_FILE = 4
    SETTLED_TWICE_NEXT_FILE = 5
    LOGGED_TWICE_SAME_FILE = 6
    LOGGED_TWICE_OTHER_FILE = 7
    DECLINED_BUT_SETTLED = 8
    REVERSED_BUT_SETTLED = 9
    LATE_SETTLEMENT = 10
    FEE_MISMATCH = 11
    NET_MISMATCH = 12
    CURRENCY_MISMATCH = 13
    REFUND_EXCEEDS = 14
    ORPHAN_REFERENCE = 15
    # Logged and settled, but it cannot be seen which line is which sale's.
    AMBIGUOUS = 16
    AMBIGUOUS_UNSETTLED = 17
    AMBIGUOUS_UNLOGGED = 18
    # Equal sales and as many equal lines: not wrong, but named in the labels.
    INTERCHANGEABLE = 19
    # Logged and settled, but nothing on the line points at the sale.
    OUT_OF_REACH = 20


UNSETTLED = (Fault.MISSING_IN_SETTLEMENT, Fault.AMBIGUOUS_UNSETTLED)
UNLOGGED = (Fault.MISSING_IN_TERMINAL_LOG, Fault.AMBIGUOUS_UNLOGGED)
IN_GROUP = (Fault.AMBIGUOUS, Fault.AMBIGUOUS_UNSETTLED, Fault.AMBIGUOUS_UNLOGGED)


class Form(IntEnum):
    """What a settlement line says of the terminal's own numbers."""

    FULL = 0
    OTHER_RRN = 1
    # Neither RRN nor STAN, and the time is off.
    NO_REFERENCE = 2
