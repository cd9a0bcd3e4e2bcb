from datetime import date

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from posrecon.errors import LayoutError
from posrecon.settings import Settings
from tests.unit.landing.files import PAN, parse_as, parse_one, parse_or_refuse, raw, settings_of, statement

CREDIT = "16,195,5025,Z,BANK1,CUST1,UNIONPAY 898110000000037/"
DEBIT = "16,495,25,,,,CHARGES"


def bai(*details: str, accounts: int = 1, physical: str = "", modifier: str = "2", **changed: str) -> bytes:
    """One file with one group of one account: opening 100.00, +50.25, -0.25, closing 150.00."""
    body = details or (CREDIT, DEBIT)
    lines = [
        f"01,BANK,US,261111,1800,1,{physical},,2/",
        f"02,US,BANK,1,261111,,USD,{modifier}/",
        "03,310500161836,USD,010,10000,,,015,15000,,/",
        *body,
        f"49,{changed.get('account_total', '30050')},{changed.get('account_records', str(len(body) + 2))}/",
        f"98,{changed.get('group_total', '30050')},{accounts},{len(body) + 4}/",
        f"99,{changed.get('file_total', '30050')},1,{len(body) + 6}/",
    ]
    return "\r\n".join(lines).encode()


def test_a_file_that_ties__gives_entries_and_balances(settings: Settings) -> None:
    outcome = parse_one(settings, "bank", "BAI_310500161836_20261111.bai2", bai())

    first, second = raw(settings, "bank_entries")
    assert (first["line_no"], first["amount_minor"], first["currency"]) == (1, 5025, "USD")
    assert (first["acquirer"], first["reference"]) == ("unionpay", "BANK1 CUST1")
    assert first["narrative"] == "UNIONPAY 898110000000037"
    assert (second["line_no"], second["amount_minor"], second["narrative"]) == (2, -25, "CHARGES")
    (statement,) = raw(settings, "bank_statements")
    assert (statement["opening_minor"], statement["closing_minor"]) == (10000, 15000)
    assert outcome.logical_name == "bank/310500161836/2026-11-11"


def test_continuations__go_on_in_the_middle_of_a_field(settings: Settings) -> None:
    broken = CREDIT.removesuffix("/")
    cut = len(broken) - 5
    content = bai(broken[:cut], f"88,{broken[cut:]}/", DEBIT, physical=str(cut))
    _, found = parse_as(settings, content, "bai2")
    assert found["bank_entries"][0]["narrative"] == "UNIONPAY 898110000000037"


def test_continuations__of_short_lines_are_words_of_their_own(settings: Settings) -> None:
    content = bai(CREDIT.removesuffix("/"), "88,EREF: 1111", "88,DBNM: TEST, INC", DEBIT)
    _, found = parse_as(settings, content, "bai2")
    assert found["bank_entries"][0]["narrative"] == "UNIONPAY 898110000000037 EREF: 1111 DBNM: TEST, INC"


def test_an_account__may_list_its_balances_in_continuations(settings: Settings) -> None:
    content = bai(
        "88,100,5025,1,V,261111,,400,25,1,D,2,0,20,1,5/", CREDIT, DEBIT, account_total="35100",
        group_total="35100", file_total="35100",
    )  # fmt: skip
    assert parse_as(settings, content, "bai2")[0].loaded == 2


@pytest.mark.parametrize(
    ("funds", "value_date"),
    [
        ("Z", date(2026, 11, 11)),
        ("V,261113,", date(2026, 11, 13)),
        ("S,5000,25,0", date(2026, 11, 11)),
        ("D,2,0,5000,1,25", date(2026, 11, 11)),
        ("", date(2026, 11, 11)),
        ("1", date(2026, 11, 11)),
    ],
)
def test_funds_types__have_fields_of_their_own(settings: Settings, funds: str, value_date: date) -> None:
    _, found = parse_as(settings, bai(f"16,195,5025,{funds},R1,R2,TEXT/", DEBIT), "bai2")
    row = found["bank_entries"][0]
    assert (row["value_date"], row["reference"], row["narrative"]) == (value_date, "R1 R2", "TEXT")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"account_total": "30051"}, r"control total of the account .* difference 1"),
        ({"account_records": "5"}, "states 5 records, found 4"),
        ({"group_total": "30049"}, "control total of the group .* difference -1"),
        ({"file_total": "0"}, "control total of the file"),
        ({"account_total": "x"}, "has no total and counts"),
    ],
)
def test_control_records__must_agree(settings: Settings, changed: dict[str, str], said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        parse_as(settings, bai(**changed), "bai2")  # type: ignore[arg-type]


def test_balances_one_cent_off__are_refused_though_the_control_totals_agree(settings: Settings) -> None:
    content = bai().replace(b"015,15000", b"015,14999").replace(b"30050", b"30049")
    with pytest.raises(LayoutError, match=r"difference -0\.01 USD"):
        parse_as(settings, content, "bai2")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"merchant_id,terminal_id\n", "no BAI2 file header"),
        (bai()[:-16], "is missing: truncated"),
        (bai() + b"\r\n99,30050,1,8/", "after the end of the file"),
        (bai().replace(b"CHARGES", b"CHAR\0GES"), "NUL byte"),
        (bai().replace(b"16,495,25", b"16,495,2x"), "is not a type 100 to 699"),
        (bai().replace(b"16,495", b"16,999"), "is not a type 100 to 699"),
        (bai().replace(b"16,495,25,", b"16,495,25,Q"), "is not a type 100 to 699"),
        (bai().replace(b"02,US,BANK,1,261111", b"02,US,BANK,1,260230"), "is not a date"),
        (bai().replace(b"\r\n16,495", b"\r\n17,495"), "record code"),
        (bai().replace(b"98,30050,1", b"98,30050,2"), "states 2 accounts, found 1"),
        (b"01,A,B\n" + b"16,195,1,,,," + b"x" * 1_100_000, "more than 1048576 characters"),
    ],
)
def test_bad_input__is_refused_with_its_reason(settings: Settings, content: bytes, said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        parse_as(settings, content, "bai2")


def test_interim_data__is_loaded_only_when_the_source_takes_reports(settings: Settings) -> None:
    with pytest.raises(LayoutError, match="is a report, expected a statement"):
        parse_as(settings, bai(modifier="3"), "bai2")
    parsed, found = parse_as(settings, bai(modifier="3"), "bai2", takes=["report"])
    assert (parsed.loaded, found["bank_statements"]) == (2, [])


def test_text__is_read_in_gb18030_and_masked(settings: Settings) -> None:
    text = f"16,195,5025,,,,银联 {PAN}/"
    parsed, found = parse_as(settings, bai(text, DEBIT).decode().encode("gb18030"), "bai2")
    assert parsed.encoding == "gb18030"
    assert found["bank_entries"][0]["narrative"] == "银联 621234****1232"


@bounds(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_anywhere__is_refused_or_changes_no_total(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(bai())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    read = parse_or_refuse(settings_of(tmp_path_factory.mktemp("fuzz")), bytes(content), "bai2")
    if read is not None:
        parsed, found = read
        assert parsed.records == len(found["bank_entries"]) == 2


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (bai(), "bank_bai2"),
        (statement(closing="C261111CNY100,00").encode(), "bank_mt940"),
        (b"{1:F01BANK}{4:\n" + statement(closing="C261111CNY100,00").encode() + b"-}", "bank_mt940"),
    ],
)
def test_name_that_fits_two_banks_layouts__is_read_by_what_it_holds(
    settings: Settings, content: bytes, source: str
) -> None:
    outcome = parse_one(settings, "bank", "310500161836_20261111.txt", content)
    assert (outcome.state, outcome.source, outcome.reason) == ("loaded", source, None)


def test_text_that_is_neither__is_refused_with_the_next_step(settings: Settings) -> None:
    outcome = parse_one(settings, "bank", "310500161836_20261111.txt", b"Dear customer,\n")
    assert (outcome.state, outcome.source) == ("rejected", "")
    assert "no source reads a file" in (outcome.reason or "")
