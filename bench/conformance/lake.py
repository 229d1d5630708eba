"""Runs the sample pipelines and reads the lake with pyarrow and DuckDB.

usage: lake.py DRIVEMILL LAKE, from the root of the repository. LAKE is created.

The rows wanted come from the sample data (testdata/drives/expected and the
CSVs themselves), by the rules for names, clocks and types of the lake.
"""

import base64
import csv
import datetime
import glob
import gzip
import io
import json
import math
import pathlib
import struct
import subprocess
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import zstandard

sys.path.insert(0, "formats/parquet/testdata")
import check_types  # noqa: E402
from report import Report  # noqa: E402

EPOCH = datetime.datetime(1970, 1, 1)


def run(drivemill, *args):
    subprocess.run([drivemill, "run", "--progress", "none", *args], check=True, stdout=subprocess.DEVNULL)


def nanoseconds(text):
    """RFC 3339 with nanoseconds to an integer."""
    whole, fraction = text.removesuffix("Z").split(".")
    seconds = (datetime.datetime.fromisoformat(whole) - EPOCH) // datetime.timedelta(seconds=1)
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


def spell_json(value, typ):
    """Spells a value of the JSON twins as check_types spells one of type typ."""
    if value is None:
        return None
    if pa.types.is_list(typ):
        return [spell_json(v, typ.value_type) for v in value]
    if pa.types.is_struct(typ):
        names = {lake_name(k): v for k, v in value.items()}
        assert sorted(names) == sorted(f.name for f in typ), (names, typ)
        return [spell_json(names[f.name], f.type) for f in typ]
    if pa.types.is_floating(typ):
        v = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value, value)
        if pa.types.is_float32(typ):
            return "f%08x" % struct.unpack("<I", struct.pack("<f", v))[0]
        return "d%016x" % struct.unpack("<Q", struct.pack("<d", v))[0]
    if pa.types.is_boolean(typ):
        return {True: "true", False: "false"}[value]
    if pa.types.is_binary(typ):
        return "b:" + base64.b64decode(value).hex()
    if pa.types.is_string(typ):
        return "s:" + value
    assert isinstance(value, int), (value, typ)
    return str(value)


def lake_name(source):
    return "".join(c if c.isascii() and c.isalnum() or c == "_" else "_" for c in source).lower().lstrip("_")


def columns_of(table):
    return {name: check_types.column(table.column(name)) for name in table.column_names}


# NaN is the same NaN in all of them, but not to the bit: JSON has only one.
def same(a, b):
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or is_nan(a) and is_nan(b)


def is_nan(v):
    if not isinstance(v, str):
        return False
    if v.startswith("d") and len(v) == 17:
        return math.isnan(struct.unpack("<d", struct.pack("<Q", int(v[1:], 16)))[0])
    if v.startswith("f") and len(v) == 9:
        return math.isnan(struct.unpack("<f", struct.pack("<I", int(v[1:], 16)))[0])
    return False


def compare_columns(what, got, want):
    out = []
    if sorted(got) != sorted(want):
        return [f"{what}: columns {sorted(got)}, want {sorted(want)}"]
    for name, values in want.items():
        if len(values) != len(got[name]):
            out.append(f"{what}: column {name}: {len(got[name])} rows, want {len(values)}")
            continue
        bad = [i for i, (g, w) in enumerate(zip(got[name], values)) if not same(g, w)]
        if bad:
            out.append(f"{what}: column {name}: {len(bad)} cells differ, the first in row {bad[0]}: {got[name][bad[0]]}, want {values[bad[0]]}")
    return out


def read_both(con, path):
    """Reads a file with both readers; returns the pyarrow table and the differences."""
    table = pq.ParquetFile(path).read()
    duck = con.sql("select * from read_parquet(?, hive_partitioning = false)", params=[path]).to_arrow_table()
    want, got = columns_of(table), columns_of(duck)
    if duck.column_names != table.column_names:
        return table, [f"{path}: DuckDB has the columns {duck.column_names}, pyarrow {table.column_names}"]
    out = []
    for name in want:
        if want[name] != got[name]:
            row = next(i for i, (a, b) in enumerate(zip(want[name], got[name])) if a != b)
            out.append(f"{path}: column {name}: row {row}: DuckDB {got[name][row]}, pyarrow {want[name][row]}")
    return table, out


def expected(name):
    with open(f"testdata/drives/expected/{name}.ndjson") as f:
        return [json.loads(line) for line in f]


STATIONS = {r["vehicle_id"]: r for r in csv.DictReader(open("testdata/weather/stations.csv", newline=""))}


def wanted(table, source, vehicle, types):
    """Columns of one file of the lake, from the expected rows of its topic."""
    rows = list(enumerate(expected(source)))
    kilometres = {}
    if table == "odom_kmh":
        rows = [(i, r) for i, r in rows if r["twist.twist.linear.x"] > 0.5]
        kilometres = {"speed_kmh": [r["twist.twist.linear.x"] * 3.6 for _, r in rows]}
    rows.sort(key=lambda r: nanoseconds(r[1]["header.stamp"]))
    stamps = [nanoseconds(r["header.stamp"]) for _, r in rows]
    kind = "bag" if vehicle == "v01" else "mcap"
    n = len(rows)
    out = {
        "vehicle_id": [vehicle] * n,
        "drive_id": ["20260302T081500Z"] * n,
        "recording_id": [f"testdata/drives/{vehicle}/20260302T081500Z/roof.{kind}"] * n,
        "logger": ["roof"] * n,
        "ts": [t // 1000 for t in stamps],
        "ts_ns": stamps,
        "log_time_ns": [nanoseconds(r["log_time"]) for _, r in rows],
    }
    if kind == "mcap":
        out["publish_time_ns"] = stamps
    keep = {"status.status", "latitude", "longitude", "altitude"} if table == "fix" else rows[0][1].keys()
    for key in keep:
        if key in ("log_time", "header.stamp"):
            continue
        name = lake_name(key) + ("_ns" if key == "since_start" else "")
        out[name] = [r[key] for _, r in rows]
    if table == "fix":
        out["station"] = [STATIONS[vehicle]["station"]] * n
        out["elevation_m"] = [float(STATIONS[vehicle]["elevation_m"])] * n
    else:
        if kind == "mcap":
            out["sequence"] = [i for i, _ in rows]
        if vehicle != "v03":  # header.seq is of ROS 1 and counts from 0
            out["header_seq"] = [i for i, _ in rows]
    out.update(kilometres)
    spelt = {}
    for name, values in out.items():
        if name not in types:
            spelt[name] = values
        elif pa.types.is_timestamp(types[name]):
            spelt[name] = [str(v) for v in values]
        else:
            spelt[name] = [spell_json(v, types[name]) for v in values]
    return spelt


def sorted_columns(columns, by):
    order = sorted(range(len(columns[by])), key=lambda i: int(columns[by][i]))
    return {name: [values[i] for i in order] for name, values in columns.items()}


def drop_references(path, got, want):
    """Large values of binary columns are references. Those of the sample are
    small: every value is there, and of its reference only the size."""
    out = []
    for name in want:
        for part in ("uri", "offset", "inner_offset", "size", "sha256"):
            values = got.pop(f"{name}_{part}", []) if f"{name}_{part}" not in want else []
            if part != "size" and any(v is not None for v in values):
                out.append(f"{path}: column {name}_{part} refers to what is in column {name}")
    return out


def check_drives(report, tables):
    for table, source in (("imu", "imu"), ("state", "vehicle_state"), ("camera", "camera_front_compressed"),
                          ("diagnostics", "diagnostics"), ("fix", "gps_fix"), ("odom_kmh", "odom")):
        out, rows, cells = [], 0, 0
        if len(tables[table]) != 3:
            out.append(f"{len(tables[table])} files, want one for each recording")
        for path, t in tables[table].items():
            vehicle = t.column("vehicle_id")[0].as_py()
            types = {f.name: f.type for f in t.schema}
            got = sorted_columns(columns_of(t), "ts_ns")
            want = wanted(table, source, vehicle, types)
            out += drop_references(path, got, want)
            out += compare_columns(path, got, want)
            rows += t.num_rows
            cells += t.num_rows * t.num_columns
        report.check(f"table {table} against testdata/drives/expected/{source}.ndjson", f"{rows} rows, {cells} cells", out)


def open_csv(path):
    data = pathlib.Path(path).read_bytes()
    if path.endswith(".gz"):
        data = gzip.decompress(data)
    elif path.endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def check_drive_stats(report, tables):
    days, out, cells = {}, [], 0
    for path in sorted(glob.glob("testdata/drivestats/*.csv*")):
        rows = [r for r in open_csv(path) if int(r["capacity_bytes"]) > 0]
        days[rows[0]["date"]] = rows
    for path, t in tables["drive_stats"].items():
        dates = {str(d) for d in t.column("date").to_pylist()}
        if len(dates) != 1:
            out.append(f"{path}: dates {dates}")
            continue
        rows = days.pop(dates.pop(), [])
        if len(rows) != t.num_rows:
            out.append(f"{path}: {t.num_rows} rows, want {len(rows)}")
            continue
        known = set(t.column_names)
        out += [f"{path}: no column {c}" for c in rows[0] if lake_name(c) not in known]
        by_serial = {r["serial_number"]: {lake_name(k): v for k, v in r.items()} for r in rows}
        serials = t.column("serial_number").to_pylist()
        for name in t.column_names:
            typ = t.schema.field(name).type
            if name in ("recording_id", "day", "ts", "ts_ns"):
                continue
            for serial, value in zip(serials, t.column(name).to_pylist()):
                text = by_serial[serial].get(name, "")
                cells += 1
                if value is None and text == "":
                    continue
                if pa.types.is_boolean(typ):
                    good = value is not None and int(value) == int(text)
                elif value is None or text == "":
                    good = False
                elif pa.types.is_integer(typ) or pa.types.is_decimal(typ):
                    good = int(value) == int(text)
                elif pa.types.is_floating(typ):
                    good = float(value) == float(text)
                else:
                    good = str(value) == text
                if not good:
                    out.append(f"{path}: {serial}: column {name}: {value!r}, the file has {text!r}")
    out += [f"no file of {day}" for day in days]
    rows = sum(t.num_rows for t in tables["drive_stats"].values())
    report.check("table drive_stats against the CSV files", f"{rows} rows, {cells} cells", out)


def ledger(lake):
    """Rows that the newest commit records tell of, by table."""
    newest = {}
    for path in glob.glob(f"{lake}/_drivemill/commits/*.json"):
        c = json.loads(pathlib.Path(path).read_text())
        if c["slot"] not in newest or c["sequence"] > newest[c["slot"]]["sequence"]:
            newest[c["slot"]] = c
    rows, files = {}, set()
    for c in newest.values():
        for t in c["tables"]:
            rows[t["name"]] = rows.get(t["name"], 0) + t["rows"]
            for f in t["files"] or []:
                files.add(f["key"])
    return rows, files


def check_counts(report, con, lake, what):
    want, files = ledger(lake)
    found = {str(p.relative_to(lake)) for p in pathlib.Path(lake).glob("*/*/*.parquet")}
    out = [f"{p} is in no commit record" for p in sorted(found - files)] + [f"{p} is not there" for p in sorted(files - found)]
    total = 0
    for table, rows in sorted(want.items()):
        pattern = f"{lake}/{table}/*/*.parquet"
        key = "month" if table == "drive_stats" else "drive_date"
        by_duck = dict(con.execute(f"select {key}, count(*) from read_parquet(?, hive_types_autocast = false) group by 1", [pattern]).fetchall())
        data = pa.dataset.dataset(f"{lake}/{table}", partitioning="hive")
        by_arrow = {}
        for v in data.to_table(columns=[key]).column(key).to_pylist():
            by_arrow[v] = by_arrow.get(v, 0) + 1
        if by_duck != by_arrow or sum(by_duck.values()) != rows:
            out.append(f"table {table}: DuckDB counts {by_duck}, pyarrow {by_arrow}, the ledger {rows}")
        if table != "drive_stats" and set(by_duck) != {"2026-03-02"}:
            out.append(f"table {table}: partitions {sorted(by_duck)}")
        total += rows
    plain = con.execute("select count(*) from read_parquet(?, union_by_name = true)", [f"{lake}/*/*/*.parquet"]).fetchone()[0]
    if plain != total:
        out.append(f"a glob over the whole lake counts {plain} rows, the ledger {total}")
    report.check(what, f"{len(found)} files, {total} rows in {len(want)} tables", out)
    return want


def main():
    drivemill, lake = sys.argv[1:]
    report = Report()
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    to = f"outputs.lake.uri={lake}"
    run(drivemill, "--set", to, "testdata/pipelines/drives.yaml")
    run(drivemill, "--set", to, "testdata/pipelines/drivestats.yaml")

    tables, out, cells = {}, [], 0
    for path in sorted(pathlib.Path(lake).glob("*/*/*.parquet")):
        table, diff = read_both(con, str(path))
        out += diff
        cells += table.num_rows * table.num_columns
        tables.setdefault(path.parts[-3], {})[str(path)] = table
    report.check("DuckDB against pyarrow, every file of the lake", f"{sum(map(len, tables.values()))} files, {cells} cells", out)
    check_drives(report, tables)
    check_drive_stats(report, tables)
    before = check_counts(report, con, lake, "a glob against the ledger, Hive partitions")

    run(drivemill, "--set", to, "--set", "stages.moving.where=twist.twist.linear.x > 5", "testdata/pipelines/drives.yaml")
    after = check_counts(report, con, lake, "the same after a run with another filter")
    want = dict(before, odom_kmh=3 * sum(r["twist.twist.linear.x"] > 5 for r in expected("odom")))
    report.check("only the new rows are left", f"odom_kmh had {before['odom_kmh']} rows, has {after['odom_kmh']}",
                 [] if after == want and after != before else [f"the ledger has {after}, want {want}"])
    report.exit()


if __name__ == "__main__":
    main()
