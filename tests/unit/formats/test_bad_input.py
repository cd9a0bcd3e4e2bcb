"""Every layout meets every kind of bad input: refused with a reason, or the bad record alone is set aside."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from posrecon.formats import LAYOUTS
from posrecon.landing.outcomes import Outcome
from posrecon.landing.sources import load_sources
from posrecon.landing.steps import read_note
from posrecon.settings import Settings
from tests.unit.formats.every_layout import GOOD, Good, project_of, settings_in
from tests.unit.landing.files import NIGHT, land, put, quarantined

HUGE = 100 * 1024 * 1024
DATASETS = ("terminal_events", "batch_closes", "settlement_lines", "bank_entries", "ledger_entries")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_of(tmp_path_factory.mktemp("project"))


@pytest.fixture
def settings(tmp_path: Path, project: Path) -> Settings:
    return settings_in(tmp_path / "home", project)


def read(settings: Settings, good: Good, content: bytes) -> Outcome:
    put(settings, good.feed, good.name, content)
    (outcome,) = land(settings)
    assert outcome.records == outcome.loaded + outcome.quarantined
    assert len(quarantined(settings)) == outcome.quarantined
    return outcome


def assert_not_taken_in(settings: Settings, good: Good, content: bytes) -> Outcome:
    assert content != good.content
    outcome = read(settings, good, content)
    if outcome.state == "rejected":
        note = read_note(settings, NIGHT, outcome.file_id)
        assert str(note["reason"]).startswith(good.name)
        assert note["next_step"]
    else:
        assert outcome.quarantined
        assert all(row["reason"] for row in quarantined(settings))
    return outcome


def test_every_layout_that_reads_records__is_in_the_table(project: Path) -> None:
    sources = load_sources(settings_in(project, project).sources_dir)
    read_here = {
        source.layout
        for source in sources
        for good in GOOD.values()
        if source.feed == good.feed and source.match(good.name.removesuffix(".gz"))
    }
    assert set(LAYOUTS) - read_here == {"evidence"}


@pytest.mark.parametrize("kind", GOOD)
def test_good_file__is_taken_in_whole(settings: Settings, kind: str) -> None:
    outcome = read(settings, GOOD[kind], GOOD[kind].content)
    assert (outcome.state, outcome.reason, outcome.quarantined) == ("loaded", None, 0)


DAMAGE: dict[str, Callable[[Good], bytes]] = {
    "empty": lambda good: b"",
    "blank lines": lambda good: b"\r\n\r\n",
    "no end": lambda good: good.content[: int(len(good.content) * good.cut)],
    "a NUL byte": lambda good: (
        good.content[: len(good.content) // 2] + b"\0" + good.content[len(good.content) // 2 :]
    ),
    "UTF-16 without its mark": lambda good: good.content.decode("latin-1").encode("utf-16-le"),
    "one endless line": lambda good: b"A" * (3 * 1024 * 1024),
    "another kind of file": lambda good: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", GOOD)
def test_damage__is_never_taken_in(settings: Settings, kind: str, damage: str) -> None:
    if (kind, damage) in {("rd", "no end"), ("rd", "a NUL byte"), ("rd", "another kind of file")}:
        pytest.skip("a printed summary is free text: what it does not state is compared with nothing")
    if (kind, damage) == ("rd", "blank lines") or (kind, damage) == ("rd", "one endless line"):
        outcome = read(settings, GOOD[kind], DAMAGE[damage](GOOD[kind]))
        assert (outcome.loaded, outcome.declared_minor) == (0, None)
        return
    assert_not_taken_in(settings, GOOD[kind], DAMAGE[damage](GOOD[kind]))


def _having(name: str) -> list[str]:
    return [kind for kind, good in GOOD.items() if getattr(good, name)]


@pytest.mark.parametrize("kind", _having("february"))
def test_thirtieth_of_february__is_no_date(settings: Settings, kind: str) -> None:
    good = GOOD[kind]
    assert good.february is not None
    outcome = assert_not_taken_in(settings, good, good.content.replace(*good.february, 1))
    refused = outcome.state == "rejected"
    said = str(read_note(settings, NIGHT, outcome.file_id) if refused else quarantined(settings)[0])
    assert any(text in said for text in ("02-30", "0230", "260230", "date", "day", "unreadable"))


@pytest.mark.parametrize("kind", _having("fewer"))
def test_record_with_a_field_less__is_not_taken_in(settings: Settings, kind: str) -> None:
    good = GOOD[kind]
    assert good.fewer is not None
    assert_not_taken_in(settings, good, good.content.replace(*good.fewer, 1))


@pytest.mark.parametrize("kind", _having("trailer"))
def test_file_without_its_end__is_refused_whole(settings: Settings, kind: str) -> None:
    good = GOOD[kind]
    assert assert_not_taken_in(settings, good, good.content.replace(good.trailer, b"")).state == "rejected"


@pytest.mark.parametrize(
    "kind", [kind for kind in _having("trailer") if kind not in ("camt", "wechat_fund_flow")]
)
def test_file_with_its_end_twice__is_refused_whole(settings: Settings, kind: str) -> None:
    good = GOOD[kind]
    ending = b"" if good.trailer.endswith(b"\n") else b"\r\n"
    doubled = good.content.replace(good.trailer, good.trailer + ending + good.trailer)
    assert assert_not_taken_in(settings, good, doubled).state == "rejected"


@pytest.mark.parametrize("kind", _having("one_fen"))
def test_total_off_by_one_fen__is_refused_whole_with_the_difference(settings: Settings, kind: str) -> None:
    good = GOOD[kind]
    assert good.one_fen is not None
    outcome = assert_not_taken_in(settings, good, good.content.replace(*good.one_fen))
    assert outcome.state == "rejected"
    assert any(
        text in (outcome.reason or "") for text in ("0.01", "difference", "contradict", "30051", "tie")
    )


def test_entities_of_xml__are_not_expanded(settings: Settings) -> None:
    good = GOOD["camt"]
    laughs = "".join(f"<!ENTITY l{n + 1} '{f'&l{n};' * 10}'>" for n in range(9))
    prolog = f"<!DOCTYPE Document [<!ENTITY l0 'lol'>{laughs}]>".encode()
    start = time.monotonic()
    content = good.content.replace(b"?>", b"?>" + prolog, 1).replace(b"REF1", b"&l9;")
    outcome = assert_not_taken_in(settings, good, content)
    assert outcome.state == "rejected"
    assert "DOCTYPE" in (outcome.reason or "")
    assert time.monotonic() - start < 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", GOOD)
def test_line_of_100_megabytes__is_not_taken_in(settings: Settings, kind: str) -> None:
    content = GOOD[kind].content + b"7" * HUGE
    outcome = assert_not_taken_in(settings, GOOD[kind], content)
    assert len(outcome.reason or "") < 1000
