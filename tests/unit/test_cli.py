import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from posrecon import cli, night
from posrecon.errors import BadLine, LayoutError, NightError, UsageError
from posrecon.landing.decisions import Decision
from posrecon.settings import Settings
from posrecon.warehouse.publish import publish
from posrecon.warehouse.revisions import NightChange
from tests.unit.warehouse.small_night import NIGHT_1, NIGHT_2, built, small_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with one published night of hand-made marts."""
    settings = small_settings(tmp_path)
    with built(settings, NIGHT_1) as warehouse:
        warehouse.execute(
            "create or replace table marts.fct_breaks as select * from (values "
            "('b1', 'i1', 'amount_mismatch', 'open', 250), ('b2', 'i2', 'fee_mismatch', 'closed', 3), "
            "('b3', 'i3', 'amount_mismatch', 'open', -900)) t(break_id, item_id, break_type, status, "
            f"amount_at_risk_minor), (select date '{NIGHT_1}' as opened_on, null::date as closed_on, "
            f"'CNY' as currency, '=cmd()' as merchant_id, date '{NIGHT_1}' as run_date)"
        )
    publish(settings, NIGHT_1)
    monkeypatch.setenv("POSRECON_HOME", str(settings.home))
    monkeypatch.setenv("POSRECON_PROJECT_DIR", str(settings.project_dir))
    return settings


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSRECON_HOME", str(tmp_path / "empty"))
    return tmp_path / "empty"


def test_start__no_command_loads_dbt_gx_airflow_or_duckdb_before_it_is_needed() -> None:
    heavy = ("dbt", "great_expectations", "airflow", "pandas", "duckdb", "pyarrow", "numpy", "sqlalchemy")
    code = (
        "import sys; from posrecon import cli; cli.run(['night', '--help'])\n"
        f"print('LOADED', sorted(set({heavy!r}) & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize(
    "arguments",
    [
        ["night"],
        ["night", "--date", "12.11.2026"],
        ["replay", "--from", "2026-11-13", "--to", "2026-11-12"],
        ["breaks", "--status", "old"],
        ["status", "--json", "--csv"],
        ["no-such-command"],
        ["simulate"],
    ],
)
def test_wrong_usage__is_exit_code_2(arguments: list[str], home: Settings) -> None:
    assert cli.run(arguments) == 2


def test_nothing_published_yet__says_where_and_what_to_run(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["breaks"]) == 2

    said = capsys.readouterr().err
    assert f"Error: {empty_home}/published/posrecon.duckdb: nothing is published yet." in said
    assert "Next step: Run a night first: posrecon night --date YYYY-MM-DD" in said


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NightError("dbt layer marts failed.", next_step="Look."), 1),
        (UsageError("A later night is published.", next_step="Look."), 2),
        (RuntimeError("disk on fire\nsecond line"), 1),
    ],
)
def test_failed_night__one_clear_error_without_traceback(
    error: Exception,
    code: int,
    empty_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(night, "run_night", fail)

    assert cli.run(["night", "--date", "2026-11-12"]) == code

    said = capsys.readouterr().err
    assert str(error).split(".")[0].splitlines()[0] in said
    assert "Next step: " in said
    assert "Traceback" not in said


def test_debug__lets_the_error_through(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NightError("stopped")

    monkeypatch.setattr(night, "run_night", fail)

    with pytest.raises(NightError, match="stopped"):
        cli.run(["night", "--date", "2026-11-12"], debug=True)


def test_layout_error__shows_the_first_bad_lines_and_counts_the_rest(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LayoutError("f.csv: refused.", bad_lines=tuple(BadLine(n, "short") for n in range(1, 31)))

    monkeypatch.setattr(night, "run_night", fail)

    assert cli.run(["night", "--date", "2026-11-12"]) == 1

    said = capsys.readouterr().err
    assert said.count(": short") == 20
    assert "… and 10 more" in said


def test_wrong_setting__names_the_variable_and_not_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSRECON_THREADS", "many-secret")

    assert cli.run(["status"]) == 2

    said = capsys.readouterr().err
    assert "POSRECON_THREADS" in said
    assert "many-secret" not in said


def test_night__files_missing__is_exit_code_3_and_json_on_standard_output_alone(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        night, "run_night", lambda settings, run_date, observer: night.summary_of(settings, run_date)
    )

    assert cli.run(["night", "--date", "2026-11-12", "--json"]) == 3

    shown = json.loads(capsys.readouterr().out)
    assert shown["run_date"] == "2026-11-12"
    assert shown["files"] == {"loaded": 1, "missing": 1}
    assert shown["exit_code"] == 3
    assert len(shown["digest"]) == 64


def test_night__files_that_wait__are_told_by_reason_and_listed_in_json(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    early = [
        night.WaitingFile("unionpay", f"INN{n}", "early", date(2026, 11, 12), date(2026, 11, 13))
        for n in range(5)
    ]
    waiting = (*early, night.WaitingFile("bank", "[red].part", "unfinished", None, None))
    monkeypatch.setattr(
        night,
        "run_night",
        lambda settings, run_date, observer: replace(night.summary_of(settings, run_date), waiting=waiting),
    )

    cli.run(["night", "--date", "2026-11-12"])
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("WAIT ")] == [
        "WAIT 5 files for the night of 2026-11-13: unionpay/INN0, unionpay/INN1, unionpay/INN2 and 2 more",
        "WAIT 1 file unfinished: a sender is still writing: bank/[red].part",
    ]

    cli.run(["night", "--date", "2026-11-12", "--json"])
    shown = json.loads(capsys.readouterr().out)["waiting"]
    assert len(shown) == 6
    assert shown[0] == {
        "feed": "unionpay",
        "file_name": "INN0",
        "state": "early",
        "business_date": "2026-11-12",
        "run_date": "2026-11-13",
    }


def test_moved_home__readers_commands_point_to_relocate__which_heals_it(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["breaks", "--json"]) == 0
    before = capsys.readouterr().out
    moved = home.home.rename(home.home.with_name("moved"))
    monkeypatch.setenv("POSRECON_HOME", str(moved))

    assert cli.run(["breaks", "--json"]) == 2
    assert "Next step: If this home was moved: posrecon relocate." in capsys.readouterr().err

    assert cli.run(["relocate"]) == 0
    assert capsys.readouterr().out == f"{moved}/published/posrecon.duckdb shows 1 night to {NIGHT_1}.\n"
    assert cli.run(["breaks", "--json"]) == 0
    assert capsys.readouterr().out == before


def test_status__lists_published_and_unfinished_nights(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.archive / "receipts" / "run_date=2026-11-13").mkdir(parents=True)

    assert cli.run(["status", "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [(row["run_date"], row["state"]) for row in rows] == [
        ("2026-11-12", "published"),
        ("2026-11-13", "unfinished"),
    ]
    assert rows[0]["explained_pct"] == "99.00"


def test_breaks__default__open_ones_with_the_most_money_first(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["breaks", "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [(row["break_id"], row["amount_at_risk_minor"]) for row in rows] == [("b3", -900), ("b1", 250)]


def test_breaks__filters_and_limit__say_how_many_are_hidden(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["breaks", "--status", "all", "--limit", "1"]) == 0
    assert "1 of 3 rows; --limit 0 shows all." in capsys.readouterr().out

    assert cli.run(["breaks", "--status", "all", "--type", "fee_mismatch", "--json"]) == 0
    assert [row["break_id"] for row in json.loads(capsys.readouterr().out)] == ["b2"]


def test_breaks__of_a_type_that_does_not_exist__is_wrong_usage(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["breaks", "--type", "amount_mismatches"]) == 2
    assert "There is no break type amount_mismatches" in capsys.readouterr().err

    assert cli.run(["breaks", "--type", "amount_mismatch", "--status", "closed"]) == 0
    assert "No break fits." in capsys.readouterr().out


def test_csv__text_that_a_spreadsheet_would_run__is_made_harmless_and_numbers_stay_numbers(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["breaks", "--csv"]) == 0

    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[0]["merchant_id"] == "'=cmd()"
    assert rows[0]["amount_at_risk_minor"] == "-900"


def test_files__state_filter__shows_the_reason(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["files", "--state", "missing", "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [(row["file_id"], row["reason"]) for row in rows] == [("f2", "not here")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["files", "accept", "a.csv", "--reason", "r"], "add --supersede"),
        (["files", "accept", "a.csv", "--supersede", "--reason", " "], "A decision needs a reason"),
        (["files", "accept", "a.csv", "--supersede", "--reason", "r"], "no file of this name"),
        (["files", "reject", "a.csv", "--reason", "r"], "no file of this name"),
        (
            ["files", "reject", "aaaa", "--reason", "r"],
            "aaaa: expected a file that is held as a conflict, but it is",
        ),
        (["files", "accept", "a.csv", "--supersede"], "--reason"),
        (["files", "reject"], "FILE"),
    ],
)
def test_decisions__that_make_no_sense__are_exit_code_2_and_change_nothing(
    arguments: list[str], message: str, home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (home.archive / "decisions").exists()
    assert not (home.published / "revisions").exists()


def test_decisions__none_yet__says_so(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["files", "decisions"]) == 0
    assert capsys.readouterr().out == "Nothing has been decided.\n"


def test_decision__nights_before_and_after__only_what_changed_has_an_arrow(
    home: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = Decision(
        decision_no=1, action="supersede", file_id="aa", file_name="new.csv", sha256="bb", run_date=NIGHT_2,
        logical_name="log", superseded_file_id="cc", superseded_file_name="old.csv", superseded_run_date=NIGHT_1,
        reason="cut", decided_by="li", decided_at=datetime(2026, 11, 16, tzinfo=UTC),
    )  # fmt: skip
    states = {"matched": (10, 12), "pending": (1, 1), "unmatched": (0, 0), "ambiguous": (0, 0)}
    change = NightChange(NIGHT_1, "a" * 64, "b" * 64, states, (3, 2), {"CNY": (750, 500)})
    monkeypatch.setattr(night, "decide_file", lambda *_, **__: (decision, (change,)))

    assert cli.run(["files", "accept", "new.csv", "--supersede", "--reason", "cut", "--by", "li"]) == 0

    said = capsys.readouterr().out
    assert "Decision 1: new.csv supersedes old.csv, by li: cut" in said
    assert f"{'a' * 12} → {'b' * 12}" in said
    assert "10 → 12" in said
    assert "1 → 1" not in said
    assert "7.50 → 5.00 CNY" in said
    assert "schema before_decision_1" in said
