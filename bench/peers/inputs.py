"""Writes the messages of ros1.mcap in two other forms: ros1.bag, chunks in lz4,
and ros2.mcap, the same messages in CDR, chunks in zstd.

usage: inputs.py DIRECTORY
"""

import pathlib
import sys

from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from rosbags.rosbag1 import Writer as BagWriter
from rosbags.typesys import Stores, get_typestore

CHUNK = 4 << 20


def ros2_name(name):
    package, message = name.split("/")
    return f"{package}/msg/{message}"


def main():
    work = pathlib.Path(sys.argv[1])
    ros1, ros2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_JAZZY)
    bag = BagWriter(work / "ros1.bag")
    bag.set_compression(BagWriter.CompressionFormat.LZ4)
    with open(work / "ros1.mcap", "rb") as source, open(work / "ros2.mcap", "wb") as target, bag:
        mcap = Writer(target, chunk_size=CHUNK, compression=CompressionType.ZSTD)
        mcap.start("ros2")
        connections, channels = {}, {}
        for schema, channel, message in make_reader(source).iter_messages(log_time_order=False):
            name = ros2_name(schema.name)
            if channel.id not in channels:
                connections[channel.id] = bag.add_connection(channel.topic, name, typestore=ros1)
                text, _ = ros2.generate_msgdef(name, ros_version=2)
                channels[channel.id] = mcap.register_channel(
                    channel.topic, "cdr", mcap.register_schema(name, "ros2msg", text.encode())
                )
            bag.write(connections[channel.id], message.log_time, message.data)
            mcap.add_message(
                channels[channel.id],
                log_time=message.log_time,
                publish_time=message.publish_time,
                sequence=message.sequence,
                data=bytes(ros2.ros1_to_cdr(message.data, name)),
            )
        mcap.finish()


if __name__ == "__main__":
    main()
