import zipfile
from pathlib import Path

import pytest

from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.formats.test_unionpay_zme import zme_record
from tests.unit.landing.files import MER_ID, NIGHT, land, parse_one, raw, zm_record

NAME = f"RD202626111101_{MER_ID}"
SUMMARY = f"""
                      中国银联商户清算汇总单
商户编号: {MER_ID}            清算日期: 20261111
--------------------------------------------------------
合计笔数: 1        交易金额: 12.34    手续费: 0.07   清算净额: 12.27
"""


def test_summary__states_what_the_settlement_file_must_add_up_to(settings: Settings) -> None:
    outcome = parse_one(settings, "unionpay", NAME, SUMMARY.encode("gbk"))
    assert outcome.reason is None
    assert (outcome.records, outcome.declared_minor, outcome.logical_key) == (0, 1227, MER_ID)


def test_summary_in_other_words__states_nothing_and_is_kept(settings: Settings) -> None:
    outcome = parse_one(settings, "unionpay", NAME, "商户对账单".encode("gbk"))
    assert (outcome.state, outcome.declared_minor) == ("loaded", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SUMMARY.replace("12.27", "12.28"), "the totals contradict each other"),
        (SUMMARY + "清算净额: 99.00\n", "net stands 2 times with different values"),
        ("", "the file has 0 bytes"),
    ],
)
def test_summary_that_contradicts_itself__is_refused(settings: Settings, text: str, reason: str) -> None:
    outcome = parse_one(settings, "unionpay", NAME, text.encode("gbk"))
    assert outcome.state == "rejected"
    assert reason in str(read_note(settings, NIGHT, outcome.file_id)["reason"])


def test_summary_in_another_encoding__is_refused(settings: Settings) -> None:
    assert parse_one(settings, "unionpay", NAME, b"\xff\xff\xff").state == "rejected"


def test_delivered_zip__holds_three_files_that_are_each_read(settings: Settings) -> None:
    path = settings.inbox / "unionpay" / f"{MER_ID}_20261111.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"INN26111188ZM_{MER_ID}", zm_record())
        archive.writestr(f"INN26111188ZME_{MER_ID}", zme_record())
        archive.writestr(NAME, SUMMARY.encode("gbk"))
    outcomes = land(settings)
    assert [(Path(outcome.file_name).name.split("!")[0], outcome.state) for outcome in outcomes] == [
        (path.name, "loaded")
    ] * 3
    assert sorted(outcome.source for outcome in outcomes) == ["unionpay_rd", "unionpay_zm", "unionpay_zme"]
    assert len(raw(settings, "settlement_lines")) == 2
