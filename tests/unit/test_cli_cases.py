"""`posrecon cases` as a person uses it: what it prints, what it refuses, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from posrecon import cli
from posrecon.settings import Settings
from tests.unit.disputes.nights import FIRST, SECOND, Break, publish

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {"HOME": str(tmp_path / "home"), "USER": "Li", "CASES_URL": ""}.items():
        monkeypatch.setenv(f"POSRECON_{name}", value)
    found = Settings()
    publish(found, FIRST, Break("a"), Break("b", "amount_mismatch", amount_minor=995, merchant_id="M2"))
    return found


def run(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """Run `posrecon cases …`; what it printed on the stream that belongs to its exit code."""
    capsys.readouterr()
    assert cli.run(["cases", *arguments]) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def data(capsys: Capture, *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json"))


def test_a_case__from_candidate_to_won__by_the_commands_alone(
    settings: Settings, capsys: Capture, tmp_path: Path
) -> None:
    slip = tmp_path / "slip.pdf"
    slip.write_bytes(b"slip")
    assert "2 cases opened" in run(capsys, "open", "--from-candidates")
    number = next(row["case"] for row in data(capsys, "list")["cases"] if row["merchant_id"] == "M2")
    said = run(capsys, "assign", number, "--to", "Wang", "--by", "Zhao")
    assert said.startswith(f"{number} assigned (version 2): assign by Zhao\nNext: Look at the own records")
    run(capsys, "note", number, "called the shop")
    run(capsys, "attach", number, str(slip), "--note", "signed")
    run(capsys, "evidence", number)
    assert "Next: Wait for the answer until 2026-12-03." in run(
        capsys, "submit", number, "--why", "sent", "--on", "2026-11-13"
    )
    run(capsys, "hold", number, "--why", "until the money is there")
    run(capsys, "release", number, "--why", "it is")
    assert data(capsys, "resolve", number, "won", "--why", "credited")["state"] == "won"
    run(capsys, "reopen", number, "--why", "taken back")
    found = data(capsys, "show", number)
    assert [(event["action"], event["who"]) for event in found["events"]] == [
        ("open", "posrecon"), ("assign", "Zhao"), ("note", "Li"), ("attach", "Li"), ("evidence", "Li"),
        ("submit", "Li"), ("hold", "Li"), ("release", "Li"), ("won", "Li"), ("reopen", "Li"),
    ]  # fmt: skip
    out = tmp_path / "out.pdf"
    assert "4 bytes, SHA-256" in run(capsys, "fetch", number, "1", "--out", str(out))
    assert out.read_bytes() == b"slip"
    assert "is there already" in run(capsys, "fetch", number, "1", "--out", str(out), code=2)


def test_show__tells_times_in_the_zone_of_the_sources(settings: Settings, capsys: Capture) -> None:
    run(capsys, "open", "--from-candidates")
    text = run(capsys, "show", "1")
    assert "2026-11-12 22:30" in text
    assert "Give it to somebody." in text
    assert data(capsys, "show", "1")["events"][0]["at"] == "2026-11-12T14:30:00+00:00"


def test_list__puts_what_is_overdue_on_top__and_says_so(settings: Settings, capsys: Capture) -> None:
    run(capsys, "open", "--from-candidates")
    publish(
        settings,
        SECOND,
        Break("a"),
        Break("b", "amount_mismatch", merchant_id="M2"),
        Break("c", "stan_gap", opened_on=SECOND),
    )
    run(capsys, "open", "--from-candidates")
    text = run(capsys, "list", "--as-of", "2026-11-17")
    lines = [line for line in text.splitlines() if "C-" in line]
    assert "1 overdue" in text.splitlines()[0]
    assert "C-3" in lines[0]
    assert "2026-11-16 OVERDUE" in lines[0]
    assert sum("OVERDUE" in line for line in lines) == 1
    assert [row["case"] for row in data(capsys, "list", "--overdue", "--as-of", "2026-11-17")["cases"]] == [
        "C-3"
    ]
    # Without a day, the newest published night judges: nothing was overdue then.
    assert "OVERDUE" not in run(capsys, "list")


def test_list__as_csv__one_line_per_case(settings: Settings, capsys: Capture) -> None:
    run(capsys, "open", "--from-candidates")
    lines = run(capsys, "list", "--csv").splitlines()
    assert lines[0].startswith("case,case_no,version,state,overdue,respond_by")
    assert len(lines) == 3
    assert any("9.95 CNY" in line for line in lines)


def test_bulk__shows_first__and_does_it_with_yes(settings: Settings, capsys: Capture) -> None:
    run(capsys, "open", "--from-candidates")
    assert "Nothing was changed; --yes does it." in run(
        capsys, "bulk", "assign", "--to", "Li", "--merchant", "M2"
    )
    assert data(capsys, "list", "--assignee", "Li")["total"] == 0
    assert (
        run(capsys, "bulk", "assign", "--to", "Li", "--merchant", "M2", "--yes")
        == "assign: 1 cases changed.\n"
    )
    done = data(capsys, "bulk", "resolve", "--as", "written_off", "--why", "small", "--yes")
    assert (done["done"], done["total"]) == (True, 2)
    assert run(capsys, "list") == "No case fits.\n"
    assert data(capsys, "list", "--all")["total"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "99"), "There is no case C-99; the newest is C-2."),
        (("show", "nobody"), '"nobody" is no case.'),
        (("submit", "1", "--why", "early"), "C-1 is new: submit is only possible from evidence, submitted."),
        (("resolve", "1", "written_off"), "A reason (--why) is needed."),
        (("resolve", "1", "drawn", "--why", "x"), "'drawn' is not one of"),
        (("list", "--state", "lost_in_space"), "--state lost_in_space: there is no such state."),
        (("list", "--json", "--csv"), "--json and --csv exclude each other."),
        (
            ("assign", "1", "--to", "Li", "--if-version", "7"),
            "C-1 is at version 1, you looked at 7: posrecon did open",
        ),
        (("attach", "1", "/dev/null"), "/dev/null: is no plain file."),
        (("fetch", "1", "3", "--out", "x"), "C-1 has 0 attachments, none numbered 3."),
        (("open",), "Cases are opened --from-candidates, or one by hand"),
        (("open", "--topic", "weather", "--title", "x", "--why", "y"), "There is no topic weather."),
        (("bulk", "assign", "--yes"), "A person (--to) is needed."),
    ],
)
def test_wrong_usage__exits_2__and_says_what_and_what_next(
    settings: Settings, capsys: Capture, arguments: tuple[str, ...], message: str
) -> None:
    run(capsys, "open", "--from-candidates")
    before = data(capsys, "list", "--all")
    said = run(capsys, *arguments, code=2)
    assert message in said
    assert "Traceback" not in said
    assert data(capsys, "list", "--all") == before


def test_commands__before_any_night__say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("POSRECON_HOME", str(tmp_path / "empty"))
    assert "nothing is published yet" in run(capsys, "list", code=2)
    assert "nothing is published yet" in run(capsys, "open", "--from-candidates", code=2)
    assert run(capsys, "list", "--as-of", "2026-11-12") == "No case fits.\n"


def test_clocks__are_shown_with_source_and_confidence(settings: Settings, capsys: Capture) -> None:
    text = run(capsys, "clocks")
    assert "Limits in force on 2026-11-12" in text
    rows = {row["clock"]: row for row in data(capsys, "clocks")}
    assert {row["confidence"] for row in rows.values()} == {"sourced", "secondary", "unverified"}
    assert rows["limitation_of_action"]["days"] == 1095


def test_upgrade__says_where_the_tables_are(settings: Settings, capsys: Capture) -> None:
    assert run(capsys, "upgrade") == "The tables of the cases are at 0001, made just now.\n"
    assert run(capsys, "upgrade") == "The tables of the cases are at 0001, were at 0001.\n"


def test_who__is_named_or_the_user_of_the_system(
    settings: Settings, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "open", "--from-candidates")
    monkeypatch.setenv("POSRECON_USER", "")
    monkeypatch.setenv("LOGNAME", "somebody")
    run(capsys, "note", "1", "as myself")
    run(capsys, "note", "1", "as named", "--by", "Wang")
    assert [event["who"] for event in data(capsys, "show", "1")["events"]] == ["posrecon", "somebody", "Wang"]
