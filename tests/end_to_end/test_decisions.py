"""A settlement file that first came short: held, accepted, and every night as if it had come whole at once."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.homes import NIGHT_1, NIGHT_2, Home

RECORD_BYTES = 609

# All that a night says of an item but for the ids, which name the arrival of a file.
BELIEVED = """
    select run_date, match_state, match_rule, terminal_file, terminal_line, settlement_file, settlement_line,
        settled_amount_minor, fee_minor, payout_id
    from {schema}.fct_reconciliation_history order by all
"""
FOUND = """
    select break_type, status, opened_on, closed_on, amount_at_risk_minor, terminal_file, terminal_line,
        settlement_file, settlement_line, payout_id
    from {schema}.fct_breaks order by all
"""


def said(home: Home, schema: str = "marts") -> tuple[list[tuple[Any, ...]], ...]:
    return home.ask(BELIEVED.format(schema=schema)), home.ask(FOUND.format(schema=schema))


@pytest.mark.slow
def test_accept__a_file_that_came_short_at_first__the_nights_are_as_if_it_had_come_whole(
    prepared: Path, two: Home, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    inbox = home.path / "inbox"
    shutil.copytree(prepared / "inbox", inbox, ignore=shutil.ignore_patterns("truth.csv"))
    short = max(inbox.glob("unionpay/INN261111*ZM_*"), key=lambda path: path.stat().st_size)
    whole = short.read_bytes()
    short.write_bytes(whole[: -5 * RECORD_BYTES])
    home.run("night", "--date", str(NIGHT_1))
    before = said(home)
    short.write_bytes(whole)
    held = home.run("night", "--date", str(NIGHT_2), expect=3)
    before_both = said(home)

    # Held: it has no effect, and says how to decide.
    assert [(one["state"], one["file_name"]) for one in held["file_problems"]] == [("conflict", short.name)]
    records = len(whole) // RECORD_BYTES
    assert f"{records - 5} records then, {records} now" in held["file_problems"][0]["reason"]
    assert before != said(two)

    decided = home.run(
        "files", "accept", short.name, "--supersede", "--reason", "the first one was cut", "--by", "li"
    )

    assert said(home) == said(two)
    assert said(home, "before_decision_1") == before_both
    assert home.run("audit", "verify")["sound"]
    assert decided["decision"]["superseded_run_date"] == str(NIGHT_1)
    assert [night["run_date"] for night in decided["nights"]] == [str(NIGHT_1), str(NIGHT_2)]
    assert all(night["digest_before"] != night["digest_after"] for night in decided["nights"])
    matched = decided["nights"][0]["states"]["matched"]
    assert matched[1] - matched[0] > 0
    assert home.ask(
        "select run_date, state, records, loaded from marts.fct_files "
        f"where file_name = '{short.name}' order by run_date, file_no"
    ) == [
        (NIGHT_1, "superseded", records - 5, 0),
        (NIGHT_1, "loaded", records, records),
        (NIGHT_2, "duplicate", records, 0),
    ]

    # The decision is part of the archive: from it alone, and at another time, come the same bytes.
    empty = Home(tmp_path / "empty")
    shutil.copytree(home.path / "archive", empty.path / "archive")
    empty.run("replay", "--from", str(NIGHT_1))
    assert empty.published_files().items() <= home.published_files().items()
    refused = home.run("files", "accept", short.name, "--supersede", "--reason", "again", expect=2)["stderr"]
    assert "decided before: accepted by li (decision 1): the first one was cut" in refused
