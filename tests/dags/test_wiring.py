"""What the DAG files promise to Airflow, read from the DAGs as Airflow loads them."""

from itertools import pairwise
from typing import Any

import pytest

HEAVY = (
    "posrecon.night", "posrecon.landing", "dbt", "great_expectations", "pandas", "duckdb.experimental",
    "airflow.providers.sftp.hooks", "airflow.providers.ssh.hooks", "airflow.providers.amazon.aws.fs",
    "paramiko", "s3fs", "gnupg",
)  # fmt: skip
WRITERS = ["expose", "transform.staging", "transform.intermediate", "transform.marts", "validate", "publish"]


def nightly(dags: dict[str, Any]) -> dict[str, Any]:
    return dags["dags"]["nightly_reconciliation"]


def test_dag_files__loaded_by_airflow__four_dags_and_no_error(dags: dict[str, Any]) -> None:
    assert dags["errors"] == {}
    assert set(dags["dags"]) == {
        "nightly_reconciliation",
        "replay_reconciliation",
        "housekeeping",
        "dispute_cases",
    }
    assert all(dag["serialized"] for dag in dags["dags"].values())


def test_dag_files__parsed__in_two_seconds_of_cpu_and_without_the_work_behind_them(
    dags: dict[str, Any],
) -> None:
    # CPU, since a busy machine says nothing about the files.
    assert dags["seconds"] < 2.0
    loaded = [name for name in dags["loaded"] if any(name == h or name.startswith(f"{h}.") for h in HEAVY)]
    assert loaded == []


def test_nightly__schedule__is_22_30_in_shanghai_and_never_catches_up(dags: dict[str, Any]) -> None:
    dag = nightly(dags)
    assert (dag["schedule"], dag["timezone"]) == ("30 22 * * *", "Asia/Shanghai")
    assert (dag["start_date"], dag["catchup"], dag["max_active_runs"]) == ("None", False, 1)


def test_nightly__scheduled_run__its_logical_date_is_the_instant_at_which_it_runs(
    dags: dict[str, Any],
) -> None:
    # 22:30 in Shanghai is 14:30 UTC: the run of the 12th has the 12th as its local date.
    assert nightly(dags)["next"] == ["2026-11-12T14:30:00+00:00", "2026-11-12T14:30:00+00:00"]


def test_nightly__tasks__are_the_steps_of_the_night_in_their_order(dags: dict[str, Any]) -> None:
    from posrecon.night import STEPS

    tasks = nightly(dags)["tasks"]
    # Files arrive before the night begins; `posrecon night` works on what is in the inbox.
    order = ["sources", "pull", "receive", "parse", "register", "warehouse_is_free", *WRITERS]
    assert [task.rpartition(".")[2] for task in order[2:] if task != "warehouse_is_free"] == [
        s.name for s in STEPS
    ]
    assert set(tasks) == set(order)
    for before, after in pairwise(order):
        assert tasks[after]["upstream"] == [before]


def test_nightly__pool__is_held_by_every_writer_and_by_nobody_else(dags: dict[str, Any]) -> None:
    from posrecon.night import STEPS

    tasks = nightly(dags)["tasks"]
    holders = [name for name, task in tasks.items() if task["pool"] == "warehouse_writer"]
    assert sorted(holders) == sorted(WRITERS)
    assert [s.name for s in STEPS if s.writes_warehouse] == [name.rpartition(".")[2] for name in WRITERS]


def test_nightly__parse__is_mapped_and_register_runs_even_without_files(dags: dict[str, Any]) -> None:
    tasks = nightly(dags)["tasks"]
    assert [name for name, task in tasks.items() if task["mapped"]] == ["pull", "parse"]
    assert tasks["register"]["trigger_rule"] == "none_failed"
    # A server that is away all evening stops nobody else's night.
    assert tasks["receive"]["trigger_rule"] == "all_done"
    others = {t["trigger_rule"] for n, t in tasks.items() if n not in {"register", "receive"}}
    assert others == {"all_success"}


def test_nightly__depends_on_past__from_the_task_on_that_refuses_instead_of_waiting(
    dags: dict[str, Any],
) -> None:
    tasks = nightly(dags)["tasks"]
    free = {name for name, task in tasks.items() if not task["depends_on_past"]}
    assert free == {"sources", "pull", "receive"}


@pytest.mark.parametrize("task", ["pull", "receive", "parse"])
def test_nightly__input_task__tries_again_after_an_os_error_only(dags: dict[str, Any], task: str) -> None:
    found = nightly(dags)["tasks"][task]
    assert found["retries"] == 3
    assert found["policy"]["default"] == "fail"
    assert [(r["exception"], r["action"]) for r in found["policy"]["rules"]] == [
        ("builtins.OSError", "retry")
    ]


def test_nightly__other_tasks__try_again_only_when_their_process_was_lost(dags: dict[str, Any]) -> None:
    others = {n: t for n, t in nightly(dags)["tasks"].items() if n not in {"pull", "receive", "parse"}}
    assert {task["retries"] for task in others.values()} == {1}
    assert all(t["policy"]["rules"] == [] and t["policy"]["default"] == "fail" for t in others.values())


def test_nightly__notification__on_every_failure_and_on_the_published_night(dags: dict[str, Any]) -> None:
    tasks = nightly(dags)["tasks"]
    assert all(task["on_failure"] for task in tasks.values())
    assert [name for name, task in tasks.items() if task["on_success"]] == ["publish"]


def test_nightly__assets__are_the_tables_that_readers_get_and_the_data_docs(dags: dict[str, Any]) -> None:
    from posrecon.warehouse.publish import VIEWS

    tasks = nightly(dags)["tasks"]
    assert tasks["publish"]["outlets"] == sorted(f"posrecon.marts.{view.name}" for view in VIEWS)
    assert tasks["validate"]["outlets"] == ["posrecon.data_docs"]


def test_replay__is_triggered_by_hand_with_two_dates_and_holds_the_writer_throughout(
    dags: dict[str, Any],
) -> None:
    dag = dags["dags"]["replay_reconciliation"]
    assert dag["schedule"] is None
    assert {name: p["schema"]["format"] for name, p in dag["params"].items()} == {
        "from": "date",
        "to": "date",
    }
    assert {name: task["pool"] for name, task in dag["tasks"].items()} == {"replay": "warehouse_writer"}


def test_housekeeping__runs_far_from_the_night(dags: dict[str, Any]) -> None:
    dag = dags["dags"]["housekeeping"]
    assert (dag["schedule"], dag["timezone"]) == ("0 12 * * 0", "Asia/Shanghai")
    assert dag["params"]["keep_days"]["value"] == 7


def test_cases__start_with_the_published_candidates__and_outside_the_night(dags: dict[str, Any]) -> None:
    dag = dags["dags"]["dispute_cases"]
    assert "posrecon.marts.dispute_candidates" in dag["assets"]
    assert {name: task["pool"] for name, task in dag["tasks"].items()} == {"open_cases": "default_pool"}
    assert "open_cases" not in nightly(dags)["tasks"]
