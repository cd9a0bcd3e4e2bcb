"""GRRCN through the generic reader: records of several types, fees per submission, totals of payments."""

import re
from datetime import date, datetime
from typing import Any

import pytest
import yaml

from posrecon.errors import LayoutError
from posrecon.formats import LAYOUTS, Parsed
from posrecon.landing.sources import Source
from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.formats import grrcn_files as files
from tests.unit.formats.generic_sources import keys_of
from tests.unit.landing.files import parse_as

TEXT = (PROJECT_ROOT / "include" / "sources" / "examples" / "amex_grrcn.yml").read_text(encoding="utf-8")

Read = tuple[Parsed, dict[str, list[dict[str, Any]]]]


def read(settings: Settings, content: bytes) -> Read:
    return parse_as(settings, content, "generic_delimited", **keys_of(TEXT))


def refusal(settings: Settings, content: bytes) -> str:
    with pytest.raises(LayoutError) as refused:
        read(settings, content)
    return f"{refused.value.what} {refused.value.bad_lines}"


def test_transactions__are_lines_without_a_fee_and_the_submission_takes_it(settings: Settings) -> None:
    parsed, found = read(settings, files.grrcn(*files.SETTLED))
    assert (parsed.records, parsed.loaded, parsed.quarantined) == (3, 3, 0)
    assert (parsed.declared_minor, parsed.computed_minor) == (3900, 3900)
    assert (parsed.business_date, parsed.logical_key) == (date(2026, 11, 11), files.SHOP)
    fee, sale, other = found["settlement_lines"]
    assert [row["line_no"] for row in (fee, sale, other)] == [3, 4, 6]
    assert (fee["line_kind"], fee["gross_minor"], fee["fee_minor"], fee["net_minor"]) == (
        "adjustment",
        0,
        100,
        -100,
    )
    assert (sale["line_kind"], sale["gross_minor"], sale["fee_minor"], sale["net_minor"]) == (
        "transaction",
        3000,
        0,
        3000,
    )
    assert (sale["txn_type"], sale["auth_code"], sale["terminal_id"]) == ("sale", "168208", "10000001")
    assert sale["txn_local"] == datetime.fromisoformat("2026-11-11 17:15:12")
    assert sale["settlement_date"] == date(2026, 11, 11)
    assert (sale["acquirer_merchant_id"], sale["card_masked"]) == (files.SHOP, "375310XXXXX4009")
    assert (sale["acquirer_txn_no"], sale["merchant_order_no"]) == ("P60LG7C3734Z7G000000001", "INV1")
    assert other["acquirer_txn_no"] == "P60LG7C3734Z7G000000002"


def test_credits_chargebacks_and_adjustments__take_money_back(settings: Settings) -> None:
    records = (
        files.summary(1150, gross=2000, discount=50, adjustment=-800),
        files.submission(2000, discount=50),
        files.transaction(3000),
        files.transaction(-1000, number="2"),
        files.corrected("CHARGEBACK", -975, gross=-1000, discount=-25),
        files.corrected("ADJUSTMENT", 175, gross=175),
    )
    parsed, found = read(settings, files.grrcn(*records))
    assert (parsed.records, parsed.loaded, parsed.computed_minor) == (5, 5, 1150)
    _, _, credit, dispute, adjustment = found["settlement_lines"]
    assert (credit["txn_type"], credit["gross_minor"], credit["net_minor"]) == ("refund", -1000, -1000)
    assert (dispute["line_kind"], dispute["fee_minor"], dispute["net_minor"]) == ("dispute", -25, -975)
    assert (dispute["acquirer_txn_no"], dispute["txn_code"]) == ("CH77", "CHARGEBACK")
    assert (adjustment["line_kind"], adjustment["net_minor"]) == ("adjustment", 175)


def test_several_payments__tie_together_and_an_open_debit_is_not_of_this_file(settings: Settings) -> None:
    second = (
        files.summary(1000 - 25 - 500, gross=1000, discount=25, opening_debit=-500),
        files.submission(1000, discount=25),
        files.transaction(1000, number="3"),
    )
    parsed, _ = read(settings, files.grrcn(*files.SETTLED, *second))
    assert (parsed.loaded, parsed.declared_minor) == (5, 3900 + 975)


@pytest.mark.parametrize(
    ("records", "lines", "said"),
    [
        ((files.summary(3901, gross=4000, discount=100), *files.DETAILS), None, "net 39.01 is stated.*0.01"),
        (files.SETTLED, 6, "6 lines are stated, 7 are there"),
        (files.DETAILS, None, "record of totals SUMMARY is missing"),
        ((*files.SETTLED, files.record("FEEREVENUE", "1")), None, 'line 7: records of type "FEEREVENUE" are not known'),
        ((*files.SETTLED, "what is this"), None, "records of type .what is this. are not known"),
        ((files.record("SUMMARY", "1"), *files.DETAILS), None, "SUMMARY line 2: its net is no amount"),
        ((*files.SETTLED[:4], files.SETTLED[4].replace('"20261111","17', '"20260230","17')), None, "no=6.*20260230"),
    ],
)  # fmt: skip
def test_what_does_not_tie_or_is_not_known__refuses_the_file(
    settings: Settings, records: tuple[str, ...], lines: int | None, said: str
) -> None:
    assert re.search(said, refusal(settings, files.grrcn(*records, lines=lines)))


def test_record_of_a_newer_version__may_have_more_fields_but_not_less(settings: Settings) -> None:
    longer = files.transaction(3000).rstrip() + ',"N"'
    records = (files.SETTLED[0], files.submission(4000, discount=100), longer, files.DETAILS[3])
    assert read(settings, files.grrcn(*records))[0].loaded == 3
    shorter = files.record(*[cell.strip('"') for cell in longer.split(",")][:25])
    assert "has 25 fields" in refusal(settings, files.grrcn(*records[:2], shorter, records[3]))


def test_peek__finds_the_day_of_the_first_record_of_a_known_type(settings: Settings, tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(files.grrcn(*files.SETTLED))
    source = Source.model_validate(yaml.safe_load(TEXT))
    assert LAYOUTS["generic_delimited"].peek(path, source) == date(2026, 11, 11)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("passed_over: [HEADER,", "passed_over: [SUMMARY,", "SUMMARY stands twice"),
        ("auth_code: approval", "auth_code: aproval", "records.TRANSACTN.*aproval not among fields"),
        ("  has_header: false\n", "", "without a header"),
        ("minus: [opening_debit]", "minus: [opening]", "record_totals.SUMMARY: expected gross, fee or net"),
        ("net: {minus: [discount", "card_type: {minus: [discount", "records.SUBMISSION"),
        ("units: minor", "units: minor\n  never_kept: [payee]", "never_kept: not with records"),
    ],
)
def test_a_wrong_table__names_the_key(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(ValueError, match=f"(?s){said}"):
        Source.model_validate(yaml.safe_load(TEXT.replace(old, new)))
