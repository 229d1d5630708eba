"""Decodes messages in protobuf and JSON with Python's libraries and compares
with drivemill cat, cell by cell.

usage: encodings.py DRIVEMILL, from the root of the repository

Reads a recording with maps, written here, and every file of mcap/ below
$DRIVEMILL_CONFORMANCE.
"""

import base64
import datetime
import glob
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import mcap.exceptions
import mcap.records
import mcap.stream_reader
import mcap_protobuf.decoder
import mcap_protobuf.writer
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from report import Report

WELL_KNOWN = "google.protobuf."
TIMES = {WELL_KNOWN + "Timestamp", WELL_KNOWN + "Duration"}
MESSAGE_TYPES = {10, 11}  # group, message
RECURSION = 2  # times that a type is written out inside itself, bytes from then on


def nanoseconds(text):
    """A time of RFC 3339 as nanoseconds since the epoch."""
    whole, fraction = text.removesuffix("Z").split(".")
    seconds = (datetime.datetime.fromisoformat(whole) - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1)
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


def whole(text):
    return -0.0 if text == "-0" else int(text)


def repeated(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == 3


def wrapper(d):
    return d.full_name.startswith(WELL_KNOWN) and d.full_name.endswith("Value") and d.name not in ("Value", "ListValue")


def flattened(field, open_types):
    d = field.message_type
    return (d is not None and not repeated(field) and d.fields and d.full_name not in TIMES
            and not wrapper(d) and open_types.count(d.full_name) < RECURSION)


def spell_float(value, single):
    v = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[value] if isinstance(value, str) else float(value)
    return "NaN" if v != v else struct.pack("<f" if single else "<d", v).hex()


def spell_value(field, value, open_types):
    """One value of the library, as the cell of drivemill is spelled."""
    d = field.message_type
    if field.type == 12:
        return base64.b64encode(value).decode()
    if field.type in (1, 2):
        return spell_float(value, field.type == 2)
    if d is None:
        return value
    if d.full_name in TIMES:
        return value.seconds * 10**9 + value.nanos
    if wrapper(d):
        return spell_value(d.fields[0], value.value, open_types)
    if not d.fields:
        return True
    if open_types.count(d.full_name) >= RECURSION:
        return base64.b64encode(value.SerializeToString()).decode()
    return {k: v for f in d.fields for k, v in cells(f, value, open_types + [d.full_name])}


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def entry_cells(field, value, open_types):
    yield "value", spell_value(field, value, open_types)
    if field.enum_type is not None:
        yield "value_label", label(field, value)


def sort_map(entries):
    """Entries by key: the library does not keep their order, and of those with one key the last."""
    return [v for _, v in sorted({repr(e["key"]): e for e in entries}.items())]


def label(field, number):
    found = field.enum_type.values_by_number.get(number)
    return found.name if found else None


def cells(field, message, open_types):
    """The cells of one field, with its label where it is an enum."""
    name = field.name
    value = getattr(message, name)
    if is_map(field):
        entry = field.message_type.fields_by_name
        yield name, sort_map([{"key": spell_value(entry["key"], k, open_types), **dict(entry_cells(entry["value"], value[k], open_types))} for k in value])
        return
    if repeated(field):
        yield name, [spell_value(field, v, open_types) for v in value]
        if field.enum_type is not None:
            yield name + "_label", [label(field, v) for v in value]
        return
    there = not field.has_presence or message.HasField(name)
    yield name, spell_value(field, value, open_types) if there else None
    if field.enum_type is not None:
        yield name + "_label", label(field, value) if there else None


def flat(message, present, prefix, open_types):
    d = message.DESCRIPTOR
    open_types = open_types + [d.full_name]
    for field in d.fields:
        if flattened(field, open_types):
            yield from flat(getattr(message, field.name), present and message.HasField(field.name), f"{prefix}{field.name}.", open_types)
            continue
        for name, value in cells(field, message, open_types):
            yield prefix + name, value if present else None


def spell_row(d, row, prefix, open_types):
    """A row of drivemill, with floats and times spelled as above."""
    open_types = open_types + [d.full_name]
    for field in d.fields:
        name = prefix + field.name
        if flattened(field, open_types):
            yield from spell_row(field.message_type, row, name + ".", open_types)
            continue
        value = row.get(name, "is missing")
        if value is not None:
            value = spell_cells(field, value, open_types)
        yield name, value
        if field.enum_type is not None:
            yield name + "_label", row.get(name + "_label", "is missing")


def spell_cells(field, value, open_types):
    if not repeated(field):
        return spell_cell(field, value, open_types)
    value = [spell_cell(field, v, open_types) for v in value]
    return sort_map(value) if is_map(field) else value


def spell_cell(field, value, open_types):
    d = field.message_type
    if field.type in (1, 2):
        return spell_float(value, field.type == 2)
    if d is None or value is None:
        return value
    if d.full_name == WELL_KNOWN + "Timestamp":
        return nanoseconds(value)
    if wrapper(d):
        return spell_cell(d.fields[0], value, open_types)
    if not isinstance(value, dict):
        return value
    out = {}
    for f in d.fields:
        v = value.get(f.name, "is missing")
        if v is not None:
            v = spell_cells(f, v, open_types)
        out[f.name] = v
        if f.enum_type is not None:
            out[f.name + "_label"] = value.get(f.name + "_label", "is missing")
    return out


def compare_protobuf(decode, data, row):
    message = decode(data)
    want = dict(flat(message, True, "", []))
    return want, dict(spell_row(message.DESCRIPTOR, row, "", []))


def compare_json(data, row):
    """Members of objects are columns; what the schema does not name is in _extra."""
    body = {k: v for k, v in row.items() if v is not None and k not in ("_extra", "json")}
    if "json" in row:
        return json.loads(data), json.loads(row["json"])
    want = {}

    def walk(value, prefix):
        for k, v in value.items():
            if isinstance(v, dict) and prefix + k not in row:
                walk(v, f"{prefix}{k}.")
            elif v is not None:
                want[prefix + k] = v

    walk(json.loads(data), "")
    return want, body | json.loads(row.get("_extra") or "{}")


def read(path):
    """The messages of each topic in the order of log time, with the way to compare them."""
    schemas, channels, topics = {}, {}, {}
    factory = mcap_protobuf.decoder.DecoderFactory()
    with open(path, "rb") as f:
        for r in mcap.stream_reader.StreamReader(f, record_size_limit=None).records:
            if isinstance(r, mcap.records.Schema):
                schemas[r.id] = r
            elif isinstance(r, mcap.records.Channel):
                channels[r.id] = r
            elif isinstance(r, mcap.records.Message):
                channel = channels[r.channel_id]
                schema = schemas.get(channel.schema_id)
                pair = (channel.message_encoding, schema.encoding if schema else "")
                if pair == ("protobuf", "protobuf"):
                    decode = factory.decoder_for("protobuf", schema)
                    topics.setdefault(channel.topic, []).append((r.data, lambda data, row, d=decode: compare_protobuf(d, data, row)))
                elif pair in (("json", "jsonschema"), ("json", "")):
                    topics.setdefault(channel.topic, []).append((r.data, compare_json))
    return topics


def write_maps(path):
    """A recording of messages with maps of all kinds, by the library."""
    file = descriptor_pb2.FileDescriptorProto(name="maps.proto", package="t", syntax="proto3")
    types = descriptor_pb2.FieldDescriptorProto
    point = file.message_type.add(name="Point")
    point.field.add(name="x", number=1, type=types.TYPE_DOUBLE, label=types.LABEL_OPTIONAL)
    point.field.add(name="name", number=2, type=types.TYPE_STRING, label=types.LABEL_OPTIONAL)
    state = file.enum_type.add(name="State")
    for i, name in enumerate(("OFF", "ON")):
        state.value.add(name=name, number=i)
    maps = file.message_type.add(name="Maps")
    maps.field.add(name="seq", number=1, type=types.TYPE_UINT64, label=types.LABEL_OPTIONAL)
    kinds = [("counts", types.TYPE_STRING, types.TYPE_INT64, ""), ("points", types.TYPE_INT32, types.TYPE_MESSAGE, ".t.Point"),
             ("blobs", types.TYPE_BOOL, types.TYPE_BYTES, ""), ("states", types.TYPE_SFIXED64, types.TYPE_ENUM, ".t.State"), ("ratios", types.TYPE_UINT64, types.TYPE_FLOAT, "")]
    for i, (name, key, value, of) in enumerate(kinds):
        entry = maps.nested_type.add(name=name.capitalize() + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=key, label=types.LABEL_OPTIONAL)
        entry.field.add(name="value", number=2, type=value, label=types.LABEL_OPTIONAL, type_name=of or None)
        maps.field.add(name=name, number=i + 2, type=types.TYPE_MESSAGE, label=types.LABEL_REPEATED, type_name=f".t.Maps.{entry.name}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Maps"))
    rng = random.Random(7)
    with open(path, "wb") as f, mcap_protobuf.writer.Writer(f) as w:
        for i in range(200):
            m = cls(seq=i)
            for k in range(rng.randrange(5)):
                m.counts[rng.choice(["", "a", "é", "longer key"])] = rng.randrange(-2**63, 2**63)
                m.points[rng.randrange(-2, 3)].x = rng.choice([0, -0.0, math.nan, math.inf, rng.random()])
                m.blobs[rng.random() < 0.5] = rng.randbytes(k)
                m.states[rng.randrange(-2**63, 2**63)] = rng.randrange(4)
                m.ratios[2**64 - 1 - k] = rng.random()
            w.write_message("/maps", m, log_time=i, publish_time=i)


def main():
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "maps.mcap")
        write_maps(path)
        compare_files(report, "maps of protobuf, against mcap-protobuf-support", [path])
    root = os.environ.get("DRIVEMILL_CONFORMANCE")
    if not root:
        print("skip protobuf and json: DRIVEMILL_CONFORMANCE is not set")
        report.exit()
    compare_files(report, "messages in protobuf and json, against mcap-protobuf-support and json", sorted(glob.glob(f"{root}/mcap/*.mcap")))
    report.exit()


def compare_files(report, title, paths):
    files, messages, compared, out = 0, 0, 0, []
    for path in paths:
        name = pathlib.Path(path).name
        try:
            topics = read(path)
        except (mcap.exceptions.McapError, struct.error, ValueError) as e:
            print(f"       {name}: mcap refuses it: {type(e).__name__}: {e}")
            continue
        for topic, rows in topics.items():
            p = subprocess.run([sys.argv[1], "cat", "--inline", path, "--table", topic], capture_output=True)
            got = [json.loads(line, parse_int=whole) for line in p.stdout.decode().splitlines()]
            files += 1
            if len(got) != len(rows):
                out.append(f"{name}: {topic}: {len(got)} rows, want {len(rows)}: {p.stderr.decode().strip()}")
                continue
            for (data, compare), row in zip(rows, got):
                row = {k: v for k, v in row.items() if k not in ("_table", "log_time", "publish_time", "sequence")}
                want, have = compare(data, row)
                messages += 1
                compared += len(want)
                if want != have:
                    keys = [k for k in want.keys() | have.keys() if want.get(k) != have.get(k)]
                    out.append(f"{name}: {topic}: {keys[0]}: drivemill {str(have.get(keys[0]))[:150]}, python {str(want.get(keys[0]))[:150]}")
                    break
    if messages == 0:
        out.append("no message was read")
    report.check(title, f"{files} topics, {messages} messages, {compared} cells", out)


if __name__ == "__main__":
    main()
