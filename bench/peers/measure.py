"""Runs commands on chosen cores and measures what they take."""

import os
import pathlib
import shutil
import statistics
import subprocess
import time

import pyarrow.parquet


def size(path):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(path) for f in files)


class Sample:
    def __init__(self, wall, cpu, peak, output):
        self.wall, self.cpu, self.peak, self.output = wall, cpu, peak, output


def once(command, out, cores):
    """One run. An output directory, where there is one, is emptied before."""
    if out:
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
    start = time.monotonic()
    child = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, range(cores))), *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    if child.returncode != 0:
        raise RuntimeError(f"{command[0]} ends with {child.returncode}: {errors.decode(errors='replace')[-500:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size(out) if out else 0)


def rows(path):
    """The rows of all Parquet files below a directory."""
    return sum(pyarrow.parquet.read_metadata(f).num_rows for f in pathlib.Path(path).rglob("*.parquet"))


def medians(samples):
    return Sample(*(statistics.median(getattr(s, k) for s in samples) for k in ("wall", "cpu", "peak", "output")))


def compare(title, peers, rounds, cores):
    """Runs all peers in turn, several times, and prints a table. peers are
    (name, command, output directory or None); the first is what the others are
    compared with, in CPU and in wall time."""
    samples = {name: [] for name, _, _ in peers}
    want = None
    for _ in range(rounds):
        for name, command, out in peers:
            if samples[name] is None:
                continue
            # What takes long is measured once.
            if samples[name] and samples[name][0].wall > 20:
                continue
            try:
                samples[name].append(once(command, out, cores))
                found = rows(out) if out else 0
                want = want or found
                if found and found != want:
                    raise RuntimeError(f"{found} rows, not {want}")
            except (RuntimeError, OSError) as e:
                print(f"{name}: {e}", flush=True)
                samples[name] = None
    print(f"\n{title}, {cores} core{'s' if cores > 1 else ''}\n")
    print("| name | wall s | CPU s | peak MiB | output bytes | wall, to drivemill | CPU, to drivemill |")
    print("|---|---|---|---|---|---|---|")
    first = medians(samples[peers[0][0]])
    for name, _, _ in peers:
        if samples[name] is None:
            print(f"| {name} | fails | | | | | |")
            continue
        m = medians(samples[name])
        print(f"| {name} | {m.wall:.2f} | {m.cpu:.2f} | {m.peak:.0f} | {m.output:.0f} | {m.wall / first.wall:.1f} | {m.cpu / first.cpu:.1f} |", flush=True)
