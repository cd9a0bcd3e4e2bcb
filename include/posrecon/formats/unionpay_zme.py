"""UnionPay dispute and adjustment file (ZME, 差错): 22 fixed fields, GBK, CR LF, no header, no trailer.

The specification puts one blank after every field; whether one also stands after the last (a reserved area) it does
not say, so a record has 339 or 340 bytes, the same in the whole file.

Source: 全渠道平台接入接口规范 第3部分 文件接口 §6.2.
"""

from datetime import date

import numpy as np
import pyarrow as pa

from posrecon.formats.layout import Job, Parsed
from posrecon.formats.unionpay_records import (
    Batch,
    Check,
    Column,
    RecordLayout,
    card_types,
    constant,
    masked_cards,
    number_of,
    original,
    parse_records,
    signed,
    texts,
    times_of,
)

# (name, width) of fields 1 to 21, in file order; the reserved area of 135 bytes follows.
_FIELDS = (
    ("txn_code", 3), ("acq_ins_code", 11), ("fwd_ins_code", 11), ("stan", 6), ("txn_time", 10), ("card", 19),
    ("amount", 12), ("mcc", 4), ("terminal_kind", 2), ("card_type", 2), ("orig_stan", 6), ("orig_time", 10),
    ("orig_clearing", 4), ("orig_amount", 12), ("fee", 13), ("settled", 13), ("group_code", 15), ("mer_id", 15),
    ("split_flag", 1), ("instalment_fee", 12), ("instalments", 2),
)  # fmt: skip
_FIXED = sum(width + 1 for _, width in _FIELDS)
_RESERVED = 135

LAYOUT = RecordLayout(kind="ZME", sizes=(_FIXED + _RESERVED, _FIXED + _RESERVED + 1), fields=_FIELDS)


def parse(job: Job) -> Parsed:
    """Parse one UnionPay ZME file into `settlement_lines` of the kind dispute.

    The money takes its direction from the sign of 结算金额: D is taken from the merchant (a refund), C given to it
    (a sale). The original is the transaction that fields 11 and 12 name.

    Raises:
        LayoutError: Empty, or a record has the wrong length. Lists every bad line.

    Source: 全渠道平台接入接口规范 第3部分 文件接口 §6.2.
    """
    return parse_records(job, LAYOUT, _convert)


def _convert(batch: Batch, job: Job, clearing: date) -> tuple[dict[str, Column], list[Check]]:
    gross, gross_ok = number_of(batch.field("amount"))
    fee, fee_ok = signed(batch.field("fee"), positive=ord("D"))
    net, net_ok = signed(batch.field("settled"), positive=ord("C"))
    times, times_ok = times_of(batch.field("txn_time"), clearing)
    _, stan_ok = number_of(batch.field("stan"))
    code = batch.field("txn_code")
    code_ok = (((code >= 65) & (code <= 90)) | ((code >= 48) & (code <= 57))).all(axis=1)
    to_merchant = batch.field("settled")[:, 0] != ord("D")
    checks: list[Check] = [
        ("txn_code", code_ok, "is not a code of 3 letters or digits such as E32"),
        ("stan", stan_ok, "is not 6 digits"),
        ("txn_time", times_ok, "is not a possible time MMDDhhmmss"),
        ("amount", gross_ok, "is not 12 digits"),
        ("fee", fee_ok, "is not C or D and 12 digits"),
        ("settled", net_ok, "is not C or D and 12 digits"),
    ]
    orig_stan, orig_time = original(batch.field("orig_stan"), batch.field("orig_time"), clearing)
    return {
        "line_kind": constant("dispute", batch.rows),
        "acquirer_merchant_id": texts(batch.field("mer_id")),
        "stan": texts(batch.field("stan")),
        "txn_type": pa.array(np.where(to_merchant, "sale", "refund").tolist(), pa.string()),
        "txn_code": texts(code),
        "txn_local": pa.array(times, pa.timestamp("us")),
        "card_masked": masked_cards(batch.field("card")),
        "card_type": card_types(batch.field("card_type")),
        "gross_minor": pa.array(np.where(to_merchant, gross, -gross)),
        "fee_minor": pa.array(fee),
        "net_minor": pa.array(net),
        "orig_stan": orig_stan,
        "orig_txn_local": orig_time,
    }, checks
