"""Four nights of the real DAG in Airflow: no files, three files, bad data, and a night after an unfinished one."""

from typing import Any

ORDER = [
    "register",
    "expose",
    "transform staging",
    "transform intermediate",
    "transform marts",
    "validate",
    "publish",
]


def steps(four_nights: dict[str, Any], night: str) -> list[str]:
    return [step for run_date, step in four_nights["journal"] if run_date == night]


def test_prepare__pool_of_the_writer__has_one_slot(four_nights: dict[str, Any]) -> None:
    assert four_nights["pools"]["warehouse_writer"] == 1


def test_night__no_files_at_all__parses_nothing_and_still_publishes(four_nights: dict[str, Any]) -> None:
    night = four_nights["nights"][0]
    assert night["state"] == "success"
    assert night["tasks"]["parse"]["state"] == "skipped"
    assert steps(four_nights, "2026-03-02") == ["receive", *ORDER]


def test_night__three_files__one_parse_task_each_named_after_its_file(four_nights: dict[str, Any]) -> None:
    night = four_nights["nights"][1]
    assert night["state"] == "success"
    labels = [task["label"] for name, task in night["tasks"].items() if name.startswith("parse[")]
    assert sorted(labels) == ["a.csv", "b.csv", "c.csv"]
    ran = steps(four_nights, "2026-03-03")
    assert ran[0] == "receive"
    assert sorted(ran[1:4]) == ["parse_file id-a.csv", "parse_file id-b.csv", "parse_file id-c.csv"]
    assert ran[4:] == ORDER


def test_night__error_in_the_data__fails_at_the_first_try_and_runs_nothing_to_its_right(
    four_nights: dict[str, Any],
) -> None:
    night = four_nights["nights"][2]
    assert night["state"] == "failed"
    failed = night["tasks"]["transform.intermediate"]
    assert (failed["state"], failed["tries"]) == ("failed", 1)
    assert {night["tasks"][n]["state"] for n in ("transform.marts", "validate", "publish")} == {
        "upstream_failed"
    }
    assert steps(four_nights, "2026-03-04")[-1] == "transform intermediate"


def test_night__after_an_unfinished_one__is_refused_and_ends_so_that_the_repair_can_start(
    four_nights: dict[str, Any],
) -> None:
    night = four_nights["nights"][3]
    assert night["state"] == "failed"
    assert night["tasks"]["receive"]["state"] == "failed"
    asked = {name: night["tasks"][name]["state"] for name in ("sources", "pull")}
    assert asked == {"sources": "success", "pull": "skipped"}
    others = {task["state"] for name, task in night["tasks"].items() if name not in {*asked, "receive"}}
    assert others == {"upstream_failed"}
    assert steps(four_nights, "2026-03-05") == []


def test_failure__log__says_what_where_expected_got_and_the_next_step(four_nights: dict[str, Any]) -> None:
    texts = [event["text"] for event in four_nights["told"] if event["event"] == "failure"]
    assert texts[0].splitlines() == [
        "Night of 2026-03-04: task transform.intermediate failed; nothing of this night is published.",
        "What: int_recon__pairs: expected 0 lost lines, got 2 (INN26030188ZM_1: line 3).",
        "Next step: Look at the rows.",
    ]


def test_notification__webhook__gets_one_text_per_published_night_and_per_failed_task(
    four_nights: dict[str, Any],
) -> None:
    assert [text.splitlines()[0] for text in four_nights["posted"]] == [
        "posrecon: night of 2026-03-02 published",
        "posrecon: night of 2026-03-03 published",
        "posrecon: transform.intermediate failed",
        "posrecon: receive failed",
    ]
    assert "expected 0 lost lines, got 2" in four_nights["posted"][2]
