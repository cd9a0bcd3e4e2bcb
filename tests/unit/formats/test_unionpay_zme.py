from datetime import date, datetime

import pytest

from posrecon.formats.unionpay_zme import LAYOUT
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import MER_ID, NIGHT, PAN, parse_one, quarantined, raw, zm_record

NAME = f"INN26111188ZME_{MER_ID}"


def zme_record(size: int = LAYOUT.sizes[0], **fields: str) -> bytes:
    """One ZME record with its CR LF: 12.34 taken back, its fee of 0.07 returned."""
    record = bytearray(b" " * size)
    values = {
        "txn_code": "E32", "acq_ins_code": "00012345678", "fwd_ins_code": "00012345678", "stan": "000009",
        "txn_time": "1111100000", "card": "621234******1232", "amount": "000000001234", "card_type": "02",
        "orig_stan": "000001", "orig_time": "1105101112", "orig_clearing": "1105",
        "orig_amount": "000000001234", "fee": "C000000000007", "settled": "D000000001227", "mer_id": MER_ID,
    }  # fmt: skip
    for name, value in (values | fields).items():
        start, stop = LAYOUT.offsets[name]
        record[start:stop] = value.encode("gbk").ljust(stop - start)[: stop - start]
    return bytes(record) + b"\r\n"


def test_a_debit__is_a_refund_of_the_kind_dispute__and_names_its_original(settings: Settings) -> None:
    outcome = parse_one(settings, "unionpay", NAME, zme_record())

    (row,) = raw(settings, "settlement_lines")
    assert (row["line_kind"], row["txn_type"], row["txn_code"]) == ("dispute", "refund", "E32")
    assert (row["gross_minor"], row["fee_minor"], row["net_minor"]) == (-1234, -7, -1227)
    assert (row["stan"], row["txn_local"]) == ("000009", datetime(2026, 11, 11, 10, 0))  # noqa: DTZ001
    assert (row["orig_stan"], row["orig_txn_local"]) == ("000001", datetime(2026, 11, 5, 10, 11, 12))  # noqa: DTZ001
    assert (row["acquirer_merchant_id"], row["card_type"]) == (MER_ID, "credit")
    assert row["settlement_date"] == date(2026, 11, 11)
    assert (outcome.source, outcome.logical_name) == ("unionpay_zme", f"unionpay_zme/{MER_ID}/2026-11-11")
    assert outcome.computed_minor == -1227


def test_a_credit__is_a_sale(settings: Settings) -> None:
    parse_one(settings, "unionpay", NAME, zme_record(fee="D000000000007", settled="C000000001227"))

    (row,) = raw(settings, "settlement_lines")
    assert (row["txn_type"], row["gross_minor"], row["fee_minor"], row["net_minor"]) == (
        "sale", 1234, 7, 1227
    )  # fmt: skip


def test_the_original_of_the_year_before__takes_that_year(settings: Settings) -> None:
    parse_one(settings, "unionpay", NAME, zme_record(orig_time="1231235959"))
    assert raw(settings, "settlement_lines")[0]["orig_txn_local"] == datetime(2025, 12, 31, 23, 59, 59)  # noqa: DTZ001


@pytest.mark.parametrize(
    "fields", [{"orig_stan": "", "orig_time": ""}, {"orig_stan": "000000", "orig_time": "0" * 10}]
)
def test_no_original__is_null(settings: Settings, fields: dict[str, str]) -> None:
    parse_one(settings, "unionpay", NAME, zme_record(**fields))
    row = raw(settings, "settlement_lines")[0]
    assert (row["orig_stan"], row["orig_txn_local"]) == (None, None)


@pytest.mark.parametrize("size", LAYOUT.sizes)
def test_the_reserved_area__with_and_without_a_last_blank__is_read(settings: Settings, size: int) -> None:
    outcome = parse_one(settings, "unionpay", NAME, zme_record(size) * 3)
    assert (outcome.state, outcome.records, outcome.loaded) == ("loaded", 3, 3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"settled": "X000000001227"}, 'settled "X000000001227" is not C or D and 12 digits'),
        ({"txn_time": "0230100000"}, 'txn_time "0230100000" is not a possible time'),
        ({"amount": "-00000001234"}, "is not 12 digits"),
        ({"txn_code": "\0\0\0"}, "is not a code of 3 letters or digits"),
        ({"stan": "12 456"}, "is not 6 digits"),
    ],
)
def test_a_bad_field__puts_the_record_into_quarantine(
    settings: Settings, fields: dict[str, str], reason: str
) -> None:
    outcome = parse_one(settings, "unionpay", NAME, zme_record() + zme_record(card=PAN, **fields))

    (bad,) = quarantined(settings)
    assert (outcome.records, outcome.loaded, outcome.quarantined) == (2, 1, 1)
    assert (bad["line_no"], reason in bad["reason"], PAN in bad["record_masked"]) == (2, True, False)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (zme_record() + zme_record()[:200], [2]),
        (zme_record(LAYOUT.sizes[0]) + zme_record(LAYOUT.sizes[1]), [2]),
        (zm_record(), [1]),
    ],
)
def test_a_record_of_the_wrong_length__refuses_the_file(
    settings: Settings, content: bytes, lines: list[int]
) -> None:
    outcome = parse_one(settings, "unionpay", NAME, content)

    note = read_note(settings, NIGHT, outcome.file_id)
    assert outcome.state == "rejected"
    assert [line["line_no"] for line in note["bad_lines"]] == lines  # type: ignore[attr-defined]


def test_a_zm_refund__names_its_original_too(settings: Settings) -> None:
    record = zm_record(
        txn_code="S30",
        fee="C000000000007",
        settled="D000000001227",
        orig_stan="000077",
        orig_time="1110093000",
    )
    parse_one(settings, "unionpay", f"INN26111188ZM_{MER_ID}", record + zm_record())

    refund, sale = raw(settings, "settlement_lines")
    assert (refund["orig_stan"], refund["orig_txn_local"]) == ("000077", datetime(2026, 11, 10, 9, 30))  # noqa: DTZ001
    assert (sale["orig_stan"], sale["orig_txn_local"]) == (None, None)
