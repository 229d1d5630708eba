"""Decodes CAN frames with drivemill and with cantools, and compares.

usage: dbc.py DRIVEMILL WORK, from the root of the repository. WORK is created.

For each database (testdata/can, and dbc/ of DRIVEMILL_CONFORMANCE) it writes a
Parquet table with random frames of every message, some of them too short, runs
the stage dbc over it, and compares every cell with what cantools decodes.
"""

import json
import logging
import math
import os
import pathlib
import random
import subprocess
import sys
import warnings

import cantools
import pyarrow as pa
import pyarrow.parquet as pq

from report import Report

FRAMES = 60  # of each message

PIPELINE = """
pipeline: oracle
inputs:
  frames: {{uri: {frames}, format: parquet, clock: [], tables: {{all: {{match: "*"}}}}}}
stages:
  signals:
    use: dbc
    from: frames.all
    buses: {{x: "*"}}
    special_values: keep
    databases: [{{file: {database}, protocol: can}}]
outputs:
  lake: {{use: parquet, from: signals, uri: {lake}, names: source, types: source}}
"""


def lower_name(name):
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name.lower())


def random_frames(messages, rng):
    """Yields (message, payload): most as long as the message, some shorter or
    longer, with switches that often have a value that means something."""
    for m in messages:
        switches = [s for s in m.signals if s.is_multiplexer]
        for k in range(FRAMES):
            size = m.length
            if k % 10 == 7:
                size = rng.randrange(0, m.length + 1)
            data = bytearray(rng.randbytes(size))
            if k % 2 and switches:
                for s in switches:
                    known = [i for c in m.signals if c.multiplexer_signal == s.name for i in (c.multiplexer_ids or [])]
                    if known:
                        put(data, s, rng.choice(known))
            yield m, bytes(data)


def put(data, signal, raw):
    """Writes a raw value bit by bit."""
    bit = signal.start
    for i in range(signal.length):
        value = raw >> (signal.length - 1 - i if signal.byte_order == "big_endian" else i) & 1
        if bit // 8 < len(data):
            data[bit // 8] = data[bit // 8] & ~(1 << bit % 8) | value << bit % 8
        if signal.byte_order == "little_endian":
            bit += 1
        else:
            bit = bit + 15 if bit % 8 == 0 else bit - 1


def end_byte(signal):
    if signal.byte_order == "little_endian":
        return (signal.start + signal.length + 7) // 8
    return (8 * (signal.start // 8) + 7 - signal.start % 8 + signal.length + 7) // 8


def expected(message, data):
    """The raw and physical value of each signal that is in the frame, by the
    decoder of cantools: each signal by itself, so that a short frame or an
    unknown switch value loses no more than it must."""
    codec = cantools.database.utils
    out = {}

    def raw_of(signal):
        if end_byte(signal) > len(data):
            return None
        formats = codec.create_encode_decode_formats([signal], len(data))
        return codec.decode_data(data, len(data), [signal], formats, False, False, False, False)[signal.name]

    present = {}

    def is_present(signal, seen=()):
        if signal.multiplexer_ids is None or signal.multiplexer_signal is None:
            return True
        if signal.name in seen:
            return False
        parent = message.get_signal_by_name(signal.multiplexer_signal)
        if not is_present(parent, seen + (signal.name,)):
            return False
        if parent.name not in present:
            bits = None
            if end_byte(parent) <= len(data):
                bits = raw_of(parent)
                bits &= (1 << parent.length) - 1
            present[parent.name] = bits
        return present[parent.name] in signal.multiplexer_ids

    for s in message.signals:
        if s.name in out and out[s.name] is not None:
            continue
        out[s.name] = None
        if not is_present(s):
            continue
        raw = raw_of(s)
        if raw is None:
            continue
        scale, offset = s.conversion.scale, s.conversion.offset
        # Exact for integers; a multiplication and an addition for the rest.
        physical = raw if scale == 1 and offset == 0 else float(raw) * scale + offset
        label = None
        if s.choices and raw == int(raw):
            label = s.choices.get(int(raw))
            label = None if label is None else str(label)
        out[s.name] = (raw, physical, label, bool(s.choices))
    return out


def same(got, want):
    if got is None or want is None:
        return got is want
    if isinstance(want, float) and math.isnan(want):
        return isinstance(got, float) and math.isnan(got)
    if isinstance(got, float) and isinstance(want, int) and abs(want) > 2**53:
        return got == float(want)
    return got == want


def table_names(database):
    """Names of tables by message, by the rules of the stage."""
    taken, names = set(), {}
    for m in database.messages:
        if m.name == "VECTOR__INDEPENDENT_SIG_MSG":
            continue
        name = m.name.lower()
        if name in taken:
            name = f"{name}_{m.frame_id:x}"
        taken.add(name)
        names[id(m)] = "can_x_" + lower_name(name)
    return names


def compare(drivemill, work, path, report):
    label = path.name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = path.read_bytes()
            try:
                text = text.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = text.decode("cp1252")
            database = cantools.database.load_string(text, database_format="dbc", strict=False, prune_choices=False, sort_signals=None)
    except Exception as e:  # cantools has no one kind of error
        print(f"skip {label}: cantools refuses it: {type(e).__name__}: {str(e)[:160]}", flush=True)
        return
    names = table_names(database)
    # Messages longer than a frame come in several, which cantools does not join.
    messages = [m for m in database.messages if id(m) in names and not (m.length > 64 or m.length > 8 and not m.is_fd)]
    if not messages:
        print(f"skip {label}: no message that fits into a frame", flush=True)
        return
    rng = random.Random(label)
    frames = list(random_frames(messages, rng))
    rng.shuffle(frames)
    work.mkdir(parents=True)
    pq.write_table(
        pa.table({
            "id": pa.array([m.frame_id for m, _ in frames], pa.uint32()),
            "ide": pa.array([m.is_extended_frame for m, _ in frames], pa.bool_()),
            "n": pa.array(range(len(frames)), pa.int64()),
            "data_bytes": pa.array([d for _, d in frames], pa.binary()),
        }),
        work / "frames.parquet",
    )
    pipeline = work / "pipeline.yaml"
    pipeline.write_text(PIPELINE.format(frames=work / "frames.parquet", database=json.dumps(str(path)), lake=work / "lake").replace("databases:", "keep: [n]\n    databases:"))
    done = subprocess.run([drivemill, "run", "--progress", "none", str(pipeline)], capture_output=True, text=True)
    if done.returncode != 0:
        report.check(label, "run", [done.stderr.strip()])
        return
    tables = {}
    for name in set(names.values()) | {"can_x_unknown"}:
        files = sorted((work / "lake" / name).glob("**/*.parquet"))
        tables[name] = [r for f in files for r in pq.ParquetFile(f).read().to_pylist()]
    rows = {r["n"]: r for t in tables.values() for r in t}
    differences, cells = [], 0
    if len(rows) != len(frames) or sum(map(len, tables.values())) != len(frames):
        differences.append(f"{sum(map(len, tables.values()))} rows of {len(frames)} frames")
    for n, (m, data) in enumerate(frames):
        row = rows.get(n)
        if row is None or row not in tables[names[id(m)]]:
            differences.append(f"frame {n} of {m.name} is not in its table")
            continue
        for name, want in expected(m, data).items():
            raw, physical, text, labelled = want if want else (None, None, None, False)
            got = row.get(name)
            cells += 1
            if not same(got, physical):
                differences.append(f"{m.name}.{name} of {data.hex()}: {got!r}, cantools says {physical!r}")
            if labelled and row.get(name + "_label") != text:
                differences.append(f"{m.name}.{name} of {data.hex()}: label {row.get(name + '_label')!r}, cantools says {text!r}")
            if labelled and row.get(name + "_raw", raw) != raw:
                differences.append(f"{m.name}.{name} of {data.hex()}: raw {row.get(name + '_raw')!r}, cantools says {raw!r}")
    report.check(label, f"{len(messages)} messages, {len(frames)} frames, {cells} cells", differences)


def main():
    drivemill, work = sys.argv[1], pathlib.Path(sys.argv[2])
    folders = [pathlib.Path("testdata/can")]
    if os.environ.get("DRIVEMILL_CONFORMANCE"):
        folders.append(pathlib.Path(os.environ["DRIVEMILL_CONFORMANCE"]) / "dbc")
    logging.disable(logging.WARNING)  # of messages that share a name
    report = Report()
    for folder in folders:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".dbc")
        if not files:
            report.check(str(folder), "databases", ["none found"])
        for path in files:
            compare(drivemill, work / folder.name / path.name, path.resolve(), report)
    report.exit()


if __name__ == "__main__":
    main()
