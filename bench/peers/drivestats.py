"""Compares drivemill with other readers of drive statistics.

usage: drivestats.py DIRECTORY ROUNDS

DIRECTORY holds month, a folder of daily CSV files, and the command drivemill.
"""

import os
import pathlib
import sys
import time

import duckdb
from measure import compare, medians, once

PIPELINE = """
pipeline: peers
inputs:
  days: {{uri: "{month}/*.csv", format: drivestats}}
outputs:
  lake: {{use: parquet, from: days, uri: "{out}", partition: [month], level: 3}}
"""

QUERIES = {
    "all rows, few columns": "select model, count(*), sum(failure), avg(smart_9_raw), max(smart_194_raw) from t group by 1 order by 1",
    "one model": "select date, count(*), sum(smart_5_raw) from t where model = 'ST4000DM000' group by 1 order by 1",
    "few rows, many columns": "select count(columns('smart_.*_raw')) from t where smart_197_raw > 0",
}

# From none down to where it fails.
LIMITS = ["", "2GB", "1500MB", "1GB", "800MB", "600MB", "400MB", "300MB", "200MB", "100MB"]


def queries(names, outputs, cores):
    """DuckDB's best of five times for each query, in milliseconds."""
    print(f"\nDuckDB's queries over what each wrote, ms, {cores} cores\n")
    print("| written by | " + " | ".join(QUERIES) + " |")
    print("|---" * (len(QUERIES) + 1) + "|")
    answers = {}
    for name, out in zip(names, outputs):
        con = duckdb.connect()
        con.execute(f"set threads = {cores}")
        files = [str(p) for p in out.rglob("*.parquet") if "_drivemill" not in p.parts]
        con.execute("create view t as select * from read_parquet(" + repr(files) + ", hive_partitioning = false)")
        cells = []
        for title, sql in QUERIES.items():
            best, rows = None, None
            for _ in range(5):
                start = time.monotonic()
                rows = con.execute(sql).fetchall()
                took = time.monotonic() - start
                best = took if best is None else min(best, took)
            cells.append(f"{best * 1000:.1f}")
            if title != "few rows, many columns" and answers.setdefault(title, rows) != rows:
                cells[-1] += " (another answer)"
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def limits(reader, month, out, cores, rounds):
    """DuckDB under smaller and smaller limits of memory."""
    print(f"\nDuckDB, one statement, partitioned, {cores} cores, under a limit of memory\n")
    print("| limit | wall s | CPU s | peak MiB | wall, to no limit | CPU, to no limit |")
    print("|---|---|---|---|---|---|")
    first, smallest = None, "none"
    for limit in LIMITS:
        command = [sys.executable, reader, "duckdb-partitioned", month, out, str(cores)] + ([limit] if limit else [])
        try:
            m = medians([once(command, out, cores) for _ in range(rounds)])
        except RuntimeError as e:
            print(f"| {limit} | fails: {str(e).splitlines()[-1][:100]} | | | | |")
            break
        first = first or m
        ratio = m.cpu / first.cpu
        if ratio <= 1.1:
            smallest = limit or "none"
        print(f"| {limit or 'none'} | {m.wall:.2f} | {m.cpu:.2f} | {m.peak:.0f} | {m.wall / first.wall:.2f} | {ratio:.2f} |", flush=True)
    print(f"\nThe smallest limit at which it takes no more than a tenth more CPU: {smallest}")


def main():
    work, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    reader = pathlib.Path(__file__).parent / "drivestats_reader.py"
    month, cores = work / "month", min(2, os.cpu_count())
    size = sum(p.stat().st_size for p in month.glob("*.csv"))
    pipeline = work / "month.yaml"
    ours = work / "out-drivemill"
    pipeline.write_text(PIPELINE.format(month=month, out=ours))
    for n in sorted({1, cores}):
        peers = [("drivemill run", [work / "drivemill", "run", "--progress", "none", "--workers", str(n), pipeline], ours)]
        if n > 1:
            two = ours.with_name("out-drivemill-jobs")
            jobs = work / "jobs.yaml"
            jobs.write_text(PIPELINE.format(month=month, out=two))
            peers.append((f"drivemill run --jobs {n}", [work / "drivemill", "run", "--progress", "none", "--workers", str(n), "--jobs", str(n), jobs], two))
        for title, engine in (("DuckDB, a file per day", "duckdb-days"), ("DuckDB, one statement, partitioned", "duckdb-partitioned"),
                              ("Polars", "polars"), ("pyarrow", "pyarrow")):
            out = work / f"out-{engine}"
            peers.append((title, [sys.executable, reader, engine, month, out, str(n)], out))
        compare(f"Daily files of a month to Parquet, {size} bytes", peers, rounds, n)
    done = [(name, out) for name, _, out in peers if any(out.rglob("*.parquet"))]
    queries([n for n, _ in done], [o for _, o in done], cores)
    limits(reader, month, work / "out-limits", cores, rounds)


if __name__ == "__main__":
    main()
