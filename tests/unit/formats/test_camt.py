from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from posrecon.errors import LayoutError
from posrecon.formats import LAYOUTS
from posrecon.settings import Settings
from tests.unit.landing.files import PAN, job_of, parse_as, parse_one, parse_or_refuse, raw

NAME = "camt053_310500161836_20261111.xml"


def balance(code: str, amount: str, *, indicator: str = "CRDT", day: str = "2026-11-11") -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy='CNY'>{amount}</Amt>"
        f"<CdtDbtInd>{indicator}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def detail(text: str, amount: str = "") -> str:
    money = f"<Amt Ccy='CNY'>{amount}</Amt>" if amount else ""
    return f"<TxDtls>{money}<RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls>"


def entry(
    amount: str = "50.25",
    indicator: str = "CRDT",
    *,
    details: str = "",
    reversal: str = "",
    status: str = "<Cd>BOOK</Cd>",
    day: str = "<Dt>2026-11-11</Dt>",
) -> str:
    mark = f"<RvslInd>{reversal}</RvslInd>" if reversal else ""
    return (
        f"<Ntry><Amt Ccy='CNY'>{amount}</Amt><CdtDbtInd>{indicator}</CdtDbtInd>{mark}<Sts>{status}</Sts>"
        f"<BookgDt>{day}</BookgDt><ValDt>{day}</ValDt><AcctSvcrRef>REF1</AcctSvcrRef>"
        f"<NtryDtls>{details}</NtryDtls></Ntry>"
    )


def document(
    *parts: str,
    opening: str = "100.00",
    closing: str = "150.25",
    kind: str = "053",
    version: str = "001.08",
    prolog: str = "",
) -> bytes:
    container, name = {
        "052": ("BkToCstmrAcctRpt", "Rpt"),
        "053": ("BkToCstmrStmt", "Stmt"),
        "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
    }[kind]
    balances = balance("OPBD", opening, day="2026-11-10") + balance("CLBD", closing) if opening else ""
    return (
        f"<?xml version='1.0' encoding='UTF-8'?>{prolog}"
        f"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.{kind}.{version}'><{container}>"
        f"<{name}><Id>S1</Id><CreDtTm>2026-11-11T18:00:00+08:00</CreDtTm>"
        f"<Acct><Id><Othr><Id>310500161836</Id></Othr></Id></Acct>{balances}{''.join(parts)}"
        f"</{name}></{container}></Document>"
    ).encode()


@pytest.mark.parametrize("version", ["001.02", "001.04", "001.08", "001.13"])
def test_a_statement_that_ties__gives_entries_and_balances(settings: Settings, version: str) -> None:
    content = document(entry(details=detail("UNIONPAY 898110000000037")), version=version)
    outcome = parse_one(settings, "bank", NAME, content)

    (row,) = raw(settings, "bank_entries")
    assert (row["line_no"], row["amount_minor"], row["currency"]) == (1, 5025, "CNY")
    assert (row["acquirer"], row["narrative"]) == ("unionpay", "UNIONPAY 898110000000037")
    assert (row["reference"], row["value_date"]) == ("REF1", date(2026, 11, 11))
    (statement,) = raw(settings, "bank_statements")
    assert (statement["opening_minor"], statement["closing_minor"]) == (10000, 15025)
    assert outcome.logical_name == "bank/310500161836/2026-11-11"
    assert (outcome.declared_minor, outcome.computed_minor) == (5025, 5025)


def test_namespace_prefixes_and_an_envelope__change_nothing(settings: Settings) -> None:
    content = document(entry()).decode().replace("<Document xmlns=", "<Envelope><n:Document xmlns:n=")
    for name in ("BkToCstmrStmt", "Stmt", "Ntry", "Amt", "Bal", "Document"):
        content = content.replace(f"<{name}>", f"<n:{name}>").replace(f"<{name} ", f"<n:{name} ")
        content = content.replace(f"</{name}>", f"</n:{name}>")
    parsed, _ = parse_as(settings, (content + "</Envelope>").encode(), "camt")
    assert parsed.loaded == 1


def test_one_fen_off__is_refused_with_the_difference(settings: Settings) -> None:
    outcome = parse_one(settings, "bank", NAME, document(entry(), closing="150.24"))
    assert outcome.state == "rejected"
    assert "opening 100.00 + entries 50.25 is 150.25, but closing is 150.24: difference -0.01 CNY" in str(
        outcome.reason
    )
    assert raw(settings, "bank_entries") == []


@pytest.mark.parametrize(
    ("indicator", "reversal", "closing"),
    [("CRDT", "", "110.00"), ("CRDT", "true", "110.00"), ("DBIT", "false", "90.00"), ("DBIT", "1", "90.00")],
)
def test_indicator__is_the_direction_of_the_booking_even_of_a_reversal(
    settings: Settings, indicator: str, reversal: str, closing: str
) -> None:
    parsed, _ = parse_as(
        settings, document(entry("10", indicator, reversal=reversal), closing=closing), "camt"
    )
    assert parsed.loaded == 1


def test_a_bank_that_states_the_direction_of_the_original__is_named_and_can_be_read(
    settings: Settings,
) -> None:
    content = document(entry("10", "CRDT", reversal="true"), closing="90.00")
    with pytest.raises(LayoutError, match="set reversal_turns_sign"):
        parse_as(settings, content, "camt")
    _, found = parse_as(settings, content, "camt", reversal_turns_sign=True)
    assert found["bank_entries"][0]["amount_minor"] == -1000


def test_a_batch__whose_details_add_up__is_a_row_per_detail(settings: Settings) -> None:
    details = detail("UNIONPAY M1", "30.25") + detail("银联 M2", "20.00")
    _, found = parse_as(settings, document(entry(details=details)), "camt")
    assert [(row["line_no"], row["amount_minor"], row["narrative"]) for row in found["bank_entries"]] == [
        (1, 3025, "UNIONPAY M1"),
        (2, 2000, "银联 M2"),
    ]


@pytest.mark.parametrize("second", ["20.01", ""])
def test_a_batch__whose_details_do_not_add_up__stays_one_row(settings: Settings, second: str) -> None:
    details = detail("A", "30.25") + detail("B", second)
    _, found = parse_as(settings, document(entry(details=details)), "camt")
    assert [(row["amount_minor"], row["narrative"]) for row in found["bank_entries"]] == [(5025, "A B")]


def test_an_entry_that_is_pending__is_quarantined_and_moves_nothing(settings: Settings) -> None:
    parsed, found = parse_as(settings, document(entry(), entry("7.00", status="PDNG")), "camt")
    assert (parsed.records, parsed.loaded, parsed.quarantined) == (2, 1, 1)
    assert (found["quarantine"][0]["line_no"], found["quarantine"][0]["reason"]) == (
        2,
        "the entry is PDNG, not booked: expected BOOK",
    )


def test_pages_of_a_long_statement__tie_by_their_interim_balances(settings: Settings) -> None:
    page = balance("PRCD", "100.00") + balance("ITBD", "150.25")
    parsed, _ = parse_as(settings, document(page, entry(), opening=""), "camt")
    assert parsed.declared_minor == 5025


@pytest.mark.parametrize(
    ("count", "total", "ties"), [("1", "50.25", True), ("2", "50.25", False), ("1", "50.24", False)]
)
def test_a_summary__is_a_control_total(settings: Settings, count: str, total: str, ties: bool) -> None:
    summary = (
        f"<TxsSummry><TtlNtries><NbOfNtries>{count}</NbOfNtries><Sum>{total}</Sum></TtlNtries></TxsSummry>"
    )
    if ties:
        assert parse_as(settings, document(summary, entry()), "camt")[0].loaded == 1
    else:
        with pytest.raises(LayoutError, match="TtlNtries states"):
            parse_as(settings, document(summary, entry()), "camt")


@pytest.mark.parametrize(("kind", "named"), [("052", "report"), ("054", "notification")])
def test_a_document_that_comes_before_the_statement__is_loaded_only_when_the_source_takes_it(
    settings: Settings, kind: str, named: str
) -> None:
    content = document(entry(), kind=kind, opening="")
    with pytest.raises(LayoutError, match=f"is a {named}, expected a statement"):
        parse_as(settings, content, "camt")
    parsed, found = parse_as(settings, content, "camt", takes=[named])
    assert (parsed.loaded, parsed.business_date, found["bank_statements"]) == (1, date(2026, 11, 11), [])


def test_the_balances_of_a_report__are_checked_and_are_no_statement(settings: Settings) -> None:
    parsed, found = parse_as(settings, document(entry(), kind="052"), "camt", takes=["report"])
    assert (parsed.loaded, parsed.business_date, found["bank_statements"]) == (1, date(2026, 11, 11), [])
    with pytest.raises(LayoutError, match=r"difference -0\.01 CNY"):
        parse_as(settings, document(entry(), kind="052", closing="150.24"), "camt", takes=["report"])


ENTITIES = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (document(entry())[:-60], "not well-formed"),
        (document(entry()).replace(b"UTF-8", b"EBCDIC-X"), "encoding|not well-formed"),
        (document(entry()).replace(b"REF1", b"\xd2\xf8\xc1\xaa"), "not well-formed"),
        (document(entry()).replace(b"REF1", b"\0"), "not well-formed"),
        (document(entry(), prolog=ENTITIES), "DOCTYPE"),
        (document(entry(), prolog="<!DOCTYPE d SYSTEM 'file:///etc/passwd'>"), "DOCTYPE"),
        (document(entry()).replace(b"REF1", b"&unknown;"), "not well-formed"),
        (document(entry(day="<Dt>2026-02-30</Dt>")), "is not an indicator, amount, currency and date"),
        (document(entry("50.251")), "is not an indicator, amount, currency and date"),
        (document(entry("50,25x")), "is not an indicator, amount, currency and date"),
        (document(entry(), opening=""), "has no opening balance"),
        (document(entry()).replace(b"<Othr><Id>310500161836</Id></Othr>", b""), "has no account"),
        (document(balance("CLBD", "1.00").replace("CNY", "EUR"), entry()), "closing in EUR"),
        (b"<Document><Other/></Document>", "no camt statement"),
        (b"merchant_id,terminal_id\n", "not well-formed"),
    ],
)
def test_bad_input__is_refused_with_its_reason(settings: Settings, content: bytes, said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        parse_as(settings, content, "camt")


def test_every_bad_entry__is_listed(settings: Settings) -> None:
    with pytest.raises(LayoutError) as refused:
        parse_as(settings, document(entry("x"), entry(), entry("y")), "camt")
    assert [line.line_no for line in refused.value.bad_lines] == [1, 3]


def test_a_card_number__is_masked(settings: Settings) -> None:
    _, found = parse_as(settings, document(entry(details=detail(f"CARD {PAN}"))), "camt")
    assert found["bank_entries"][0]["narrative"] == "CARD 621234****1232"


def test_a_time__counts_in_the_zone_of_the_source(settings: Settings) -> None:
    content = document(entry(day="<DtTm>2026-11-10T23:30:00Z</DtTm>"))
    _, found = parse_as(settings, content, "camt")
    assert found["bank_entries"][0]["entry_date"] == date(2026, 11, 11)


@bounds(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_anywhere__is_refused_or_changes_no_total(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    from tests.unit.landing.files import settings_of

    content = bytearray(document(entry(), entry("7.00", status="PDNG")))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    home = settings_of(tmp_path_factory.mktemp("fuzz"))
    read = parse_or_refuse(home, bytes(content), "camt")
    if read is not None:
        parsed, found = read
        assert parsed.records == len(found["bank_entries"]) + len(found["quarantine"])
        assert parsed.declared_minor == sum(row["amount_minor"] for row in found["bank_entries"])


def test_peek__finds_the_day_and_never_raises(settings: Settings, tmp_path: Any) -> None:
    path = tmp_path / NAME
    for content, day in ((document(entry()), date(2026, 11, 11)), (b"<a", None), (b"", None)):
        path.write_bytes(content)
        assert LAYOUTS["camt"].peek(path, job_of(settings, path, "camt").source) == day


def test_two_reports_of_one_account_and_day__are_two_files_and_two_statements_are_not(
    settings: Settings,
) -> None:
    report = document(entry(), opening="", kind="052")
    first, _ = parse_as(settings, report, "camt", takes=["report"])
    second, _ = parse_as(settings, report.replace(b"<Id>S1<", b"<Id>S2<"), "camt", takes=["report"])
    assert (first.logical_part, second.logical_part) == ("S1", "S2")
    booked, _ = parse_as(settings, document(entry()), "camt")
    assert booked.logical_part == ""
