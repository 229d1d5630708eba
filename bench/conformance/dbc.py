"""Decodes CAN frames with drivemill and with cantools, and compares.

usage: dbc.py DRIVEMILL WORK, from the root of the repository. WORK is created.

For each database (testdata/can, and dbc/ of DRIVEMILL_CONFORMANCE) it writes a
Parquet table with random frames of every message, some of them too short, runs
the stage dbc over it, and compares every cell with what cantools decodes.
Messages longer than a frame are taken to pieces here, by ISO 15765-2, the
broadcasts of J1939-21 or as fast packets of NMEA 2000, with the pieces of
different messages mixed; cantools decodes the whole payloads.
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
    databases: [{{file: {database}, protocol: {protocol}}}]
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
    known = [m for m in database.messages if id(m) in names]
    whole = [m for m in known if not longer(m)]
    rng = random.Random(label)
    if whole:
        frames = [(m.frame_id, m.is_extended_frame, d, m) for m, d in random_frames(whole, rng)]
        rng.shuffle(frames)
        decode(drivemill, work / "frames", path, label, "can", names, frames, report)
    long = [m for m in known if longer(m)]
    if long:
        protocol = next((p for part, p in PROTOCOLS.items() if part in label), "can")
        decode(drivemill, work / "transfers", path, f"{label}, in pieces ({protocol})", protocol, names, pieces(long, protocol, rng), report)


def longer(message):
    """Whether a message is sent in several frames."""
    return message.length > 64 or message.length > 8 and not message.is_fd


# How messages longer than a frame are sent, by part of the database's name,
# where it is not ISO 15765-2.
PROTOCOLS = {"tp_j1939": "j1939", "truck": "j1939", "variable_dlc": "j1939", "tp_nmea": "nmea2000"}


def pieces(messages, protocol, rng):
    """Random payloads in the frames that carry them: (identifier, extended,
    data, message). The last frame of each transfer has the message and the
    payload, the others None."""
    queues = []
    for source, m in enumerate(messages):
        queue = []
        for n in range(FRAMES):
            data = bytearray(rng.randbytes(m.length))
            for s in m.signals:
                known = [i for c in m.signals if c.multiplexer_signal == s.name for i in (c.multiplexer_ids or [])]
                if n % 2 and known:
                    put(data, s, rng.choice(known))
            data = bytes(data)
            cut = {"can": iso_tp, "j1939": broadcast, "nmea2000": fast_packet}[protocol](m, data, source, n)
            queue += [(i, m.is_extended_frame, d, None) for i, d in cut[:-1]] + [(*(cut[-1][0], m.is_extended_frame, cut[-1][1]), (m, data))]
        queues.append(queue)
    out = []
    while queues:
        q = rng.choice(queues)
        out.append(q.pop(0))
        if not q:
            queues.remove(q)
    return out


def iso_tp(message, data, _source, _n):
    """ISO 15765-2, 9.6: first frame, consecutive frames numbered from 1."""
    out = [(message.frame_id, bytes([0x10 | len(data) >> 8, len(data) & 0xFF]) + data[:6])]
    for k, at in enumerate(range(6, len(data), 7)):
        out.append((message.frame_id, bytes([0x20 | (k + 1) & 15]) + data[at : at + 7].ljust(7, b"\xaa")))
    return out


def broadcast(message, data, source, _n):
    """SAE J1939-21, 5.10: TP.CM_BAM, then TP.DT numbered from 1."""
    pgn = message.frame_id >> 8 & 0x3FFFF
    count = (len(data) + 6) // 7
    out = [(0x1CECFF00 | source, bytes([32]) + len(data).to_bytes(2, "little") + bytes([count, 255]) + pgn.to_bytes(3, "little"))]
    for k in range(count):
        out.append((0x1CEBFF00 | source, bytes([k + 1]) + data[7 * k : 7 * k + 7].ljust(7, b"\xff")))
    return out


def fast_packet(message, data, _source, n):
    """NMEA 2000: three bits of sequence, five of frame number."""
    head = (n & 7) << 5
    out = [(message.frame_id, bytes([head, len(data)]) + data[:6])]
    for k, at in enumerate(range(6, len(data), 7)):
        out.append((message.frame_id, bytes([head | k + 1]) + data[at : at + 7].ljust(7, b"\xff")))
    return out


def decode(drivemill, work, path, label, protocol, names, frames, report):
    """Runs the stage over frames and compares. The last of the four parts of a
    frame is the message, or (message, payload) with the frame that completes it."""
    work.mkdir(parents=True)
    pq.write_table(
        pa.table({
            "id": pa.array([f[0] for f in frames], pa.uint32()),
            "ide": pa.array([f[1] for f in frames], pa.bool_()),
            "n": pa.array(range(len(frames)), pa.int64()),
            "data_bytes": pa.array([f[2] for f in frames], pa.binary()),
        }),
        work / "frames.parquet",
    )
    pipeline = work / "pipeline.yaml"
    pipeline.write_text(PIPELINE.format(frames=work / "frames.parquet", database=json.dumps(str(path)), protocol=protocol, lake=work / "lake").replace("databases:", "keep: [n]\n    databases:"))
    done = subprocess.run([drivemill, "run", "--progress", "none", str(pipeline)], capture_output=True, text=True)
    if done.returncode != 0:
        report.check(label, "run", [done.stderr.strip()])
        return
    tables = {}
    for name in set(names.values()) | {"can_x_unknown"}:
        files = sorted((work / "lake" / name).glob("**/*.parquet"))
        tables[name] = [r for f in files for r in pq.ParquetFile(f).read().to_pylist()]
    rows = {r["n"]: (r, name) for name, t in tables.items() for r in t}
    wanted = [(n, *(f[3] if isinstance(f[3], tuple) else (f[3], f[2]))) for n, f in enumerate(frames) if f[3] is not None]
    differences, cells = [], 0
    if len(rows) != len(wanted) or sum(map(len, tables.values())) != len(wanted):
        differences.append(f"{sum(map(len, tables.values()))} rows of {len(wanted)} messages")
    for n, m, data in wanted:
        row, table = rows.get(n, (None, None))
        if table != names[id(m)]:
            differences.append(f"frame {n} of {m.name} is not in its table")
            continue
        found, seen = compare_row(m, data, row)
        differences += found
        cells += seen
    report.check(label, f"{len({id(m) for _, m, _ in wanted})} messages, {len(frames)} frames, {cells} cells", differences)


def compare_row(m, data, row):
    """Compares the signals of a row with those of a payload; returns
    differences and the number of cells."""
    differences, cells = [], 0
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
    return differences, cells


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
