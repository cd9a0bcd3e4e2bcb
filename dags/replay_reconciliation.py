"""Rebuild past nights from the archive alone, in order; triggered by hand with first and last run date."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from posrecon.airflow_adapter import (
    DATA_DOCS_ASSET,
    NIGHTLY_DAG_ID,
    REPLAY_DAG_ID,
    TABLE_ASSETS,
    TASK_DEFAULTS,
    date_param,
    notify_failure,
    other_runs,
    readable_failure,
    record_events,
)
from posrecon.orchestration import WAREHOUSE_WRITER_POOL


# The whole replay is one task that holds the writer's slot throughout: between two of its nights the
# warehouse belongs to neither, so nobody else may write.
@task(
    pool=WAREHOUSE_WRITER_POOL, outlets=[*TABLE_ASSETS, DATA_DOCS_ASSET], execution_timeout=timedelta(days=2)
)
def replay(**context: Any) -> None:
    """Rebuild the nights from..to; identical input gives identical bytes."""
    with readable_failure(context):
        from posrecon import night
        from posrecon.errors import UsageError
        from posrecon.orchestration import replay_range
        from posrecon.settings import Settings

        first, last = replay_range(context["params"]["from"], context["params"]["to"])
        if other_runs(context, NIGHTLY_DAG_ID):
            raise UsageError(
                f"Replay {first} to {last}: a night is running and owns the warehouse.",
                next_step="Wait until nightly_reconciliation has ended, then trigger the replay again.",
            )
        settings = Settings()
        night.replay(settings, first, last)
        record_events(
            context,
            [*TABLE_ASSETS, DATA_DOCS_ASSET],
            {"replayed_from": first.isoformat(), "replayed_to": last.isoformat()},
        )


with DAG(
    dag_id=REPLAY_DAG_ID,
    description="Rebuild the nights from..to from the archive",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS | {"on_failure_callback": notify_failure},
    params={
        "from": date_param("First run date to rebuild.", required=True),
        "to": date_param("Last run date to rebuild; must not be before the first.", required=True),
    },
    tags=["posrecon"],
    doc_md=__doc__,
):
    replay()
