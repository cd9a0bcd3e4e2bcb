"""The record behind a figure is found by the file's identity: names are used again."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import pytest

from posrecon.audit.log import read_records
from posrecon.landing.archive import store
from posrecon.reporting import evidence
from posrecon.reporting.evidence import Place, evidence_of, place_of
from posrecon.settings import Settings

NAME = "POS.csv"
DAYS = {"monday": "header\nfirst of monday\nsecond of monday\n", "tuesday": "header\nfirst of tuesday\n"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose archive holds two files of one name."""
    settings = Settings(home=tmp_path / "home")
    for day, content in DAYS.items():
        path = tmp_path / day
        path.write_text(content, encoding="utf-8")
        store(settings, path, hashlib.sha256(content.encode()).hexdigest())
    return settings


@pytest.fixture
def published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """What readers see of the two files, and of one that another took the place of."""
    del settings
    with duckdb.connect() as connection:
        connection.execute(
            "create table fct_files (file_id varchar, file_name varchar, sha256 varchar, encoding varchar, "
            "source varchar, state varchar)"
        )
        for day, content in DAYS.items():
            sha256 = hashlib.sha256(content.encode()).hexdigest()
            connection.execute(
                "insert into fct_files values (?, ?, ?, 'utf-8', 'a source of once', 'loaded')",
                [day, NAME, sha256],
            )
        connection.execute(
            "insert into fct_files select 'old', 'once.csv', sha256, encoding, source, 'superseded' "
            "from fct_files where file_id = 'monday'"
        )
        connection.execute(
            "insert into fct_files select 'new', 'once.csv', sha256, encoding, source, 'loaded' "
            "from fct_files where file_id = 'tuesday'"
        )
        yield connection


def test_name_that_is_used_every_day__shows_the_line_of_the_right_day(
    settings: Settings, published: duckdb.DuckDBPyConnection
) -> None:
    places = [Place("settlement", NAME, 2, "tuesday"), None, Place("settlement", NAME, 2, "monday")]
    assert [one.text for one in evidence_of(settings, published, places)] == [
        "first of tuesday",
        "first of monday",
    ]


def test_name_alone__that_several_files_have__shows_none_of_them(
    settings: Settings, published: duckdb.DuckDBPyConnection
) -> None:
    (found,) = evidence_of(settings, published, [Place("bank", NAME, 2)])
    assert (found.text, found.sha256) == (None, None)
    assert found.problem == "2 received files have this name; the id of the right one is not known"


def test_name_alone__of_a_file_that_another_took_the_place_of__is_the_loaded_one(
    settings: Settings, published: duckdb.DuckDBPyConnection
) -> None:
    by_name, by_id = evidence_of(
        settings, published, [Place("bank", "once.csv", 2), Place("bank", "once.csv", 2, "old")]
    )
    assert (by_name.text, by_id.text) == ("first of tuesday", "first of monday")


def test_file_that_many_lines_stand_in__is_opened_once__and_every_access_is_recorded(
    settings: Settings, published: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_content = evidence.open_content

    def counting(home: Settings, sha256: str, name: str) -> AbstractContextManager[Path]:
        opened.append(sha256)
        return open_content(home, sha256, name)

    monkeypatch.setattr(evidence, "open_content", counting)
    places = [Place("bank", NAME, line, day) for line in (1, 2, 3) for day in DAYS]
    found = evidence_of(settings, published, [*places, places[0]])

    assert len(opened) == len(set(opened)) == 2
    assert [one.text for one in found] == [
        "header", "header", "first of monday", "first of tuesday", "second of monday", None, "header",
    ]  # fmt: skip
    assert found[5].problem == "the archived file has no such line"
    accesses = [one.payload for one in read_records(settings, frozenset({"archive_read"}))]
    assert sorted((one["sha256"], one["line"]) for one in accesses) == sorted(
        (hashlib.sha256(DAYS[one.file_id or ""].encode()).hexdigest(), one.line) for one in places
    )


def test_row__names_a_record_by_file_line_and_id() -> None:
    row = {
        "bank_file": "a.sta",
        "bank_line": 3,
        "bank_file_id": "f1",
        "terminal_file": None,
        "terminal_line": None,
    }
    assert place_of("bank", row, "bank") == Place("bank", "a.sta", 3, "f1")
    assert place_of("terminal log", row, "terminal") is None
    assert place_of("settlement", row, "settlement") is None
