"""drivemill in processes of the Airflow worker: for a laptop, a test, or one large machine.

DRIVEMILL names the binary (default: drivemill in the PATH). The DAG runs by hand or by
whatever triggers it, with the parameters of drivemill_steps.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import dag, get_current_context, task

import drivemill_steps as steps


def drivemill(arguments: list[str], environment: dict[str, str] | None = None) -> str:
    """Runs the binary and returns its standard output. Trouble that may pass can be retried; nothing else is."""
    process = subprocess.Popen(
        [os.environ.get("DRIVEMILL", "drivemill"), *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    try:
        output, _ = process.communicate()
    finally:
        if process.poll() is None:  # the task was stopped: so is its process, which leaves the lake whole
            process.terminate()
            process.wait(timeout=60)
    code = process.returncode
    if code in steps.FAILED_FOR_GOOD:
        raise AirflowFailException(f"drivemill {arguments[0]}: exit {code}: {steps.FAILED_FOR_GOOD[code]}")
    if code != 0:
        raise AirflowException(f"drivemill {arguments[0]}: exit {code}: run again")
    return output


@dag(
    dag_id="drivemill_local",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=steps.PARAMS,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True, "max_retry_delay": timedelta(minutes=15)},
    doc_md=__doc__,
    tags=["drivemill"],
)
def local():
    @task
    def plan() -> dict:
        context = get_current_context()
        return json.loads(drivemill(steps.plan_arguments(context), steps.lineage_environment(context)))

    @task.branch
    def choose(planned: dict) -> str:
        return steps.after_plan(planned["shards"], one="run_one", many="list_shards", finish="finish")

    @task
    def run_one(planned: dict) -> None:
        drivemill(steps.run_arguments(planned["manifest"]))

    @task
    def list_shards(planned: dict) -> list[str]:
        return [f"{i}/{planned['shards']}" for i in range(planned["shards"])]

    @task
    def run_shard(shard: str, planned: dict) -> None:
        drivemill(steps.run_arguments(planned["manifest"], "--shard", shard))

    # Shards that failed have units without a recorded end, which finish would only report: it waits for their retries instead.
    @task(trigger_rule="none_failed_min_one_success")
    def finish(planned: dict) -> dict:
        return json.loads(drivemill(steps.finish_arguments(get_current_context(), planned["manifest"])))

    planned = plan()
    chosen = choose(planned)
    one, shards, end = run_one(planned), list_shards(planned), finish(planned)
    many = run_shard.partial(planned=planned).expand(shard=shards)
    chosen >> [one, shards, end]
    [one, many] >> end


local()
