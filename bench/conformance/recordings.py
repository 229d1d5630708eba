"""Decodes recordings with Python's libraries and compares with drivemill cat.

usage: recordings.py DRIVEMILL, from the root of the repository

Reads the sample drives and, below $DRIVEMILL_CONFORMANCE, every file of mcap/
and ros1_bag/. The containers are read by mcap and rosbags, messages by rosbags
and, in MCAP, by mcap-ros1-support and mcap-ros2-support as well. All rows are
compared, cell by cell; a file or table that is not is named with the reason.
"""

import base64
import datetime
import glob
import json
import math
import os
import pathlib
import struct
import subprocess
import sys

import mcap.exceptions
import mcap.records
import mcap.stream_reader
import mcap_ros1.decoder
import mcap_ros2.decoder
from rosbags.interfaces import Nodetype
from rosbags.rosbag1 import Reader, ReaderError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from report import Report

EPOCH = datetime.datetime(1970, 1, 1)
ENVELOPE = {"log_time", "publish_time", "sequence"}
DECODED = {("ros1", "ros1msg"), ("cdr", "ros2msg")}
ELSEWHERE = {("protobuf", "protobuf"), ("json", "jsonschema"), ("json", "")}  # encodings.py compares these

NOTHING = "d41d8cd98f00b204e9800998ecf8427e"  # MD5 sum of a definition without fields

# Files on which a library is wrong, and how. One that agrees after all fails.
WRONG = {
    ("bcharrow__matlab_rosbag__test__constants.bag", "/constants"): "rosbags takes constants in lower case for fields",
}


def nanoseconds(text):
    whole, fraction = text.removesuffix("Z").split(".")
    seconds = (datetime.datetime.fromisoformat(whole) - EPOCH) // datetime.timedelta(seconds=1)
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


class Messages:
    """A message type, as rosbags parses it; spells its values for comparison."""

    def __init__(self, name, text, ros1):
        self.ros1 = ros1
        pkg, _, rest = name.partition("/")
        self.name = f"{pkg}/msg/{rest.removeprefix('msg/')}"
        self.store = get_typestore(Stores.EMPTY)
        types = get_types_from_msg(text, self.name)
        self.store.register({k: v for k, v in types.items() if k not in self.store.fielddefs})
        list(self.leaves())  # a type that is not there is a KeyError

    def decode(self, data):
        return self.store.deserialize_ros1(data, self.name) if self.ros1 else self.store.deserialize_cdr(data, self.name)

    def fields(self, name):
        return [(n, d) for n, d in self.store.fielddefs[name][1] if n != "structure_needs_at_least_one_member"]

    def leaves(self, name=None, prefix=""):
        """Columns of the flat table: nesting that does not repeat is dotted."""
        for field, (kind, arg) in self.fields(name or self.name):
            if kind == Nodetype.NAME and not is_time(arg):
                yield from self.leaves(arg, f"{prefix}{field}.")
            else:
                yield prefix + field

    def spell(self, value, name=None):
        return [spell_node(self, desc, member(value, field)) for field, desc in self.fields(name or self.name)]


def is_time(name):
    return name.startswith("builtin_interfaces/msg/")


def member(value, field):
    """A field of a decoded message, or of a row: {"a.b": 1} has the field a."""
    if not isinstance(value, dict):
        return getattr(value, field if hasattr(value, field) else field + "_")
    if field in value:
        return value[field]
    return {k[len(field) + 1:]: v for k, v in value.items() if k.startswith(field + ".")}


def spell_node(types, desc, value):
    kind, arg = desc
    if kind == Nodetype.BASE:
        return spell_base(arg[0], value)
    if kind == Nodetype.NAME:
        return spell_time(value) if is_time(arg) else types.spell(value, arg)
    element = arg[0]
    if isinstance(value, str) and element[0] == Nodetype.BASE and element[1][0] in ("uint8", "octet", "char", "byte"):
        value = base64.b64decode(value)
    return [spell_node(types, element, v) for v in value]


def spell_base(name, value):
    if name == "bool":
        return bool(value)
    if name in ("string", "wstring"):
        return value.decode() if isinstance(value, bytes) else value
    if name in ("float32", "float64"):
        v = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value, value) if isinstance(value, str) else float(value)
        return "NaN" if v != v else struct.pack("<f" if name == "float32" else "<d", v).hex()
    if isinstance(value, bytes):
        value = value[0]
    # byte is signed in ROS 1 and unsigned in ROS 2; libraries differ.
    return int(value) % 256 if name in ("octet", "byte", "char") else int(value)


def spell_time(value):
    if isinstance(value, str):
        return nanoseconds(value)
    if isinstance(value, int):
        return value
    if isinstance(value, datetime.datetime):
        raise TypeError("a time without nanoseconds")
    for sec, nsec in (("sec", "nanosec"), ("secs", "nsecs")):
        if hasattr(value, sec):
            return int(getattr(value, sec)) * 10**9 + int(getattr(value, nsec))
    raise TypeError(f"what time is {value!r}")


def whole(text):
    return -0.0 if text == "-0" else int(text)


def cat(drivemill, path):
    p = subprocess.run([drivemill, "cat", "--inline", path], capture_output=True)
    rows = [json.loads(line, parse_int=whole) for line in p.stdout.decode().splitlines()]
    return p.returncode, rows, p.stderr.decode().strip()


class Topic:
    def __init__(self, types, ros):
        self.types = types  # None: rows stay bytes
        self.ros = ros  # decodes the same once more, with another library
        self.rows = []
        self.why = ""
        self.elsewhere = False


def read_mcap(path):
    """Returns the messages by topic, in the order of the file."""
    topics, schemas, channels = {}, {}, {}
    with open(path, "rb") as f:
        for r in mcap.stream_reader.StreamReader(f, record_size_limit=None).records:
            if isinstance(r, mcap.records.Schema):
                schemas[r.id] = r
            elif isinstance(r, mcap.records.Channel):
                channels[r.id] = r
            elif isinstance(r, mcap.records.Message):
                channel = channels[r.channel_id]
                schema = schemas.get(channel.schema_id)
                key = (channel.topic, channel.message_encoding, schema.data if schema else b"")
                if key not in topics:
                    topics[key] = make_topic(channel, schema)
                topics[key].rows.append(({"log_time": r.log_time, "publish_time": r.publish_time, "sequence": r.sequence}, r.data))
    return topics


def make_topic(channel, schema):
    pair = (channel.message_encoding, schema.encoding if schema else "")
    t = Topic(None, None)
    t.elsewhere = pair in ELSEWHERE
    if pair not in DECODED:
        t.why = f"message encoding {pair[0]!r} with schema encoding {pair[1]!r} stays bytes"
        return t
    factory = {"ros1": mcap_ros1.decoder, "cdr": mcap_ros2.decoder}[pair[0]].DecoderFactory()
    try:
        t.types = Messages(schema.name, schema.data.decode(), pair[0] == "ros1")
    except (TypesysError, UnicodeDecodeError, KeyError) as e:
        t.why = f"rosbags cannot read {schema.name} ({type(e).__name__}: {e})"
        return t
    try:
        t.ros = factory.decoder_for(channel.message_encoding, schema)
    except Exception as e:  # the libraries raise whatever their parsers do
        t.why = f"only rosbags reads {schema.name}: {type(e).__name__}"
    return t


def read_bag(path):
    topics = {}
    with Reader(path) as bag:
        for connection, stamp, data in bag.messages():
            key = (connection.topic, "ros1", connection.msgdef.data)
            if key not in topics:
                t = topics[key] = Topic(None, None)
                try:
                    if not connection.msgdef.data.strip() and connection.digest != NOTHING:
                        raise KeyError("no definition")
                    t.types = Messages(connection.msgtype, connection.msgdef.data, True)
                except (TypesysError, KeyError) as e:
                    t.why = f"rosbags cannot read {connection.msgtype} ({type(e).__name__}: {e})"
            topics[key].rows.append(({"log_time": stamp}, bytes(data)))
    return topics


def compare_topic(name, topic, rows):
    """Returns cells compared and differences. Readers differ in how they order
    equal log times, so rows are compared as sorted."""
    out, cells = [], 0
    if len(rows) != len(topic.rows):
        return 0, [f"{name}: {len(rows)} rows, want {len(topic.rows)}"]
    if not rows:
        return 0, []
    raw = topic.types is None
    envelope = set(topic.rows[0][0])
    columns = {"data"} if raw else set(topic.types.leaves())
    if set(rows[0]) - {"_table"} != envelope | columns:
        return 0, [f"{name}: columns {sorted(set(rows[0]) - {'_table'})}, want {sorted(envelope | columns)}"]
    got, want, again = [], [], []
    for row in rows:
        head = [nanoseconds(row[k]) if k.endswith("_time") else row[k] for k in sorted(envelope)]
        body = {k: v for k, v in row.items() if k not in envelope and k != "_table"}
        got.append(head + ([base64.b64decode(body["data"]).hex()] if raw else topic.types.spell(body)))
    for head, data in topic.rows:
        head = [head[k] for k in sorted(envelope)]
        want.append(head + ([data.hex()] if raw else topic.types.spell(topic.types.decode(data))))
        if topic.ros:
            again.append(head + topic.types.spell(topic.ros(data)))
    cells = len(rows) * (len(envelope) + len(columns))
    for library, reference in ((topic.why and "mcap" or "rosbags", want), ("mcap-ros", again)):
        if not reference:
            continue
        for g, w in zip(sorted(got, key=repr), sorted(reference, key=repr)):
            if g != w:
                out.append(f"{name}: drivemill {str(g)[:200]}, {library} {str(w)[:200]}")
                break
    return cells, out


def compare_file(drivemill, path, label, notes):
    """Returns rows and cells compared, and differences; None where the file is no common ground."""
    code, rows, errors = cat(drivemill, path)
    try:
        topics = read_bag(path) if path.endswith(".bag") else read_mcap(path)
    except (ReaderError, mcap.exceptions.McapError, struct.error, AssertionError, ValueError) as e:
        notes.append(f"{label}: {'mcap' if path.endswith('.mcap') else 'rosbags'} refuses it: {type(e).__name__}: {e}; drivemill: exit {code}, {len(rows)} rows")
        return None
    if code != 0:
        return 0, 0, [f"{label}: drivemill: exit {code}: {errors}"]
    by_table = {}
    for row in rows:
        by_table.setdefault(row.get("_table"), []).append(row)
    if None in by_table:
        names = {k[0] for k in topics}
        if len(names) > 1:
            return 0, 0, [f"{label}: one table, want {sorted(names)}"]
        by_table = {name: by_table[None] for name in names}
    cells, out = 0, []
    names = [k[0] for k in topics]
    for key, topic in topics.items():
        name = f"{label}: {key[0]}"
        if names.count(key[0]) > 1:
            n = sum(len(v) for k, v in by_table.items() if k == key[0] or k.startswith(key[0]))
            want = sum(len(t.rows) for k, t in topics.items() if k[0] == key[0])
            notes.append(f"{name}: several definitions on one topic: only rows are counted")
            if n != want:
                out.append(f"{name}: {n} rows, want {want}")
            continue
        if topic.elsewhere:
            by_table.pop(key[0], None)
            notes.append(f"{name}: {key[1]} is compared by encodings.py")
            continue
        if topic.why:
            notes.append(f"{name}: {topic.why}")
        c, diff = compare_topic(name, topic, by_table.pop(key[0], []))
        reason = WRONG.get((pathlib.Path(path).name, key[0]))
        if reason:
            notes.append(f"{name}: {reason}")
            diff = [] if diff else [f"{name}: there is no difference any more: {reason}"]
        cells += c
        out += diff
    out += [f"{label}: table {t} is not in the recording" for t in by_table if not any(t.startswith(n) for n in names)]
    return len(rows), cells, out


def check_files(report, drivemill, title, paths):
    files, rows, cells, out, notes = 0, 0, 0, [], []
    for path in paths:
        label = pathlib.Path(path).name if "conformance" in path else path
        result = compare_file(drivemill, path, label, notes)
        if result:
            files += 1
            rows += result[0]
            cells += result[1]
            out += result[2]
    if files == 0:
        out.append("no file was read")
    report.check(title, f"{files} of {len(paths)} files, {rows} rows, {cells} cells", out)
    return notes


def say(notes):
    for text in notes:
        print(f"       {text}")


def main():
    drivemill = sys.argv[1]
    report = Report()
    say(check_files(report, drivemill, "the sample drives, against rosbags and mcap",
                    sorted(glob.glob("testdata/drives/*/*/*.bag") + glob.glob("testdata/drives/*/*/*.mcap"))))
    root = os.environ.get("DRIVEMILL_CONFORMANCE")
    if not root:
        print("skip real recordings: DRIVEMILL_CONFORMANCE is not set")
        report.exit()
    say(check_files(report, drivemill, "ros1_bag, against rosbags", sorted(glob.glob(f"{root}/ros1_bag/**/*.bag", recursive=True))))
    say(check_files(report, drivemill, "mcap, against rosbags and mcap", sorted(glob.glob(f"{root}/mcap/*.mcap"))))
    suite = sorted(p for p in glob.glob(f"{root}/mcap/**/*.mcap", recursive=True) if pathlib.Path(p).parent != pathlib.Path(root, "mcap"))
    notes = check_files(report, drivemill, "the conformance suite of MCAP, against mcap", suite)
    kinds = {}
    for text in notes:
        kinds.setdefault(text.split(": ", 1)[1], []).append(text)
    say(f"{len(v)} files: {k}" for k, v in kinds.items())
    report.exit()


if __name__ == "__main__":
    main()
