"""The verdict of a night, and the traps of the library that would lose disputes silently."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from posrecon.errors import NightError
from posrecon.settings import Settings
from posrecon.validation import catalogue, data_docs
from posrecon.validation.run import Validation, results_dir, validate
from tests.expectations.conftest import BREAK_TYPES, RUN_DATE, add_breaks, make_warehouse, query

NEXT_DATE = RUN_DATE + timedelta(days=1)


def _carry_over(
    settings: Settings, home: Path, change: Callable[[duckdb.DuckDBPyConnection], object]
) -> Settings:
    """Tomorrow's warehouse: tonight's breaks and candidates are its opening state, then `change`."""
    kept = home / "kept.duckdb"
    kept.unlink(missing_ok=True)
    shutil.copyfile(settings.warehouse, kept)

    def carry(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"attach '{kept}' as kept (read_only)")
        connection.execute("insert into opening.dispute_candidates from kept.marts.dispute_candidates")
        connection.execute("insert into marts.fct_breaks from kept.marts.fct_breaks")
        change(connection)

    return make_warehouse(home, carry)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.json"))}


@pytest.fixture(scope="module")
def night(home_of: Callable[[str], Path]) -> tuple[Settings, Validation]:
    """300 000 open breaks of every type; one type has 30 000, one has money in two currencies."""

    def breaks(connection: duckdb.DuckDBPyConnection) -> None:
        add_breaks(connection, "missing_in_settlement", 30_000)
        add_breaks(connection, "no_rule_for_this", 269_980)
        for number, break_type in enumerate(BREAK_TYPES[1:], start=1):
            add_breaks(connection, break_type, number % 3)
        connection.execute(
            "update marts.fct_breaks set currency = 'JPY' where break_type = 'fee_mismatch' and terminal_line = 2"
        )
        connection.execute(
            "insert into marts.fct_breaks select * replace (md5('late file') as break_id, true as file_missing) "
            "from marts.fct_breaks where break_type = 'amount_mismatch' limit 1"
        )

    settings = make_warehouse(home_of("night"), breaks)
    return settings, validate(settings, RUN_DATE)


def test_candidates__30_000_of_300_000_breaks_are_marked__30_000_candidates(
    night: tuple[Settings, Validation],
) -> None:
    settings, verdict = night
    (total,) = query(settings, "select count(*) from marts.fct_breaks")[0]
    assert int(str(total)) >= 299_990
    rows = query(
        settings,
        "select count(*), count(distinct candidate_id), sum(amount_at_risk_minor) from marts.dispute_candidates "
        "where rule_id = 'DISP-MISSING-IN-SETTLEMENT'",
    )
    assert rows == [(30_000, 30_000, sum(100 + i for i in range(1, 30_001)))]
    by_rule = {rule.rule_id: rule for rule in verdict.rules}
    assert by_rule["DISP-MISSING-IN-SETTLEMENT"].count == 30_000
    assert by_rule["DISP-MISSING-IN-SETTLEMENT"].money == (("CNY", sum(100 + i for i in range(1, 30_001))),)


def test_candidates__of_every_rule__are_as_many_as_reported(night: tuple[Settings, Validation]) -> None:
    settings, verdict = night
    written = dict(query(settings, "select rule_id, count(*) from marts.dispute_candidates group by rule_id"))
    reported = {
        rule.rule_id: rule.count for rule in verdict.rules if rule.rule_id.startswith("DISP") and rule.count
    }
    assert written == reported
    assert len(reported) == 1 + sum(number % 3 > 0 for number in range(1, len(BREAK_TYPES)))


def test_candidate__of_a_break_without_rule_or_with_a_missing_file__is_not_written(
    night: tuple[Settings, Validation],
) -> None:
    settings, _ = night
    assert query(
        settings,
        "select count(*) from marts.dispute_candidates as c join marts.fct_breaks as b using (break_id) "
        "where b.file_missing or b.break_type = 'no_rule_for_this'",
    ) == [(0,)]


def test_candidate__has_place_route_clock_and_evidence(night: tuple[Settings, Validation]) -> None:
    settings, _ = night
    assert query(
        settings,
        "select candidate_id = md5(rule_id || '|' || break_id), severity, run_date, location, complaint_route, "
        "respond_by, validation_id, terminal_file, terminal_line, acquirer, channel, status, withdrawn_on "
        "from marts.dispute_candidates where break_type = 'missing_in_terminal_log' order by terminal_line limit 1",
    ) == [
        (
            True, "medium", RUN_DATE, "north gate", "merchant_records", date(2026, 11, 15),
            "2026-11-12/disputes/DISP-MISSING-IN-TERMINAL-LOG", "terminal_log_20261111.csv", 1, "unionpay", "card",
            "open", None,
        )
    ]  # fmt: skip


def test_data_docs__every_page__loads_nothing_from_a_server(night: tuple[Settings, Validation]) -> None:
    _, verdict = night
    pages = sorted(verdict.data_docs.parent.rglob("*.html"))
    # Great Expectations: index, suites, verdicts; ours: index, trends, the night and its candidates.
    assert len(pages) == 1 + 2 * len(catalogue.load_for(night[0]).suites) + 4
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert data_docs.external_references(text) == []
        assert "newsletter" not in text


def test_data_docs__every_local_reference__exists(night: tuple[Settings, Validation]) -> None:
    _, verdict = night
    root = verdict.data_docs.parent.resolve()
    checked = 0
    for page in root.rglob("*.html"):
        for reference in data_docs.local_references(page.read_text(encoding="utf-8")):
            assert (page.parent / reference).resolve().is_file(), f"{page}: {reference}"
            checked += 1
    assert checked >= 9 * 10


def test_auditor_pages__from_the_index_to_rule_evidence_and_candidates__every_link_leads_somewhere(
    night: tuple[Settings, Validation],
) -> None:
    _, verdict = night
    root = verdict.data_docs.parent.resolve()
    assert 'href="auditors.html"' in (root / "index.html").read_text(encoding="utf-8")
    pages = ("auditors.html", "trends.html", f"nights/{RUN_DATE}.html", f"candidates/{RUN_DATE}.html")
    for name in pages:
        page = root / name
        for address in re.findall(r'<a href="([^"]+)"', page.read_text(encoding="utf-8")):
            path, _, anchor = address.partition("#")
            target = (page.parent / path).resolve()
            assert target.is_file(), f"{name}: {address}"
            if anchor:
                assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), f"{name}: {address}"


def test_auditor_pages__counts_and_money__are_those_of_the_verdict(
    night: tuple[Settings, Validation],
) -> None:
    settings, verdict = night
    root = verdict.data_docs.parent
    page = (root / "nights" / f"{RUN_DATE}.html").read_text(encoding="utf-8")
    for rule in verdict.rules:
        assert f"#{rule.rule_id}" in page
        if rule.count:
            assert f"{rule.count:,}" in page
    assert "4,530,150.00 CNY" in page
    (count,) = query(settings, "select count(*) from marts.dispute_candidates where status = 'open'")[0]
    assert f">{count:,}</a>" in (root / "auditors.html").read_text(encoding="utf-8")
    candidates = (root / "candidates" / f"{RUN_DATE}.html").read_text(encoding="utf-8")
    assert "29,000 more of less money" in candidates
    assert "terminal_log_20261111.csv:1" in candidates
    trends = (root / "trends.html").read_text(encoding="utf-8")
    assert trends.count("<svg") == len(verdict.rules)


def test_data_docs__a_dispute_page__shows_notes_count_and_money(night: tuple[Settings, Validation]) -> None:
    _, verdict = night
    (page,) = verdict.data_docs.parent.glob("validations/disputes/2026-11-12/*/*.html")
    text = page.read_text(encoding="utf-8")
    assert "30,000 breaks · 4,530,150.00 CNY" in text
    assert "2 breaks · 1.01 CNY · 102 JPY" in text
    assert "files up to tonight do not hold it" in text
    assert "请收单机构按终端号" in text


def test_night__run_again__same_candidates_results_and_paths(night: tuple[Settings, Validation]) -> None:
    settings, verdict = night
    candidates = query(settings, "select * from marts.dispute_candidates order by candidate_id")
    results = _files(results_dir(settings))
    pages = sorted(str(page) for page in verdict.data_docs.parent.rglob("*.html"))
    again = validate(settings, RUN_DATE)
    assert again == verdict
    assert query(settings, "select * from marts.dispute_candidates order by candidate_id") == candidates
    assert _files(results_dir(settings)) == results
    assert sorted(str(page) for page in again.data_docs.parent.rglob("*.html")) == pages


def test_night__nothing_is_written_beside_the_project_files(night: tuple[Settings, Validation]) -> None:
    settings, _ = night
    known = {"great_expectations.yml", "rules.yml", "examples.yml", "README.md"}
    generated = set(
        catalogue.generated_files(
            catalogue.load_for(settings), settings.expectations_dir / "great_expectations.yml"
        )
    )
    found = {
        path.relative_to(settings.expectations_dir).as_posix()
        for path in settings.expectations_dir.rglob("*")
        if path.is_file()
    }
    assert {name for name in found if not name.startswith("reference/")} <= known | generated


def test_next_night__a_closed_break_is_withdrawn__others_keep_their_first_night(
    home_of: Callable[[str], Path],
) -> None:
    home = home_of("two-nights")
    settings = make_warehouse(home, lambda connection: add_breaks(connection, "payout_short", 3))
    validate(settings, RUN_DATE)

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "update marts.fct_breaks set status = 'closed', closed_on = $1, closed_by = 'payout is funded' "
            "where terminal_line = 1",
            [NEXT_DATE],
        )
        connection.execute("update marts.fct_breaks set file_missing = true where terminal_line = 2")
        add_breaks(connection, "payout_over", 1, run_date=NEXT_DATE)

    settings = _carry_over(settings, home, change)
    verdict = validate(settings, NEXT_DATE)
    rows = query(
        settings,
        "select rule_id, terminal_line, run_date, validation_id, status, withdrawn_on, withdrawn_reason "
        "from marts.dispute_candidates order by rule_id, terminal_line",
    )
    first, second = RUN_DATE.isoformat(), NEXT_DATE.isoformat()
    gone = "the rule marks it no longer (materiality, age, missing file or dropped rule)"
    assert rows == [
        ("DISP-PAYOUT-OVER", 1, NEXT_DATE, f"{second}/disputes/DISP-PAYOUT-OVER", "open", None, None),
        (
            "DISP-PAYOUT-SHORT", 1, RUN_DATE, f"{first}/disputes/DISP-PAYOUT-SHORT", "withdrawn", NEXT_DATE,
            "break closed: payout is funded",
        ),
        ("DISP-PAYOUT-SHORT", 2, RUN_DATE, f"{first}/disputes/DISP-PAYOUT-SHORT", "withdrawn", NEXT_DATE, gone),
        ("DISP-PAYOUT-SHORT", 3, RUN_DATE, f"{first}/disputes/DISP-PAYOUT-SHORT", "open", None, None),
    ]  # fmt: skip
    assert (verdict.candidates.open, verdict.candidates.new, verdict.candidates.withdrawn) == (2, 1, 2)
    nights = {path.name for path in verdict.data_docs.parent.glob("validations/disputes/*")}
    assert nights == {first, second}


def test_a_broken_error_rule__stops_the_night__and_data_docs_shows_why(
    home_of: Callable[[str], Path],
) -> None:
    settings = make_warehouse(
        home_of("bad-data"),
        lambda connection: connection.execute(
            "update staging.stg_terminal__events set card_masked = '6222021234567890' where line_no = 7"
        ),
    )
    with pytest.raises(NightError, match="DQ-TL-CARD") as caught:
        validate(settings, RUN_DATE)
    assert "6222021234567890" not in str(caught.value)
    assert (
        query(
            settings,
            "from information_schema.tables where table_name = 'dispute_candidates' and table_schema = 'marts'",
        )
        == []
    )
    (page,) = (settings.published / "data_docs").glob("validations/terminal_log/*/*/*.html")
    text = page.read_text(encoding="utf-8")
    assert "1 row: item_key 4294967303" in text
    assert "6222021234567890" not in text
    assert all("6222021234567890" not in content.decode() for content in _files(settings.state).values())


def test_a_broken_warning_rule__is_reported__and_the_night_goes_on(home_of: Callable[[str], Path]) -> None:
    settings = make_warehouse(
        home_of("warning"), lambda connection: connection.execute("delete from raw.files where file_no = 3")
    )
    assert [rule.rule_id for rule in validate(settings, RUN_DATE).warnings] == ["DQ-BK-FILES"]


def test_a_record_without_trace_number__is_reported__and_the_night_goes_on(
    home_of: Callable[[str], Path],
) -> None:
    settings = make_warehouse(
        home_of("no-stan"),
        lambda connection: connection.execute(
            "update staging.stg_terminal__events set stan = null where line_no = 7"
        ),
    )
    assert [(rule.rule_id, rule.count) for rule in validate(settings, RUN_DATE).warnings] == [
        ("DQ-TL-STAN", 1)
    ]


def test_feeds_that_are_empty__are_warnings__not_errors(home_of: Callable[[str], Path]) -> None:
    def empty(connection: duckdb.DuckDBPyConnection) -> None:
        for table in (
            "staging.stg_terminal__events",
            "staging.stg_settlement__lines",
            "staging.stg_bank__entries",
        ):
            connection.execute(f"delete from {table}")
        connection.execute("delete from raw.files")
        connection.execute("delete from raw.bank_statements")

    settings = make_warehouse(home_of("empty"), empty)
    assert [rule.rule_id for rule in validate(settings, RUN_DATE).warnings] == [
        "DQ-TL-FRESH", "DQ-TL-FILES", "DQ-ST-FRESH", "DQ-ST-FILES", "DQ-BK-FILES",
    ]  # fmt: skip


def test_a_rule_that_raises__stops_the_night__and_is_named(home_of: Callable[[str], Path]) -> None:
    settings = make_warehouse(
        home_of("raises"),
        lambda connection: connection.execute("alter table marts.fct_breaks drop column age_days"),
    )
    with pytest.raises(
        NightError,
        match=rf"{len(BREAK_TYPES)} of \d+ rules could not be judged.*DISP-AMOUNT-MISMATCH.*age_days",
    ):
        validate(settings, RUN_DATE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with its own copy of expectations/."""
    shutil.copytree(Settings().expectations_dir, tmp_path / "project" / "expectations")
    return tmp_path / "project"


def test_a_rule_missing_from_the_suite__stops_the_night__and_is_named(tmp_path: Path, project: Path) -> None:
    suite = project / "expectations" / "suites" / "disputes.json"
    content = json.loads(suite.read_text(encoding="utf-8"))
    content["expectations"] = [
        e for e in content["expectations"] if e["meta"]["rule_id"] != "DISP-PAYOUT-OVER"
    ]
    suite.write_text(json.dumps(content), encoding="utf-8")
    make_warehouse(tmp_path / "home")
    with pytest.raises(NightError, match=r"missing: DISP-PAYOUT-OVER"):
        validate(Settings(home=tmp_path / "home", project_dir=project), RUN_DATE)


def test_an_expectation_whose_class_is_unknown__stops_the_night(tmp_path: Path, project: Path) -> None:
    suite = project / "expectations" / "suites" / "disputes.json"
    text = suite.read_text(encoding="utf-8")
    suite.write_text(
        text.replace("expect_no_disputable_breaks", "expect_what_nobody_wrote"), encoding="utf-8"
    )
    make_warehouse(tmp_path / "home")
    with pytest.raises(NightError, match=r"missing: DISP-AMBIGUOUS-MATCH, DISP-AMOUNT-MISMATCH"):
        validate(Settings(home=tmp_path / "home", project_dir=project), RUN_DATE)


def test_materiality__a_dated_row__decides_from_its_day_on(tmp_path: Path, project: Path) -> None:
    with (project / "expectations" / "reference" / "materiality.csv").open("a", encoding="utf-8") as stream:
        stream.write(f"DISP-PAYOUT-SHORT,CNY,102,0,{RUN_DATE},,Two fen are not worth a letter.\n")
    make_warehouse(tmp_path / "home", lambda connection: add_breaks(connection, "payout_short", 3))
    settings = Settings(home=tmp_path / "home", project_dir=project)
    assert validate(settings, RUN_DATE - timedelta(days=1)).candidates.open == 3
    assert validate(settings, RUN_DATE).candidates.open == 2


def test_respond_by__a_clock_in_banking_days__skips_the_weekend(tmp_path: Path, project: Path) -> None:
    with (project / "expectations" / "reference" / "dispute_clocks.csv").open(
        "a", encoding="utf-8"
    ) as stream:
        stream.write(
            "acquirer,DISP-PAYOUT-SHORT,quick,act,2,banking,opened_on,2026-01-01,,our agreement,sourced\n"
        )
    make_warehouse(tmp_path / "home", lambda connection: add_breaks(connection, "payout_short", 1))
    settings = Settings(home=tmp_path / "home", project_dir=project)
    validate(settings, RUN_DATE)
    # Opened on a Thursday: Friday is the first banking day after it, Monday the second.
    assert query(settings, "select respond_by from marts.dispute_candidates") == [(date(2026, 11, 16),)]
