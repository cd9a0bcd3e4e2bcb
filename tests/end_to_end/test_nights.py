import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb

from posrecon.reporting.ladder import open_records
from posrecon.reporting.lookup import open_published
from posrecon.settings import PROJECT_ROOT
from posrecon.warehouse.manifests import published_digest
from tests.docs.test_pages import blocks
from tests.end_to_end.homes import NIGHT_1, NIGHT_2, Home


def test_night__run_again__publishes_the_same_bytes(two: Home, tmp_path: Path) -> None:
    again = two.copy_to(tmp_path / "home")
    for folder in (again.path / "published" / "tables").glob(f"*/run_date={NIGHT_2}"):
        shutil.rmtree(folder)  # so that every byte of the night is written anew

    summary = again.run("night", "--date", str(NIGHT_2))

    assert summary["digest"] == published_digest(two.settings)
    assert again.published_files() == two.published_files()


def test_replay__archive_alone_in_an_empty_home_with_one_thread__the_same_bytes(
    two: Home, tmp_path: Path
) -> None:
    empty = Home(tmp_path / "home")
    shutil.copytree(two.path / "archive", empty.path / "archive")

    replayed = empty.run("replay", "--from", str(NIGHT_1), POSRECON_THREADS="1")

    assert replayed["digest"] == published_digest(two.settings)
    assert empty.published_files() == two.published_files()
    assert [night["run_date"] for night in replayed["nights"]] == [str(NIGHT_1), str(NIGHT_2)]


def test_history__asked_as_of_a_night__is_what_readers_saw_after_it(one: Home, two: Home) -> None:
    as_of = blocks(PROJECT_ROOT / "docs" / "history.md", "sql")[0].strip().rstrip(";")
    for night, then in ((NIGHT_1, one), (NIGHT_2, two)):
        believed = two.ask(f"{as_of.replace(str(NIGHT_1), str(night))} order by all")
        assert believed == then.ask("select * from marts.fct_reconciliation order by all")
        assert believed


READER = """
import select, sys, duckdb
query = ("select max(run_date)::varchar, count(*), sum(hash(fct_reconciliation::varchar)) "
         "from marts.fct_reconciliation")
held = duckdb.connect(sys.argv[1], read_only=True)
answers = [held.execute(query).fetchone()]
print("held", flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    answers.append(held.execute(query).fetchone())
print(len(answers), len(set(answers)))
"""


def test_readers__one_holds_the_file_and_one_opens_it_anew__never_fail_and_never_block(
    one: Home, two: Home
) -> None:
    query = "select max(run_date)::varchar, count(*) from marts.fct_reconciliation"
    before, after = one.ask(query), two.ask(query)
    assert before != after
    path = one.path / "published" / "posrecon.duckdb"
    # The process that keeps the file open all night.
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        night = one.start_night(NIGHT_2)
        answers = []
        while night.poll() is None:
            answers.append(one.ask(query))
        night.communicate()
        said, _ = holder.communicate("stop\n")
    assert night.returncode == 0
    # Held: the same answer, always. Opened anew: the last good night, then, from one moment on, the new one.
    asked, different = (int(count) for count in said.split())
    assert holder.returncode == 0
    assert asked > 10
    assert different == 1
    assert len(answers) > 10
    assert all(answer in (before, after) for answer in answers)
    assert answers == sorted(answers)
    assert one.ask(query) == after


def test_card_numbers__whole_in_the_log__are_nowhere_under_home(prepared: Path, two: Home) -> None:
    numbers: set[str] = set()
    for path in sorted((prepared / "inbox" / "terminal_log").glob("terminal_log_*.csv")):
        with duckdb.connect() as connection:
            rows = connection.execute(
                f"select distinct card_no from read_csv('{path}', all_varchar = true) "
                "where regexp_full_match(card_no, '[0-9]{13,19}')"
            ).fetchall()
        numbers |= {row[0] for row in rows}
    assert numbers, "the simulated log has whole card numbers"
    anywhere = "|".join(sorted(numbers))

    found = [
        str(path.relative_to(two.path))
        for path in sorted(two.path.rglob("*"))
        if path.is_file() and (re.search(anywhere.encode(), path.read_bytes()) or _rows_with(path, anywhere))
    ]

    assert found == []


def _rows_with(path: Path, pattern: str) -> int:
    """Rows of a compressed file whose text, in the clear, holds the pattern."""
    with duckdb.connect() as connection:
        if path.suffix == ".parquet":
            relations = [f"read_parquet('{path}', hive_partitioning = false)"]
        elif path.suffix == ".duckdb":
            connection.execute(f"attach '{path}' as held (read_only)")
            names = connection.execute(
                "select schema_name, table_name from duckdb_tables() where database_name = 'held'"
            ).fetchall()
            relations = [f'held."{schema}"."{name}"' for schema, name in names]
        else:
            relations = []
        return sum(
            connection.execute(
                f"select count(*) from {relation} as t where regexp_matches(t::varchar, ?)", [pattern]
            ).fetchall()[0][0]
            for relation in relations
        )


def test_night__one_file_missing_and_one_refused__ends_with_code_3_and_blames_no_one(one: Home) -> None:
    missing = min((one.path / "inbox" / "unionpay").glob("INN261112*ZM_*"))
    missing.unlink()
    refused = min((one.path / "inbox" / "bank").glob("MT940_*_20261112.sta"))
    refused.write_bytes(b"")

    summary = one.run("night", "--date", str(NIGHT_2), expect=3)

    problems = {(problem["state"], problem["source"]) for problem in summary["file_problems"]}
    assert ("missing", "unionpay_zm") in problems
    assert ("rejected", "bank_mt940") in problems
    assert one.ask(
        f"select count(*) from marts.fct_files where state = 'missing' and run_date = date '{NIGHT_2}'"
    )


def test_night__a_data_test_fails__names_it_with_its_rows_and_publishes_nothing(
    one: Home, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    for name in ("dbt_project", "expectations", "include"):
        shutil.copytree(
            PROJECT_ROOT / name,
            project / name,
            ignore=shutil.ignore_patterns("__pycache__", "target", "logs"),
        )
    broken = project / "dbt_project" / "tests" / "assert_money_is_lost.sql"
    broken.parent.mkdir(exist_ok=True)
    broken.write_text(
        "select merchant_id, 'M-LOST' as who from {{ ref('stg_terminal__events') }} where amount_minor >= 0\n",
        encoding="utf-8",
    )
    files = one.published_files()

    failed = one.run("night", "--date", str(NIGHT_2), expect=1, POSRECON_PROJECT_DIR=str(project))["stderr"]

    assert "test assert_money_is_lost (tests/assert_money_is_lost.sql)" in failed
    assert "who=M-LOST" in failed
    assert "Next step: Nothing was published." in failed
    assert "Traceback" not in failed
    assert one.published_files() == files
    assert one.ask("select max(run_date) from marts.fct_reconciliation") == [(NIGHT_1,)]


def test_explain__matched_sale__shows_both_lines_as_they_arrived(prepared: Path, two: Home) -> None:
    rrn, terminal_file, terminal_line = two.ask(
        "select rrn, terminal_file, terminal_line from marts.fct_reconciliation "
        "where match_state = 'matched' and rrn <> '' and card_token is null order by item_id limit 1"
    )[0]

    told = two.run("explain", rrn)

    assert told["found_as"] == "rrn"
    story = told["items"][0]
    received = (prepared / "inbox" / "terminal_log" / terminal_file).read_text(encoding="utf-8").splitlines()
    assert story["evidence"][0]["text"] == received[terminal_line - 1]
    assert story["evidence"][1]["text"].startswith("S")
    assert two.run("explain", f"{terminal_file}:{terminal_line}")["items"][0]["item"] == story["item"]


def test_explain__card_number_arrived_whole__is_masked_in_the_evidence(two: Home) -> None:
    item_id, masked = two.ask(
        "select item_id, card_masked from marts.fct_reconciliation where card_token is not null "
        "order by item_id limit 1"
    )[0]

    story = two.run("explain", item_id)["items"][0]

    assert masked in story["evidence"][0]["text"]
    assert not re.search(r"(?<!\d)\d{16,19}(?!\d)", story["evidence"][0]["text"])


def test_explain__other_names_of_the_same__find_it(two: Home) -> None:
    item_id, terminal_id, stan = two.ask(
        "select item_id, terminal_id, stan from marts.fct_reconciliation where match_state = 'matched' "
        "order by item_id limit 1"
    )[0]
    payout_id, bank = two.ask(
        "select payout_id, bank_file || ':' || bank_line from marts.fct_payouts where state = 'funded' "
        "order by payout_id limit 1"
    )[0]
    by_stan = two.run("explain", f"{terminal_id}/{int(stan)}")
    assert by_stan["found_as"] == "terminal and STAN"
    assert item_id in [story["item"]["item_id"] for story in by_stan["items"]]
    by_bank = two.run("explain", bank)
    assert by_bank["found_as"] == "bank evidence"
    assert payout_id in [payout["payout_id"] for payout in by_bank["entries"][0]["payouts"]]
    reference = by_bank["entries"][0]["entry"]["reference"].split()[-1]
    by_reference = two.run("explain", reference, "--limit", "100")
    assert by_reference["found_as"] == "bank reference"
    assert by_bank["entries"][0] in by_reference["entries"]
    for kind in ("batch_out_of_balance", "unidentified_credit"):
        break_id = two.ask(f"select break_id from marts.fct_breaks where break_type = '{kind}' order by 1")[
            0
        ][0]
        assert two.run("explain", break_id)["breaks"][0]["break"]["break_id"] == break_id


MATCHABLE = (
    "acquirer, merchant_id, terminal_id, stan, rrn, auth_code, merchant_order_no, direction, card_last4, currency, "
    "amount_minor, txn_local, business_date"
)


def test_explain__keys_of_a_record__are_those_that_the_night_matched_by(two: Home) -> None:
    """Explaining makes the comparisons again; it must not compare something else."""
    with duckdb.connect(str(two.settings.warehouse), read_only=True) as night:
        by_night = {
            side: set(
                night.execute(f"select {MATCHABLE} from intermediate.int_recon__matchable_{side}").fetchall()
            )
            for side in ("items", "lines")
        }
    with open_published(two.settings) as published, duckdb.connect() as raw:
        assert open_records(raw, two.settings, published)
        again = {
            side: set(raw.execute(f"select {MATCHABLE} from {view}").fetchall())
            for side, view in (("items", "events"), ("lines", "lines"))
        }
    assert all(by_night.values())
    assert by_night["items"] - again["items"] == set()
    assert by_night["lines"] - again["lines"] == set()
