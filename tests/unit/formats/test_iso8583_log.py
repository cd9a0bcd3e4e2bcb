import json
from datetime import date, timedelta
from typing import Any

import iso8583
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from iso8583.specs import default_ascii

from posrecon.formats.iso8583_messages import read_messages
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.formats.iso8583_files import (
    ANSWER,
    PACKED,
    SALE,
    ascii_line,
    changed,
    hex_line,
    log_file,
    packed_line,
)
from tests.unit.landing.files import NIGHT, PAN, parse_one, quarantined, raw

NAME = "iso8583_20261111.log"
EVERY_FORM = pytest.mark.parametrize("write", [ascii_line, hex_line, packed_line])


def load(settings: Settings, *lines: bytes, name: str = NAME) -> list[dict[str, Any]]:
    outcome = parse_one(settings, "terminal_log", name, log_file(*lines))
    assert outcome.state == "loaded", outcome.reason
    assert outcome.records == outcome.loaded + outcome.quarantined
    return raw(settings, "terminal_events")


def refusal(settings: Settings, message: dict[str, str], name: str = NAME) -> str:
    """Why one exchange among good ones goes to quarantine."""
    good = changed(SALE, e11="000999")
    load(settings, ascii_line(good), ascii_line(message), name=name)
    (row,) = quarantined(settings)
    assert row["line_no"] == 2
    return str(row["reason"])


@EVERY_FORM
def test_sale_and_its_answer__are_one_event_in_every_form(settings: Settings, write: Any) -> None:
    (row,) = load(settings, write(SALE), write(ANSWER))
    assert {name: row[name] for name in ("line_no", "merchant_id", "terminal_id", "batch_no", "stan", "rrn")} == {
        "line_no": 1, "merchant_id": "898110000000037", "terminal_id": "10000001", "batch_no": "000001",
        "stan": "000001", "rrn": "631500000001",
    }  # fmt: skip
    assert (row["txn_type"], row["channel"], row["amount_minor"], row["currency"]) == (
        "sale",
        "card",
        1234,
        "CNY",
    )
    assert (row["txn_local"].isoformat(), row["business_date"]) == ("2026-11-11T10:00:00", date(2026, 11, 11))
    assert (row["response_code"], row["auth_code"], row["card_masked"]) == (
        "00",
        "123456",
        "621234******1232",
    )
    assert len(row["card_token"]) == 64


def test_packed_message_behind_a_transport_header__is_read(settings: Settings) -> None:
    (row,) = load(settings, packed_line(SALE, "6000030000602200000000"), packed_line(ANSWER))
    assert (row["stan"], row["response_code"]) == ("000001", "00")


def test_request_without_an_answer__is_a_time_out(settings: Settings) -> None:
    (row,) = load(settings, ascii_line(SALE))
    assert (row["response_code"], row["rrn"]) == (None, None)


def test_answer_without_a_request__is_an_event_of_its_own_line(settings: Settings) -> None:
    rows = load(settings, ascii_line(changed(SALE, e11="000002")), ascii_line(ANSWER))
    assert [(row["line_no"], row["stan"], row["response_code"]) for row in rows] == [
        (1, "000002", None),
        (2, "000001", "00"),
    ]


def test_repeat__is_no_event_of_its_own_but_the_same_request_twice_is(settings: Settings) -> None:
    reversal = changed(SALE, t="0400", e90="0200" + "000001" + "1111100000" + "0" * 22)
    rows = load(
        settings,
        ascii_line(SALE),
        ascii_line(reversal),
        ascii_line(changed(reversal, t="0401")),
        ascii_line(changed(ANSWER, t="0410")),
        ascii_line(SALE),
        ascii_line(ANSWER),
    )
    assert [(row["line_no"], row["txn_type"], row["response_code"]) for row in rows] == [
        (1, "sale", None),
        (2, "reversal", "00"),
        (5, "sale", "00"),
    ]


@pytest.mark.parametrize(
    ("message", "txn_type", "orig_stan", "orig_batch"),
    [
        (changed(SALE, t="0100", e3="030000"), "preauth", None, None),
        (changed(SALE, t="0100", e3="200000"), "preauth_void", None, None),
        (changed(SALE, e25="06"), "preauth_completion", None, None),
        (changed(SALE, t="0220", e25="06"), "preauth_completion", None, None),
        (changed(SALE, t="0220"), "sale", None, None),
        (changed(SALE, e3="090000"), "sale", None, None),
        (changed(SALE, e3="200000"), "refund", None, None),
        (changed(SALE, t="0220", e3="200000", e61="0000010000071110"), "refund", "000007", "000001"),
        (changed(SALE, e3="200000", e61="0000010000071110"), "void", "000007", "000001"),
        (changed(SALE, e3="200000", e90="0200000007" + "0" * 32), "void", "000007", None),
        (changed(SALE, t="0420", e90="0200000007" + "0" * 32), "reversal", "000007", None),
        # Without a name of its own, a reversal takes back what has its trace number.
        (changed(SALE, t="0400"), "reversal", "000001", None),
        (changed(SALE, t="0400", e90="0200000000" + "0" * 32), "reversal", "000001", None),
    ],
)
def test_message_type_and_codes__say_what_it_is_and_what_it_takes_back(
    settings: Settings, message: dict[str, str], txn_type: str, orig_stan: str | None, orig_batch: str | None
) -> None:
    (row,) = load(settings, ascii_line(message))
    assert (row["txn_type"], row["orig_stan"], row["orig_batch_no"]) == (txn_type, orig_stan, orig_batch)


def test_refund__names_its_sale_in_the_request_and_itself_in_the_answer(settings: Settings) -> None:
    refund = changed(SALE, t="0220", e3="200000", e37="631400000009")
    (row,) = load(settings, ascii_line(refund), ascii_line(changed(ANSWER, t="0230", e3="200000")))
    assert (row["rrn"], row["orig_rrn"]) == ("631500000001", "631400000009")


def test_sale_with_its_own_reference_in_both__has_no_original(settings: Settings) -> None:
    (row,) = load(settings, ascii_line(changed(SALE, e37="631500000001")), ascii_line(ANSWER))
    assert (row["rrn"], row["orig_rrn"]) == ("631500000001", None)


def test_messages_that_move_no_money__are_no_records(settings: Settings) -> None:
    rows = load(
        settings,
        ascii_line({"t": "0800", "11": "000001", "41": "10000001", "42": "898110000000037"}),
        ascii_line({"t": "0500", "11": "000002", "41": "10000001"}),
        ascii_line(changed(SALE, e3="310000")),
        ascii_line(SALE),
        b"",
    )
    assert [row["line_no"] for row in rows] == [4]


@pytest.mark.parametrize(
    ("code", "digits", "currency", "minor"),
    [
        ("392", "000000001234", "JPY", 1234),
        ("414", "000000001234", "KWD", 1234),
        ("USD", "000000000005", "USD", 5),
    ],
)
def test_amount__is_in_minor_units_of_its_currency(
    settings: Settings, code: str, digits: str, currency: str, minor: int
) -> None:
    (row,) = load(settings, ascii_line(changed(SALE, e49=code, e4=digits)))
    assert (row["currency"], row["amount_minor"]) == (currency, minor)


@pytest.mark.parametrize(
    ("name", "month_day", "business_date"),
    [
        ("iso8583_20270101.log", "1231", date(2026, 12, 31)),
        ("iso8583_20270101.log", "0101", date(2027, 1, 1)),
        ("iso8583_20261231.log", "0101", date(2027, 1, 1)),
        ("iso8583_20261231.log", "1231", date(2026, 12, 31)),
        ("iso8583_20280229.log", "0229", date(2028, 2, 29)),
    ],
)
def test_year__is_the_one_that_puts_the_day_next_to_the_business_date(
    settings: Settings, name: str, month_day: str, business_date: date
) -> None:
    import tests.unit.landing.files as files

    day = date.fromisoformat(f"{name[8:12]}-{name[12:14]}-{name[14:16]}")
    files.put(settings, "terminal_log", name, log_file(ascii_line(changed(SALE, e13=month_day))))
    (outcome,) = files.land(settings, day + timedelta(days=1))
    assert (outcome.state, outcome.business_date) == ("loaded", day)
    (row,) = files.rows(settings.raw / "terminal_events" / "*" / "*.parquet")
    assert row["business_date"] == business_date


def test_time__comes_in_utc_from_element_7_when_the_message_has_no_local_one(settings: Settings) -> None:
    (row,) = load(settings, ascii_line(changed(SALE, e12=None, e13=None, e7="1111020000")))
    assert row["txn_local"].isoformat() == "2026-11-11T10:00:00"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (changed(SALE, e4="00000000123X"), "element 4 is not 12 digits"),
        (changed(SALE, e4=None), "element 4 is not 12 digits"),
        (changed(SALE, e13="0230"), 'element 13 and 12 "0230100000" is not a possible time'),
        (changed(SALE, e12="250000"), "is not a possible time"),
        (changed(SALE, e12=None, e13=None), "has no time"),
        (changed(SALE, e49="999"), 'element 49 "999" is no ISO 4217 currency'),
        (changed(SALE, e3="990000"), "no message type of the source YAML fits 0200"),
        (changed(SALE, t="0900"), "no message type of the source YAML fits"),
        (changed(SALE, e41=None), "terminal_id is empty"),
        (changed(SALE, e42=None), "merchant_id is empty"),
        (changed(SALE, e11=None), "element 11 is not 6 digits"),
    ],
)
def test_bad_element__puts_its_exchange_into_quarantine(
    settings: Settings, message: dict[str, str], reason: str
) -> None:
    assert reason in refusal(settings, message)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (ascii_line(changed(SALE, e4=None)), ("898110000000037", "10000001", "000001", "000001")),
        (ascii_line(changed(SALE, e3="990000")), ("898110000000037", "10000001", "000001", "000001")),
        (ascii_line(changed(SALE, e4=None, e60=None)), ("898110000000037", "10000001", None, "000001")),
        (ascii_line(changed(SALE, e4=None, e41=None)), ("898110000000037", None, "000001", "000001")),
        # A STAN that is no number counts nothing; of a line that is no message nothing is read.
        (ascii_line(changed(SALE, e11="A00001")), (None, None, None, None)),
        (ascii_line(SALE)[:-1], (None, None, None, None)),
    ],
)
def test_refused_exchange__keeps_its_place_in_the_terminals_count(
    settings: Settings, line: bytes, kept: tuple[str | None, ...]
) -> None:
    load(settings, ascii_line(changed(SALE, e11="000999")), line)
    (row,) = quarantined(settings)
    assert tuple(row[name] for name in ("merchant_id", "terminal_id", "batch_no", "stan")) == kept


def test_two_different_answers__put_the_exchange_into_quarantine(settings: Settings) -> None:
    load(
        settings,
        ascii_line(changed(SALE, e11="000999")),
        ascii_line(SALE),
        ascii_line(ANSWER),
        ascii_line(changed(ANSWER, e39="51")),
    )
    (row,) = quarantined(settings)
    assert (row["line_no"], row["reason"]) == (2, "is answered twice, with different response codes")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (ascii_line(SALE)[:-1], "ends inside element 60"),
        (ascii_line(SALE) + b"0", "goes on after its last element"),
        (ascii_line(SALE)[:12], "is too short for a message"),
        (b"02X0" + ascii_line(SALE)[4:], "does not begin with a message type of 4 digits"),
        (b"0200" + b"Z" * 40, "has a bitmap that is not hexadecimal"),
        (
            ascii_line(SALE)[:20] + b"xx" + ascii_line(SALE)[22:],
            "has a length of element 2 that is not 0 to 19",
        ),
        (
            ascii_line(SALE)[:20] + b"99" + ascii_line(SALE)[22:],
            "has a length of element 2 that is not 0 to 19",
        ),
        (
            ascii_line(changed(SALE, e41="1000000A")).replace(b"A", b"\xe5"),
            "has an element 41 that is not text",
        ),
        (b"0200" + b"F" * 32 + b"0" * 40, "third bitmap"),
    ],
)
def test_broken_line__goes_to_quarantine_without_its_digits(
    settings: Settings, line: bytes, reason: str
) -> None:
    load(settings, ascii_line(changed(SALE, e11="000999")), line)
    (row,) = quarantined(settings)
    assert reason in row["reason"]
    assert PAN[6:12] not in json.dumps(row, default=str)
    assert row["record_masked"].startswith("message ")


@EVERY_FORM
def test_card_number__stands_nowhere_under_home(settings: Settings, write: Any) -> None:
    load(settings, write(SALE), write(changed(SALE, e11="000002", e4=None)), write(SALE)[:-3])
    clear = [
        path
        for path in settings.home.rglob("*")
        if path.is_file()
        and (PAN.encode() in path.read_bytes() or PAN.encode().hex().encode() in path.read_bytes())
    ]
    assert clear == []


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", NAME, "the file is empty"),
        (b"\n\n", NAME, "only blank lines"),
        (b"merchant_id,terminal_id\nM1,T1\n", NAME, "no line is an ISO 8583 message"),
        (log_file(ascii_line(SALE), b"02\x00"), NAME, "a control character stands in the line"),
        (log_file(ascii_line(SALE), b"0" * (1024 * 1024 + 1)), NAME, "expected at most 1048576"),
    ],
)
def test_file_that_is_no_log__is_refused_whole(
    settings: Settings, content: bytes, name: str, reason: str
) -> None:
    outcome = parse_one(settings, "terminal_log", name, content)
    assert (outcome.state, outcome.loaded) == ("rejected", 0)
    assert reason in (outcome.reason or "")
    assert read_note(settings, NIGHT, outcome.file_id)["next_step"]


def test_log_with_windows_line_ends__keeps_its_line_numbers(settings: Settings) -> None:
    outcome = parse_one(
        settings,
        "terminal_log",
        "iso8583_north_20261111.log",
        log_file(ascii_line(SALE), b"", ascii_line(changed(SALE, e11="000002")), end=b"\r\n"),
    )
    assert outcome.logical_name == "terminal_log/2026-11-11/iso8583-north"
    assert [row["line_no"] for row in raw(settings, "terminal_events")] == [1, 3]


# -------------------------------------------------------------------------------- against pyiso8583
ELEMENTS = st.dictionaries(
    st.sampled_from(
        ["2", "3", "4", "11", "12", "32", "37", "41", "43", "48", "60", "70", "90", "102", "128"]
    ),
    st.integers(0, 999),
)


def _message(chosen: dict[str, int]) -> dict[str, str]:
    """A message with these elements; each number decides how long a variable one is."""
    message = {"t": "0200"}
    for name, number in chosen.items():
        size = default_ascii[name]["max_len"]
        digits = number % (size + 1) if default_ascii[name]["len_type"] else size
        message[name] = (str(number) * size)[:digits]
    return message


@bounded(max_examples=150, deadline=None)
@given(st.lists(ELEMENTS, min_size=1, max_size=5), st.integers(0, 400), st.integers(0, 255), st.booleans())
def test_any_message_whole_or_damaged__is_read_as_pyiso8583_reads_it(
    chosen: list[dict[str, int]], place: int, byte: int, is_damaged: bool
) -> None:
    lines = [bytearray(ascii_line(_message(one))) for one in chosen]
    if is_damaged:
        lines[0][place % len(lines[0])] = byte
    ends = np.cumsum([len(line) for line in lines])
    starts = ends - [len(line) for line in lines]
    found = read_messages(np.frombuffer(b"".join(lines), np.uint8), starts, ends, "ascii")
    for number, line in enumerate(lines):
        error = found.errors[number].as_py()
        try:
            decoded, _ = iso8583.decode(line, default_ascii)
        except iso8583.DecodeError:
            # Names may be GBK: an element that nobody looks at need not be ASCII.
            assert error is not None or not line.isascii()
            continue
        if error is not None:  # pyiso8583 takes any message type, any letter as text, and ` 7` as a length
            assert any(text in error for text in ("message type", "not text", "third bitmap", "a length of"))
            continue
        for name, values in found.fields.items():
            assert values[number].as_py() == decoded.get(name)


@bounded(max_examples=60, deadline=None)
@given(st.lists(ELEMENTS, min_size=1, max_size=5))
def test_any_packed_message__is_read_as_pyiso8583_wrote_it(chosen: list[dict[str, int]]) -> None:
    lines = [packed_line(_message({k: v for k, v in one.items() if k != "43"})) for one in chosen]
    ends = np.cumsum([len(line) for line in lines])
    starts = ends - [len(line) for line in lines]
    found = read_messages(np.frombuffer(b"".join(lines), np.uint8), starts, ends, "packed")
    assert found.errors.null_count == len(lines)
    for number, line in enumerate(lines):
        decoded, _ = iso8583.decode(bytes.fromhex(line.decode()), PACKED)
        for name, values in found.fields.items():
            text = values[number].as_py()
            given_text = decoded.get(name)
            assert text == (given_text if name != "128" else text)
