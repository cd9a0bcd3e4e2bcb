import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import HEADER, NIGHT, PAN, event, log_of, parse_one, put, quarantined, raw

NAMES = HEADER.split(",")
Write = Callable[..., bytes]


def fields(**changes: Any) -> dict[str, Any]:
    """One record as a mapping; what is empty in the CSV is missing."""
    (given,) = csv.DictReader(io.StringIO(f"{HEADER}\n{event()}\n"))
    return {name: value for name, value in given.items() if value} | changes


def json_lines(*records: dict[str, Any] | str) -> bytes:
    lines = [
        record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records
    ]
    return ("\n".join(lines) + "\n").encode()


def parquet(*records: dict[str, Any]) -> bytes:
    names = NAMES + [name for record in records for name in record if name not in NAMES]
    columns = {name: [record.get(name) for record in records] for name in dict.fromkeys(names)}
    target = io.BytesIO()
    arrays = {name: pa.array(values) for name, values in columns.items()}
    empty = {
        name: array.cast(pa.string()) if pa.types.is_null(array.type) else array
        for name, array in arrays.items()
    }
    pq.write_table(pa.table(empty), target)
    return target.getvalue()


FORMS = [("terminal_log_20261111.jsonl", json_lines), ("terminal_log_20261111.parquet", parquet)]
each_form = pytest.mark.parametrize(("name", "write"), FORMS, ids=["jsonl", "parquet"])


@each_form
def test_every_form__gives_the_rows_of_the_csv(
    settings: Settings, tmp_path: Path, name: str, write: Write
) -> None:
    from tests.unit.landing.files import settings_of

    records = [
        fields(),
        fields(card_no=PAN, amount="0.5", region="north"),
        fields(txn_time="2026-11-11T01:30:00Z"),
    ]
    lines = [
        event(), event(card_no=PAN, amount="0.5") + ",north", event(txn_time="2026-11-11T01:30:00Z") + ","
    ]  # fmt: skip
    lines[0] += ","
    other = settings_of(tmp_path / "other")
    parse_one(other, "terminal_log", "terminal_log_20261111.csv", log_of(*lines, header=HEADER + ",region"))

    outcome = parse_one(settings, "terminal_log", name, write(*records))

    found = [{**row, "line_no": row["line_no"] + 1} for row in raw(settings, "terminal_events")]
    assert found == raw(other, "terminal_events")
    assert (outcome.source, outcome.logical_name) == ("terminal_log", "terminal_log/2026-11-11")
    assert (outcome.business_date, outcome.computed_minor) == (date(2026, 11, 11), 1234 + 50 + 1234)
    assert found[1]["extras"] == '{"region":"north"}'


@each_form
def test_a_refused_record_whose_stan_can_be_read__keeps_its_place_in_the_terminals_count(
    settings: Settings, name: str, write: Write
) -> None:
    parse_one(settings, "terminal_log", name, write(fields(), fields(stan="000042", amount="12x")))

    (bad,) = quarantined(settings)
    found = tuple(bad[column] for column in ("merchant_id", "terminal_id", "batch_no", "stan"))
    assert found == ("M000001", "10000001", "000001", "000042")


@each_form
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": "12.3.4"}, 'amount "12.3.4" is not a decimal number'),
        ({"amount": "1.234"}, "has 3 decimals, expected at most 2 for CNY"),
        ({"txn_time": "2026-02-30T10:00:00"}, "is not a possible ISO 8601 time"),
        ({"txn_type": "gift"}, 'txn_type "gift" is not known'),
        ({"merchant_id": " "}, "merchant_id is empty"),
        ({"merchant_order_no": "a\0b"}, "a control character stands in"),
    ],
)
def test_a_bad_record__goes_to_quarantine__the_others_load(
    settings: Settings, name: str, write: Write, changes: dict[str, str], reason: str
) -> None:
    outcome = parse_one(
        settings, "terminal_log", name, write(fields(), fields(card_no=PAN, **changes), fields(stan="3"))
    )

    (bad,) = quarantined(settings)
    assert (outcome.records, outcome.loaded, outcome.quarantined) == (3, 2, 1)
    assert (bad["line_no"], reason in bad["reason"]) == (2, True), bad["reason"]
    assert PAN not in bad["record_masked"]
    assert [row["line_no"] for row in raw(settings, "terminal_events")] == [1, 3]


@each_form
def test_typed_values__are_read_as_their_text(settings: Settings, name: str, write: Write) -> None:
    amount = 12.3 if write is json_lines else Decimal("12.30")
    parse_one(settings, "terminal_log", name, write(fields(amount=amount, rrn=631500000001)))
    (row,) = raw(settings, "terminal_events")
    assert (row["amount_minor"], row["rrn"]) == (1230, "631500000001")


def test_parquet__an_instant__is_that_instant(settings: Settings) -> None:
    at = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
    parse_one(settings, "terminal_log", "a.parquet", parquet(fields(txn_time=at)))
    (row,) = raw(settings, "terminal_events")
    assert row["txn_at"].astimezone(UTC) == at
    assert row["txn_local"] == datetime(2026, 11, 11, 10, 0)  # noqa: DTZ001 - wall clock


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"merchant_id": "M1"', "is not valid JSON"),
        ("[1, 2]", "is not a JSON object"),
        ("12", "is not a JSON object"),
        ('{"stan": "1", "stan": "2"}', "a name stands twice in the object"),
        ("{}", "merchant_id is empty"),
        ('{"card_no": "' + PAN + '", "amount": ', "is not valid JSON"),
        ("[" * 5000, "is not valid JSON"),
    ],
)
def test_a_line_that_is_no_record__goes_to_quarantine(settings: Settings, line: str, reason: str) -> None:
    outcome = parse_one(
        settings, "terminal_log", "a.jsonl", json_lines(fields(), line, "", fields(stan="000004"))
    )
    (bad,) = quarantined(settings)
    assert (outcome.records, outcome.loaded, bad["line_no"]) == (3, 2, 2)
    assert reason in bad["reason"]
    assert PAN not in bad["record_masked"]
    assert [row["line_no"] for row in raw(settings, "terminal_events")] == [1, 4]


def test_a_card_number_in_unknown_names__is_masked(settings: Settings) -> None:
    content = json_lines(fields(note=int(PAN), deep={"pan": PAN}, nothing=None))
    parse_one(settings, "terminal_log", "a.jsonl", content)
    (row,) = raw(settings, "terminal_events")
    assert PAN not in row["extras"]
    assert set(json.loads(row["extras"])) == {"note", "deep"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", json_lines(fields())[:-4] + b"\xff\xff\n", "is not UTF-8"),
        ("a.jsonl", json_lines(fields()).replace(b"M000001", b"M\x0000001"), "is not clean text"),
        ("a.jsonl", json_lines({"sale_count": 1}, {"x": 2}), "no record names merchant_id, terminal_id"),
        ("a.jsonl", b'{"a": "' + b"x" * 1_100_000 + b'"}\n', "is not clean text"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.parquet", parquet(fields())[:-20], "cannot be read as Parquet"),
        ("a.parquet", b"PAR1" + b"\0" * 100 + b"PAR1", "cannot be read as Parquet"),
        (
            "a.parquet",
            parquet(fields()).replace(b"response_code", b"response_cod2"),
            "the columns lack response_code",
        ),
    ],
)
def test_a_file_that_cannot_be_read__is_refused_whole(
    settings: Settings, name: str, content: bytes, said: str
) -> None:
    outcome = parse_one(settings, "terminal_log", name, content)
    assert outcome.state == "rejected"
    assert said in str(outcome.reason)
    assert read_note(settings, NIGHT, outcome.file_id)["next_step"]
    assert raw(settings, "terminal_events") == []


@each_form
def test_a_log_of_tonight__waits_for_its_night(settings: Settings, name: str, write: Write) -> None:
    from posrecon.landing import receive

    put(
        settings, "terminal_log", name.replace("_20261111", ""), write(fields(txn_time="2026-11-12T10:00:00"))
    )
    assert receive(settings, NIGHT) == []


def test_the_same_day_in_another_form__is_held_as_a_conflict(settings: Settings) -> None:
    from tests.unit.landing.files import land, registry

    put(settings, "terminal_log", "terminal_log_20261111.csv", log_of(event()))
    put(settings, "terminal_log", "terminal_log_20261111.jsonl", json_lines(fields()))
    land(settings)
    assert sorted(file["state"] for file in registry(settings)) == ["conflict", "loaded"]
