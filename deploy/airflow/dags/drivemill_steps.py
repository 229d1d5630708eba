"""What the DAGs of drivemill have in common: command lines, names of runs, exit codes.

A run is planned once, under a name: planning again under that name gives the same
manifest, so a task that is retried goes on with the run it began. For a run of a
schedule (or of a backfill) the name is made of the interval of its data, so that
clearing the run, too, goes on with it; a run that was triggered by hand has a name
of its own.

The parameters of a trigger, as JSON:

    {"pipeline": "s3://config/urban.yaml",
     "set": {"inputs.drives.uri": "s3://fleet-raw/{vehicle_id}/{drive_id}/*.mcap"},
     "shards": 200, "shard_bytes": "200GB", "allow_loss": false}
"""

from __future__ import annotations

from airflow.sdk import Param

# Exit codes of drivemill after which another try is of no use.
FAILED_FOR_GOOD = {1: "failed for good", 2: "wrong usage, or a mistake in the pipeline", 3: "done, but rows were rejected or lost"}

MAX_SHARDS = 10_000  # children of an array job

PARAMS = {
    "pipeline": Param("testdata/pipelines/drives.yaml", type="string", description="The pipeline: a file, or an object such as s3://config/urban.yaml"),
    "set": Param({}, type="object", additionalProperties={"type": "string"}, description="Values of the pipeline to override, by path"),
    "shards": Param(1, type="integer", minimum=1, maximum=MAX_SHARDS, description="The largest number of shards"),
    "shard_bytes": Param("", type="string", pattern="^([0-9.]+ ?[kKMGT]?i?B)?$", description="How much a shard should read, such as 200GB"),
    "allow_loss": Param(False, type="boolean", description="Whether a run is good although rows were rejected or lost"),
}


def run_name(context) -> str:
    """The name that drivemill plans a run under."""
    run = context["dag_run"]
    kind = getattr(run.run_type, "value", run.run_type)
    if kind in ("scheduled", "backfill") and run.data_interval_start is not None:
        return f"{run.dag_id}/{run.data_interval_start.isoformat()}/{run.data_interval_end.isoformat()}"
    return f"{run.dag_id}/{run.run_id}"


def plan_arguments(context, *more: str) -> list[str]:
    """The command line of plan, for the parameters and the interval of a DAG run."""
    run, params = context["dag_run"], context["params"]
    out = ["plan", "--run-id", run_name(context), "--job-namespace", "drivemill", "--shards", str(params["shards"]), *more]
    if params["shard_bytes"]:
        out += ["--shard-bytes", params["shard_bytes"]]
    if run.data_interval_start is not None:
        out += ["--interval-start", run.data_interval_start.isoformat(), "--interval-end", run.data_interval_end.isoformat()]
    for path, value in sorted(params["set"].items()):
        out += ["--set", f"{path}={value}"]
    # Whatever the name of the pipeline begins with, it is no flag.
    return [*out, "--", params["pipeline"]]


def run_arguments(manifest: str, *more: str) -> list[str]:
    """The command line of a shard."""
    return ["run", "--manifest", manifest, "--progress", "none", "--log-format", "json", "--summary", "json", *more]


def finish_arguments(context, manifest: str) -> list[str]:
    """The command line of finish."""
    return ["finish", "--manifest", manifest, "--json", "--log-format", "json"] + (["--allow-loss"] if context["params"]["allow_loss"] else [])


def lineage_environment(context) -> dict[str, str]:
    """What tells drivemill that a task of Airflow is the parent of its run, and the run of the DAG the root."""
    from airflow.providers.openlineage.plugins.macros import lineage_parent_id, lineage_root_parent_id

    task = context["ti"]
    return {"OPENLINEAGE_PARENT_ID": lineage_parent_id(task), "OPENLINEAGE_ROOT_PARENT_ID": lineage_root_parent_id(task)}


def after_plan(shards: int, *, one: str, many: str, finish: str) -> str:
    """The task to go on with: none has anything to run, one needs no array (which has 2 children or more)."""
    if shards == 0:
        return finish
    return one if shards == 1 else many
