"""The complaint pack of every kind of break that two nights found: what a person reads, and what proves it."""

import csv
import hashlib
import io
import json
import re
import zipfile
from datetime import date
from pathlib import Path

import pypdfium2
import pytest

from posrecon.audit.log import read_records
from posrecon.disputes.complaint import LANGUAGES, Complaint, texts
from posrecon.disputes.pack import Pack, build_pack
from posrecon.errors import UsageError
from posrecon.exports import csv_text
from tests.end_to_end.homes import KEYS, Home


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def complaint(*break_ids: str) -> Complaint:
    return Complaint(
        reference="C-000001",
        title="One of each kind",
        addressee_zh="收单机构",
        addressee_en="Acquirer",
        contact="95516",
        respond_by=date(2026, 12, 11),
        break_ids=break_ids,
    )


def one_of_each(home: Home) -> list[str]:
    rows = home.ask("select min(break_id) from marts.fct_breaks group by break_type order by break_type")
    return [str(break_id) for (break_id,) in rows]


def pack_of(home: Home, folder: Path) -> tuple[Pack, zipfile.ZipFile]:
    pack = build_pack(home.settings, complaint(*one_of_each(home)), folder)
    return pack, zipfile.ZipFile(pack.path)


def text_of(pdf: bytes) -> str:
    return "".join(
        "".join(page.get_textpage().get_text_bounded().split()) for page in pypdfium2.PdfDocument(pdf)
    )


def test_wording__stands_for_every_kind_of_break__in_both_languages(two: Home) -> None:
    kinds = {kind for (kind,) in two.ask("select break_type from marts.dim_break_types")}
    assert kinds == set(texts())
    parts = {f"{part}_{language}" for part in ("expected", "found", "request") for language in LANGUAGES}
    assert all(set(wording) == parts for wording in texts().values())


@pytest.mark.usefixtures("keys")
def test_pack__tells_every_break__with_labels_identifiers_and_lines_as_received(
    two: Home, tmp_path: Path
) -> None:
    pack, archive = pack_of(two, tmp_path)
    read = text_of(archive.read("complaint.pdf"))

    assert pack.breaks == pack.told == len(one_of_each(two))
    assert pack.lacking == ""
    assert "收单机构Acquirer" in read
    labels = two.ask(
        "select label_zh, label_en from marts.dim_break_types semi join marts.fct_breaks using (break_type)"
    )
    for label_zh, label_en in labels:
        assert label_zh in read
        assert "".join(label_en.split()) in read
    # No placeholder is left, and nothing that a record would tell is said to be unknown.
    assert "{" not in re.sub(r"\{.*?:.*?\}", "", read)
    assert "unknown" not in read
    for (rrn,) in two.ask(
        "select distinct r.rrn from marts.fct_breaks as b join marts.fct_reconciliation as r using (item_id) "
        f"where r.rrn is not null and b.break_id in {tuple(one_of_each(two))}"
    ):
        assert rrn in read
    shown = {archive.read(name).decode() for name in archive.namelist() if name.startswith("evidence/")}
    assert shown
    for part in shown:
        assert "SHA-256 of the received file " in part
        assert "the archived file has no such line" not in part
        line = part.split("\n\n", 1)[1]
        assert "".join(line.split()) in read


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("break_type", ["duplicate_in_terminal_log", "duplicate_in_settlement"])
def test_a_copy__is_shown_beside_the_record_that_it_repeats(
    two: Home, tmp_path: Path, break_type: str
) -> None:
    ((break_id, detail),) = two.ask(
        f"select break_id, detail from marts.fct_breaks where break_type = '{break_type}' order by all limit 1"
    )
    pack = build_pack(two.settings, complaint(break_id), tmp_path)
    first = json.loads(detail)
    with zipfile.ZipFile(pack.path) as archive:
        heads = {
            archive.read(name).decode().split("\nSHA")[0] for name in archive.namelist() if "evidence" in name
        }
    assert f"{first['first_file']}\nline {first['first_line']}" in heads
    assert len(heads) >= 2


@pytest.mark.usefixtures("keys")
def test_manifest__proves_every_part__and_names_the_received_files(two: Home, tmp_path: Path) -> None:
    pack, archive = pack_of(two, tmp_path)
    manifest = json.loads(archive.read("manifest.json"))

    named = {part["name"]: part for part in manifest["parts"]}
    assert set(named) | {"manifest.json"} == set(archive.namelist())
    for name, part in named.items():
        assert part["sha256"] == hashlib.sha256(archive.read(name)).hexdigest()
    assert pack.sha256 == hashlib.sha256(pack.path.read_bytes()).hexdigest()
    known = set(two.ask("select file_name, sha256 from marts.fct_files"))
    received = {(one["file"], one["sha256"]) for one in manifest["received_files"]}
    assert received <= known
    heads = [archive.read(name).decode().splitlines() for name in named if name.startswith("evidence/")]
    assert {(head[0], head[2].rsplit(" ", 1)[1]) for head in heads} <= received


@pytest.mark.usefixtures("keys")
def test_csv__holds_every_break(two: Home, tmp_path: Path) -> None:
    _, archive = pack_of(two, tmp_path)
    rows = list(csv.DictReader(io.StringIO(archive.read("breaks.csv").decode("utf-8-sig"))))
    assert sorted(row["break_id"] for row in rows) == sorted(one_of_each(two))


@pytest.mark.usefixtures("keys")
def test_same_case__same_night__same_bytes(two: Home, tmp_path: Path) -> None:
    first, _ = pack_of(two, tmp_path / "a")
    second, _ = pack_of(two, tmp_path / "b")
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_case_without_breaks__is_refused(two: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the case has no breaks"):
        build_pack(two.settings, complaint(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_break_that_is_not_published__is_refused(two: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no published break has this id"):
        build_pack(two.settings, complaint("0" * 32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_text_that_a_spreadsheet_would_run__is_quoted() -> None:
    written = csv_text([{"a": "=1+1", "b": -5}, {"a": "@x", "b": None}], ("a", "b"))
    assert written == "a,b\n'=1+1,-5\n'@x,\n"


def test_pack_command__writes_the_zip_and_its_record(two: Home, tmp_path: Path) -> None:
    home = two.copy_to(tmp_path / "home")
    home.run("cases", "open", "--from-candidates")
    made = home.run("pack", "C-1", "--out", str(tmp_path / "out"), "--by", "Li")
    path = Path(made["path"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == made["sha256"]
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("breaks.csv").decode("utf-8-sig"))))
    shown = home.run("cases", "show", "C-1")
    assert sorted(row["break_id"] for row in rows) == sorted(one["break_id"] for one in shown["case_breaks"])
    exports = read_records(home.settings, frozenset({"export"}))
    assert [kept.by for kept in exports if kept.payload["sha256"] == made["sha256"]] == ["Li"]
    assert home.run("pack", "C-999999", expect=2)["stderr"].count("C-999999") == 1
