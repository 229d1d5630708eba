"""Decodes MDF4 recordings with asammdf and compares with drivemill cat.

usage: mdf4.py DRIVEMILL [FOLDER], from the root of the repository

Reads testdata/mdf4, the files of FOLDER (written by formats/mdf4/mdf4test) and, below $DRIVEMILL_CONFORMANCE, every file of mdf4/. All
groups and channels are compared, cell by cell: raw values and validity exactly,
physical values to a relative difference of 1e-12 (asammdf multiplies by a
quotient where the standard divides), texts exactly, times in nanoseconds. What
asammdf reads otherwise than the standard has it is in WRONG, with the clause.
"""

import base64
import datetime
import glob
import json
import logging
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
import xml.etree.ElementTree

import numpy as np
from asammdf import MDF
from asammdf.blocks import v4_constants as v4c

from report import Report

EPOCH = datetime.datetime(1970, 1, 1)

BOUNDS = "cc_val of a range table is REAL (CCBLOCK, cc_type 8); asammdf cuts the bounds of tables applied to 100 values or more to integers"
EXP = "exp is a function of formulas (CCBLOCK, cc_type 3); asammdf spells every x as X, finds no eXp and leaves the raw values"
INTEGERS = "a range of integers holds both its bounds (CCBLOCK, cc_type 6); asammdf takes the range before, and the last one below all"

# (part of the file's name, channel): the clause of ASAM MDF that asammdf reads
# otherwise, and how. One that agrees after all fails.
WRONG = {
    ("Vector_PartialConversionLinearIdentityAlgebraic", "Data channel"): BOUNDS,
    ("Vector_PartialConversionValueRange2TextRational", "Data channel"): BOUNDS,
    ("Vector_StatusStringTableConversionAlgebraic", "Data channel"): BOUNDS,
    ("converted.mf4", "root_i8"): EXP,
    ("converted.mf4", "root_f64"): EXP,
    ("converted.mf4", "root_be"): EXP,
    ("converted.mf4", "ranges_i8"): INTEGERS,
    ("converted.mf4", "ranges_be"): INTEGERS,
    ("Vector_CANOpenDate", "Data channel"): "a CANopen date has five bits each for hour and day (CNBLOCK, cn_data_type 13); asammdf takes four",
}


def nanoseconds(text):
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = (datetime.datetime.fromisoformat(whole) - EPOCH) // datetime.timedelta(seconds=1)
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


def number(v):
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(v, v) if isinstance(v, str) else v


def close(a, b):
    a, b = float(a), float(b)
    return a == b or a != a and b != b or math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-300)


def run(drivemill, *args):
    p = subprocess.run([drivemill, *args], capture_output=True)
    return p.returncode, p.stdout.decode(), p.stderr.decode().strip()


class Table:
    def __init__(self, report):
        self.name = report["name"]
        self.columns = [(c["name"], c["type"], c.get("unit", "")) for c in report["columns"]]
        self.rows = []


def read(drivemill, path):
    """Returns the tables of a recording in the order of the file, and what was said."""
    code, out, errors = run(drivemill, "inspect", "--json", path)
    if code not in (0, 3):
        return None, f"inspect: exit {code}: {errors}"
    report = json.loads(out)
    if isinstance(report, list):
        report = report[0]
    tables = [Table(t) for t in report["tables"]]
    code, out, errors = run(drivemill, "cat", path)
    if code not in (0, 3):
        return None, f"cat: exit {code}: {errors}"
    names = {t.name: t for t in tables}
    for line in out.splitlines():
        row = json.loads(line)
        (names[row["_table"]] if "_table" in row else tables[0]).rows.append(row)
    return tables, ""


class Columns:
    """Walks the columns of a table in the order of the channels."""

    def __init__(self, table):
        self.table = table
        self.left = [c for c in table.columns if c[0] not in ("time", "time_wall")]

    def take(self, name):
        """Returns the columns of the channel called name, by role."""
        if not self.left:
            return None
        column = self.left.pop(0)
        out = {"value": column}
        if column[0].endswith(".re"):
            out["im"] = self.left.pop(0)
        for role in ("raw", "label"):
            if self.left and self.left[0][0].startswith(f"{column[0]}_{role}"):
                out[role] = self.left.pop(0)
        return out

    def cells(self, column):
        return [r.get(column[0]) for r in self.table.rows]


def samples(mdf, group, index):
    """Raw values of a channel and which of them are invalid."""
    s = mdf.get(group=group, index=index, raw=True, ignore_invalidation_bits=True)
    invalid = np.zeros(len(s.samples), bool) if s.invalidation_bits is None else np.asarray(s.invalidation_bits, bool)
    if mdf.groups[group].channels[index].flags & v4c.FLAG_CN_ALL_INVALID:
        invalid[:] = True
    return s, invalid


def text(v, encoding, data_type):
    if isinstance(v, str):
        return v.split("\0", 1)[0]
    if data_type in (v4c.DATA_TYPE_STRING_UTF_16_LE, v4c.DATA_TYPE_STRING_UTF_16_BE):
        codec = "utf-16-le" if data_type == v4c.DATA_TYPE_STRING_UTF_16_LE else "utf-16-be"
        # numpy drops zeros at the end, the half of a character among them.
        return (v + b"\0" * (len(v) % 2)).decode(codec).split("\0", 1)[0]
    for codec in (encoding or "utf-8", "utf-8", "latin-1"):
        try:
            return v.split(b"\0", 1)[0].decode(codec)
        except UnicodeDecodeError:
            pass
    raise AssertionError("latin-1 decodes everything")


def letters(s):
    return "".join(c for c in s.lower() if c.isalnum())


def unit(text):
    """asammdf gives the XML of a unit as it is, and takes blanks away."""
    if not text.startswith("<"):
        return text.strip()
    return (xml.etree.ElementTree.fromstring(text).findtext("TX") or "").strip()


def flat(v):
    return [x for e in v for x in flat(e)] if isinstance(v, list) else [v]


def compare_channel(mdf, group, index, channel, cols, got, out):
    """Compares one channel; returns the number of cells."""
    s, invalid = samples(mdf, group, index)
    raw = s.samples
    name = channel.name
    value, label = got["value"], got.get("label")
    # Frames have columns of their own names; equal names get a suffix.
    if not letters(name).endswith(letters(value[0])) and not letters(value[0].removesuffix(".re")).startswith(letters(name)) and name not in value[0]:
        out.append(f"{name}: the column is {value[0]}")
    if value[2].strip() != unit(s.unit) and channel.sync_type == 0:
        out.append(f"{name}: unit {value[2]!r}, want {s.unit!r}")
    cells = cols.cells(value)
    raws = cols.cells(got["raw"]) if "raw" in got else None
    labels = cols.cells(label) if label else None
    if len(cells) != len(raw):
        out.append(f"{name}: {len(cells)} rows, want {len(raw)}")
        return 0
    if raw.dtype.names and channel.data_type in (v4c.DATA_TYPE_CANOPEN_DATE, v4c.DATA_TYPE_CANOPEN_TIME):
        return compare_canopen(name, channel, s, raws, out)
    if raw.dtype.names:  # an array, with its axes behind it
        raw = raw[raw.dtype.names[0]]
    conversion = channel.conversion if s.conversion is not None else None
    physical = None
    if conversion is not None and conversion.conversion_type != v4c.CONVERSION_TYPE_NON:
        physical = s.conversion.convert(raw, as_object=True)
    is_text = raw.dtype.kind in "SUO" and channel.data_type in range(6, 10)
    n = 0
    for i in range(len(raw)):
        n += 1
        if invalid[i]:
            if cells[i] is not None:
                out.append(f"{name}[{i}]: {cells[i]!r}, want null")
            continue
        r = raw[i]
        # As it is stored.
        stored = raws[i] if raws is not None else cells[i] if physical is None or value[1] not in ("double", "float64", "utf8", "string") else None
        if raws is not None or physical is None:
            if not same_raw(stored, r, is_text, s.encoding, channel.data_type, got, cols, i):
                out.append(f"{name}[{i}]: {stored!r}, want {r!r}")
                continue
        if physical is None:
            continue
        p = physical[i]
        if isinstance(p, (bytes, str, np.bytes_, np.str_)):
            want = text(bytes(p) if isinstance(p, bytes) else str(p), "utf-8", v4c.DATA_TYPE_STRING_UTF_8)
            have = labels[i] if labels is not None else cells[i]
            if have != want and not (have is None and want == ""):
                out.append(f"{name}[{i}]: {have!r}, want the text {want!r}")
            if labels is not None and raws is not None and cells[i] is not None:
                out.append(f"{name}[{i}]: {cells[i]!r} beside a text")
            continue
        if labels is not None and labels[i] is not None:
            out.append(f"{name}[{i}]: {labels[i]!r}, want the number {p!r}")
        elif isinstance(cells[i], list):
            if not all(close(number(a), b) for a, b in zip(flat(cells[i]), np.asarray(p).ravel(), strict=True)):
                out.append(f"{name}[{i}]: {cells[i]!r}, want {p!r}")
        elif cells[i] is None or not close(number(cells[i]), p):
            out.append(f"{name}[{i}]: {cells[i]!r}, want the number {p!r}")
    return n


def same_raw(have, want, is_text, encoding, data_type, got, cols, i):
    if have is None:
        return False
    if is_text:
        return have == text(want, encoding, data_type)
    if isinstance(want, (complex, np.complexfloating)):
        im = cols.table.rows[i][got["im"][0]]
        return close(number(have), want.real) and close(number(im), want.imag)
    if isinstance(have, list):
        return all(close(number(a), b) for a, b in zip(flat(have), np.asarray(want).ravel(), strict=True))
    if isinstance(want, np.ndarray) or isinstance(want, (bytes, np.void)):
        body = want.tobytes() if not isinstance(want, bytes) else bytes(want)
        # asammdf pads values of variable length to the longest.
        return base64.b64decode(have).ljust(len(body), b"\0") == body.ljust(len(base64.b64decode(have)), b"\0")
    if isinstance(want, np.floating):
        return number(have) == want or want.dtype.type(number(have)) == want or want != want and have == "NaN"
    return have == want.item()


def compare_canopen(name, channel, s, raws, out):
    """asammdf takes the fields apart; put together they must be the bytes."""
    for i, r in enumerate(s.samples):
        if channel.data_type == v4c.DATA_TYPE_CANOPEN_TIME:
            want = int(r["ms"]).to_bytes(4, "little") + int(r["days"]).to_bytes(2, "little")
            have = base64.b64decode(raws[i])
            have = (int.from_bytes(have[:4], "little") & 0x0FFFFFFF).to_bytes(4, "little") + have[4:6]
        else:
            b = base64.b64decode(raws[i])
            have = [int.from_bytes(b[:2], "little"), b[2] & 0x3F, b[3] & 0x1F, b[4] & 0x1F, b[5] & 0x3F, b[6] & 0x7F]
            want = [int(r[k]) for k in ("ms", "min", "hour", "day", "month", "year")]
        if have != want:
            out.append(f"{name}[{i}]: {have!r}, want {want!r}")
    return len(s.samples)


def compare_times(mdf, group, table, out):
    if not any(c[0] == "time" for c in table.columns):
        return 0
    stamps = mdf.get_master(group)
    local = any(c[0] == "time_wall" for c in table.columns)
    start = mdf.header.abs_time
    for i, (row, t) in enumerate(zip(table.rows, stamps)):
        want = start + round(float(t) * 1e9)
        have = row["time_wall"] if local else row["time"] and nanoseconds(row["time"])
        if not -(2**63) <= want < 2**63:
            want = None
        if have != want:
            out.append(f"time[{i}]: {have}, want {want}")
    return len(stamps)


def spans_members(channel, dependency):
    """A channel that only stands for the channels it is made of."""
    return bool(dependency) and isinstance(dependency, list) and channel.data_type == v4c.DATA_TYPE_BYTEARRAY and not hasattr(dependency[0], "dims")


def compare_file(drivemill, path, label, notes):
    """Returns tables, cells, and differences."""
    tables, why = read(drivemill, path)
    name = pathlib.Path(path).name
    signal.alarm(120)  # asammdf follows some chains for ever
    try:
        mdf = MDF(path)
    except Exception as e:  # asammdf raises whatever its parsers do
        notes.append(f"{label}: asammdf refuses it: {type(e).__name__}; drivemill: {why or str(len(tables)) + ' tables'}")
        return None
    finally:
        signal.alarm(0)
    with mdf:
        if tables is None:
            return 0, 0, [f"{label}: {why}"]
        groups = joined(mdf)
        out, cells = [], 0
        if len(groups) != len(tables):
            return 0, 0, [f"{label}: {len(tables)} tables, want {len(groups)}"]
        for g, table in zip(groups, tables):
            c, diff = compare_group(mdf, g, table, name, notes)
            cells += c
            out += [f"{label}: {table.name}: {d}" for d in diff]
    return len(tables), cells, out


def joined(mdf):
    """Lists the groups of each table: those whose master lies in another group
    belong to that one's table."""
    tables = {}
    for g, group in enumerate(mdf.groups):
        if not group.channels:
            continue
        remote = group.channel_group.flags & v4c.FLAG_CG_REMOTE_MASTER
        tables.setdefault(group.channel_group.cg_master_index if remote else g, []).append(g)
    return list(tables.values())


def compare_group(mdf, groups, table, file, notes):
    out, cells = [], 0
    want = mdf.groups[groups[0]].channel_group.cycles_nr
    if len(table.rows) != want:
        return 0, [f"{len(table.rows)} rows, want {want}"]
    exceptions = {c: why for (f, c), why in WRONG.items() if f in file}
    cells += compare_times(mdf, groups[0], table, out)
    cols = Columns(table)
    for g in groups:
        cells += compare_channels(mdf, g, cols, exceptions, file, notes, out)
    if cols.left and not any(c[0] in ("ide", "data_length") for c in cols.left):
        out.append(f"columns that are no channel: {[c[0] for c in cols.left]}")
    return cells, out


def compare_channels(mdf, g, cols, exceptions, file, notes, out):
    group = mdf.groups[g]
    cells = 0
    arrays = [c.name for c, d in zip(group.channels, group.channel_dependencies) if d and hasattr(d[0], "dims")]
    for index, channel in enumerate(group.channels):
        if channel.channel_type in (v4c.CHANNEL_TYPE_MASTER, v4c.CHANNEL_TYPE_VIRTUAL_MASTER) and channel.sync_type == v4c.SYNC_TYPE_TIME:
            continue
        if spans_members(channel, group.channel_dependencies[index]):
            continue
        if arrays and any(channel.name.startswith(a + "[") for a in arrays):
            continue  # asammdf makes a channel of each element
        got = cols.take(channel.name)
        if got is None:
            out.append(f"{channel.name}: there is no column for it")
            continue
        diff = []
        try:
            cells += compare_channel(mdf, g, index, channel, cols, got, diff)
        except Exception as e:
            diff.append(f"{channel.name}: asammdf: {type(e).__name__}: {e}")
        reason = exceptions.get(channel.name)
        if len(diff) > 3:
            diff[3:] = [f"{channel.name}: and {len(diff) - 3} rows more"]
        if reason:
            notes.append(f"{file}: {channel.name}: {reason}")
            diff = [] if diff else [f"{channel.name}: there is no difference any more: {reason}"]
        out += diff
    return cells


def check_twins(report, drivemill, root):
    """A recording that was not finalised has the rows of its finalised copy."""
    out, pairs, count = [], 0, 0
    for finished in sorted(glob.glob(f"{root}/mdf4/*_fin.MF4")):
        open_ended = finished.replace("_fin.MF4", ".MF4")
        if not os.path.exists(open_ended):
            continue
        pairs += 1
        tables = [{t.name: t.rows for t in read(drivemill, p)[0] if t.rows} for p in (open_ended, finished)]
        if set(tables[0]) != set(tables[1]):
            out.append(f"{pathlib.Path(finished).name}: tables {sorted(tables[0])} and {sorted(tables[1])}")
            continue
        for name, rows in tables[0].items():
            count += len(rows)
            if rows != tables[1][name]:
                out.append(f"{pathlib.Path(finished).name}: {name}: {len(rows)} rows and {len(tables[1][name])}, not the same")
    if pairs == 0:
        out.append("no pair was read")
    report.check("unfinalised and finalised twins", f"{pairs} pairs, {count} rows", out)


LAKE = """pipeline: frames
inputs:
  drives: {uri: FILE, tables: {frames: "*/CAN_DataFrame"}}
stages:
  signals: {use: dbc, from: drives.frames, databases: [{file: DBC}]}
outputs:
  lake: {use: parquet, from: [signals], uri: OUT}
"""


def decode(drivemill, path, database, work):
    """Decodes the frames of a recording; returns the rows of each table."""
    out = pathlib.Path(work, "lake")
    shutil.rmtree(out, ignore_errors=True)
    text = LAKE.replace("FILE", path).replace("DBC", database).replace("OUT", str(out))
    pipeline = pathlib.Path(work, "pipeline.yaml")
    pipeline.write_text(text)
    code, _, errors = run(drivemill, "run", "--progress", "none", str(pipeline))
    assert code == 0, f"run: exit {code}: {errors}"
    tables = {}
    for f in sorted(out.glob("can_*/*/*.parquet")):
        _, rows, _ = run(drivemill, "cat", str(f))
        tables.setdefault(f.parent.parent.name, []).extend(json.loads(line) for line in rows.splitlines())
    return tables


def compare_decoded(mdf, tables, out):
    """Compares messages that asammdf decoded; returns how many, and the cells.
    asammdf leaves texts of value tables to the conversion of the channel, so
    raw numbers are compared; it names groups after nothing that can be relied on."""
    cells = messages = 0
    for g, group in enumerate(mdf.groups):
        names = {c.name: i for i, c in enumerate(group.channels) if c.channel_type != v4c.CHANNEL_TYPE_MASTER}
        plain = {letters(n): n for n in names}
        stamps = mdf.get_master(g)
        times = [mdf.header.abs_time + round(float(t) * 1e9) for t in stamps]
        match = [(t, rows) for t, rows in tables.items()
                 if {letters(k) for k in rows[0]} >= set(plain) and [r["ts_ns"] for r in rows] == times]
        if not match:
            out.append(f"group {g} ({sorted(names)[:4]}): no table has these signals at these times")
            continue
        table, rows = match[0]
        messages += 1
        for key in rows[0]:
            if letters(key) not in plain or key.endswith("_label"):
                continue
            s = mdf.get(group=g, index=names[plain[letters(key)]], raw=True, ignore_invalidation_bits=True)
            samples = s.samples if s.conversion is None else s.conversion.convert(s.samples, ignore_value2text_conversions=True)
            for i, (row, want) in enumerate(zip(rows, samples, strict=True)):
                cells += 1
                if not close(number(row[key]), want):
                    out.append(f"{table}: {key}[{i}]: {row[key]!r}, want {want!r}")
                    break
    return messages, cells


def check_frames(report, drivemill, root, work):
    """Frames decoded with a database: against what cantools and asammdf make of them."""
    database = "testdata/mdf4/can.dbc"
    out = []
    tables = decode(drivemill, "testdata/mdf4/can.mf4", database, work)
    cells = 0
    for twin in sorted(pathlib.Path("testdata/mdf4/expected").glob("can_*.ndjson")):
        want = [json.loads(line) for line in twin.read_text().splitlines()]
        name = twin.stem.replace("can_", "can_any_", 1)
        got = tables.get(name, [])
        if len(got) != len(want):
            out.append(f"{name}: {len(got)} rows, want {len(want)}")
            continue
        for i, (g, w) in enumerate(zip(got, want)):
            same = g["ts_ns"] == nanoseconds(w.pop("log_time"))
            for k, v in w.items():
                cells += 1
                same = same and (g[k] == v if isinstance(v, str) else close(g[k], v))
            if not same:
                out.append(f"{name}[{i}]: {g}, want {w}")
                break
    report.check("the CAN log of the sample drive, against cantools", f"{len(tables)} tables, {cells} cells", out)

    out = []
    with MDF("testdata/mdf4/can.mf4") as mdf, mdf.extract_bus_logging({"CAN": [(database, 0)]}) as decoded:
        messages, cells = compare_decoded(decoded, tables, out)
    report.check("the CAN log of the sample drive, against asammdf", f"{messages} messages, {cells} cells", out)
    for raw in sorted(glob.glob(f"{root}/mdf4/*LOG_datastore*")) if root else []:
        # A logger's file, and what its maker decoded from it with asammdf.
        decoded = raw.replace("LOG_datastore", "LOG_mf4_decoded").replace(".MF4", ".mf4")
        databases = glob.glob(f"{root}/dbc/*canmod-gps.dbc")
        if not os.path.exists(decoded) or not databases:
            continue
        out = []
        tables = decode(drivemill, raw, databases[0], work)
        with MDF(decoded) as mdf:
            messages, cells = compare_decoded(mdf, tables, out)
        report.check("a logger's frames, against those its maker decoded", f"{messages} messages, {cells} cells", out)


def check_files(report, drivemill, title, paths):
    files, tables, cells, out, notes = 0, 0, 0, [], []
    for path in paths:
        label = pathlib.Path(path).name
        result = compare_file(drivemill, path, label, notes)
        if result:
            files += 1
            tables += result[0]
            cells += result[1]
            out += result[2]
    if files == 0:
        out.append("no file was read")
    report.check(title, f"{files} of {len(paths)} files, {tables} tables, {cells} cells", out)
    for note in notes:
        print(f"       {note}")


def stop(*_):
    raise TimeoutError("no end in two minutes")


def main():
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None  # destructors of what asammdf could not open
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, stop)
    drivemill = sys.argv[1]
    report = Report()
    check_files(report, drivemill, "the sample drive as MDF4, against asammdf", sorted(glob.glob("testdata/mdf4/*.mf4")))
    if len(sys.argv) > 2:
        check_files(report, drivemill, "what no common program writes, against asammdf", sorted(glob.glob(f"{sys.argv[2]}/*.mf4")))
    root = os.environ.get("DRIVEMILL_CONFORMANCE")
    with tempfile.TemporaryDirectory() as work:
        try:
            check_frames(report, drivemill, root, work)
        except AssertionError as e:
            report.check("frames, decoded", "", [str(e)])
    if not root:
        print("skip real recordings: DRIVEMILL_CONFORMANCE is not set")
        report.exit()
    paths = [p for p in sorted(glob.glob(f"{root}/mdf4/*")) if p.lower().endswith(".mf4")]
    check_files(report, drivemill, "mdf4, against asammdf", paths)
    check_twins(report, drivemill, root)
    report.exit()


if __name__ == "__main__":
    main()
