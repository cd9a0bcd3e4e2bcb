"""The log: one spelling per record, a chain of hashes, torn lines repaired by a record."""

import json
import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from posrecon.audit import AuditError, Entry, record, record_all
from posrecon.audit.anchor import line_of, read_anchors, write_anchor
from posrecon.audit.environment import environment, plain_settings
from posrecon.audit.log import NO_RECORD, Record, canonical, head_of, log_files, read_records
from posrecon.settings import Settings

NIGHT = date(2026, 11, 12)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_record__first_and_second__chain_by_hash_and_count_from_one(settings: Settings) -> None:
    first = record(settings, "files_received", {"run_date": NIGHT, "files": [{"file_no": 1}]}, by="li")
    second = record(settings, "export", {"what": "金额 100"})

    assert (first.seq, first.previous) == (1, NO_RECORD)
    assert (second.seq, second.previous) == (2, first.hash)
    assert [first, second] == list(read_records(settings))
    assert first.hash == first.expected_hash()
    assert first.by == "li"
    assert second.by
    assert first.payload["run_date"] == "2026-11-12"


def test_record__line__is_canonical_json(settings: Settings) -> None:
    made = record(settings, "export", {"b": 1, "a": "元"})

    line = log_files(settings)[0].read_bytes()

    assert line == made.line()
    assert line.startswith(b'{"at":"')
    assert '"payload":{"a":"元","b":1}'.encode() in line


@pytest.mark.parametrize("payload", [{"x": 1.5}, {"x": {1: 2}}, {"x": object()}, {"x": b"bytes"}])
def test_record__what_has_several_spellings__is_refused_and_nothing_is_written(
    settings: Settings, payload: dict[str, object]
) -> None:
    with pytest.raises(AuditError, match="cannot hold"):
        record_all(settings, [Entry("export", {"fine": 1}), Entry("export", payload)])

    assert log_files(settings) == []


def test_record__kind_with_spaces__is_refused(settings: Settings) -> None:
    with pytest.raises(AuditError, match="lower_snake_case"):
        record(settings, "Case Changed", {})


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_record__after_a_torn_line__repairs_it_with_a_record_of_what_was_torn(
    settings: Settings, cut: int
) -> None:
    first = record(settings, "export", {"n": 1})
    record(settings, "export", {"n": 2, "long": "x" * 400})
    path = log_files(settings)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    torn = whole[len(first.line()) : -cut]

    third = record(settings, "export", {"n": 3})

    found = list(read_records(settings))
    assert [one.kind for one in found] == ["export", "log_repaired", "export"]
    assert [one.seq for one in found] == [1, 2, 3]
    assert found[1].payload["text"] == torn.decode()
    assert found[1].payload["bytes"] == len(torn)
    assert found[1].payload["cut_at_byte"] == len(first.line())
    assert third.previous == found[1].hash


def test_record__only_line_torn__the_repair_is_record_one(settings: Settings) -> None:
    record(settings, "export", {"n": 1})
    path = log_files(settings)[0]
    path.write_bytes(path.read_bytes()[:30])

    record(settings, "export", {"n": 2})

    assert [(one.seq, one.kind) for one in read_records(settings)] == [(1, "log_repaired"), (2, "export")]


def test_record__last_record_changed__nothing_is_added(settings: Settings) -> None:
    record(settings, "export", {"n": 1})
    path = log_files(settings)[0]
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))

    with pytest.raises(AuditError, match="was changed"):
        record(settings, "export", {"n": 2})

    assert path.read_bytes().count(b"\n") == 1


def test_record__a_file_of_a_later_month_is_there__the_clock_that_went_back_goes_on_in_it(
    settings: Settings,
) -> None:
    record(settings, "export", {"n": 1})
    path = log_files(settings)[0]
    path.rename(path.with_name("2999-01.jsonl"))

    record(settings, "export", {"n": 2})

    assert [file.name for file in log_files(settings)] == ["2999-01.jsonl"]
    assert [one.seq for one in read_records(settings)] == [1, 2]


def test_head__record_longer_than_one_block__is_found(settings: Settings) -> None:
    record(settings, "export", {"n": 1})
    long = record(settings, "export", {"long": "y" * 300_000})

    assert head_of(settings) == long
    assert record(settings, "export", {"n": 3}).previous == long.hash


WRITE_MANY = """
import sys
from pathlib import Path
from posrecon.audit import record
from posrecon.settings import Settings
for n in range(25):
    record(Settings(home=Path(sys.argv[1])), "export", {"n": n}, by=sys.argv[2])
"""

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from posrecon.audit import Entry, record_all
from posrecon.settings import Settings
while True:
    record_all(Settings(home=Path(sys.argv[1])), [Entry("export", {"text": "z" * 5000})] * 4)
"""


def writer(settings: Settings, code: str, *arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code, str(settings.home), *arguments])


def assert_one_chain(found: list[Record]) -> None:
    assert [one.seq for one in found] == list(range(1, len(found) + 1))
    assert all(one.hash == one.expected_hash() for one in found)
    assert all(after.previous == before.hash for before, after in pairwise(found))


def test_record__four_processes_at_once__one_chain(settings: Settings) -> None:
    writers = [writer(settings, WRITE_MANY, f"w{n}") for n in range(4)]

    assert [one.wait() for one in writers] == [0] * 4

    found = list(read_records(settings))
    assert_one_chain(found)
    assert len(found) == 100
    for n in range(4):
        assert [one.payload["n"] for one in found if one.by == f"w{n}"] == list(range(25))


def test_record__writer_killed_again_and_again__every_whole_record_stands_in_one_chain(
    settings: Settings,
) -> None:
    seen = 0
    for _ in range(3):
        with writer(settings, WRITE_FOR_EVER) as endless:
            while (head := head_of(settings)) is None or head.seq < seen + 10:
                assert endless.poll() is None
            endless.kill()
        seen = head.seq

    last = record(settings, "export", {"end": True})

    found = list(read_records(settings))
    assert_one_chain(found)
    assert found[-1] == last
    assert last.seq > 30


def test_anchor__written_after_each_night__is_read_back_and_torn_lines_are_not(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere" / "anchor.txt"
    one = record(settings, "export", {"n": 1})
    two = record(settings, "export", {"n": 2})
    write_anchor(path, one, NIGHT)
    with path.open("a") as stream:
        stream.write(line_of(two, NIGHT)[:40])
    assert [anchor.seq for anchor in read_anchors(path)] == [1]

    write_anchor(path, two, NIGHT)

    assert [(anchor.seq, anchor.hash) for anchor in read_anchors(path)] == [(1, one.hash), (2, two.hash)]


def test_anchor__a_line_that_is_none__is_an_error_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "anchor.txt"
    path.write_text("# heading\nhello\n", encoding="utf-8")

    with pytest.raises(AuditError, match=r"anchor\.txt:2: expected an anchor"):
        read_anchors(path)


def test_environment__secrets_and_passwords__are_not_in_it(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        token_key="ab" * 32,  # type: ignore[arg-type]
        cases_url="postgresql://desk:hidden-word@db.example/cases",
    )

    facts = environment(settings)

    text = json.dumps(facts)
    assert "ab" * 32 not in text
    assert "hidden-word" not in text
    assert plain_settings(settings)["token_key"] == "set"
    assert plain_settings(settings)["archive_key"] == ""
    assert plain_settings(settings)["cases_url"] == "set"
    # An address among settings that are not secret loses user and password.
    addressed = settings.model_copy(update={"zone": "sftp://desk:hidden-word@files.example/in"})
    assert plain_settings(addressed)["zone"] == "sftp://***@files.example/in"
    assert facts["packages"]["duckdb"]
    assert len(facts["project_sha256"]) == 64
    assert canonical(facts)
