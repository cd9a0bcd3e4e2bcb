"""Which breaks belong into one case: those of one cause, told by a key that depends on nothing but the breaks.

The first line that fits decides. Nothing here looks at amounts, at other breaks or at existing cases, so the same break
gets the same key on every machine and every night.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FILE = "file"

_PAYOUTS = frozenset({"payout_not_received", "payout_short", "payout_over"})
_TERMINAL = frozenset(
    {
        "missing_in_terminal_log", "duplicate_in_terminal_log", "batch_out_of_balance", "stan_gap",
        "orphan_reference",
    }
)  # fmt: skip
_UNSETTLED = frozenset({"missing_in_settlement", "refund_not_settled"})


@dataclass(frozen=True)
class CauseKind:
    """One way in which breaks share a cause.

    Attributes:
        name: Begins the key.
        holds: Which breaks it takes.
        key: What the key is made of.
        why: Why they belong together.
    """

    name: str
    holds: str
    key: str
    why: str


CAUSES = (
    CauseKind(
        FILE,
        "any break whose file is missing (no candidate: nobody is blamed yet)",
        "feed, merchant, date",
        "one call for one file; when it comes, the breaks close or become candidates",
    ),
    CauseKind(
        "payout",
        "payout_not_received, payout_short, payout_over",
        "payout",
        "one transfer, one enquiry",
    ),
    CauseKind(
        "terminal",
        "missing_in_terminal_log, duplicate_in_terminal_log, batch_out_of_balance, stan_gap, orphan_reference",
        "merchant, terminal",
        "a terminal that loses or repeats records does it until somebody looks at it",
    ),
    CauseKind("fees", "fee_mismatch", "acquirer, merchant", "one wrong rate touches every sale"),
    CauseKind(
        "lateness", "late_settlement", "acquirer, merchant", "claimed together under the service terms"
    ),
    CauseKind(
        "group", "ambiguous_match", "group of the match", "the members are decided together or not at all"
    ),
    CauseKind(
        "unsettled",
        "missing_in_settlement, refund_not_settled",
        "acquirer, merchant, terminal, date",
        "what one terminal sold on one day was sent to the acquirer together",
    ),
    CauseKind(
        "transaction",
        "every other break",
        "item",
        "amount, currency or status of one transaction; a chargeback has its own deadline",
    ),
)


def cause_of(found: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and key of the cause of one break.

    Args:
        found: The break as published, with happened_on.
    """
    kind = _kind(found)
    return kind, ":".join((kind, *(str(part) if part is not None else "-" for part in _parts(kind, found))))


def cause_text(kind: str, key: str) -> str:
    """The cause for people: the key without its kind."""
    return key.removeprefix(f"{kind}:").replace(":", " · ")


def _kind(found: Mapping[str, Any]) -> str:
    break_type = found["break_type"]
    if found["file_missing"]:
        return FILE
    if break_type in _PAYOUTS:
        return "payout"
    if break_type in _TERMINAL and found["terminal_id"] is not None:
        return "terminal"
    if break_type == "fee_mismatch":
        return "fees"
    if break_type == "late_settlement":
        return "lateness"
    if break_type == "ambiguous_match" and _detail(found).get("group_id") is not None:
        return "group"
    return "unsettled" if break_type in _UNSETTLED else "transaction"


def _parts(kind: str, found: Mapping[str, Any]) -> tuple[Any, ...]:
    merchant = found["merchant_id"]
    if kind == FILE:
        return (*_missing_file(found), merchant, _detail(found).get("clearing_date") or found["happened_on"])
    if kind == "payout":
        return (found["payout_id"] or found["item_id"],)
    if kind == "terminal":
        return merchant, found["terminal_id"]
    if kind in ("fees", "lateness"):
        return found["acquirer"], merchant
    if kind == "group":
        return (_detail(found)["group_id"],)
    if kind == "unsettled":
        return found["acquirer"], merchant, found["terminal_id"], found["happened_on"]
    return (found["item_id"] or found["break_id"],)


def _missing_file(found: Mapping[str, Any]) -> tuple[Any, ...]:
    """The feed whose file is missing: the counterpart of what the break is about."""
    if found["break_type"] == "missing_in_terminal_log":
        return ("terminal_log",)
    return ("bank",) if found["break_type"] in _PAYOUTS else (found["acquirer"],)


def _detail(found: Mapping[str, Any]) -> dict[str, Any]:
    content = json.loads(found["detail"]) if found["detail"] else {}
    return content if isinstance(content, dict) else {}
