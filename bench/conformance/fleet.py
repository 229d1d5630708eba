"""Runs the recipe for drive stats over a made-up fleet and compares rates with
SciPy, curves with lifelines, and the SQL beside it with DuckDB.

usage: fleet.py DRIVEMILL DIR, from the root of the repository. DIR is created.
"""

import collections
import csv
import datetime
import pathlib
import random
import subprocess
import sys

import duckdb
import numpy as np
from lifelines import KaplanMeierFitter, NelsonAalenFitter
from scipy import stats

from report import Report

MODELS = [  # reported, product, class, capacity, chance of failing on a day
    ("ST4000DM000", "ST4000DM000", "data_hdd", 4000787030016, 0.004),
    ("WDC WUH721816ALE6L4", "WUH721816ALE6L4", "data_hdd", 16000900661248, 0.001),
    ("TOSHIBA MG08ACA16TE", "MG08ACA16TE", "data_hdd", 16000900661248, 0.0),
    ("ST500LM030", "ST500LM030", "boot_hdd", 500107862016, 0.003),
    ("Seagate BarraCuda SSD ZA250CM10002", "Seagate BarraCuda SSD ZA250CM10002", "boot_ssd", 250059350016, 0.001),
]


def make_fleet(directory):
    """Writes 120 days of CSV and returns the rows."""
    rng = random.Random(20)
    days = [datetime.date(2021, 6, 1) + datetime.timedelta(d) for d in range(120)]
    rows = collections.defaultdict(list)
    which = [0] * 250 + [1] * 250 + [2] * 100 + [3] * 100 + [4] * 100
    for n, model in enumerate(which):
        reported, product, kind, capacity, chance = MODELS[model]
        born = rng.randrange(0, 300 * 24)
        for d in range(rng.randrange(0, 30), rng.randrange(60, 121)):
            failed = rng.random() < chance
            rows[d].append((f"S{n:04}", reported, capacity, int(failed), born + 24 * d, product, kind))
            if failed:
                break
    for d, day in enumerate(days):
        with open(directory / f"{day}.csv", "w", newline="") as f:
            w = csv.writer(f)
            w.writerow("date,serial_number,model,capacity_bytes,failure,smart_9_normalized,smart_9_raw".split(","))
            for serial, reported, capacity, failed, hours, _, _ in rows[d]:
                w.writerow([day, serial, reported, capacity, failed, "", hours])
    return {days[d]: r for d, r in rows.items()}


def close(a, b):
    if a is None or b is None:
        return a is b
    return abs(a - b) <= 1e-9 * max(abs(b), 1e-9)


def interval(n, days):
    low = stats.gamma.ppf(0.025, n) if n else 0.0
    return [v / days * 36500 for v in (n, low, stats.gamma.isf(0.025, n + 1))]


def ratio(a, da, b, db):
    low = stats.beta.ppf(0.025, a, b + 1) if a else 0.0
    high = stats.beta.ppf(0.025, b, a + 1) if b else None
    return [a / da / (b / db) if b else None, low / (1 - low) * db / da, (1 - high) / high * db / da if b else None]


def main():
    drivemill, work = sys.argv[1], pathlib.Path(sys.argv[2])
    report = Report()
    days, made, lake = work / "days", work / "made", work / "lake"
    days.mkdir(parents=True)
    rows = make_fleet(days)
    subprocess.run([drivemill, "init", "--recipe", "drive-stats", "--input", f"{days}/*.csv", "--lake", str(lake), str(made)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([drivemill, "run", "--progress", "none", str(made / "drive-stats.yaml")], check=True, stdout=subprocess.DEVNULL)
    db = duckdb.connect()
    db.execute((made / "views.sql").read_text())
    views = ["quarterly_report", "lifetime_report", "quarterly_excluded", "fleet_report", "drive_sizes"]
    report.check("views", f"{len(views)} views", [v for v in views if not db.execute(f"SELECT * FROM {v}").fetchall() and v != "lifetime_report"])

    def table(name, columns):
        return db.execute(f"SELECT {columns} FROM read_parquet('{lake}/{name}/*.parquet')").fetchall()

    counted = collections.Counter()
    failed = collections.Counter()
    for day, list_ in rows.items():
        for r in list_:
            for key in ((f"{day.year}-Q{(day.month + 2) // 3}", r[5]), r[6]):
                counted[key] += 1
                failed[key] += r[3]
    bad = []
    got = table("afr_model_quarter", "period, model_norm, drive_days, failures, afr, afr_low, afr_high")
    for period, model, n, f, *rate in got:
        want = interval(failed[period, model], counted[period, model])
        if (n, f) != (counted[period, model], failed[period, model]) or not all(map(close, rate, want)):
            bad.append(f"{period} {model}: {n}, {f}, {rate}, want {want}")
    report.check("rates by model, SciPy", f"{len(got)} rates", bad if len(got) == 10 else [f"{len(got)} rates, want 10"])
    bad = []
    for kind, *values in table("afr_class_year", "drive_class, ratio, ratio_low, ratio_high"):
        want = ratio(failed[kind], counted[kind], failed["boot_hdd"], counted["boot_hdd"])
        if not all(map(close, values, want)):
            bad.append(f"{kind}: {values}, want {want}")
    report.check("ratios by class, SciPy", "3 ratios", bad)

    lives = {}
    for day in sorted(rows):
        for serial, _, _, f, hours, _, kind in rows[day]:
            entry = lives.get(serial, (hours,))[0]
            lives[serial] = (entry, hours + 24, bool(f), kind)
    bad = []
    points = 0
    for kind in ("data_hdd",):
        curve = table("survival_class", f"age_hours, failures, survival, survival_low, survival_high, cumulative_hazard, drive_class = '{kind}'")
        curve = sorted(c[:6] for c in curve if c[6])
        entry, exit_, event = (np.array(v) for v in zip(*[life[:3] for life in lives.values() if life[3] == kind]))
        start = curve[0][0]
        at_risk = exit_ > start
        entry = np.maximum(entry, start)
        km = KaplanMeierFitter(alpha=0.05).fit(exit_[at_risk], event[at_risk], entry=entry[at_risk])
        na = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(exit_[at_risk], event[at_risk], entry=entry[at_risk])
        ages = [t for t in km.event_table.index if km.event_table.loc[t, "observed"] > 0]
        if ages != [c[0] for c in curve[1:]]:
            bad.append(f"{kind}: failures at {[c[0] for c in curve[1:]]}, want {ages}")
            continue
        for t, _, *values in curve[1:]:
            points += 1
            want = [km.survival_function_.loc[t].iloc[0], *km.confidence_interval_.loc[t], na.cumulative_hazard_.loc[t].iloc[0]]
            if not all(map(close, values, want)):
                bad.append(f"{kind} at {t} hours: {values}, want {want}")
    report.check("survival, lifelines", f"{points} ages", bad if points > 50 else bad + [f"only {points} ages"])
    report.exit()


main()
