from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from posrecon.errors import LayoutError
from posrecon.formats import LAYOUTS
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import (
    NIGHT,
    PAN,
    job_of,
    parse_as,
    parse_one,
    parse_or_refuse,
    raw,
    settings_of,
    statement,
)

NAME = "MT940_310500161836_20261111.sta"
CREDIT = ":61:2611111111C50,25NTRFREF1//BANK1"


def test_a_statement_that_ties__gives_entries_and_balances(settings: Settings) -> None:
    content = statement(
        CREDIT, ":86:UNIONPAY SETTLEMENT", "898110000000037", ":61:2611111111D0,25NCHGNONREF",
        closing="C261111CNY150,00",
    )  # fmt: skip
    outcome = parse_one(settings, "bank", NAME, content.encode())

    first, second = raw(settings, "bank_entries")
    assert (first["line_no"], first["amount_minor"], first["acquirer"]) == (1, 5025, "unionpay")
    assert first["narrative"] == "UNIONPAY SETTLEMENT 898110000000037"
    assert first["reference"] == "REF1 BANK1"
    assert (second["line_no"], second["amount_minor"], second["acquirer"]) == (2, -25, None)
    (row,) = raw(settings, "bank_statements")
    assert (row["opening_minor"], row["closing_minor"], row["closing_date"]) == (
        10000,
        15000,
        date(2026, 11, 11),
    )
    assert outcome.logical_name == "bank/310500161836/2026-11-11"
    assert (outcome.declared_minor, outcome.computed_minor) == (5000, 5000)


@pytest.mark.parametrize("account", ["310500161836", "BPHKPLPK/310500161836", "BKCHCNBJ300/310500161836"])
def test_the_code_of_the_bank__is_no_part_of_the_account(settings: Settings, account: str) -> None:
    content = statement(CREDIT, closing="C261111CNY150,25", account=account)
    outcome = parse_one(settings, "bank", NAME, content.encode())

    assert [row["account"] for row in raw(settings, "bank_entries")] == ["310500161836"]
    assert outcome.logical_name == "bank/310500161836/2026-11-11"


def test_an_account_with_another_prefix__is_kept_whole(settings: Settings) -> None:
    content = statement(CREDIT, closing="C261111CNY150,25", account="10020030/1234567")
    parse_one(settings, "bank", "MT940.sta", content.encode())
    assert [row["account"] for row in raw(settings, "bank_entries")] == ["10020030/1234567"]


@pytest.mark.parametrize(
    ("lines", "narrative"),
    [
        ((":86:" + "UNIONPAY SETTLEMENT OF CLEARED TRANSACTIONS OF MERCHANT 898110000", "000037 IN FULL"),
         "UNIONPAY SETTLEMENT OF CLEARED TRANSACTIONS OF MERCHANT 898110000000037 IN FULL"),
        ((":86:UNIONPAY", "", "898110000000037"), "UNIONPAY 898110000000037"),
        ((":86:166?00CREDIT?20UNIONPAY?21898110000000037", "?22END"), "166 CREDIT UNIONPAY 898110000000037 END"),
        ((":86:WHAT IS THIS?21 PEOPLE",), "WHAT IS THIS?21 PEOPLE"),
    ],
)  # fmt: skip
def test_a_narrative__over_full_lines_and_in_subfields__keeps_its_words(
    settings: Settings, lines: tuple[str, ...], narrative: str
) -> None:
    parse_one(settings, "bank", NAME, statement(CREDIT, *lines, closing="C261111CNY150,25").encode())
    assert [row["narrative"] for row in raw(settings, "bank_entries")] == [narrative]


def test_several_statements__each_ties__ordinals_run_through_the_file(settings: Settings) -> None:
    first = statement(CREDIT, closing="C261111CNY150,25", number="1/1")
    second = statement(CREDIT, opening="C261111CNY150,25", closing="C261111CNY200,50", number="1/2")
    parse_one(settings, "bank", NAME, (first + second).encode())

    assert [row["line_no"] for row in raw(settings, "bank_entries")] == [1, 2]
    assert [row["statement_no"] for row in raw(settings, "bank_statements")] == ["1/1", "1/2"]


def test_a_statement_that_does_not_tie__is_refused_with_the_difference(settings: Settings) -> None:
    outcome = parse_one(settings, "bank", NAME, statement(CREDIT, closing="C261111CNY150,00").encode())

    assert outcome.state == "rejected"
    assert "opening 100.00 + entries 50.25 is 150.25, but closing is 150.00: difference -0.25 CNY" in str(
        outcome.reason
    )
    assert raw(settings, "bank_entries") == []


@pytest.mark.parametrize(
    ("mark", "closing"),
    [
        ("C", "C261111CNY110,00"),
        ("RD", "C261111CNY110,00"),
        ("D", "C261111CNY90,00"),
        ("RC", "C261111CNY90,00"),
    ],
)
def test_mark__a_reversal_turns_the_direction(settings: Settings, mark: str, closing: str) -> None:
    outcome = parse_one(
        settings, "bank", NAME, statement(f":61:261111{mark}10,NTRFX", closing=closing).encode()
    )
    assert outcome.state == "loaded"


def test_entries_that_cannot_be_read__are_all_listed(settings: Settings) -> None:
    content = statement(":61:rubbish", CREDIT, ":61:2613111111C1,NTRFX", closing="C261111CNY150,25")
    outcome = parse_one(settings, "bank", NAME, content.encode())

    note = read_note(settings, NIGHT, outcome.file_id)
    assert [line["line_no"] for line in note["bad_lines"]] == [5, 7]  # type: ignore[attr-defined]


def test_a_statement_without_its_closing_balance__is_truncated_and_refused(settings: Settings) -> None:
    content = statement(CREDIT, closing="C261111CNY150,25").split(":62F:")[0]
    outcome = parse_one(settings, "bank", NAME, content.encode())
    assert ":62F: is missing" in str(outcome.reason)


@pytest.mark.parametrize("content", [b"", b"merchant_id,terminal_id\nM1,T1\n"])
def test_a_file_that_is_no_statement__is_refused(settings: Settings, content: bytes) -> None:
    assert parse_one(settings, "bank", NAME, content).state == "rejected"


def test_a_narrative__keeps_merchant_ids_and_masks_card_numbers(settings: Settings) -> None:
    content = statement(CREDIT, f":86:银联 898110000000037 CARD {PAN}", closing="C261111CNY150,25")
    parse_one(settings, "bank", NAME, content.encode())

    (row,) = raw(settings, "bank_entries")
    assert row["narrative"] == "银联 898110000000037 CARD 621234****1232"
    assert row["acquirer"] == "unionpay"


def test_entry_date__at_the_turn_of_the_year__takes_the_nearest_year(settings: Settings) -> None:
    content = statement(":61:2611011231C1,NTRFX", closing="C261111CNY101,00")
    parse_one(settings, "bank", NAME, content.encode())
    assert raw(settings, "bank_entries")[0]["entry_date"] == date(2026, 12, 31)


def test_a_narrative_inside_the_entry__is_kept_with_that_of_its_own_tag(settings: Settings) -> None:
    content = statement(CREDIT, "UNIONPAY 898110000000037", ":86:SETTLEMENT", closing="C261111CNY150,25")
    parse_one(settings, "bank", NAME, content.encode())
    (row,) = raw(settings, "bank_entries")
    assert (row["reference"], row["narrative"]) == ("REF1 BANK1", "UNIONPAY 898110000000037 SETTLEMENT")
    assert row["acquirer"] == "unionpay"


def test_a_funds_code_after_the_mark__changes_no_direction(settings: Settings) -> None:
    content = statement(":61:2611111111CY10,00FTRFX", closing="C261111CNY110,00")
    assert parse_one(settings, "bank", NAME, content.encode()).state == "loaded"


REPORT = (
    ":20:REF\r\n:25:310500161836\r\n:28C:1/1\r\n:34F:CNY0,\r\n:13D:2611111530+0800\r\n"
    ":61:2611111111C50,25NTRFREF1\r\n:86:UNIONPAY\r\n:61:2611121111D0,25NCHGNONREF\r\n"
    ":90D:1CNY0,25\r\n:90C:1CNY50,25\r\n-\r\n"
)


def test_an_interim_report__is_loaded_only_when_the_source_takes_reports(settings: Settings) -> None:
    with pytest.raises(LayoutError, match=r"\(MT942\) is a report, expected a statement"):
        parse_as(settings, REPORT.encode(), "mt940")
    parsed, found = parse_as(settings, REPORT.encode(), "mt940", takes=["statement", "report"])
    assert [row["amount_minor"] for row in found["bank_entries"]] == [5025, -25]
    assert (parsed.business_date, found["bank_statements"]) == (date(2026, 11, 11), [])


def test_sums_of_an_interim_report__one_fen_off__are_refused_with_the_difference(settings: Settings) -> None:
    content = REPORT.replace(":90C:1CNY50,25", ":90C:1CNY50,24")
    with pytest.raises(
        LayoutError, match=r"states 1 entries of 50\.24, found 1 of 50\.25: difference -0\.01"
    ):
        parse_as(settings, content.encode(), "mt940", takes=["report"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (statement(CREDIT, closing="C261111CNY150,25").replace("REF1", "\0"), "NUL byte"),
        (statement(":61:2602301111C50,25NTRFX", closing="C261111CNY150,25"), "is not a date"),
        (
            statement(CREDIT, closing="C261111CNY150,25").replace("\r\n-", "\r\n:62F:C261111CNY1,\r\n-"),
            "a second :62F:",
        ),
        (statement("x" * 1_100_000, closing="C261111CNY100,00"), "more than 1048576 characters"),
    ],
)
def test_bad_input__is_refused_with_its_reason(settings: Settings, content: str, said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        parse_as(settings, content.encode(), "mt940")


@bounds(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_anywhere__is_refused_or_changes_no_total(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(statement(CREDIT, ":86:TEXT", closing="C261111CNY150,25").encode())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    read = parse_or_refuse(settings_of(tmp_path_factory.mktemp("fuzz")), bytes(content), "mt940")
    if read is not None:
        parsed, found = read
        assert parsed.declared_minor == sum(row["amount_minor"] for row in found["bank_entries"])


def test_peek__finds_the_closing_balance_of_a_file_of_any_size(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text(statement(*[CREDIT] * 90_000, closing="C261112CNY1,00"))
    assert path.stat().st_size > 2 * 1024 * 1024
    assert LAYOUTS["mt940"].peek(path, job_of(settings, path, "mt940").source) == date(2026, 11, 12)
