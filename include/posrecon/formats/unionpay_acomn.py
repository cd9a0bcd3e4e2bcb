"""UnionPay general transaction file of an institution (IND…ACOMN, 一般交易流水): 34 fixed fields, GBK, CR LF.

The view of the acquirer: all its merchants in one file, without merchant fees. Gross is the amount of the transaction;
the fee is what the institution pays for it: 受理方应付手续费 less 受理方应收手续费, and 转接服务费 by its sign.
Net is gross less fee.

As in a merchant's dispute file, whether a blank stands after the last field the specification does not say, so a
record has one of two lengths, the same in the whole file.

Source: 中国银联 机构对账文件, 一般交易流水 (ACOMN).
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from posrecon.formats.layout import Job, Parsed
from posrecon.formats.unionpay_records import (
    Batch,
    Check,
    Column,
    RecordLayout,
    constant,
    masked_cards,
    named,
    number_of,
    only,
    original,
    parse_records,
    signed,
    texts,
    times_of,
)

# (name, width) in file order.
_FIELDS = (
    ("acq_ins_code", 11), ("fwd_ins_code", 11), ("stan", 6), ("txn_time", 10), ("card", 19), ("amount", 12),
    ("partial_amount", 12), ("holder_fee", 12), ("message_type", 4), ("txn_code", 6), ("mcc", 4), ("term_id", 8),
    ("mer_id", 15), ("rrn", 12), ("condition", 2), ("auth_code", 6), ("rcv_ins_code", 11), ("orig_stan", 6),
    ("return_code", 2), ("entry_mode", 3), ("fee_received", 12), ("fee_paid", 12), ("switch_fee", 12),
    ("conversion", 1), ("card_seq", 3), ("terminal_ability", 1), ("chip_condition", 1), ("orig_time", 10),
    ("issuer_code", 11), ("region", 1), ("terminal_kind", 2), ("eci", 2), ("instalment_fee", 12),
)  # fmt: skip
_FIXED = sum(width + 1 for _, width in _FIELDS)
_OTHER = 14

LAYOUT = RecordLayout(kind="ACOMN", sizes=(_FIXED + _OTHER, _FIXED + _OTHER + 1), fields=_FIELDS)


def parse(job: Job) -> Parsed:
    """Parse one ACOMN file into `settlement_lines`; amounts are fen, positive = to the institution.

    Raises:
        LayoutError: Empty, or a record has the wrong length. Lists every bad line.
    """
    return parse_records(job, LAYOUT, _convert)


def _convert(batch: Batch, job: Job, clearing: date) -> tuple[dict[str, Column], list[Check]]:
    gross, gross_ok = number_of(batch.field("amount"))
    received, received_ok = number_of(batch.field("fee_received"))
    paid, paid_ok = number_of(batch.field("fee_paid"))
    switch, switch_ok = signed(batch.field("switch_fee"), positive=ord("D"))
    times, times_ok = times_of(batch.field("txn_time"), clearing)
    _, stan_ok = number_of(batch.field("stan"))
    codes = texts(batch.field("txn_code"))
    kinds = constant(None, batch.rows)
    distinct = [code for code in codes.unique().to_pylist() if code]
    for first_digits, kind in job.source.txn_codes.items():
        kinds = named(codes, [code for code in distinct if code.startswith(first_digits)], kind, kinds)
    kind_ok = kinds.is_valid().to_numpy(zero_copy_only=False)
    sign = np.where(pc.is_in(kinds, pa.array(["refund"])).to_numpy(zero_copy_only=False), -1, 1)
    fee = sign * (paid - received) + switch
    checks: list[Check] = [
        ("txn_code", kind_ok, "is not a processing code of the source YAML"),
        ("stan", stan_ok, "is not 6 digits"),
        ("txn_time", times_ok, "is not a possible time MMDDhhmmss"),
        ("amount", gross_ok, "is not 12 digits"),
        ("fee_received", received_ok, "is not 12 digits"),
        ("fee_paid", paid_ok, "is not 12 digits"),
        ("switch_fee", switch_ok, "is not C or D and 11 digits"),
    ]
    rrn, auth_code = texts(batch.field("rrn")), texts(batch.field("auth_code"))
    orig_stan, orig_time = original(batch.field("orig_stan"), batch.field("orig_time"), clearing)
    return {
        "line_kind": constant("transaction", batch.rows),
        "acquirer_merchant_id": texts(batch.field("mer_id")),
        "terminal_id": texts(batch.field("term_id")),
        "stan": texts(batch.field("stan")),
        "rrn": only(rrn, pc.match_substring_regex(rrn, "^[0-9A-Za-z]{12}$")),
        "auth_code": auth_code,
        "txn_type": kinds,
        "txn_code": codes,
        "txn_local": pa.array(times, pa.timestamp("us")),
        "card_masked": masked_cards(batch.field("card")),
        "gross_minor": pa.array(sign * gross),
        "fee_minor": pa.array(fee),
        "net_minor": pa.array(sign * gross - fee),
        "orig_stan": orig_stan,
        "orig_txn_local": orig_time,
    }, checks
