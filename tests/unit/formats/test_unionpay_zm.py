from datetime import date, datetime

import pytest

from posrecon.formats.unionpay_zm import offsets
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import MER_ID, NIGHT, PAN, ZM_NAME, parse_one, quarantined, raw, zm_record


def test_offsets__the_tail_of_version_2_5__ends_inside_607_bytes() -> None:
    assert offsets()["txn_code"] == (0, 3)
    assert offsets()["medium"][1] + 1 + 131 <= 607
    assert offsets()["rrn"][1] <= 607


def test_a_sale__is_positive_to_the_merchant__and_its_fee_is_charged(settings: Settings) -> None:
    outcome = parse_one(settings, "unionpay", ZM_NAME, zm_record())

    (row,) = raw(settings, "settlement_lines")
    assert (row["gross_minor"], row["fee_minor"], row["net_minor"]) == (1234, 7, 1227)
    assert (row["txn_type"], row["txn_code"], row["card_type"]) == ("sale", "S22", "debit")
    assert (row["acquirer"], row["acquirer_merchant_id"], row["terminal_id"]) == (
        "unionpay",
        MER_ID,
        "10000001",
    )
    assert (row["rrn"], row["stan"], row["currency"]) == ("631500000001", "000001", "CNY")
    assert row["txn_local"] == datetime(2026, 11, 11, 10, 0)  # noqa: DTZ001 - wall clock
    assert row["settlement_date"] == date(2026, 11, 11)
    assert (outcome.logical_name, outcome.logical_key) == (f"unionpay_zm/{MER_ID}/2026-11-11", MER_ID)
    assert outcome.computed_minor == 1227


def test_a_refund__is_negative__and_its_fee_comes_back(settings: Settings) -> None:
    parse_one(
        settings, "unionpay", ZM_NAME, zm_record(txn_code="S30", fee="C000000000007", settled="D000000001227")
    )

    (row,) = raw(settings, "settlement_lines")
    assert (row["txn_type"], row["gross_minor"], row["fee_minor"], row["net_minor"]) == (
        "refund",
        -1234,
        -7,
        -1227,
    )


def test_version_1__without_an_rrn__loads_without_it(settings: Settings) -> None:
    parse_one(settings, "unionpay", ZM_NAME, zm_record(rrn=""))
    assert raw(settings, "settlement_lines")[0]["rrn"] is None


def _packed(record: bytes, reserved: int) -> bytes:
    """The same fields without the blanks between them."""
    return b"".join(record[start:stop] for start, stop in offsets().values()) + b" " * reserved + b"\r\n"


@pytest.mark.parametrize("reserved", [66, 67])
def test_records_without_blanks_between_fields__are_told_by_their_length(
    settings: Settings, reserved: int
) -> None:
    records = [_packed(zm_record(sub_mer_name="面馆".encode("gbk"), **given), reserved) for given in (
        {}, {"txn_code": "S30", "fee": "C000000000007", "settled": "D000000001227"}, {"stan": "x"},
    )]  # fmt: skip
    outcome = parse_one(settings, "unionpay", ZM_NAME, b"".join(records))

    assert (outcome.records, outcome.loaded, outcome.quarantined) == (3, 2, 1)
    found = [
        (row["gross_minor"], row["fee_minor"], row["terminal_id"], row["rrn"], row["line_no"])
        for row in raw(settings, "settlement_lines")
    ]
    assert found == [(1234, 7, "10000001", "631500000001", 1), (-1234, -7, "10000001", "631500000001", 2)]


def test_chinese_text__takes_two_bytes_a_character__fields_after_it_do_not_shift(settings: Settings) -> None:
    record = zm_record(sub_mer_name="面馆面馆面馆".encode("gbk"), order_id="订单1".encode("gbk"))
    parse_one(settings, "unionpay", ZM_NAME, record)

    (row,) = raw(settings, "settlement_lines")
    assert (row["terminal_id"], row["rrn"], row["merchant_order_no"]) == ("10000001", "631500000001", "订单1")


@pytest.mark.parametrize(
    ("name", "time", "expected"),
    [
        ("INN27010188ZM_", "1231230000", datetime(2026, 12, 31, 23)),  # noqa: DTZ001
        ("INN27010188ZM_", "0101120000", datetime(2027, 1, 1, 12)),  # noqa: DTZ001
        ("INN26123188ZM_", "1231120000", datetime(2026, 12, 31, 12)),  # noqa: DTZ001
        ("INN28030188ZM_", "0229120000", datetime(2028, 2, 29, 12)),  # noqa: DTZ001
    ],
)
def test_year__comes_from_the_clearing_date(
    settings: Settings, name: str, time: str, expected: datetime
) -> None:
    from posrecon.landing import parse_file, receive
    from tests.unit.landing.files import put

    night = date(2028, 3, 2)
    put(settings, "unionpay", name + MER_ID, zm_record(txn_time=time))
    parse_file(settings, night, receive(settings, night)[0])
    assert raw(settings, "settlement_lines")[0]["txn_local"] == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"amount": "00000001x990"}, 'amount "00000001x990" is not 12 digits'),
        ({"fee": "X000000000007"}, 'fee "X000000000007" is not C or D and 12 digits'),
        ({"settled": "C00000000122-"}, "is not C or D and 12 digits"),
        ({"txn_time": "0230100000"}, 'txn_time "0230100000" is not a possible time'),
        ({"txn_time": "1111240000"}, "is not a possible time"),
        ({"stan": "12 456"}, 'stan "12 456" is not 6 digits'),
        ({"txn_code": "22S"}, 'txn_code "22S" is not a transaction code'),
    ],
)
def test_a_bad_field__puts_the_record_into_quarantine(
    settings: Settings, fields: dict[str, str], reason: str
) -> None:
    outcome = parse_one(settings, "unionpay", ZM_NAME, zm_record() + zm_record(**fields) + zm_record())

    (bad,) = quarantined(settings)
    assert (outcome.records, outcome.loaded, outcome.quarantined) == (3, 2, 1)
    assert bad["line_no"] == 2
    assert reason in bad["reason"]
    assert [row["line_no"] for row in raw(settings, "settlement_lines")] == [1, 3]


def test_a_shifted_record__of_the_right_length__goes_to_quarantine(settings: Settings) -> None:
    shifted = zm_record()[:20] + b"9" + zm_record()[20:606] + b"\r\n"
    parse_one(settings, "unionpay", ZM_NAME, zm_record() + shifted)

    (bad,) = quarantined(settings)
    assert bad["reason"].startswith("record has no blank between its fields")


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (zm_record() + zm_record()[:500], [2]),
        (zm_record() + zm_record()[:600] + b"\r\n" + zm_record(), [2]),
        (zm_record()[:-2] + b"  \r\n" + zm_record() + b"x\r\n", [1, 3]),
        (zm_record().replace(b"\r\n", b"\n") * 2, [1, 2]),
        (b"merchant_id,terminal_id\nM000001,10000001\n", [1, 2]),
        (zm_record().strip() * 2, [1]),
    ],
)
def test_a_record_of_the_wrong_length__refuses_the_file__and_lists_every_line(
    settings: Settings, content: bytes, lines: list[int]
) -> None:
    outcome = parse_one(settings, "unionpay", ZM_NAME, content)

    note = read_note(settings, NIGHT, outcome.file_id)
    assert outcome.state == "rejected"
    assert [line["line_no"] for line in note["bad_lines"]] == lines  # type: ignore[attr-defined]
    assert raw(settings, "settlement_lines") == []


def test_30_000_records_of_the_wrong_length__all_are_listed(settings: Settings) -> None:
    outcome = parse_one(settings, "unionpay", ZM_NAME, (zm_record() + zm_record()[:99] + b"\r\n") * 30_000)

    note = read_note(settings, NIGHT, outcome.file_id)
    assert len(note["bad_lines"]) == 30_000  # type: ignore[arg-type]


def test_the_last_record_without_its_end__is_read(settings: Settings) -> None:
    outcome = parse_one(settings, "unionpay", ZM_NAME, (zm_record() * 2)[:-2])
    assert (outcome.state, outcome.loaded) == ("loaded", 2)


def test_an_empty_file__is_refused(settings: Settings) -> None:
    outcome = parse_one(settings, "unionpay", ZM_NAME, b"")
    assert outcome.state == "rejected"
    assert "empty (0 bytes)" in str(outcome.reason)


def test_a_whole_card_number__is_masked__in_rows_and_in_quarantine(settings: Settings) -> None:
    parse_one(settings, "unionpay", ZM_NAME, zm_record(card=PAN) + zm_record(card=PAN, amount="x"))

    assert raw(settings, "settlement_lines")[0]["card_masked"] == "621234****1232"
    assert PAN not in quarantined(settings)[0]["record_masked"]


def test_an_unknown_code__takes_its_type_from_the_direction_of_the_money(settings: Settings) -> None:
    records = zm_record(txn_code="S99") + zm_record(
        txn_code="S99", settled="D000000001227", fee="C000000000007"
    )
    parse_one(settings, "unionpay", ZM_NAME, records)
    assert [row["txn_type"] for row in raw(settings, "settlement_lines")] == ["sale", "refund"]
