"""UnionPay merchant settlement file (ZM): fixed records of 607 bytes + CR LF, GBK, no header, no trailer.

Versions differ only in the tail (field 45, the RRN, exists since 2.5); all have the same length.

Source: 全渠道平台接入接口规范 第3部分 文件接口 §6.1.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from posrecon.formats.layout import Job, Parsed
from posrecon.formats.unionpay_records import (
    Batch,
    Check,
    Column,
    RecordLayout,
    card_types,
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
from posrecon.landing.sources import Source

# (name, width) of fields 1 to 40, in file order; the tail starts after them.
_FIELDS = (
    ("txn_code", 3), ("acq_ins_code", 11), ("fwd_ins_code", 11), ("stan", 6), ("txn_time", 10), ("card", 19),
    ("amount", 12), ("mcc", 4), ("terminal_kind", 2), ("query_id", 21), ("pay_mode_old", 2), ("order_id", 32),
    ("card_type", 2), ("orig_stan", 6), ("orig_time", 10), ("fee", 13), ("settled", 13), ("pay_mode", 4),
    ("group_code", 15), ("txn_kind", 2), ("txn_subkind", 2), ("business_kind", 6), ("account_kind", 2),
    ("bill_kind", 4), ("bill_no", 32), ("interaction", 1), ("orig_query_id", 21), ("mer_id", 15),
    ("split_mode", 1), ("sub_mer_id", 15), ("sub_mer_name", 32), ("split_amount", 13), ("net_amount", 13),
    ("term_id", 8), ("merchant_text", 32), ("discount", 13), ("invoice", 13), ("instalment_fee", 12),
    ("instalments", 2), ("medium", 1),
)  # fmt: skip
_TAIL_2_5 = (("orig_order_id", 32), ("cleared", 13), ("entry_mode", 2), ("mobile_flag", 1), ("rrn", 12))

_READ = sum(width for _, width in (*_FIELDS, *_TAIL_2_5))

# Some senders of version 2.5 leave the blanks out; the reserved area behind the RRN is then 66 or 67 bytes.
LAYOUT = RecordLayout(
    kind="ZM",
    sizes=(607,),
    fields=_FIELDS,
    tail=_TAIL_2_5,
    packed=RecordLayout(kind="ZM", sizes=(_READ + 66, _READ + 67), fields=_FIELDS, tail=_TAIL_2_5, gap=0),
)


def offsets() -> Mapping[str, tuple[int, int]]:
    """Field → (first byte, byte after the last) within a record; each field is followed by one blank."""
    return LAYOUT.offsets


def peek_nothing(path: Path, source: Source) -> date | None:
    """The clearing date stands in the file name only."""
    return None


def parse(job: Job) -> Parsed:
    """Parse one UnionPay ZM file into `settlement_lines`.

    Amounts are fen, positive = to the merchant; the fee is positive when charged. The year of a transaction
    comes from the clearing date of the file name. A record with a bad field goes to quarantine.

    Raises:
        LayoutError: Empty, or a record has the wrong length. Lists every bad line.

    Source: 全渠道平台接入接口规范 第3部分 文件接口 §6.1.
    """
    return parse_records(job, LAYOUT, _convert)


def _convert(batch: Batch, job: Job, clearing: date) -> tuple[dict[str, Column], list[Check]]:
    gross, gross_ok = number_of(batch.field("amount"))
    fee, fee_ok = signed(batch.field("fee"), positive=ord("D"))
    net, net_ok = signed(batch.field("settled"), positive=ord("C"))
    times, times_ok = times_of(batch.field("txn_time"), clearing)
    _, stan_ok = number_of(batch.field("stan"))
    code = batch.field("txn_code")
    code_ok = ((code >= 65) & (code <= 90))[:, 0] & ((code[:, 1:] >= 48) & (code[:, 1:] <= 57)).all(axis=1)
    to_merchant = batch.field("settled")[:, 0] != ord("D")
    checks: list[Check] = [
        ("txn_code", code_ok, "is not a transaction code such as S22"),
        ("stan", stan_ok, "is not 6 digits"),
        ("txn_time", times_ok, "is not a possible time MMDDhhmmss"),
        ("amount", gross_ok, "is not 12 digits"),
        ("fee", fee_ok, "is not C or D and 12 digits"),
        ("settled", net_ok, "is not C or D and 12 digits"),
    ]
    codes = texts(code)
    txn_type = pa.array(np.where(to_merchant, "sale", "refund").tolist(), pa.string())
    for kind in ("sale", "refund"):
        listed = [given for given, meaning in job.source.txn_codes.items() if meaning == kind]
        txn_type = named(codes, listed, kind, txn_type)
    rrn = texts(batch.field("rrn"))
    orig_stan, orig_time = original(batch.field("orig_stan"), batch.field("orig_time"), clearing)
    return {
        "line_kind": constant("transaction", batch.rows),
        "acquirer_merchant_id": texts(batch.field("mer_id")),
        "terminal_id": texts(batch.field("term_id")),
        "stan": texts(batch.field("stan")),
        "rrn": only(rrn, pc.match_substring_regex(rrn, "^[0-9A-Za-z]{12}$")),
        "acquirer_txn_no": texts(batch.field("query_id")),
        "orig_acquirer_txn_no": texts(batch.field("orig_query_id")),
        "merchant_order_no": texts(batch.field("order_id")),
        "txn_type": txn_type,
        "txn_code": codes,
        "txn_local": pa.array(times, pa.timestamp("us")),
        "card_masked": masked_cards(batch.field("card")),
        "card_type": card_types(batch.field("card_type")),
        "gross_minor": pa.array(np.where(to_merchant, gross, -gross)),
        "fee_minor": pa.array(fee),
        "net_minor": pa.array(net),
        "orig_stan": orig_stan,
        "orig_txn_local": orig_time,
    }, checks
