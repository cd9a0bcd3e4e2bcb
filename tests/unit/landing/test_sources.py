from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from posrecon.errors import PosreconError
from posrecon.formats import LAYOUTS
from posrecon.landing.opening import recognise
from posrecon.landing.sources import LayoutName, load_sources
from posrecon.settings import Settings

GOOD = """
name: sample
feed: bank
layout: mt940
pattern: '(?P<key>\\d+)_(?P<date>20\\d{6})\\.sta'
date_from: content
zone: Asia/Shanghai
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zone: Asia/Shanghai", "zone: Asia/Peking", "zone: .*not a time zone"),
        ("zone: Asia/Shanghai", "", "zone: Field required"),
        ("layout: mt940", "layout: mt999", "layout: Input should be"),
        ("layout: mt940", "layout: mt940\nlayuot: x", "layuot: Extra inputs"),
        ("feed: bank", "feed: banks", "feed: Input should be"),
        ("(?P<key>", "(?P<key", "pattern: .*not a regular expression"),
        ("date_from: content", "date_from: content\nexpected: {calendar: weekly}", "expected.calendar: "),
        ("name: sample", "name: [", "not valid YAML"),
    ],
)
def test_a_wrong_yaml__names_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "sample.yml").write_text(GOOD.replace(old, new))
    with pytest.raises(PosreconError, match=rf"(?s)sample\.yml: .*{said}"):
        load_sources(tmp_path)


def test_layout_names__are_those_of_the_formats() -> None:
    assert set(get_args(LayoutName)) == set(LAYOUTS)


def test_two_sources_of_one_name__are_refused(tmp_path: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(PosreconError, match=r'b\.yml: name "sample" is used'):
        load_sources(tmp_path)


def test_an_empty_folder__is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PosreconError, match="no source YAML"):
        load_sources(tmp_path)


@pytest.mark.parametrize(
    ("feed", "file_name", "source", "day", "key", "part"),
    [
        ("terminal_log", "terminal_log_20261111.csv", "terminal_log", date(2026, 11, 11), "", ""),
        ("terminal_log", "terminal_log_20261111_b.csv", "terminal_log", date(2026, 11, 11), "", "b"),
        ("terminal_log", "store7.csv", "terminal_log", None, "", "store7"),
        ("terminal_log", "batch_close_20261111.csv", "batch_close", date(2026, 11, 11), "", ""),
        ("terminal_log", "north_batch_close.csv", "batch_close", None, "", "north"),
        (
            "unionpay",
            "INN26111188ZM_898110000000037",
            "unionpay_zm",
            date(2026, 11, 11),
            "898110000000037",
            "",
        ),
        ("bank", "MT940_310500161836_20261111.sta", "bank_mt940", date(2026, 11, 11), "310500161836", ""),
        ("reference", "merchants.csv", "merchants", None, "", ""),
    ],
)
def test_every_name__belongs_to_one_source(
    settings: Settings, feed: str, file_name: str, source: str, day: date | None, key: str, part: str
) -> None:
    ((found, name),) = recognise(load_sources(settings.sources_dir), feed, file_name)
    assert (found.name, name.business_date, name.key, name.part) == (source, day, key, part)


@pytest.mark.parametrize(
    ("feed", "file_name"),
    [
        ("unionpay", "INN26113188ZM_898110000000037"),
        ("unionpay", "terminal_log_20261111.csv"),
        ("terminal_log", "INN26111188ZM_898110000000037"),
        ("reference", "readme.txt"),
    ],
)
def test_a_foreign_name__belongs_to_none(settings: Settings, feed: str, file_name: str) -> None:
    assert recognise(load_sources(settings.sources_dir), feed, file_name) == ()
