"""Columns of the raw dataset `settlement_lines`: what every acquirer's layout writes."""

import pyarrow as pa

from posrecon.formats.layout import arrow_schema

SETTLEMENT_SCHEMA = arrow_schema(
    file_no=pa.int64(),
    line_no=pa.int64(),
    acquirer=pa.string(),
    line_kind=pa.string(),
    channel=pa.string(),
    acquirer_merchant_id=pa.string(),
    terminal_id=pa.string(),
    stan=pa.string(),
    rrn=pa.string(),
    auth_code=pa.string(),
    acquirer_txn_no=pa.string(),
    orig_acquirer_txn_no=pa.string(),
    merchant_order_no=pa.string(),
    txn_type=pa.string(),
    txn_code=pa.string(),
    txn_local=pa.timestamp("us"),
    card_masked=pa.string(),
    card_type=pa.string(),
    currency=pa.string(),
    gross_minor=pa.int64(),
    fee_minor=pa.int64(),
    net_minor=pa.int64(),
    settlement_date=pa.date32(),
    orig_stan=pa.string(),
    orig_txn_local=pa.timestamp("us"),
)
