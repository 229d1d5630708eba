"""Writes the sample drive as MDF4, with asammdf and mf4-rs, and the CAN log with cantools.

usage: generate.py, from this folder, in an environment of requirements.txt

The rows come from ../drives/expected. Times are seconds since the start of the
drive in a float64, which at a minute is far finer than a nanosecond. The same
versions of the libraries write the same bytes.
"""

import datetime
import json
import math
import pathlib
import struct

import cantools
import mf4_rs
import numpy as np
from asammdf import MDF, Signal, Source

HERE = pathlib.Path(__file__).parent
START = datetime.datetime(2026, 3, 2, 8, 15, tzinfo=datetime.timezone.utc)
START_NS = int(START.timestamp()) * 10**9
# The drive lasts a minute; these parts of it are written.
SECONDS = {"imu": 20, "unsorted": 20, "can": 20}


def nanoseconds(text):
    whole, fraction = text.removesuffix("Z").split(".")
    since = datetime.datetime.fromisoformat(whole + "+00:00") - START
    return (since.days * 86400 + since.seconds) * 10**9 + int(fraction.ljust(9, "0"))


def load(table):
    rows = []
    for line in (HERE / f"../drives/expected/{table}.ndjson").read_text().splitlines():
        row = json.loads(line)
        row["t"] = nanoseconds(row["log_time"])
        rows.append(row)
    return rows


def number(v):
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(v, v) if isinstance(v, str) else v


# Raw numbers in sixteen bits, physical ones by x/100 and x/1000: a quotient is
# the double nearest to the decimal fraction, which a product is not.
def hundredth(by):
    return {"P1": 0.0, "P2": 1.0, "P3": 0.0, "P4": 0.0, "P5": 0.0, "P6": float(by)}


# table: name, type of the raw values, unit, conversion.
GROUPS = {
    "odom": [
        ("twist.twist.linear.x", "f8", "m/s", None),
        ("twist.twist.angular.z", "f8", "rad/s", None),
    ],
    "imu": [
        ("linear_acceleration.x", "i2", "m/s²", hundredth(100)),
        ("linear_acceleration.y", "i2", "m/s²", hundredth(100)),
        ("angular_velocity.z", "i2", "rad/s", hundredth(1000)),
    ],
    "gps_fix": [
        ("latitude", "f8", "deg", None),
        ("longitude", "f8", "deg", None),
        ("altitude", "f8", "m", None),
        ("status.status", "i1", "", None),
    ],
    "vehicle_state": [
        ("speed", "f4", "m/s", None),
        ("steering_angle", "f4", "rad", None),
        ("gear", "i1", "", None),
        ("odometer_ticks", "u8", "", None),
        ("since_start", "i8", "ns", None),
        ("driver_note", "S", "", None),
    ],
}


def signals(table, rows):
    stamps = np.array([r["t"] / 1e9 for r in rows], "f8")
    for r, t in zip(rows, stamps):
        assert round(t * 1e9) == r["t"]
    for name, kind, unit, conversion in GROUPS[table]:
        values = [r[name] for r in rows]
        if kind == "S":
            yield Signal(np.array([v.encode() for v in values], "S"), stamps, name=name, unit=unit, encoding="utf-8")
            continue
        values = [number(v) for v in values]
        if conversion:
            raw = [round(v * conversion["P6"]) for v in values]
            assert [x / conversion["P6"] for x in raw] == values, name
            values = raw
        yield Signal(np.array(values, kind), stamps, name=name, unit=unit, conversion=conversion)


def header(mdf):
    mdf.header.start_time = START
    return mdf


def write(mdf, name, compression=0):
    mdf.save(HERE / name, overwrite=True, compression=compression)
    mdf.close()
    without_clock(HERE / name)


def without_clock(path):
    """Takes the clock of the host out of the file history."""
    data = bytearray(path.read_bytes())
    at = data.find(b"##FH")
    while at >= 0:
        links, = struct.unpack_from("<Q", data, at + 16)
        struct.pack_into("<Qhh", data, at + 24 + 8 * links, START_NS, 0, 0)
        at = data.find(b"##FH", at + 4)
    path.write_bytes(data)
    print(f"{path.name}: {len(data)} bytes")


def drive(tables, version="4.10", seconds=60):
    mdf = header(MDF(version=version))
    source = Source(name="roof", path="roof", comment="", source_type=Source.SOURCE_TOOL, bus_type=Source.BUS_TYPE_NONE)
    for table in tables:
        end = min(seconds, SECONDS.get(table, seconds)) * 10**9
        mdf.append(list(signals(table, [r for r in load(table) if r["t"] < end])), acq_name=table, acq_source=source, comment=table)
    return mdf


def data_blocks(data, at):
    """Offsets of the DT blocks that a data link leads to, through DL and HL."""
    links, = struct.unpack_from("<Q", data, at + 16)
    links = struct.unpack_from(f"<{links}Q", data, at + 24)
    match bytes(data[at + 2 : at + 4]):
        case b"DT":
            return [at]
        case b"HL":
            return data_blocks(data, links[0])
        case b"DL":
            own = [b for link in links[1:] for b in data_blocks(data, link)]
            return own + (data_blocks(data, links[0]) if links[0] else [])
    raise ValueError(f"no data at {at}")


def unsort(path):
    """Joins the groups of a sorted file into one data group, records in order of
    time, each behind an id of one byte; ids count 3, 5, 7. The old data groups
    stay behind, with nothing leading to them, and without their records."""
    data = bytearray(path.read_bytes())
    u64 = lambda at: struct.unpack_from("<Q", data, at)[0]
    stream, cgs, dg = [], [], u64(64 + 24)
    while dg:
        cg, block = u64(dg + 32), u64(dg + 40)
        body = cg + 24 + 8 * u64(cg + 16)
        cycles, size = u64(body + 8), struct.unpack_from("<I", data, body + 24)[0]
        records = b""
        for at in data_blocks(data, block):
            records += data[at + 24 : at + u64(at + 8)]
            data[at : at + u64(at + 8)] = b"##DT" + bytes(4) + struct.pack("<QQ", 24, 0) + bytes(u64(at + 8) - 24)
        assert len(records) == cycles * size
        for i in range(cycles):
            record = records[i * size : (i + 1) * size]
            stream.append((struct.unpack_from("<d", record)[0], 3 + 2 * len(cgs), record))
        cgs.append((cg, body))
        dg = u64(dg + 24)
    for i, (cg, body) in enumerate(cgs):
        struct.pack_into("<Q", data, body, 3 + 2 * i)
        struct.pack_into("<Q", data, cg + 24, cgs[i + 1][0] if i + 1 < len(cgs) else 0)
    stream.sort(key=lambda r: r[:2])
    records = b"".join(bytes([n]) + r for _, n, r in stream)
    data += bytes(-len(data) % 8)
    new = len(data)
    data += b"##DG" + bytes(4) + struct.pack("<QQQQQQ", 64, 4, 0, cgs[0][0], new + 64, 0) + bytes([1]) + bytes(7)
    data += b"##DT" + bytes(4) + struct.pack("<QQ", 24 + len(records), 0) + records
    struct.pack_into("<Q", data, 64 + 24, new)
    path.write_bytes(data)
    print(f"{path.name}: {len(data)} bytes, unsorted")


def can_log():
    """Frames of the first seconds, as a logger of one CAN bus writes them."""
    db = cantools.database.load_file(HERE / "can.dbc")
    frames = []
    for r in load("odom"):
        frames.append((r["t"], "odom", {
            "speed": r["twist.twist.linear.x"], "yaw_rate": r["twist.twist.angular.z"],
            "x": r["pose.pose.position.x"], "y": r["pose.pose.position.y"],
        }))
    for r in load("gps_fix"):
        frames.append((r["t"], "gps_fix", {"latitude": r["latitude"], "longitude": r["longitude"]}))
    for r in load("vehicle_state"):
        frames.append((r["t"], "vehicle_state", {
            "gear": r["gear"], "brake": int(r["brake"]), "steering_angle": number(r["steering_angle"]),
        }))
    frames = sorted((f for f in frames if f[0] < SECONDS["can"] * 10**9), key=lambda f: f[0])
    kinds = [("BusChannel", "u1"), ("ID", "<u4"), ("IDE", "u1"), ("DLC", "u1"), ("DataLength", "u1"), ("DataBytes", "(8,)u1"), ("Dir", "u1")]
    table = np.zeros(len(frames), [(f"CAN_DataFrame.{n}", t) for n, t in kinds])
    twins = {}
    for i, (t, name, values) in enumerate(frames):
        message = db.get_message_by_name(name)
        payload = message.encode(values, strict=False)
        table[i] = (1, message.frame_id, message.is_extended_frame, len(payload), len(payload), list(payload), 0)
        row = {"log_time": str(np.datetime64(START_NS + t, "ns")) + "Z"}
        row |= message.decode(payload, decode_choices=False)
        for k, v in message.decode(payload).items():
            if isinstance(v, cantools.database.namedsignalvalue.NamedSignalValue):
                row[k + "_label"] = str(v)
        twins.setdefault(name, []).append(row)
    mdf = header(MDF(version="4.11"))
    source = Source(name="CAN1", path="CAN1", comment="", source_type=Source.SOURCE_BUS, bus_type=Source.BUS_TYPE_CAN)
    stamps = np.array([t / 1e9 for t, _, _ in frames], "f8")
    mdf.append(Signal(table, stamps, name="CAN_DataFrame", source=source), acq_name="CAN1", acq_source=source)
    write(mdf, "can.mf4", compression=2)
    for name, rows in twins.items():
        text = "".join(json.dumps(r, separators=(",", ":")) + "\n" for r in rows)
        path = HERE / f"expected/can_{name}.ndjson"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"{path.name}: {len(rows)} rows, {len(text)} bytes")


def main():
    write(drive(GROUPS), "sorted.mf4")
    write(drive(GROUPS), "deflate.mf4", compression=1)
    write(drive(GROUPS, "4.11"), "transposed.mf4", compression=2)
    write(drive(["gps_fix", "vehicle_state"], seconds=SECONDS["unsorted"]), "unsorted.mf4")
    # A channel to a group, all of them tied to the group that has the times.
    mf4_rs.to_column_oriented(str(HERE / "unsorted.mf4"), str(HERE / "columns.mf4"), block_size=1024)
    without_clock(HERE / "columns.mf4")
    unsort(HERE / "unsorted.mf4")
    can_log()


if __name__ == "__main__":
    main()
