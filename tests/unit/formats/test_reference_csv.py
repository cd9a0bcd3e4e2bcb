from decimal import Decimal

import pytest

from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.landing.files import MERCHANTS, NIGHT, log_of, parse_one, raw

FEES = "merchant_id,channel,card_type,rate_bps,cap_minor,effective_from,effective_to"
ACQUIRERS = "merchant_id,channel,card_prefix,acquirer,acquirer_merchant_id"
TERMINALS = "terminal_id,merchant_id,model,location,installed_on,removed_on"


def test_lists__load_with_their_types(settings: Settings) -> None:
    parse_one(settings, "reference", "fee_schedule.csv", log_of("M1,card,*,38.5,,2026-01-01,", header=FEES))

    (row,) = raw(settings, "fee_schedule")
    assert (row["rate_bps"], row["cap_minor"], row["effective_to"]) == (Decimal("38.5"), None, None)


def test_terminals__load(settings: Settings) -> None:
    outcome = parse_one(
        settings, "reference", "terminals.csv", log_of("T1,M1,A8,'一楼,2026-01-01,", header=TERMINALS)
    )
    assert (outcome.state, outcome.loaded, raw(settings, "terminals")[0]["removed_on"]) == ("loaded", 1, None)


def test_merchants__quoted_names__load(settings: Settings) -> None:
    content = MERCHANTS.replace("面馆".encode(), '"面馆, 总店"'.encode())
    parse_one(settings, "reference", "merchants.csv", content)
    assert [row["name"] for row in raw(settings, "merchants")] == ["面馆, 总店", "书店"]


@pytest.mark.parametrize(
    ("name", "header", "line", "reason"),
    [
        ("fee_schedule.csv", FEES, "M1,card,*,high,,2026-01-01,", 'rate_bps "high" is not a rate'),
        ("fee_schedule.csv", FEES, "M1,card,*,60,1.5,2026-01-01,", 'cap_minor "1.5" is not a whole number'),
        ("fee_schedule.csv", FEES, "M1,card,*,60,,2026-02-30,", 'effective_from "2026-02-30" is not a date'),
        ("fee_schedule.csv", FEES, "M1,card,*,60,,2026-01-01,soon", 'effective_to "soon" is not a date'),
        ("terminals.csv", TERMINALS, "T1,M1,A8,x,2026-13-01,", 'installed_on "2026-13-01" is not a date'),
        ("terminals.csv", TERMINALS, "T1,M1,A8,x", "has 4 fields, expected 6"),
    ],
)
def test_a_list_with_a_bad_line__is_refused_whole(
    settings: Settings, name: str, header: str, line: str, reason: str
) -> None:
    good = (
        line.split(",")[0] + "2" + ",M1,A8,x,2026-01-01,"
        if name == "terminals.csv"
        else "M2,card,*,60,,2026-01-01,"
    )
    outcome = parse_one(settings, "reference", name, log_of(good, line, header=header))

    note = read_note(settings, NIGHT, outcome.file_id)
    assert outcome.state == "rejected"
    assert note["bad_lines"][0]["line_no"] == 3  # type: ignore[index]
    assert reason in note["bad_lines"][0]["reason"]  # type: ignore[index]
    assert raw(settings, name.removesuffix(".csv")) == []


def test_a_merchant_listed_twice__refuses_the_list_with_both_lines(settings: Settings) -> None:
    outcome = parse_one(settings, "reference", "merchants.csv", MERCHANTS.replace(b"M000002", b"M000001"))

    note = read_note(settings, NIGHT, outcome.file_id)
    assert [line["line_no"] for line in note["bad_lines"]] == [2, 3]  # type: ignore[attr-defined]


def test_a_list_without_records__is_refused(settings: Settings) -> None:
    assert parse_one(settings, "reference", "fee_schedule.csv", log_of(header=FEES)).state == "rejected"


def test_acquirers__load_with_an_empty_prefix_for_all_cards(settings: Settings) -> None:
    outcome = parse_one(
        settings,
        "reference",
        "acquirer_merchants.csv",
        log_of("M1,card,,allinpay,55260010", "M1,card,37,amex,9876543210", header=ACQUIRERS),
    )
    assert (outcome.state, outcome.loaded) == ("loaded", 2)
    assert [row["card_prefix"] for row in raw(settings, "acquirer_merchants")] == [None, "37"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["M1,cash,,allinpay,1"], 'channel "cash" is not known'),
        (["M1,card,3x,amex,1"], 'card_prefix "3x" is not 1 to 6 digits'),
        (["M1,card,,All Pay,1"], 'acquirer "All Pay" is not a name such as allinpay'),
        (["M1,card,,other,1"], 'acquirer "other" cannot stand here'),
        (["M1,card,,unionpay,1"], "its numbers are in merchants.csv"),
        (["M1,card,,allinpay,"], "acquirer_merchant_id is empty"),
        (["M1,card,,allinpay,1", "M1,card,,amex,2"], "two acquirers for the same cards"),
        (["M1,card,,allinpay,1", "M1,wechat,,allinpay,2"], "two numbers at allinpay"),
    ],
)
def test_acquirers_that_contradict_each_other_or_a_rule__are_refused_whole(
    settings: Settings, lines: list[str], reason: str
) -> None:
    outcome = parse_one(settings, "reference", "acquirer_merchants.csv", log_of(*lines, header=ACQUIRERS))
    assert outcome.state == "rejected"
    assert reason in (outcome.reason or "")
