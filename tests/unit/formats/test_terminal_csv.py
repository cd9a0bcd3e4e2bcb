import hashlib
import hmac
import json
from datetime import UTC, date, datetime

import pytest

from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import HEADER, NIGHT, PAN, event, log_of, parse_one, quarantined, raw

NAME = "terminal_log_20261111.csv"


def test_terminal_log__a_good_record__keeps_every_field(settings: Settings) -> None:
    outcome = parse_one(settings, "terminal_log", NAME, log_of(event(merchant_order_no="A-1")))

    (row,) = raw(settings, "terminal_events")
    assert (outcome.state, outcome.records, outcome.loaded, outcome.quarantined) == ("loaded", 1, 1, 0)
    assert (row["file_no"], row["line_no"], row["amount_minor"], row["currency"]) == (1, 2, 1234, "CNY")
    assert row["txn_local"] == datetime(2026, 11, 11, 10, 0)  # noqa: DTZ001 - wall clock
    assert row["txn_at"].astimezone(UTC) == datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
    assert row["business_date"] == date(2026, 11, 11)
    assert (row["merchant_order_no"], row["orig_stan"], row["extras"]) == ("A-1", None, None)
    assert (outcome.business_date, outcome.logical_name) == (date(2026, 11, 11), "terminal_log/2026-11-11")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-11T01:30:00Z", datetime(2026, 11, 11, 1, 30, tzinfo=UTC)),
        ("2026-11-11T01:30:00+00:00", datetime(2026, 11, 11, 1, 30, tzinfo=UTC)),
        ("2026-11-11 20:30:00+1100", datetime(2026, 11, 11, 9, 30, tzinfo=UTC)),
        ("2026-11-11T01:30:00 -03:30", datetime(2026, 11, 11, 5, 0, tzinfo=UTC)),
        ("2026-11-11T01:30:00-03", datetime(2026, 11, 11, 4, 30, tzinfo=UTC)),
    ],
)
def test_txn_time__with_an_offset__is_that_instant(settings: Settings, text: str, utc: datetime) -> None:
    parse_one(settings, "terminal_log", NAME, log_of(event(txn_time=text)))

    (row,) = raw(settings, "terminal_events")
    assert row["txn_at"].astimezone(UTC) == utc
    assert (row["txn_local"] - utc.replace(tzinfo=None)).total_seconds() == 8 * 3600


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"amount": "12.3.4"}, 'amount "12.3.4" is not a decimal number'),
        ({"amount": "1e3"}, 'amount "1e3" is not a decimal number'),
        ({"amount": "-5.00"}, 'amount "-5.00" is negative'),
        ({"amount": "1.234"}, 'amount "1.234" has 3 decimals, expected at most 2 for CNY'),
        ({"amount": "1.5", "currency": "JPY"}, "has 1 decimals, expected at most 0 for JPY"),
        ({"amount": ""}, "amount is empty"),
        ({"txn_time": "2026-02-30T10:00:00"}, 'txn_time "2026-02-30T10:00:00" is not a possible'),
        ({"txn_time": "2026-11-11T24:00:00"}, "is not a possible"),
        ({"txn_time": "2026-11-11"}, "is not a possible"),
        ({"txn_time": "2026-11-11T10:00:00+99:00"}, "is not a possible"),
        ({"txn_type": "gift"}, 'txn_type "gift" is not known'),
        ({"channel": "cash"}, 'channel "cash" is not known'),
        ({"channel": ""}, 'channel "" is not known'),
        ({"merchant_id": " "}, "merchant_id is empty"),
        ({"terminal_id": ""}, "terminal_id is empty"),
        ({"currency": "yuan"}, 'currency "yuan" is not an ISO 4217 code'),
        ({"stan": "1,2"}, "has 20 fields, expected 19"),
    ],
)
def test_a_bad_record__goes_to_quarantine_with_line_and_reason__the_others_load(
    settings: Settings, fields: dict[str, str], reason: str
) -> None:
    outcome = parse_one(
        settings, "terminal_log", NAME, log_of(event(), event(**fields), event(stan="000003"))
    )

    (bad,) = quarantined(settings)
    assert (outcome.state, outcome.records, outcome.loaded, outcome.quarantined) == ("loaded", 3, 2, 1)
    assert bad["line_no"] == 3
    assert reason in bad["reason"]
    assert [row["line_no"] for row in raw(settings, "terminal_events")] == [2, 4]


@pytest.mark.parametrize(
    ("amount", "currency", "minor"), [("12", "CNY", 1200), ("0.5", "CNY", 50), ("7", "JPY", 7)]
)
def test_amount__becomes_minor_units_of_its_currency(
    settings: Settings, amount: str, currency: str, minor: int
) -> None:
    parse_one(settings, "terminal_log", NAME, log_of(event(amount=amount, currency=currency)))
    assert raw(settings, "terminal_events")[0]["amount_minor"] == minor


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_no__blank_lines_and_quoted_line_breaks__is_the_physical_line(
    settings: Settings, end: str
) -> None:
    two_lines = event(merchant_order_no=f'"first{end}{end}second"')
    content = log_of("", event(stan="3"), "", two_lines, event(stan="8"), event(stan='"9"'), end=end)

    outcome = parse_one(settings, "terminal_log", NAME, content)

    found = {
        row["line_no"]: (row["stan"], row["merchant_order_no"]) for row in raw(settings, "terminal_events")
    }
    assert found == {
        3: ("3", None), 5: ("000001", "first\n\nsecond"), 8: ("8", None), 9: ("9", None)
    }  # fmt: skip
    assert outcome.records == 4


def test_a_stray_quote__costs_its_own_line_only(settings: Settings) -> None:
    lines = [event(), event(auth_code='12"456'), *(event(stan=str(n)) for n in range(50)), event(stan='"7')]

    outcome = parse_one(settings, "terminal_log", NAME, log_of(*lines))

    assert [bad["line_no"] for bad in quarantined(settings)] == [3, 54]
    assert (outcome.records, outcome.loaded) == (53, 51)


@pytest.mark.parametrize("text", ['"a,b"', '"say ""hi"""', '"plain"', '""', "x"])
def test_quotes__every_form__gives_the_meant_text(settings: Settings, text: str) -> None:
    parse_one(settings, "terminal_log", NAME, log_of(event(merchant_order_no=text), event()))

    expected = {'"a,b"': "a,b", '"say ""hi"""': 'say "hi"', '"plain"': "plain", '""': None, "x": "x"}[text]
    assert raw(settings, "terminal_events")[0]["merchant_order_no"] == expected


def test_column_order_is_free__unknown_columns_become_json(settings: Settings) -> None:
    header = ",".join(reversed(HEADER.split(","))) + ",till,note"
    line = ",".join(reversed(event().split(","))) + f",7,card {PAN} seen"

    parse_one(settings, "terminal_log", NAME, log_of(line, header=header))

    (row,) = raw(settings, "terminal_events")
    assert (row["merchant_id"], row["stan"], row["amount_minor"]) == ("M000001", "000001", 1234)
    assert json.loads(row["extras"]) == {"till": "7", "note": "card 621234******1232 seen"}


@pytest.mark.parametrize("written", [PAN, "6212 3456 7890 1232", "6212-3456-7890-1232", f'"{PAN}"'])
def test_card_no__whole__becomes_mask_and_keyed_token(settings: Settings, written: str) -> None:
    parse_one(settings, "terminal_log", NAME, log_of(event(card_no=written)))

    (row,) = raw(settings, "terminal_events")
    assert row["card_masked"] == "621234******1232"
    assert row["card_token"] == hmac.new(bytes.fromhex("11" * 32), PAN.encode(), hashlib.sha256).hexdigest()


def test_card_no__masked__stays_and_has_no_token(settings: Settings) -> None:
    parse_one(settings, "terminal_log", NAME, log_of(event(card_no="621234******1232")))

    (row,) = raw(settings, "terminal_events")
    assert (row["card_masked"], row["card_token"]) == ("621234******1232", None)


def test_a_quarantined_record__shows_no_whole_card_number(settings: Settings) -> None:
    lines = (event(card_no=PAN, amount="x"), event(card_no="6212 3456 7890 1232", txn_type=PAN))
    parse_one(settings, "terminal_log", NAME, log_of(*lines))

    text = json.dumps(quarantined(settings))
    assert PAN not in text
    assert "7890" not in text


def test_a_header_in_the_middle__goes_to_quarantine(settings: Settings) -> None:
    parse_one(settings, "terminal_log", NAME, log_of(event(), HEADER, event()))

    (bad,) = quarantined(settings)
    assert (bad["line_no"], bad["reason"]) == (3, "the header is repeated, expected a record")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"\n\n", "only blank lines"),
        (log_of(event(), header=HEADER.replace(",rrn", ",x")), "the header lacks rrn"),
        (log_of(event(), header=HEADER.replace("rrn,", "stan,", 1)), 'column "stan" stands 2 times'),
        (log_of(event()).replace(b"M000001", "面馆".encode("gbk")), "not UTF-8"),
        (log_of(event()).replace(b"M000001", b"M\x00"), "not clean text"),
        (
            b"merchant_id,terminal_id,batch_no,business_date,sale_count,sale_amount\n",
            "looks like a batch-close file",
        ),
    ],
)
def test_a_bad_file__is_refused_whole_and_says_why(settings: Settings, content: bytes, reason: str) -> None:
    outcome = parse_one(settings, "terminal_log", NAME, content)

    assert outcome.state == "rejected"
    assert outcome.reason is not None
    assert outcome.reason.startswith(NAME)
    assert reason in outcome.reason
    assert raw(settings, "terminal_events") == []


def test_not_utf8__every_bad_line_is_listed(settings: Settings) -> None:
    bad = event(merchant_order_no="X").encode().replace(b"X", "面馆".encode("gbk"))
    content = b"\n".join([HEADER.encode(), *([event().encode(), bad] * 15_000)])

    outcome = parse_one(settings, "terminal_log", NAME, content)

    note = read_note(settings, NIGHT, outcome.file_id)
    lines = [line["line_no"] for line in note["bad_lines"]]  # type: ignore[attr-defined]
    assert lines == list(range(3, 30_002, 2))
    assert "It reads as GBK" in str(outcome.reason)


def test_30_000_bad_records__all_are_in_quarantine(settings: Settings) -> None:
    lines = [event(amount="x") if n % 2 else event() for n in range(60_000)]

    outcome = parse_one(settings, "terminal_log", NAME, log_of(*lines))

    assert (outcome.records, outcome.loaded, outcome.quarantined) == (60_000, 30_000, 30_000)
    assert [bad["line_no"] for bad in quarantined(settings)] == list(range(3, 60_003, 2))


def test_lines_stay_in_file_order__across_chunks_and_threads(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posrecon.formats.delimited.CHUNK", 4096)
    lines = [event(stan=str(n)) for n in range(5_000)]

    outcome = parse_one(settings, "terminal_log", NAME, log_of(*lines)[:-1])

    assert outcome.loaded == 5_000
    found = [(row["line_no"], row["stan"]) for row in raw(settings, "terminal_events")]
    assert found == [(n + 2, str(n)) for n in range(5_000)]


def test_batch_close__totals_become_minor_units__bad_ones_are_refused(settings: Settings) -> None:
    header = "merchant_id,terminal_id,batch_no,business_date,sale_count,sale_amount,refund_count,refund_amount,currency"
    content = log_of(
        "M000001,10000001,000001,2026-11-11,2,24.68,0,0.00,CNY",
        "M000001,10000001,000002,2026-02-30,2,24.68,0,0.00,CNY",
        "M000001,10000001,000003,2026-11-11,two,24.68,0,0.00,CNY",
        header=header,
    )
    outcome = parse_one(settings, "terminal_log", "batch_close_20261111.csv", content)

    (row,) = raw(settings, "batch_closes")
    assert (row["line_no"], row["sale_count"], row["sale_amount_minor"], row["refund_amount_minor"]) == (
        2,
        2,
        2468,
        0,
    )
    assert [bad["line_no"] for bad in quarantined(settings)] == [3, 4]
    assert (outcome.source, outcome.business_date) == ("batch_close", date(2026, 11, 11))


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"amount": "12x"}, ("M000001", "10000001", "000001", "000042")),
        ({"txn_time": "yesterday", "batch_no": ""}, ("M000001", "10000001", None, "000042")),
        # A STAN that is no number counts nothing; nor does one of a record whose fields may have shifted.
        ({"amount": "12x", "stan": "A00042"}, (None, None, None, None)),
        ({"merchant_order_no": "1,2"}, (None, None, None, None)),
        ({"terminal_id": ""}, (None, None, None, None)),
        ({"amount": "12x", "terminal_id": PAN}, ("M000001", "621234******1232", "000001", "000042")),
    ],
)
def test_a_refused_record_whose_stan_can_be_read__keeps_its_place_in_the_terminals_count(
    settings: Settings, fields: dict[str, str], kept: tuple[str | None, ...]
) -> None:
    values = {"stan": "000042"} | fields
    parse_one(settings, "terminal_log", NAME, log_of(event(), event(**values)))

    (bad,) = quarantined(settings)
    found = tuple(bad[name] for name in ("merchant_id", "terminal_id", "batch_no", "stan"))
    assert found[:1] + found[2:] == kept[:1] + kept[2:]
    assert PAN not in json.dumps(bad)
    assert found[1] == kept[1] or "*" in str(found[1])


def test_a_refused_record__keeps_a_merchant_number_as_long_as_a_card_when_good_records_have_it(
    settings: Settings,
) -> None:
    merchant = "898110000000037"
    bad = event(merchant_id=merchant, stan="000042", amount="12x")
    no_merchant = event(merchant_id=PAN, stan="000043", amount="12x")
    parse_one(settings, "terminal_log", NAME, log_of(event(merchant_id=merchant), bad, no_merchant))
    assert [row["merchant_id"] for row in quarantined(settings)] == [merchant, "621234****1232"]
