"""The embedded default: what it runs, what it refuses, and what it shows."""

import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import posrecon.simulate
from posrecon import local_airflow
from posrecon.errors import NightError, UsageError
from posrecon.files import write_json
from posrecon.settings import Settings

NIGHTS = [date(2026, 11, day) for day in (12, 13, 14)]


def figures(night: str, opened: int, money: int) -> dict[str, Any]:
    kind = "duplicate_in_terminal_log"
    line = {"break_type": kind, "currency": "CNY", "open": opened, "opened_tonight": 1, "open_minor": money}
    return {
        "run_date": night,
        "files": {"loaded": 21},
        "file_problems": [],
        "events": 2_000,
        "lines": 1_827,
        "bank_entries": 7,
        "states": {"matched": 1_824, "pending": 37, "unmatched": 2, "ambiguous": 0, "excluded": 140},
        "breaks": [line],
        "candidates": [{"candidates": 3}, {"candidates": 10}],
        "explained": {"pct": "99.62", "items_pct": "99.81", "payouts": {"pct": "97.40"}},
    }


def shown(*nights: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(local_airflow.nights_table(nights))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=80)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stands in for the simulator; keeps the folders that it was asked to fill."""
    asked: list[Path] = []

    def simulate(out: Path, *, seed: int, nights: int, rows: int) -> SimpleNamespace:
        asked.append(out)
        return SimpleNamespace(start=date(2026, 11, 11))

    monkeypatch.setattr(posrecon.simulate, "simulate", simulate)
    return asked


def test_nights_table__long_name_and_large_money__nothing_is_cut_at_80_characters() -> None:
    text = "\n".join(shown(*(figures(str(night), 1_234, 123_456_789) for night in NIGHTS)))
    assert "duplicate_in_terminal_log" in text
    assert text.count("1,234,567.89") == 3
    assert "…" not in text


def test_nights_table__a_break_type_that_one_night_has_not__shows_zero() -> None:
    second = figures("2026-11-13", 2, 4_829) | {"breaks": []}
    row = next(line for line in shown(figures("2026-11-12", 2, 4_829), second) if "duplicate" in line)
    assert row.split() == ["duplicate_in_terminal_log", "2", "·", "48.29", "0"]


def test_nights_table__figures_of_a_night__are_the_ones_of_its_summary() -> None:
    cells = {line[:25].strip(): line[25:].strip() for line in shown(figures("2026-11-12", 2, 4_829))}
    assert cells["files loaded"] == "21"
    assert cells["terminal events"] == "2,000"
    assert cells["pending"] == "37"
    assert cells["dispute candidates"] == "13"
    assert (cells["explained"], cells["of items"], cells["of payouts"]) == ("99.62 %", "99.81 %", "97.40 %")


def test_simulated_nights__empty_home__simulates_once_and_remembers(
    settings: Settings, console: Console, simulated: list[Path]
) -> None:
    assert local_airflow.simulated_nights(settings, console) == NIGHTS
    assert local_airflow.simulated_nights(settings, console) == NIGHTS
    assert simulated == [settings.inbox]


def test_simulated_nights__simulation_was_interrupted__is_made_again(
    settings: Settings, console: Console, simulated: list[Path]
) -> None:
    write_json(settings.home / "simulated_nights.json", {"complete": False, "run_dates": []})
    (settings.inbox / "terminal_log").mkdir(parents=True)
    (settings.inbox / "terminal_log" / "half.csv").write_text("merch")
    assert local_airflow.simulated_nights(settings, console) == NIGHTS
    assert simulated == [settings.inbox]


def test_simulated_nights__files_of_somebody_else__are_left_alone(
    settings: Settings, console: Console, simulated: list[Path]
) -> None:
    (settings.inbox / "unionpay").mkdir(parents=True)
    (settings.inbox / "unionpay" / "INN26111288ZM_898000000000001").write_text("x")
    with pytest.raises(UsageError, match="not simulated here"):
        local_airflow.simulated_nights(settings, console)
    assert simulated == []


def test_nightly__night_still_to_come__is_refused_because_airflow_would_wait(
    settings: Settings, console: Console
) -> None:
    plan = {"complete": True, "run_dates": ["9999-01-01"]}
    write_json(settings.home / "simulated_nights.json", plan)
    with pytest.raises(UsageError, match="9999-01-01 is still to come"):
        local_airflow.nightly(settings, console)


def test_nightly__all_published__runs_the_last_again_and_says_whether_the_bytes_are_the_same(
    settings: Settings, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(
        settings.home / "simulated_nights.json", {"complete": True, "run_dates": [str(n) for n in NIGHTS]}
    )
    for night in NIGHTS:
        content = {"run_date": str(night), "previous_run_date": None, "tables": {}, "state": {}}
        summary = figures(str(night), 2, 4_829)
        write_json(settings.published / "nights" / f"{night}.json", content | {"summary": summary})
    ran: list[list[date]] = []
    monkeypatch.setattr(local_airflow, "run_in_airflow", lambda settings, nights, console: ran.append(nights))
    local_airflow.nightly(settings, console)
    assert ran == [NIGHTS[-1:]]
    assert "Night of 2026-11-14 ran again: the same bytes" in console.file.getvalue()  # type: ignore[attr-defined]


def test_run_in_airflow__task_failed__raises_its_own_words_and_where_the_log_is(
    settings: Settings, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def events(settings: Settings, run_dates: list[date]) -> Iterator[dict[str, Any]]:
        yield {"event": "night", "run_date": "2026-11-12", "success": True, "seconds": 30.0}
        yield {"event": "task", "task": "parse[0]"}
        yield {"event": "failure", "text": "What: x\nNext step: y"}
        yield {"event": "night", "run_date": "2026-11-13", "success": False, "seconds": 1.0}

    monkeypatch.setattr(local_airflow, "_child_events", events)
    with pytest.raises(NightError) as failed:
        local_airflow.run_in_airflow(settings, NIGHTS, console)
    assert failed.value.what == "What: x\nNext step: y"
    assert "nightly.log" in failed.value.next_step


def test_environment__of_the_embedded_default__stays_on_this_machine(settings: Settings) -> None:
    variables = local_airflow.environment(settings, port=18080)
    urls = [value for value in variables.values() if value.startswith("http")]
    assert urls
    assert all(url.startswith("http://127.0.0.1:18080") for url in urls)
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert variables["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{settings.home}/airflow/airflow.db"
