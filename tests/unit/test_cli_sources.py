import json
import shutil
from pathlib import Path

import pytest

from posrecon import cli
from posrecon.settings import PROJECT_ROOT
from tests.unit.formats.generic_sources import ALLINPAY, allinpay_file, allinpay_record
from tests.unit.landing.files import PAN, event, log_of, statement

NAME = "allinpay_898110000000037_20261111.csv"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources of the project and the acquirer's, and a home that must stay empty."""
    folder = tmp_path / "project" / "include" / "sources"
    shutil.copytree(PROJECT_ROOT / "include" / "sources", folder)
    (folder / "allinpay_pos.yml").write_text(ALLINPAY, encoding="utf-8")
    monkeypatch.setenv("POSRECON_PROJECT_DIR", str(tmp_path / "project"))
    monkeypatch.setenv("POSRECON_HOME", str(tmp_path / "home"))
    return folder


def tried(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, object]]]:
    code = cli.run(["sources", "try", *arguments, "--json"])
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return code, found


def test_check__names_every_source(sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sources", "check", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["problems"] == []
    assert {"allinpay_pos", "bank_camt", "bank_bai2", "bank_mt940", "unionpay_zm"} <= {
        one["name"] for one in said["sources"]
    }


def test_check__lists_every_problem_with_file_and_key(
    sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sources / "a.yml").write_text(
        ALLINPAY.replace("gross: 交易金额", "grosz: 交易金额").replace("allinpay_pos", "a")
    )
    (sources / "b.yml").write_text("name: b\nfeed: bank\n")
    (sources / "c.yml").write_text(ALLINPAY)
    (sources / "d.yaml").write_text(ALLINPAY)
    assert cli.run(["sources", "check"]) == 2
    said = capsys.readouterr().out
    assert "a.yml: table: Value error, columns.grosz: not a column" in said
    assert "b.yml: layout: Field required" in said
    assert 'c.yml: name "allinpay_pos" is used by another source' in said
    assert "d.yaml: named .yaml, expected .yml" in said
    assert "4 problems" in said


def test_try__shows_how_a_file_would_be_read_and_writes_nothing(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / NAME
    file.write_bytes(allinpay_file(allinpay_record(卡号=PAN)))
    before = sorted(tmp_path.rglob("*"))
    code, (trial,) = tried(capsys, str(file))
    assert (code, trial["source"], trial["records"], trial["quarantined"]) == (0, "allinpay_pos", 1, 0)
    assert (trial["encoding"], trial["business_date"]) == ("gb18030", "2026-11-11")
    assert (trial["declared_minor"], trial["computed_minor"]) == (1227, 1227)
    (row,) = trial["rows"]["settlement_lines"]  # type: ignore[index]
    assert (row["gross_minor"], row["card_masked"]) == (1234, "621234******1232")
    assert sorted(tmp_path.rglob("*")) == before
    assert cli.run(["sources", "try", str(file)]) == 0
    said = capsys.readouterr().out
    assert "1 would be loaded" in said
    assert PAN not in said
    assert "张三丰" not in said


def test_try__says_why_a_file_would_be_refused(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "generic" / NAME
    file.parent.mkdir()
    file.write_bytes(allinpay_file(allinpay_record(), totals="合计,1,12.34,0.07,12.28"))
    code, (trial,) = tried(capsys, str(file))
    assert code == 3
    assert "difference 0.01 CNY" in str(trial["reason"])
    assert cli.run(["sources", "try", str(file)]) == 3
    assert "WOULD BE REFUSED" in capsys.readouterr().out


def test_try__outside_the_folder_of_a_feed__shows_every_source_that_might_have_been_meant(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / NAME
    file.write_bytes(allinpay_file(allinpay_record(), totals=""))
    code, trials = tried(capsys, str(file))
    assert code == 3
    assert {"allinpay_pos", "terminal_log"} <= {str(trial["source"]) for trial in trials}


def test_try__shows_what_would_go_to_quarantine(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "terminal_log_20261111.csv"
    file.write_bytes(log_of(event(), event(amount="x")))
    code, (trial,) = tried(capsys, str(file))
    assert (code, trial["loaded"], trial["quarantined"]) == (3, 1, 1)
    assert "not a decimal number" in str(trial["refused"])


def test_try__reads_any_name_as_the_source_that_is_named(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "download(1).dat"
    file.write_text(statement(":61:2611111111C50,25NTRFREF1", closing="C261111CNY150,25"))
    code, (trial,) = tried(capsys, str(file))
    assert (code, trial["candidates"]) == (3, [])
    assert "no source" in str(trial["reason"])
    code, (trial,) = tried(capsys, str(file), "--source", "bank_mt940")
    assert (code, trial["loaded"], trial["logical_name"]) == (0, 1, "bank/310500161836/2026-11-11")


def test_try__opens_a_zip(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import zipfile

    file = tmp_path / "bill.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(NAME, allinpay_file(allinpay_record()))
    code, (trial,) = tried(capsys, str(file))
    assert (code, trial["file_name"], trial["loaded"]) == (0, f"bill.zip!{NAME}", 1)
    file.write_bytes(b"PK")
    code, (trial,) = tried(capsys, str(file))
    assert (code, trial["source"]) == (3, None)


@pytest.mark.parametrize("arguments", [["nowhere.csv"], [__file__, "--source", "nobody"]])
def test_try__wrong_usage__is_exit_code_2(sources: Path, arguments: list[str]) -> None:
    assert cli.run(["sources", "try", *arguments]) == 2
