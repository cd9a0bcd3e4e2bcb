"""Proof on nights that were really run: verified, traced to the line and back, reported."""

import importlib.util
import json
import re
import shutil
from datetime import timedelta
from pathlib import Path

import duckdb
import pypdfium2
import pytest

from posrecon.audit.log import Record, log_files, read_records
from posrecon.files import sha256_of
from posrecon.landing.archive import blob_path
from posrecon.landing.receipts import read_receipts
from posrecon.proof import control_report
from posrecon.proof.control_report import as_pdf, collect, write
from posrecon.proof.retention import apply, place_hold, release_hold
from posrecon.proof.trace import CONTROL_COLUMNS, MEASURES, control_key, trace
from posrecon.proof.verify import verify
from posrecon.reporting.lookup import open_published, rows_of
from posrecon.settings import PROJECT_ROOT, Settings
from tests.end_to_end.homes import KEYS, NIGHT_1, NIGHT_2, Home

MONTH = "2026-11"


@pytest.fixture
def settings(two: Home, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return two.settings


def test_two_nights__are_proven__and_one_flipped_bit_is_named(
    settings: Settings, two: Home, tmp_path: Path
) -> None:
    verdict = verify(settings)
    assert (verdict.faults, verdict.notes) == ([], [])
    assert verdict.nights == 2
    assert verdict.anchored > 0

    copy = two.copy_to(tmp_path / "home")
    receipt = read_receipts(copy.settings, NIGHT_2)[0]
    changed = {
        f"archive/blobs/{receipt.sha256}.enc": blob_path(copy.settings, receipt.sha256),
        f"audit/log/{log_files(copy.settings)[0].name}:1": log_files(copy.settings)[0],
        "published/tables/fct_breaks/": min(
            (copy.path / "published" / "tables" / "fct_breaks").rglob("*.parquet")
        ),
    }
    for name, path in changed.items():
        before = path.read_bytes()
        path.write_bytes(before[:200] + bytes([before[200] ^ 1]) + before[201:])
        printed = copy.run("audit", "verify", expect=1)
        assert printed["faults"][0]["file"].startswith(name)
        path.write_bytes(before)
    assert copy.run("audit", "verify")["sound"]


def test_night_record__has_commit_packages_settings_inputs_and_outputs(settings: Settings) -> None:
    facts = next(one.payload for one in read_records(settings) if one.kind == "night_prepared")

    assert facts["environment"]["git_commit"] is None or len(facts["environment"]["git_commit"]) == 40
    assert facts["environment"]["packages"]["dbt-core"]
    assert facts["environment"]["settings"]["archive_key"] == "set"
    assert KEYS["POSRECON_ARCHIVE_KEY"] not in json.dumps(facts)
    assert len(facts["inputs"]) == len(read_receipts(settings, NIGHT_1))
    assert {"file", "rows", "sha256"} == set(facts["tables"]["fct_breaks"])


def test_trace__every_cell_of_the_daily_control_and_every_payout__ties_to_lines(settings: Settings) -> None:
    with open_published(settings) as published:
        cells = rows_of(published, "select * from rpt_daily_control")
        payouts = rows_of(published, "select distinct payout_id from fct_payouts")
        breaks = rows_of(published, "select break_id from fct_breaks")
        candidates = rows_of(published, "select candidate_id from dispute_candidates")
    assert len(cells) > 10

    keys = [control_key(row, column) for row in cells for column in CONTROL_COLUMNS]
    keys += [row["payout_id"] for row in payouts]
    untied = [key for key in keys if trace(settings, key, limit=0).ties is not True]
    assert untied == []

    ids = [row["break_id"] for row in breaks] + [row["candidate_id"] for row in candidates]
    without_lines = [key for key in ids if not trace(settings, key, limit=0).lines]
    assert without_lines == []


def test_trace__from_a_cell_to_a_line__leads_back_to_the_cell(settings: Settings) -> None:
    key = f"control:{NIGHT_2}/unionpay/card/CNY/settlement/closing_minor"
    there = trace(settings, key, limit=0)
    assert there.line_count > 3
    for line in there.lines:
        back = trace(settings, f"{line.file}:{line.line}", limit=0)
        assert key in back.parts
        assert f"report:{MONTH}/totals/unionpay/card/CNY/settlement/closing_minor" in back.parts


def test_trace__report_cells__are_made_of_cells_and_breaks_that_lead_back(settings: Settings) -> None:
    report = collect(settings, MONTH)
    row = next(row for row in report.totals if row["side"] == "terminal" and row["acquirer"] == "unionpay")
    where = f"report:{MONTH}/totals/unionpay/card/{row['currency']}/terminal"
    for measure in MEASURES:
        total = trace(settings, f"{where}/{measure}_minor")
        assert total.figure["value"] == row[f"{measure}_minor"]
        assert 1 <= len(total.parts) <= 2
    gaps = next(row for row in report.breaks if row["break_type"] == "stan_gap")
    count = trace(settings, f"report:{MONTH}/breaks/stan_gap/CNY/opened")
    assert len(count.parts) == gaps["opened"] > 0
    line = trace(settings, count.parts[0], limit=0).lines[0]
    assert count.key in trace(settings, f"{line.file}:{line.line}", limit=0).parts


def test_trace__a_bank_entry__leads_to_its_payout_and_back(settings: Settings) -> None:
    with open_published(settings) as published:
        row = rows_of(
            published, "select * from fct_payouts where bank_file is not null order by payout_id limit 1"
        )[0]
    entry = f"{row['bank_file']}:{row['bank_line']}"

    assert row["payout_id"] in trace(settings, entry).parts
    lines = trace(settings, row["payout_id"]).lines
    assert f"{lines[0].file}:{lines[0].line}" == entry
    assert lines[0].text is not None
    assert lines[0].text.startswith(":61:")


def test_trace__lines_shown__are_recorded_as_accesses(two: Home, tmp_path: Path) -> None:
    home = two.copy_to(tmp_path / "home")
    before = len(list(read_records(home.settings)))
    key = f"control:{NIGHT_2}/unionpay/card/CNY/settlement/closing_minor"

    shown = home.run("audit", "trace", key, "--limit", "2")

    accesses = list(read_records(home.settings))[before:]
    assert [one.kind for one in accesses] == ["archive_read"] * 2
    assert [(one.payload["file"], one.payload["line"]) for one in accesses] == [
        (line["file"], line["line"]) for line in shown["lines"][:2]
    ]
    assert [line["text"] is not None for line in shown["lines"][:3]] == [True, True, False]


@pytest.mark.parametrize(
    "key", ["nonsense", "control:2026-11-13/unionpay", "report:2026-13/x", "report:2026-11/totals/a", "nofile.csv:1"]
)  # fmt: skip
def test_trace__key_that_names_nothing__is_wrong_usage_with_the_next_step(two: Home, key: str) -> None:
    assert "Next step:" in two.run("audit", "trace", key, expect=2)["stderr"]


def test_docs_page__ten_traces__are_what_trace_says(settings: Settings) -> None:
    spec = importlib.util.spec_from_file_location("make_trace", PROJECT_ROOT / "docs" / "make_trace.py")
    assert spec is not None
    assert spec.loader is not None
    make_trace = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_trace)

    page = make_trace.rendered(settings)

    assert page == (PROJECT_ROOT / "docs" / "trace.md").read_text(encoding="utf-8"), (
        "run python docs/make_trace.py: the published figures of the two nights have changed"
    )
    assert page.count("\n## ") == 10
    assert "DOES NOT TIE" not in page


def test_docs_page__every_line_shown__stands_in_the_received_file_of_that_hash(prepared: Path) -> None:
    page = (PROJECT_ROOT / "docs" / "trace.md").read_text(encoding="utf-8")
    inbox = {path.name: path for path in (prepared / "inbox").rglob("*") if path.is_file()}
    shown = re.findall(
        r"^  (terminal log|settlement|bank): (.+?):(\d+)(?:  -?\d+)?\n    SHA-256 (\w{64})\n    \| (.*)$",
        page,
        re.MULTILINE,
    )
    assert len(shown) >= 10
    for side, name, line, sha256, text in shown:
        assert sha256_of(inbox[name]) == sha256
        content = inbox[name].read_bytes().decode("gbk" if side == "settlement" else "utf-8")
        lines = [one for one in content.splitlines() if side != "bank" or one.startswith(":61:")]
        received = lines[int(line) - 1]
        pattern = re.escape(text).replace(r"\*", r"[\d*]")
        assert re.fullmatch(rf"{pattern}\s*", received), (name, line)


def test_control_report__adds_up_and_is_printed_with_every_character(
    two: Home, settings: Settings, tmp_path: Path
) -> None:
    home = two.copy_to(tmp_path / "home")
    report = collect(home.settings, MONTH)
    assert [row["run_date"] for row in report.nights] == [NIGHT_1, NIGHT_2]
    assert report.runs["night"] == 2
    # No payout is due on the first night.
    assert report.nights[0]["payouts_pct"] == "100.00"
    assert sum(row["loaded"] for row in report.files) == len(
        read_receipts(settings, NIGHT_1) + read_receipts(settings, NIGHT_2)
    )
    for row in report.totals:
        for unit in ("items", "minor"):
            value = {measure: row[f"{measure}_{unit}"] for measure in MEASURES}
            moved = value["matched"] + value["excluded"] + value["closed"]
            assert value["opening"] + value["new"] - moved == value["closing"]

    path = write(home.settings, report)

    pages = pypdfium2.PdfDocument(path)
    text = "".join(page.get_textpage().get_text_range() for page in pages)
    for word in ("对账控制月报", "夜批", "人工决定", "Roll-forward", "流水号缺失", "Reviewed by"):
        assert word in text
    assert "〓" not in text
    assert json.loads(path.with_suffix(".json").read_text())["month"] == MONTH
    *_, export = read_records(home.settings, frozenset({"export"}))
    assert export.payload["file"] == path.name


def test_control_report__what_people_overrode__is_listed_with_name_and_reason(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [
        (
            "file_decided",
            "li",
            {"action": "supersede", "file_name": "a.csv", "logical_name": "log", "reason": "cut"},
        ),
        ("case_changed", "wang", {"action": "written_off", "case": "C-000007", "why": "below cost"}),
        ("case_changed", "wang", {"action": "note", "case": "C-000007", "why": "called"}),
        ("hold_placed", "counsel", {"what": "nights 2026-11-12 to 2026-11-12", "reason": "court"}),
    ]
    records = [
        Record(number, "2026-11-30T15:59:00+00:00", kind, by, payload, "", "")
        for number, (kind, by, payload) in enumerate(made, start=1)
    ]
    records.append(Record(9, "2026-11-30T16:00:00+00:00", "file_decided", "li", made[0][2], "", ""))
    monkeypatch.setattr(
        control_report,
        "read_records",
        lambda settings, kinds=None: (one for one in records if kinds is None or one.kind in kinds),
    )

    report = collect(settings, MONTH)

    # The last record is of December already, where the nights are.
    assert [(one.who, one.what, one.reason, one.record) for one in report.overrides] == [
        ("li", "supersede a.csv (log)", "cut", 1),
        ("wang", "written off: case C-000007", "below cost", 2),
    ]
    assert [one.who for one in report.retention] == ["counsel"]
    pages = pypdfium2.PdfDocument(as_pdf(settings, report))
    text = "".join(page.get_textpage().get_text_range() for page in pages)
    assert "below cost" in text
    assert "written off: case C-000007" in text.replace("\r\n", "")


def test_audit_log__replay_into_an_empty_home__starts_its_own_chain(two: Home, tmp_path: Path) -> None:
    empty = Home(tmp_path / "home")
    shutil.copytree(two.path / "archive", empty.path / "archive")

    empty.run("replay", "--from", str(NIGHT_1), "--to", str(NIGHT_2))

    assert {one.payload["mode"] for one in read_records(empty.settings, frozenset({"night_published"}))} == {
        "replay"
    }
    hashes = [
        {
            one.payload["run_date"]: one.payload["manifest_sha256"]
            for one in read_records(home.settings, frozenset({"night_published"}))
        }
        for home in (two, empty)
    ]
    assert hashes[0] == hashes[1]
    assert empty.run("audit", "verify")["sound"]


def test_confidential_values__are_in_restricted_alone__on_disk_and_in_views(two: Home) -> None:
    accounts = (
        "select distinct settlement_account from marts.fct_payouts where settlement_account is not null"
    )
    whole = {row[0] for row in two.ask(accounts, database="restricted/posrecon.duckdb")}
    masked = {row[0] for row in two.ask(accounts)}
    assert whole
    assert masked == {f"****{account[-4:]}" for account in whole}
    # Nobody can go from a token back to a card, so everybody may see which purchases were made with one.
    ((tokens, length),) = two.ask(
        "select count(*), min(length(card_token)) from marts.fct_reconciliation where card_token > ''"
    )
    assert (tokens > 0, length) == (True, 64)
    for table in ("fct_reconciliation", "fct_payouts", "fct_breaks", "dim_merchants", "rpt_daily_control"):
        count = f"select count(*) from marts.{table}"
        assert two.ask(count) == two.ask(count, database="restricted/posrecon.duckdb")
    assert (two.path / "published" / "restricted").stat().st_mode & 0o077 == 0
    everybody = (two.path / "published" / "tables").rglob("*.parquet")
    with duckdb.connect() as connection:
        for path in everybody:
            # A file's name may hold an account, as the bank gave it; a column of values may not.
            rows = connection.execute(
                f"select * exclude (bank_file) from read_parquet('{path}', hive_partitioning = false)"
                if "bank_file" in _columns(connection, path)
                else f"select * from read_parquet('{path}', hive_partitioning = false)"
            ).fetchall()
            text = str([row for row in rows if path.parent.parent.name != "fct_files"])
            assert not any(account in text for account in whole), path


def _columns(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    found = connection.execute(
        f"select * from read_parquet('{path}', hive_partitioning = false) limit 0"
    ).description
    return [column[0] for column in found or []]


def test_retention__readers_lose_the_old_night_and_keep_the_new_one(two: Home, tmp_path: Path) -> None:
    home = two.copy_to(tmp_path / "home")
    project = tmp_path / "project"
    reference = project / "expectations" / "reference"
    reference.mkdir(parents=True)
    (reference / "retention.csv").write_text(
        "subject,keep_days,effective_from,effective_to,source,confidence\n"
        "table:*,1,2000-01-01,,test,sourced\narchive:*,1,2000-01-01,,test,sourced\n"
    )
    settings = Settings(home=home.path, project_dir=project)
    nights = "select distinct run_date from marts.fct_reconciliation_history order by 1"
    assert home.ask(nights) == [(NIGHT_1,), (NIGHT_2,)]

    done = apply(settings, NIGHT_2 + timedelta(days=2))

    assert home.ask(nights) == [(NIGHT_2,)]
    assert home.ask(nights, database="restricted/posrecon.duckdb") == [(NIGHT_2,)]
    shredded = [one for one in done if one.sha256 and not one.kept_by]
    assert shredded
    assert [one for one in done if one.kept_by == "evidence of an open break"]
    verdict = home.run("audit", "verify")
    assert verdict["sound"]
    assert verdict["shredded"] == len({one.sha256 for one in shredded})
    assert "shredded by retention" in home.run("replay", "--from", str(NIGHT_1), expect=2)["stderr"]


def dead_links(site: Path) -> list[str]:
    """Links of the pages of a site to pages of it that are not there."""
    found = []
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"""href="([^"#:]+\.html)[#"]""", text)
        links += re.findall(r"""'_table_row_link_path': '([^']+)'""", text)
        found += [f"{page.relative_to(site)}: {link}" for link in links if not (page.parent / link).exists()]
    return found


def test_retention__pages_of_data_docs_go_with_their_night__and_no_link_is_dead(
    two: Home, tmp_path: Path
) -> None:
    home = two.copy_to(tmp_path / "home")
    reference = tmp_path / "project" / "expectations" / "reference"
    reference.mkdir(parents=True)
    (reference / "retention.csv").write_text(
        "subject,keep_days,effective_from,effective_to,source,confidence\nverdicts:*,1,2000-01-01,,test,sourced\n"
    )
    settings = Settings(home=home.path, project_dir=tmp_path / "project")
    day, site = NIGHT_2 + timedelta(days=2), home.path / "published" / "data_docs"
    assert dead_links(site) == []
    suites = {path.parts[-4] for path in site.glob(f"validations/*/{NIGHT_1}/*/*.html")}
    pages = {
        str(path.relative_to(home.path))
        for pattern in (
            f"nights/{NIGHT_1}.html",
            f"candidates/{NIGHT_1}.html",
            f"validations/*/{NIGHT_1}/*/*.html",
        )
        for path in site.glob(pattern)
    }
    assert len(pages) == 2 + len(suites) > 4

    hold = place_hold(settings, first=NIGHT_1, last=NIGHT_1, reason="court")
    held = apply(settings, day)
    assert {one.file for one in held if one.kept_by == f"hold {hold.hold_no}: court"} >= pages
    assert all((home.path / page).exists() for page in pages)

    release_hold(settings, hold.hold_no, reason="settled")
    done = apply(settings, day)

    assert {one.file for one in done if one.file.endswith(".html") and not one.kept_by} == pages
    assert not [path for path in home.path.rglob("*.html") if str(NIGHT_1) in str(path)]
    assert dead_links(site) == []
    index = (site / "auditors.html").read_text(encoding="utf-8")
    assert f"nights/{NIGHT_2}.html" in index
    assert f"nights/{NIGHT_1}.html" not in index
    shown = re.findall(r"_table_row_link_path': '([^']+)'", (site / "index.html").read_text(encoding="utf-8"))
    assert {link.split("/")[1] for link in shown if link.startswith("validations/")} == suites
    assert home.run("audit", "verify")["sound"]
