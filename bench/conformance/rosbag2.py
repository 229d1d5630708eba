"""Decodes rosbag2 recordings with rosbags and compares with drivemill cat.

usage: rosbag2.py DRIVEMILL, from the root of the repository

Reads the sample drive and, below $DRIVEMILL_CONFORMANCE, every folder of
rosbag2/ with a metadata.yaml and every storage file, alone. Files that rosbags
does not open are named; databases among them are read with SQLite, and at least
times and bytes of messages that drivemill does not decode are compared.
"""

import glob
import json
import os
import pathlib
import sqlite3
import subprocess
import sys

from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_typestore

from recordings import Messages, Topic, compare_topic, say, whole
from report import Report

HUMBLE = get_typestore(Stores.ROS2_HUMBLE)

# Topics of which only rows are counted.
APART = {
    ("talker.db3", "/rosout"): "the definition in the recording is not that of the messages",
    ("cdr_test", "/array_topic"): "a fixed array of messages without fields makes no column",
    ("cdr_test_0.mcap", "/array_topic"): "a fixed array of messages without fields makes no column",
    ("cdr_test_0.db3", "/array_topic"): "a fixed array of messages without fields makes no column",
}


class Builtin(Messages):
    """A type of rosbags' own list, for recordings without definitions."""

    def __init__(self, name):
        self.ros1, self.name, self.store = False, name, HUMBLE
        list(self.leaves())


def types_of(connection):
    name, text = connection.msgtype, connection.msgdef.data
    if text:
        return Messages(name, text, False)
    return Builtin(name)


def read_rosbags(path):
    topics = {}
    with Reader(path) as bag:
        for c in bag.connections:
            t = topics.setdefault(c.topic, Topic(None, None))
            try:
                t.types = types_of(c)
            except (TypesysError, KeyError) as e:
                t.why = f"rosbags does not know {c.msgtype} ({type(e).__name__})"
        for c, stamp, data in bag.messages():
            topics[c.topic].rows.append(({"log_time": stamp}, bytes(data)))
        if bag.message_count and not any(t.rows for t in topics.values()):
            raise ReaderError(f"it finds none of {bag.message_count} messages")
    return topics


def read_sqlite(path):
    topics = {}
    db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    for name, stamp, data in db.execute("SELECT t.name, m.timestamp, m.data FROM messages m JOIN topics t ON t.id = m.topic_id ORDER BY m.id"):
        topics.setdefault(name, Topic(None, None)).rows.append(({"log_time": stamp}, data))
    return topics


def compare(drivemill, path, notes):
    label = pathlib.Path(path).name
    p = subprocess.run([drivemill, "cat", "--inline", path], capture_output=True)
    rows = [json.loads(line, parse_int=whole) for line in p.stdout.decode().splitlines()]
    by_table = {}
    for row in rows:
        row.pop("publish_time", None)
        row.pop("sequence", None)
        by_table.setdefault(row.pop("_table", None), []).append(row)
    try:
        topics = read_rosbags(pathlib.Path(path))
    except (ReaderError, AssertionError, KeyError, ValueError, TypesysError) as e:
        notes.append(f"{path}: rosbags refuses it: {type(e).__name__}: {e}; drivemill: exit {p.returncode}, {len(rows)} rows")
        if not path.endswith(".db3"):
            return None
        topics = read_sqlite(path)
    if None in by_table:
        by_table = {name: by_table[None] for name, t in topics.items() if t.rows} or by_table
    cells, out = 0, []
    for name, topic in topics.items():
        got = by_table.pop(name, [])
        apart = APART.get((label, name))
        if apart or topic.types is None and got and "data" not in got[0]:
            notes.append(f"{path}: {name}: only rows are counted: {apart or topic.why or 'read with SQLite'}")
            if len(got) != len(topic.rows) and (got or not apart):
                out.append(f"{path}: {name}: {len(got)} rows, want {len(topic.rows)}")
            continue
        if got and set(got[0]) == {"log_time", "data"} and topic.types is not None and set(topic.types.leaves()) != {"data"}:
            notes.append(f"{path}: {name}: not decoded by drivemill")
            topic.types = None
        try:
            c, diff = compare_topic(f"{path}: {name}", topic, got)
        except SerdeError as e:
            notes.append(f"{path}: {name}: rosbags does not decode it alone: {e}")
            continue
        cells += c
        out += diff
    out += [f"{path}: table {t} is not in the recording" for t in by_table]
    return len(rows), cells, out


def main():
    drivemill = sys.argv[1]
    report = Report()
    root = os.environ.get("DRIVEMILL_CONFORMANCE")
    groups = [("the sample drive as rosbag2, against rosbags", ["testdata/drives/v04/20260302T081500Z/roof"])]
    if root:
        found = glob.glob(f"{root}/rosbag2/**", recursive=True)
        groups.append(("rosbag2 folders, against rosbags", sorted(str(pathlib.Path(p).parent) for p in found if p.endswith("metadata.yaml"))))
        groups.append(("rosbag2 files, against rosbags and SQLite", sorted(p for p in found if p.endswith((".db3", ".mcap")))))
    for title, paths in groups:
        files, rows, cells, out, notes = 0, 0, 0, [], []
        for path in paths:
            result = compare(drivemill, path, notes)
            if result:
                files, rows, cells = files + 1, rows + result[0], cells + result[1]
                out += result[2]
        if files == 0:
            out.append("no file was read")
        report.check(title, f"{files} of {len(paths)} read by both, {rows} rows, {cells} cells", out)
        say(notes)
    report.exit()


if __name__ == "__main__":
    main()
