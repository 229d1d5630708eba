"""Runs both DAGs in a real Airflow, over the sample recordings, and checks what they did.

usage: check.py BINARY WORK     from the root of the repository

All traffic stays on loopback; everything that is written lies below WORK.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

ROOT = Path.cwd()
DAGS = ROOT / "deploy/airflow/dags"
NAMESPACE = "airflow/test"
BINARY, WORK = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
EVENTS = WORK / "airflow-events.ndjson"

os.environ.update({
    "AIRFLOW_HOME": str(WORK / "airflow"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(EVENTS), "append": True}),
    "AIRFLOW__OPENLINEAGE__NAMESPACE": NAMESPACE,
    "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "DRIVEMILL": str(BINARY),
    "DRIVEMILL_QUEUE": "small", "DRIVEMILL_SHARD_QUEUE": "spot", "DRIVEMILL_PLAN_JOB": "plan-job", "DRIVEMILL_SHARD_JOB": "shard-job",
    "DRIVEMILL_FINISH_JOB": "finish-job", "DRIVEMILL_PLANS": "s3://plans/nightly/", "DRIVEMILL_POLL_SECONDS": "1",
    "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1",
})
sys.path[:0] = [str(DAGS), str(Path(__file__).parent)]

from standin import Batch  # noqa: E402

AIRFLOW = str(Path(sys.executable).parent / "airflow")
failures: list[str] = []


def check(ok: bool, what: str) -> None:
    print(f"  {'ok  ' if ok else 'FAIL'} {what}", flush=True)
    if not ok:
        failures.append(what)


def run(*command: str, **kwargs) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if done.returncode:
        print(done.stdout[-20000:], done.stderr[-20000:], sep="\n")
        sys.exit(f"{' '.join(command[:4])}: exit {done.returncode}")
    return done


def dag_test(dag: str, date: str, lake: Path, **conf) -> str:
    conf["set"] = {"outputs.lake.uri": str(lake)}
    done = run(AIRFLOW, "dags", "test", dag, date, "--conf", json.dumps(conf))
    check("state=success" in done.stdout + done.stderr, f"{dag} of {date} ended in success")
    return done.stdout + done.stderr


def files(lake: Path) -> dict[str, str]:
    return {str(p.relative_to(lake)): hashlib.sha256(p.read_bytes()).hexdigest() for p in lake.rglob("*.parquet")}


def own_events(lake: Path) -> list[dict]:
    out = []
    for path in sorted((lake / "_drivemill/runs").rglob("*.json")):
        data = json.loads(path.read_text())
        if "eventType" in data:
            out.append(data)
    return out


def check_lineage(dag: str, lake: Path) -> None:
    """The parent of the run is the task that planned it, which Airflow itself reports under the same id."""
    airflow = [json.loads(line) for line in EVENTS.read_text().splitlines()]
    ids = lambda job: {e["run"]["runId"] for e in airflow if e["job"]["name"] == job and e["job"]["namespace"] == NAMESPACE}
    events = own_events(lake)
    runs = [e for e in events if e["job"]["name"] == "sample-drives"]
    check({e["eventType"] for e in runs} == {"START", "COMPLETE"}, f"{dag}: the run has START and COMPLETE")
    for e in runs:
        parent = e["run"]["facets"].get("parent", {})
        ok = parent.get("job") == {"namespace": NAMESPACE, "name": f"{dag}.plan"} and parent["run"]["runId"] in ids(f"{dag}.plan")
        check(ok, f"{dag}: {e['eventType']} has the task that planned as its parent")
        root = parent.get("root", {})
        check(root.get("job") == {"namespace": NAMESPACE, "name": dag} and root["run"]["runId"] in ids(dag), f"{dag}: {e['eventType']} has the run of the DAG as its root")
        check("nominalTime" in e["run"]["facets"], f"{dag}: {e['eventType']} tells the interval")
    shards = [e for e in events if e["job"]["name"] == "sample-drives.shard"]
    check(len(shards) > 0 and all(e["run"]["facets"]["parent"]["run"]["runId"] in {r["run"]["runId"] for r in runs} for e in shards), f"{dag}: shards have the run as their parent")
    check(all(e["run"]["facets"]["parent"].get("root", {}).get("job", {}).get("name") == dag for e in shards), f"{dag}: shards have the run of the DAG as their root")


def check_steps() -> None:
    """Names of runs and exit codes, without a scheduler."""
    import drivemill_local
    import drivemill_steps as steps
    from airflow.exceptions import AirflowException, AirflowFailException

    day = lambda n: datetime(2026, 3, n, tzinfo=timezone.utc)
    params = {"pipeline": "p.yaml", "set": {"b": "2", "a": "1"}, "shards": 5, "shard_bytes": "2GB", "allow_loss": True}
    run_of = lambda **kw: {"dag_run": SimpleNamespace(**{"dag_id": "d", "run_id": "r1", "run_type": "scheduled", "data_interval_start": day(1), "data_interval_end": day(2), **kw}), "params": params}
    name = steps.run_name(run_of())
    check(name == steps.run_name(run_of(run_id="r2", run_type="backfill")), "the interval names a run, whoever started it")
    check(name != steps.run_name(run_of(data_interval_start=day(2), data_interval_end=day(3))), "another interval is another run")
    check(steps.run_name(run_of(run_type="manual")) == "d/r1", "a run by hand has a name of its own")
    arguments = steps.plan_arguments(run_of(), "--x")
    want = ["plan", "--run-id", name, "--job-namespace", "drivemill", "--shards", "5", "--x", "--shard-bytes", "2GB",
            "--interval-start", "2026-03-01T00:00:00+00:00", "--interval-end", "2026-03-02T00:00:00+00:00", "--set", "a=1", "--set", "b=2", "--", "p.yaml"]
    check(arguments == want == steps.plan_arguments(run_of(run_id="r2"), "--x"), f"a retried task plans by the same command")
    none = steps.plan_arguments(run_of(run_type="manual", data_interval_start=None, data_interval_end=None))
    check("--interval-start" not in none, "no interval, no flag")
    check([steps.after_plan(n, one="one", many="many", finish="finish") for n in (0, 1, 2, 10_000)] == ["finish", "one", "many", "many"], "branches for 0, 1 and more shards")
    for code, want in {0: None, 1: AirflowFailException, 2: AirflowFailException, 3: AirflowFailException, 75: AirflowException, 143: AirflowException}.items():
        os.environ["DRIVEMILL"] = str(WORK / "exit.sh")
        (WORK / "exit.sh").write_text(f"#!/bin/sh\nexit {code}\n")
        (WORK / "exit.sh").chmod(0o755)
        got = None
        try:
            drivemill_local.drivemill(["plan"])
        except Exception as error:
            got = type(error)
        check(got is want, f"exit {code}: {want.__name__ if want else 'done'}")
    os.environ["DRIVEMILL"] = str(BINARY)


def check_local(want: dict[str, str]) -> None:
    lake = WORK / "local"
    dag_test("drivemill_local", "2026-03-02", lake, shards=3)
    check(files(lake) == want, f"drivemill_local: the {len(want)} files of a plain run, byte for byte")
    check_lineage("drivemill_local", lake)


def check_batch(want: dict[str, str]) -> None:
    batch = Batch(str(BINARY), str(ROOT))
    os.environ["AWS_ENDPOINT_URL"] = batch.endpoint
    try:
        for name, date, lake, shards, arrays, steps in [
            ("many shards", "2026-03-02", WORK / "many", 3, [3], ["plan", "run_array", "finish"]),
            ("nothing to do", "2026-03-03", WORK / "many", 3, [], ["plan", "finish"]),
            ("one shard", "2026-03-02", WORK / "one", 1, [None], ["plan", "run_one", "finish"]),
        ]:
            batch.submitted.clear()
            dag_test("drivemill_batch", date, lake, shards=shards)
            jobs = list(batch.submitted)
            check([j["jobName"] for j in jobs] == [f"drivemill-{s}" for s in steps], f"{name}: jobs {[j['jobName'] for j in jobs]}")
            check([j.get("arrayProperties", {}).get("size") for j in jobs[1:-1]] == arrays, f"{name}: sizes of arrays {arrays}")
            queues = {"plan": ("small", "plan-job"), "run_array": ("spot", "shard-job"), "run_one": ("spot", "shard-job"), "finish": ("small", "finish-job")}
            check([(j["jobQueue"], j["jobDefinition"]) for j in jobs] == [queues[s] for s in steps], f"{name}: queues and job definitions")
            environment = [e["name"] for e in jobs[0]["containerOverrides"].get("environment", [])]
            check(environment == ["OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"], f"{name}: plan is told its parent")
            check(len({json.dumps(j["tags"]) for j in jobs}) == 1, f"{name}: all jobs carry the name of the run")
            check(len(batch.described) >= len(jobs), f"{name}: jobs are looked at")
            check(files(lake) == want, f"{name}: the files of a plain run, byte for byte")
            if name == "many shards":
                check_lineage("drivemill_batch", lake)
            check(len(list(lake.glob("_drivemill/runs/*/_SUCCESS"))) == (2 if name == "nothing to do" else 1), f"{name}: _SUCCESS")
        check(all(path.startswith("/plans/nightly/") for path in batch.objects), "results of plan lie where they should")
    finally:
        batch.close()


def main() -> None:
    (WORK / "airflow").mkdir(parents=True)
    plain = WORK / "plain"
    run(str(BINARY), "run", "--progress", "none", "--set", f"outputs.lake.uri={plain}", "testdata/pipelines/drives.yaml")
    want = files(plain)
    run(AIRFLOW, "db", "migrate")
    run(AIRFLOW, "dags", "reserialize")
    errors = run(AIRFLOW, "dags", "list-import-errors", "--output", "json").stdout
    check("Traceback" not in errors and "drivemill" not in errors, "the DAGs are parsed without an error")
    listed = {d["dag_id"] for d in json.loads(run(AIRFLOW, "dags", "list", "--output", "json").stdout.splitlines()[-1])}
    check(listed == {"drivemill_local", "drivemill_batch"}, f"DAGs: {sorted(listed)}")
    check_steps()
    check_local(want)
    check_batch(want)
    if failures:
        sys.exit(f"{len(failures)} checks failed")


main()
