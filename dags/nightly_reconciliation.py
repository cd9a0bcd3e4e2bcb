"""The night: from the inbox to published tables, every evening at 22:30 in the sources' zone.

Only wiring stands here. What a step does, `posrecon.night` says; `posrecon night --date D` walks the same.
A run that is triggered by hand stands for the local date of its logical date, or for `run_date`.
"""

from datetime import timedelta
from typing import Any, cast

from airflow.sdk import DAG, CronTriggerTimetable, chain, get_current_context, task, task_group

from posrecon.airflow_adapter import (
    DATA_DOCS_ASSET,
    INPUT_RETRIES,
    NIGHTLY_DAG_ID,
    REPLAY_DAG_ID,
    TABLE_ASSETS,
    TASK_DEFAULTS,
    ZONE,
    PullSource,
    date_param,
    forget_models,
    log_models,
    log_outcome,
    night_step,
    notify_failure,
    notify_pull_failure,
    notify_success,
    noting,
    other_runs,
    record_events,
)
from posrecon.orchestration import LAYERS, NIGHTLY_CRON, WAREHOUSE_WRITER_POOL

# Retries and tries-that-fail-at-once are in TASK_DEFAULTS. `depends_on_past`: an item left open tonight is
# tomorrow's opening item, so a step may only run when the same step of the night before went well.
DEFAULTS = TASK_DEFAULTS | {"depends_on_past": True, "on_failure_callback": notify_failure}


@task(depends_on_past=False)
def sources(**context: Any) -> list[str]:
    """Name the sources whose files are fetched or waited for; none when the night may not run."""
    with night_step(context) as (settings, run_date):
        from posrecon import night

        return night.sources_to_pull(settings, run_date)


# all_done: a server that is away all evening must not stop the night of all the others. What it would have sent is
# missing then, and says so.
@task(**INPUT_RETRIES, depends_on_past=False, trigger_rule="all_done")
def receive(**context: Any) -> list[list[str]]:
    """Take tonight's files out of the inbox into the archive, and share them out over the parse tasks.

    Does not wait for the past but refuses while an earlier night is unfinished: a run that waits would hold
    the one active run, which the repair of the earlier night needs.
    """
    with night_step(context) as (settings, run_date):
        from posrecon import night
        from posrecon.orchestration import received_files, share_out

        night.check_may_run(settings, run_date)
        file_ids = night.receive(settings, run_date)
        return share_out(received_files(settings, run_date), file_ids)


@task(**INPUT_RETRIES, map_index_template="{{ files_label }}", max_active_tis_per_dagrun=4)
def parse(file_ids: list[str], **context: Any) -> None:
    """Parse archived files into raw partitions. A bad file is an outcome, not a failure; no lock is held."""
    with night_step(context) as (settings, run_date):
        from posrecon import night
        from posrecon.orchestration import received_files, share_label

        files = received_files(settings, run_date)
        # The label is rendered from Airflow's own context; `context` here is a copy of it.
        cast("dict[str, Any]", get_current_context())["files_label"] = share_label(files, file_ids)
        name_of = {file.file_id: file.name for file in files}
        for file_id in file_ids:
            with noting(f"file {name_of.get(file_id, file_id)}"):
                log_outcome(night.parse_file(settings, run_date, file_id))


# none_failed: a night without any file has nothing to parse, and must still say which files are missing.
@task(trigger_rule="none_failed")
def register(**context: Any) -> None:
    """Decide duplicates and conflicts, and compare what came with what was expected."""
    with night_step(context) as (settings, run_date):
        from posrecon import night

        night.register(settings, run_date)


@task.sensor(poke_interval=60, timeout=timedelta(hours=6).total_seconds(), mode="reschedule")
def warehouse_is_free(**context: Any) -> bool:
    """Wait for a replay that is under way: it would rebuild the warehouse between two of tonight's steps."""
    return other_runs(context, REPLAY_DAG_ID) == 0


@task(pool=WAREHOUSE_WRITER_POOL)
def expose(**context: Any) -> None:
    """Build tonight's warehouse: views over the raw partitions and over what last night left open."""
    with night_step(context) as (settings, run_date):
        from posrecon import night

        night.expose(settings, run_date)


@task(pool=WAREHOUSE_WRITER_POOL)
def transform(layer: str, **context: Any) -> list[dict[str, Any]]:
    """Run one dbt process for one layer, with its data tests; returns seconds and status of each model."""
    with night_step(context) as (settings, run_date):
        from posrecon import night

        forget_models(settings)
        try:
            night.transform(settings, run_date, layer)
        finally:
            models = log_models(settings)
        return models


@task_group(group_id="transform")
def transform_layers() -> None:
    """One task per dbt layer, left to right."""
    chain(*(transform.override(task_id=layer)(layer) for layer in LAYERS))


@task(pool=WAREHOUSE_WRITER_POOL, outlets=[DATA_DOCS_ASSET])
def validate(**context: Any) -> None:
    """Run the Great Expectations suites: data quality, then what is disputable."""
    with night_step(context) as (settings, run_date):
        from posrecon import night

        night.validate(settings, run_date)
        record_events(context, [DATA_DOCS_ASSET])


@task(pool=WAREHOUSE_WRITER_POOL, outlets=list(TABLE_ASSETS), on_success_callback=notify_success)
def publish(**context: Any) -> None:
    """Export the marts and what stays open, then show the night to readers in one rename."""
    with night_step(context) as (settings, run_date):
        from posrecon import night

        night.publish(settings, run_date)
        record_events(context, TABLE_ASSETS)


with DAG(
    dag_id=NIGHTLY_DAG_ID,
    description="Terminal logs × acquirer settlement × bank payouts → breaks, candidates, tables, Data Docs",
    # A trigger timetable: the logical date is 22:30 of the run date, when the night runs.
    # No start date, nothing at once: the first scheduled night is the next 22:30 after unpausing. Without the
    # zero, Airflow would also run a 22:30 that is up to a tenth of a day past.
    schedule=CronTriggerTimetable(NIGHTLY_CRON, timezone=ZONE, run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=20),
    default_args=DEFAULTS,
    params={"run_date": date_param("Run date; empty = local date of the logical date.", required=False)},
    tags=["posrecon"],
    doc_md=__doc__,
):
    pulled = PullSource.partial(
        task_id="pull",
        **INPUT_RETRIES,
        depends_on_past=False,
        on_failure_callback=notify_pull_failure,
        map_index_template="{{ task.source }}",
    ).expand(source=sources())
    received = receive()
    pulled >> received
    parsed = parse.expand(file_ids=received)
    (parsed >> register() >> warehouse_is_free() >> expose() >> transform_layers() >> validate() >> publish())
