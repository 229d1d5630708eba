"""Decodes a recording with a Python library and writes a Parquet file for each
topic with pyarrow, zstd, a column for each field.

usage: python_reader.py LIBRARY INPUT DIRECTORY

LIBRARY is mcap or rosbags. Where DIRECTORY is - nothing is written, only
decoded. Prints the number of messages.
"""

import functools
import pathlib
import sys

import pyarrow
import pyarrow.parquet

BATCH = 20_000


@functools.cache
def fields_of(cls):
    """The fields of a message class; none for other classes."""
    if cls.__module__ in ("builtins", "numpy"):
        return ()
    names = getattr(cls, "__dataclass_fields__", None) or getattr(cls, "__slots__", ())
    return tuple(n for n in names if not n.startswith("_"))


class Table:
    """Rows of one topic, as lists of values by column."""

    def __init__(self, path):
        self.path, self.columns, self.rows, self.writer = path, {}, 0, None

    def add(self, log_time, message):
        self.put("log_time", log_time)
        self.flatten("", message)
        self.rows += 1
        if self.rows % BATCH == 0:
            self.flush()

    def put(self, name, value):
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = []
        column.append(value)

    def flatten(self, prefix, message):
        for name in fields_of(type(message)):
            value = getattr(message, name)
            if fields_of(type(value)):
                self.flatten(f"{prefix}{name}.", value)
            else:
                self.put(prefix + name, value)

    def flush(self):
        if not self.columns or not self.columns["log_time"]:
            return
        batch = pyarrow.table(self.columns)
        if self.writer is None:
            self.writer = pyarrow.parquet.ParquetWriter(self.path, batch.schema, compression="zstd")
        self.writer.write_table(batch)
        self.columns = {}

    def close(self):
        self.flush()
        if self.writer is not None:
            self.writer.close()


def read_mcap(path):
    from mcap.reader import make_reader

    with open(path, "rb") as f:
        if path.name.startswith("ros2"):
            from mcap_ros2.decoder import DecoderFactory
        else:
            from mcap_ros1.decoder import DecoderFactory
        for _, channel, message, decoded in make_reader(f, decoder_factories=[DecoderFactory()]).iter_decoded_messages(log_time_order=False):
            yield channel.topic, message.log_time, decoded


def read_rosbags(path):
    from rosbags.rosbag1 import Reader
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS1_NOETIC)
    with Reader(path) as reader:
        for connection, time, raw in reader.messages():
            yield connection.topic, time, types.deserialize_ros1(raw, connection.msgtype)


def main():
    library, path, out = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    read = {"mcap": read_mcap, "rosbags": read_rosbags}[library]
    tables, count = {}, 0
    for topic, time, message in read(path):
        count += 1
        if out == "-":
            continue
        if topic not in tables:
            tables[topic] = Table(pathlib.Path(out) / (topic.strip("/").replace("/", "_") + ".parquet"))
        tables[topic].add(time, message)
    for table in tables.values():
        table.close()
    print(count)


if __name__ == "__main__":
    main()
