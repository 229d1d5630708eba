"""Reads drive statistics with Python's csv module and compares with drivemill.

usage: drivestats.py DRIVEMILL WORK, from the root of the repository. WORK is created.

Daily files of all layouts are generated, and written anew as other collectors
might have: other line ends, quotes around cells, columns in another order and
unknown ones, compressed, in a zip. All of them, and below $DRIVEMILL_CONFORMANCE
the real days of April 2013, go through a pipeline; every cell of the lake is
held against the text of the file.
"""

import csv
import datetime
import gzip
import io
import os
import pathlib
import random
import re
import subprocess
import sys
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from report import Report

PIPELINE = """
pipeline: drivestats
inputs:
  days: {{uri: "{uri}", format: drivestats}}
outputs:
  lake: {{use: parquet, from: days, uri: "{lake}", partition: [month]}}
"""

ERAS = ["2013-04-10", "2015-01-01", "2018-01-01", "2018-04-01", "2018-10-01", "2019-10-01", "2020-10-01", "2021-07-01", "2021-10-01",
        "2023-04-01", "2023-07-01", "2024-04-01", "2026-01-01"]

PLACES = {"datacenter", "cluster_id", "vault_id", "pod_id"}


def number(text):
    return int(text) if text else None


def boolean(text):
    return {"": None, "true": True, "false": False, "True": True, "False": False, "1": True, "0": False}[text]


def day(name):
    def parse(text):
        try:
            found = datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
        except ValueError:
            found = None
        return found if found and abs((found - name).days) <= 1 else name

    return parse


def parser(column, name):
    if column == "date":
        return day(name)
    if column in ("capacity_bytes", "failure", "pod_slot_num") or re.fullmatch(r"smart_\d+_(normalized|raw)", column):
        return number
    if column == "is_legacy_format":
        return boolean
    return lambda text: text or None


def wanted(text, name):
    """Columns of one file, by the csv module alone."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    header, rows = rows[0], [r for r in rows[1:] if r]
    assert all(len(r) == len(header) for r in rows), name
    columns = {}
    for name_, cells in zip(header, zip(*rows)):
        if any(cells):
            parse = parser(name_, name)
            memo = {}
            columns[name_] = [memo[c] if c in memo else memo.setdefault(c, parse(c)) for c in cells]
        elif name_ == "date":
            columns[name_] = [name] * len(rows)
        else:
            columns[name_] = [None] * len(rows)
    return columns, len(rows)


def compare(path, table, text, date):
    """The differences of a table and the text that it was read from."""
    want, rows = wanted(text, date)
    if table.num_rows != rows:
        return [f"{path}: {table.num_rows} rows, want {rows}"], 0
    got = {n: table.column(n) for n in table.column_names}
    out = [f"{path}: no column {n}" for n in want if n not in got]
    # Files may be sorted by the lake; within a day a drive has one row.
    serials, stored = want["serial_number"], got["serial_number"].to_pylist()
    at = {s: i for i, s in enumerate(serials)}
    if len(at) != rows or set(stored) != set(at):
        return [f"{path}: other serial numbers"], 0
    order = [at[s] for s in stored]
    straight = order == list(range(rows))
    for name, column in got.items():
        if name in ("recording_id", "ts", "ts_ns"):
            continue
        if column.null_count == rows:
            if any(v is not None for v in want.get(name, ())):
                out.append(f"{path}: column {name} is null")
            continue
        values = want.get(name, [None] * rows)
        values = values if straight else [values[i] for i in order]
        found = column.to_pylist()
        if found != values:
            i = next(i for i, (a, b) in enumerate(zip(found, values)) if a != b)
            out.append(f"{path}: column {name}: row {i}: {found[i]!r}, the file has {values[i]!r}")
        if values and isinstance(next((v for v in found if v is not None), None), int) != isinstance(next((v for v in values if v is not None), None), int):
            out.append(f"{path}: column {name} is of type {column.type}")
    return out, rows * len(got)


def run(drivemill, work, uri, lake):
    pipeline = work / f"{lake.name}.yaml"
    pipeline.write_text(PIPELINE.format(uri=uri, lake=lake))
    subprocess.run([drivemill, "run", "--progress", "none", pipeline], check=True, stdout=subprocess.DEVNULL)
    tables = {}  # a file with rows of two months has two in the lake
    for path in sorted(lake.glob("drive_stats/*/*.parquet")):
        table = pq.ParquetFile(path).read()
        tables.setdefault(table.column("recording_id")[0].as_py(), []).append(table)
    return {recording: pa.concat_tables(parts) for recording, parts in tables.items()}


def check(report, what, drivemill, work, uri, lake, texts):
    """texts has the text of each file by the end of its name."""
    out, cells, left = [], 0, dict(texts)
    for recording, table in run(drivemill, work, uri, lake).items():
        name = next((n for n in left if recording.endswith(n)), None)
        if name is None:
            out.append(f"a file of the lake is of {recording}")
            continue
        date = datetime.date.fromisoformat(re.search(r"\d{4}-\d\d-\d\d", name.rsplit("/", 1)[-1])[0])
        diff, n = compare(name, table, left.pop(name), date)
        out += diff
        cells += n
    out += [f"{n} is not in the lake" for n in left]
    report.check(what, f"{len(texts)} files, {cells} cells", out)


def rewritten(text, date, rand):
    """The same rows as other collectors might write them."""
    rows = list(csv.reader(io.StringIO(text, newline="")))

    def lines(rows, end="\n", quoting=csv.QUOTE_MINIMAL):
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
        return out.getvalue()

    order = list(range(len(rows[0])))
    rand.shuffle(order)
    turned = [[r[i] for i in order] for r in rows]
    american = [rows[0]] + [[f"{date.month}/{date.day}/{date:%y}"] + r[1:] for r in rows[1:]]
    beside = [rows[0]] + [[str(date + datetime.timedelta(days=i % 5 - 2))] + r[1:] for i, r in enumerate(rows[1:])]
    unknown = [rows[0] + ["foo_bar", "smart_999_raw"]] + [r + [rand.choice(["", "0007", "a, \"b\"", "é\r\nx"]), rand.choice(["", "-3", "281474976710655"])] for r in rows[1:]]
    return {
        "crlf": lines(rows, "\r\n"), "cr": lines(rows, "\r"),
        "mixed": "".join(line + rand.choice(["\n", "\r\n", "\r"]) for line in text.splitlines()),
        "quoted": lines(rows, quoting=csv.QUOTE_ALL), "turned": lines(turned), "american": lines(american), "beside": lines(beside),
        "unknown": lines(unknown), "endless": lines(rows).removesuffix("\n"),
    }


def main():
    drivemill, work = sys.argv[1], pathlib.Path(sys.argv[2])
    work.mkdir(parents=True)
    report, rand = Report(), random.Random(7)
    texts, archive = {}, zipfile.ZipFile(work / "days.zip", "w", zipfile.ZIP_DEFLATED)
    members = {}
    for era in ERAS:
        folder = work / "eras" / era
        subprocess.run(["go", "run", "./bench/generate", "-fleet", "-from", era, "-to", era, "-drives", "300", folder], check=True, stdout=subprocess.DEVNULL)
        text = (folder / f"{era}.csv").read_bytes().decode()
        texts[f"eras/{era}/{era}.csv"] = text
        for how, other in rewritten(text, datetime.date.fromisoformat(era), rand).items():
            name = f"eras/{how}-{era}/{era}.csv"
            data = other.encode()
            if how == "crlf":
                name, data = name + ".gz", gzip.compress(data)
            elif how == "quoted":
                name, data = name + ".zst", zstandard.compress(data)
            (work / name).parent.mkdir()
            (work / name).write_bytes(data)
            texts[name] = other
        members[f"days.zip!year/{era}.csv"] = text
        archive.writestr(f"year/{era}.csv", text)
    archive.writestr("__MACOSX/year/._2013-04-10.csv", b"\0\5\x16\7")
    archive.close()
    check(report, "drive statistics of all layouts against the csv module", drivemill, work, f"{work}/eras/*/*.csv*", work / "lake-eras", texts)
    check(report, "the same out of a zip", drivemill, work, f"{work}/days.zip", work / "lake-zip", members)

    conformance = os.environ.get("DRIVEMILL_CONFORMANCE")
    if conformance:
        real = pathlib.Path(conformance, "drive_stats", "data_2013_april.zip")
        with zipfile.ZipFile(real) as z:
            days = {f"{real.name}!{m}": z.read(m).decode() for m in z.namelist() if re.search(r"(^|/)\d{4}-\d\d-\d\d\.csv$", m)}
        check(report, "the real days of April 2013 against the csv module", drivemill, work, str(real), work / "lake-april", days)
    report.exit()


if __name__ == "__main__":
    main()
