"""Dispute cases: after every night that readers see, its candidates become cases, and explained cases close.

Started by the published candidates, not by the clock, so also after a replay. It stands outside the night: when the
database of the cases is away, the night is good all the same, and the next run catches up.
"""

from typing import Any

from airflow.sdk import DAG, task

from posrecon.airflow_adapter import (
    CANDIDATES_ASSET,
    CASES_DAG_ID,
    TASK_DEFAULTS,
    notify_failure,
    readable_failure,
)


@task
def open_cases(**context: Any) -> dict[str, Any]:
    """Bring the cases to the newest published night; returns what changed."""
    with readable_failure(context):
        from posrecon.disputes.intake import take_in
        from posrecon.settings import Settings

        done = take_in(Settings()).as_dict()
        return {name: value for name, value in done.items() if isinstance(value, int)}


with DAG(
    dag_id=CASES_DAG_ID,
    description="Dispute candidates of the newest night → cases",
    schedule=[CANDIDATES_ASSET],
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS | {"on_failure_callback": notify_failure},
    tags=["posrecon"],
    doc_md=__doc__,
):
    open_cases()
