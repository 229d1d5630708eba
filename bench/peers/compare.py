"""Compares drivemill with other readers of MCAP and bags.

usage: compare.py DIRECTORY ROUNDS

DIRECTORY holds ros1.mcap, ros2.mcap, ros1.bag, and the commands drivemill and
decode.
"""

import os
import pathlib
import sys

from measure import compare

# What is not measured. "Not tried" means that nobody has run it here.
ABSENT = [
    ("mcap (command line, Go)", "its module cannot be installed with go install; it prints messages as JSON and writes no Parquet"),
    ("mcap2arrow 0.3.0 (Rust crate)", "reads no message of another inside from ros2msg definitions: unresolved type std_msgs::msg::Header"),
    ("embag (C++)", "no wheel for this Python"),
    ("kappe, robologs-ros-utils, bagpy (Python)", "not tried; by their descriptions they make MCAP, images or CSV"),
    ("pybag-sdk (Python)", "not tried; by its description it reads and writes recordings"),
    ("converters from npm", "not tried; none was found by description that writes Parquet"),
]

PIPELINE = """
pipeline: peers
inputs:
  drives: {{uri: "{source}", clock: [header, log]}}
outputs:
  lake: {{use: parquet, from: drives, uri: "{lake}"}}
"""


def main():
    work, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    here = pathlib.Path(__file__).parent
    out = work / "out"

    def drivemill(name):
        path = work / f"{name}.yaml"
        path.write_text(PIPELINE.format(source=work / name, lake=out))
        return ["drivemill run", [work / "drivemill", "run", "--progress", "none", path], out]

    def python(library, source, target):
        return [sys.executable, here / "python_reader.py", library, work / source, target]

    for cores in (1, min(2, os.cpu_count())):
        compare("MCAP, ros1, zstd, to Parquet", [
            drivemill("ros1.mcap"),
            ("mcap, mcap-ros1-support, pyarrow (Python)", python("mcap", "ros1.mcap", out), out),
        ], rounds, cores)
        compare("MCAP, CDR, zstd, to Parquet", [
            drivemill("ros2.mcap"),
            ("rerun mcap convert (Rust; to its own format)",
             [pathlib.Path(sys.executable).parent / "rerun", "mcap", "convert", work / "ros2.mcap", "-o", out / "all.rrd"], out),
            ("mcap, mcap-ros2-support, pyarrow (Python)", python("mcap", "ros2.mcap", out), out),
        ], rounds, cores)
        compare("Bag, lz4, to Parquet", [
            drivemill("ros1.bag"),
            ("rosbags, pyarrow (Python)", python("rosbags", "ros1.bag", out), out),
        ], rounds, cores)
        compare("MCAP, ros1, zstd, decoded only", [
            ("drivemill, decoder", [work / "decode", work / "ros1.mcap"], None),
            ("mcap, mcap-ros1-support (Python)", python("mcap", "ros1.mcap", "-"), None),
        ], rounds, cores)
        compare("Bag, lz4, decoded only", [
            ("drivemill, decoder", [work / "decode", work / "ros1.bag"], None),
            ("rosbags (Python)", python("rosbags", "ros1.bag", "-"), None),
        ], rounds, cores)
    print("\nNot measured:\n")
    for name, reason in ABSENT:
        print(f"- {name}: {reason}")


if __name__ == "__main__":
    main()
