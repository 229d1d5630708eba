"""Measures drivemill and its peers on MDF4, side by side, and prints a table.

usage: measure.py DRIVEMILL FOLDER [ROUNDS]

Every task runs in a process of its own, ROUNDS times in turn with the others;
the fastest run counts. CPU is user and system time of all threads, the peak is
that of the resident memory. Both include starting Python and importing a
library, as users have it. Ratios are to drivemill in the same workload.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time

PIPELINE = """pipeline: peers
inputs:
  drives: {uri: FILE}
outputs:
  lake: {use: parquet, from: [drives], uri: LAKE}
"""

DBC = """pipeline: peers
inputs:
  drives: {uri: FILE}
stages:
  signals: {use: dbc, from: drives, databases: [{file: testdata/mdf4/can.dbc}]}
outputs:
  lake: {use: parquet, from: [signals], uri: LAKE}
"""

WORKLOADS = [
    ("sorted", PIPELINE, ["asammdf-select", "asammdf", "mdfr", "mf4-rs"]),
    ("deflate", PIPELINE, ["asammdf-select", "asammdf", "mdfr", "mf4-rs"]),
    ("can", DBC, ["asammdf-dbc"]),
]


def measure(args):
    """Runs a command; returns wall and CPU seconds, peak MiB, and whether it went well."""
    start = time.monotonic()
    with open("/dev/null", "wb") as null:
        p = subprocess.Popen(args, stdout=null, stderr=subprocess.PIPE)
        errors = p.stderr.read().decode()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    if p.returncode != 0:
        last = errors.strip().splitlines()[-1:] or [f"exit {p.returncode}"]
        return None, last[0][:100]
    return (wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), ""


def size(folder):
    return sum(f.stat().st_size for f in folder.rglob("*.parquet"))


def command(name, drivemill, file, pipeline, out):
    if name != "drivemill":
        return [sys.executable, "bench/peers/mdf4/peer.py", name, str(file), str(out)]
    text = pipeline.replace("FILE", str(file)).replace("LAKE", str(out))
    path = out.parent / "pipeline.yaml"
    path.write_text(text)
    return [drivemill, "run", "--progress", "none", str(path)]


def main():
    drivemill, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    print(f"{'name':<24} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9} {'output bytes':>13} {'wall/drivemill':>15} {'CPU/drivemill':>14}")
    failed = False
    for workload, pipeline, peers in WORKLOADS:
        best, why, sizes = {}, {}, {}
        for _ in range(rounds):
            for name in ["drivemill", *peers]:
                if name in why:
                    continue
                out = folder / "out"
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                result, error = measure(command(name, drivemill, folder / f"{workload}.mf4", pipeline, out))
                if result is None:
                    why[name] = error
                    continue
                sizes[name] = size(out)
                best[name] = min(best.get(name, result), result)
        for name in ["drivemill", *peers]:
            label = f"{workload}/{name}"
            if name in why:
                print(f"{label:<24} {why[name]}")
                failed = failed or name == "drivemill"
                continue
            wall, cpu, peak = best[name]
            ratios = [a / b if b else 0 for a, b in zip((wall, cpu), best.get("drivemill", (0, 0, 0)))]
            print(f"{label:<24} {wall:>8.2f} {cpu:>8.2f} {peak:>9.0f} {sizes[name]:>13} {ratios[0]:>15.2f} {ratios[1]:>14.2f}")
    shutil.rmtree(folder / "out", ignore_errors=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
