import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from posrecon.formats.unionpay_acomn import LAYOUT
from posrecon.landing.sources import load_source
from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.landing.files import MER_ID, PAN, parse_one, quarantined, raw, settings_of

NAME = "IND26111101ACOMN"
EXAMPLES = PROJECT_ROOT / "include" / "sources" / "examples"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose project takes institution files: the example moved up by one folder."""
    sources = tmp_path / "project" / "include" / "sources"
    shutil.copytree(PROJECT_ROOT / "include" / "sources", sources)
    shutil.copy(EXAMPLES / "unionpay_acomn.yml", sources)
    return settings_of(tmp_path / "home").model_copy(update={"project_dir": tmp_path / "project"})


def acomn_record(size: int = LAYOUT.sizes[0], **fields: str) -> bytes:
    """One record with its CR LF: a sale of 12.34; 0.07 paid, 0.02 received, 0.01 to the switch."""
    record = bytearray(b" " * size)
    values = {
        "acq_ins_code": "48270000", "fwd_ins_code": "00010000", "stan": "000001", "txn_time": "1111100000",
        "card": "621234******1232", "amount": "000000001234", "partial_amount": "0" * 12, "holder_fee": "0" * 12,
        "message_type": "0200", "txn_code": "000000", "mcc": "5411", "term_id": "10000001", "mer_id": MER_ID,
        "rrn": "631500000001", "auth_code": "123456", "rcv_ins_code": "01030000", "orig_stan": "000000",
        "return_code": "00", "fee_received": "000000000002", "fee_paid": "000000000007", "switch_fee": "D00000000001",
        "orig_time": "0" * 10,
    }  # fmt: skip
    for name, value in (values | fields).items():
        start, stop = LAYOUT.offsets[name]
        record[start:stop] = value.encode("gbk").ljust(stop - start)[: stop - start]
    return bytes(record) + b"\r\n"


@pytest.mark.parametrize("size", LAYOUT.sizes)
def test_record__is_a_line_with_the_institutions_fee(settings: Settings, size: int) -> None:
    outcome = parse_one(settings, "unionpay", NAME, acomn_record(size))
    assert outcome.reason is None
    (row,) = raw(settings, "settlement_lines")
    assert (row["gross_minor"], row["fee_minor"], row["net_minor"]) == (1234, 6, 1228)
    assert (row["acquirer_merchant_id"], row["terminal_id"], row["stan"]) == (MER_ID, "10000001", "000001")
    assert (row["rrn"], row["auth_code"], row["card_masked"]) == (
        "631500000001",
        "123456",
        "621234******1232",
    )
    assert row["txn_local"] == datetime(2026, 11, 11, 10)  # noqa: DTZ001 - wall clock
    assert (row["acquirer"], row["txn_type"], row["orig_stan"]) == ("unionpay", "sale", None)


def test_refund__turns_amount_and_fees(settings: Settings) -> None:
    record = acomn_record(
        txn_code="200000", switch_fee="C00000000001", orig_stan="000009", orig_time="1105101112"
    )
    parse_one(settings, "unionpay", NAME, record)
    (row,) = raw(settings, "settlement_lines")
    assert (row["txn_type"], row["gross_minor"], row["fee_minor"], row["net_minor"]) == (
        "refund",
        -1234,
        -6,
        -1228,
    )
    assert row["orig_stan"] == "000009"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"txn_code": "310000"}, 'txn_code "310000" is not a processing code'),
        ({"amount": "00000000123x"}, "is not 12 digits"),
        ({"fee_paid": ""}, "is not 12 digits"),
        ({"switch_fee": "X00000000001"}, "is not C or D and 11 digits"),
        ({"txn_time": "0230100000"}, "is not a possible time"),
        ({"stan": "12345"}, "is not 6 digits"),
    ],
)
def test_bad_field__puts_its_record_into_quarantine(
    settings: Settings, fields: dict[str, Any], reason: str
) -> None:
    outcome = parse_one(settings, "unionpay", NAME, acomn_record() + acomn_record(card=PAN, **fields))
    assert (outcome.records, outcome.loaded, outcome.quarantined) == (2, 1, 1)
    (row,) = quarantined(settings)
    assert (row["line_no"], reason in row["reason"], PAN in row["record_masked"]) == (2, True, False)


def test_record_of_another_length__refuses_the_file(settings: Settings) -> None:
    outcome = parse_one(settings, "unionpay", NAME, acomn_record() + acomn_record()[1:])
    assert (outcome.state, "do not fit" in (outcome.reason or "")) == ("rejected", True)


def test_every_example_source__is_one_and_is_not_in_force() -> None:
    for path in sorted(EXAMPLES.glob("*.yml")):
        assert load_source(path).name == path.stem
        assert not (EXAMPLES.parent / path.name).exists()
