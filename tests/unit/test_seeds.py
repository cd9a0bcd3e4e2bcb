"""The driver of scored simulations: which seeds, and what it says of each."""

from pathlib import Path

import pytest

from tests.benchmarks import seeds
from tests.benchmarks.seeds import SeedResult, main, result_of, run_seed, seeds_of


def scored(**changes: object) -> dict[str, object]:
    perfect = {
        "name": "pair", "true_positives": 9, "false_positives": 0, "false_negatives": 0, "delta_wrong": 0,
        "precision": 1.0, "recall": 1.0,
    }  # fmt: skip
    return {
        "perfect": True, "labels_later": 2, "wrong_minor": 0, "missed_minor": 0, "groups_wrong": 0, "timing_wrong": 0,
        "tiers": [{"tier": 1, "rule": "order_number", "right": 9, "wrong": 0}], "pairs": perfect,
        "breaks": [perfect | {"name": "fee_mismatch", "true_positives": 3}],
    } | changes  # fmt: skip


def test_seeds__ranges_and_lists() -> None:
    assert seeds_of("1-3") == [1, 2, 3]
    assert seeds_of("7") == [7]
    assert seeds_of("1,4,7-9") == [1, 4, 7, 8, 9]
    with pytest.raises(ValueError, match="invalid literal"):
        seeds_of("one")


def test_line__a_perfect_seed_and_one_below__say_what_there_is_to_see() -> None:
    assert result_of(3, scored(), seconds=61.4).line() == (
        "seed 3: 9 pairs, 0 wrong, 0 missed; 1 break types, 3 breaks; 1.0; 61 s"
    )
    missed = dict(scored()["pairs"], true_positives=8, false_negatives=1, recall=8 / 9)  # type: ignore[call-overload]
    below = result_of(3, scored(perfect=False, pairs=missed, timing_wrong=2), seconds=1).line()
    assert "9 pairs, 0 wrong, 1 missed" in below
    assert "below 1: pair 1.0000/0.8889, 2 on another night" in below


def test_main__one_seed_fails__the_others_go_on_and_the_code_is_1(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def one(seed: int, **_: object) -> SeedResult:
        if seed == 1:
            return SeedResult(1, perfect=False, error="night 2026-11-12: disk full")
        return result_of(seed, scored(), seconds=1)

    monkeypatch.setattr(seeds, "run_seed", one)

    assert main(["--seeds", "1-2", "--home", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "seed 1: FAILED after 0 s: night 2026-11-12: disk full" in said
    assert "1 of 2 seeds are 1.0; 9 pairs, 0 wrong, 0 missed" in said
    assert '"error": "night 2026-11-12: disk full"' in (tmp_path / "report.json").read_text(encoding="utf-8")
    assert main(["--seeds", "2", "--home", str(tmp_path)]) == 0


def test_run_seed__a_command_fails__is_a_result_with_its_words(tmp_path: Path) -> None:
    result = run_seed(1, nights=0, rows=1000, home=tmp_path / "home", threads=1)
    assert not result.perfect
    assert "simulate" in result.error
