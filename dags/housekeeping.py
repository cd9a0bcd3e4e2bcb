"""Remove what nobody reads any more: superseded Parquet, leftovers of killed processes, Airflow's old runs.

Never touched: the archive, receipts, state, every partition that a manifest names, quarantine, audit.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, Param, task

from posrecon.airflow_adapter import (
    HOUSEKEEPING_DAG_ID,
    TASK_DEFAULTS,
    ZONE,
    clean_database,
    notify_failure,
    readable_failure,
)
from posrecon.orchestration import HOUSEKEEPING_CRON


@task
def sweep_published(**context: Any) -> int:
    """Remove Parquet that no manifest names, and partial files; returns how many."""
    with readable_failure(context):
        from posrecon.settings import Settings
        from posrecon.warehouse.publish import sweep

        return len(sweep(Settings(), context["params"]["keep_days"]))


@task
def sweep_scratch(**context: Any) -> int:
    """Remove old spill files of DuckDB; returns how many."""
    with readable_failure(context):
        from posrecon.orchestration import sweep_folder
        from posrecon.settings import Settings

        before = context["dag_run"].run_after - timedelta(days=context["params"]["keep_days"])
        return len(sweep_folder(Settings().tmp, before=before))


@task
def clean_airflow(**context: Any) -> None:
    """Remove Airflow's own old runs and logs' entries from its database."""
    with readable_failure(context):
        before = context["dag_run"].run_after - timedelta(days=context["params"]["keep_runs_days"])
        clean_database(before=before)


with DAG(
    dag_id=HOUSEKEEPING_DAG_ID,
    description="Sweep superseded files and Airflow's old runs",
    # Midday on Sunday: far from 22:30, when the night runs.
    schedule=CronTriggerTimetable(HOUSEKEEPING_CRON, timezone=ZONE, run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS | {"on_failure_callback": notify_failure},
    params={
        "keep_days": Param(
            7, type="integer", minimum=1, description="Days a superseded or partial file stays."
        ),
        "keep_runs_days": Param(
            400, type="integer", minimum=30, description="Days Airflow remembers its runs."
        ),
    },
    tags=["posrecon"],
    doc_md=__doc__,
):
    [sweep_published(), sweep_scratch()] >> clean_airflow()
