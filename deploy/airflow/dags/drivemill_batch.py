"""drivemill on AWS Batch: plan, an array job of shards, finish.

Tasks are deferred while a job runs, so that a night of driving holds no slot of a worker.
Batch itself retries what may pass (exit 75, a reclaimed Spot instance); the retries of the
tasks are for what is beyond it. The names of queues and job definitions are outputs of the
stack, given to Airflow as variables of the environment:

    DRIVEMILL_QUEUE              queue of plan and finish
    DRIVEMILL_SHARD_QUEUE        queue of the shards
    DRIVEMILL_PLAN_JOB           job definitions of the three steps
    DRIVEMILL_SHARD_JOB
    DRIVEMILL_FINISH_JOB
    DRIVEMILL_PLANS              where plan leaves its result: s3://bucket/prefix
    DRIVEMILL_SCHEDULE           cron expression (default: none, by hand)
    DRIVEMILL_POLL_SECONDS       how often a job is looked at (default 30)
"""

from __future__ import annotations

import json
import os
import re
import uuid
from datetime import datetime, timedelta, timezone
from typing import Callable

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.batch import BatchOperator
from airflow.sdk import dag, get_current_context, task

import drivemill_steps as steps

CONNECTION = os.environ.get("DRIVEMILL_AWS_CONN_ID", "aws_default")


def setting(name: str) -> str:
    return os.environ.get(name, name.lower().replace("_", "-"))


def plan_result(context) -> str:
    """The object in which plan leaves its result, one for each run's name."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, "drivemill:" + steps.run_name(context))
    return f"{os.environ.get('DRIVEMILL_PLANS', 's3://drivemill-plans').rstrip('/')}/{name}.json"


def planned(context) -> dict:
    return context["ti"].xcom_pull(task_ids="read_plan")


class DrivemillJob(BatchOperator):
    """A job whose command line, and whose number of shards, are known when it starts."""

    def __init__(self, *, arguments: Callable[..., list[str]], array: bool = False, parent: bool = False, **kwargs):
        super().__init__(
            job_name=f"drivemill-{kwargs['task_id']}", container_overrides={}, deferrable=True, aws_conn_id=CONNECTION,
            poll_interval=int(os.environ.get("DRIVEMILL_POLL_SECONDS", "30")), max_retries=2 * 24 * 3600 // 30, **kwargs,
        )
        self.arguments, self.array, self.parent = arguments, array, parent

    def execute(self, context):
        run = context["dag_run"]
        # The run's name is told by the job's tag, too, for who looks at Batch first.
        self.tags = {"drivemill-run": re.sub(r"[^A-Za-z0-9 _.:/=+@-]", "-", steps.run_name(context))[:256]}
        self.container_overrides = {"command": self.arguments(context)}
        if self.parent:
            self.container_overrides["environment"] = [{"name": k, "value": v} for k, v in steps.lineage_environment(context).items()]
        if self.array:
            self.array_properties = {"size": planned(context)["shards"]}
        self.log.info("run %s of %s", run.run_id, run.dag_id)
        return super().execute(context)


@dag(
    dag_id="drivemill_batch",
    schedule=os.environ.get("DRIVEMILL_SCHEDULE") or None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    params=steps.PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5), "retry_exponential_backoff": True, "max_retry_delay": timedelta(hours=1)},
    doc_md=__doc__,
    tags=["drivemill"],
)
def batch():
    plan = DrivemillJob(
        task_id="plan", job_queue=setting("DRIVEMILL_QUEUE"), job_definition=setting("DRIVEMILL_PLAN_JOB"), parent=True,
        arguments=lambda context: steps.plan_arguments(context, "--output-file", plan_result(context)),
    )

    @task
    def read_plan() -> dict:
        return json.loads(S3Hook(aws_conn_id=CONNECTION).read_key(plan_result(get_current_context())))

    @task.branch
    def choose(result: dict) -> str:
        return steps.after_plan(result["shards"], one="run_one", many="run_array", finish="finish")

    shard = {
        "job_queue": setting("DRIVEMILL_SHARD_QUEUE"), "job_definition": setting("DRIVEMILL_SHARD_JOB"),
        "arguments": lambda context: steps.run_arguments(planned(context)["manifest"]),
    }
    one = DrivemillJob(task_id="run_one", **shard)
    many = DrivemillJob(task_id="run_array", array=True, **shard)
    finish = DrivemillJob(
        task_id="finish", job_queue=setting("DRIVEMILL_QUEUE"), job_definition=setting("DRIVEMILL_FINISH_JOB"),
        arguments=lambda context: steps.finish_arguments(context, planned(context)["manifest"]),
        trigger_rule="none_failed_min_one_success",
    )
    result = read_plan()
    plan >> result
    chosen = choose(result)
    chosen >> [one, many, finish]
    [one, many] >> finish


batch()
