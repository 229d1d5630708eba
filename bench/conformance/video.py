"""Plays the clips and frames that drivemill writes with FFmpeg's decoders.

usage: video.py DRIVEMILL, from the root of the repository

x264 and x265 encode clips of several shapes, which go into an MCAP file packet
by packet. What drivemill makes of it has to decode to the pixels that the
packets decode to, at the times of their messages; offset and size in the index
have to name the sample. Frames of the sample camera have to be its pixels.
"""

import base64
import fractions
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

import av
import mcap.writer
import numpy

from report import Report

DEFINITION = """Header header
string format
uint8[] data
================================================================================
MSG: std_msgs/Header
uint32 seq
time stamp
string frame_id
"""
START = 1_772_442_000_000_000_000
CLIPS = {
    "h264_plain": ("libx264", 64, 48, "yuv420p", {"tune": "zerolatency", "g": "5"}),
    "h264_high422": ("libx264", 100, 50, "yuv422p", {"tune": "zerolatency", "profile": "high422", "g": "7"}),
    "h264_sliced": ("libx264", 320, 240, "yuv420p", {"tune": "zerolatency", "g": "4", "x264-params": "slices=4:aud=1"}),
    "h265_plain": ("libx265", 64, 64, "yuv420p", {"tune": "zerolatency", "x265-params": "log-level=none:bframes=0:keyint=5:repeat-headers=1"}),
    "h265_ten_bits": ("libx265", 100, 50, "yuv422p10le", {"tune": "zerolatency", "x265-params": "log-level=none:bframes=0:keyint=6:repeat-headers=1:aud=1"}),
}


def encode(codec, width, height, pixels, options):
    c = av.CodecContext.create(codec, "w")
    c.width, c.height, c.pix_fmt, c.time_base, c.options = width, height, pixels, fractions.Fraction(1, 30), options
    c.gop_size = int(options.get("g", 5))
    noise = numpy.random.default_rng(7)
    packets = []
    for i in range(20):
        picture = noise.integers(0, 255, (height, width, 3), dtype=numpy.uint8) // 2 + 5 * i
        frame = av.VideoFrame.from_ndarray(picture.astype(numpy.uint8), format="rgb24").reformat(format=pixels)
        frame.pts = i
        packets += c.encode(frame)
    return [bytes(p) for p in packets + c.encode(None)]


def decode(codec, packets):
    c = av.CodecContext.create(codec, "r")
    frames = []
    for p in packets:
        frames += c.decode(av.Packet(p))
    return [f.to_ndarray() for f in frames + c.decode(None)]


def text(s):
    return struct.pack("<I", len(s)) + s


def main():
    drivemill = os.path.abspath(sys.argv[1])
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        times = [START + i * 33_333_333 + (i % 3) * 1_000_000 for i in range(20)]
        clips = {name: encode(*how) for name, how in CLIPS.items()}
        with open(f"{work}/clips.mcap", "wb") as f:
            w = mcap.writer.Writer(f)
            w.start(profile="ros1")
            schema = w.register_schema("sensor_msgs/CompressedImage", "ros1msg", DEFINITION.encode())
            for name, packets in clips.items():
                channel = w.register_channel("/" + name, "ros1", schema)
                for i, p in enumerate(packets):
                    stamp = struct.pack("<III", i, times[i] // 10**9, times[i] % 10**9)
                    w.add_message(channel, times[i], stamp + text(b"cam") + text(name[:4].encode()) + text(p), times[i])
            w.finish()
        with open(f"{work}/clips.yaml", "w") as f:
            f.write(f"pipeline: clips\ninputs:\n  in: {{uri: {work}/*.mcap}}\noutputs:\n  out: {{use: video, from: in, uri: {work}/lake}}\n")
        subprocess.run([drivemill, "run", "--progress", "none", f"{work}/clips.yaml"], check=True, stdout=subprocess.DEVNULL)
        for name, packets in clips.items():
            differences = []
            (file,) = glob.glob(f"{work}/lake/{name}_objects/*/*.mp4")
            want = decode({"h264": "h264", "h265": "hevc"}[name[:4]], packets)
            container = av.open(file)
            got = list(container.decode(video=0))
            if len(got) != len(want) or any(not numpy.array_equal(a.to_ndarray(), b) for a, b in zip(got, want)):
                differences.append(f"{len(got)} frames are not the {len(want)} of the packets")
            if [g.pts for g in got] != [(t - START) // 1000 for t in times]:
                differences.append(f"times {[g.pts for g in got]}")
            data = open(file, "rb").read()
            rows = subprocess.run([drivemill, "cat", *glob.glob(f"{work}/lake/{name}/*/*.parquet")], check=True, capture_output=True).stdout
            container.close()
            container = av.open(file)
            samples = [bytes(p) for p in container.demux(video=0) if p.size]
            index = [json.loads(line) for line in rows.splitlines()]
            if [data[r["offset"]:r["offset"] + r["size"]] for r in index] != samples:
                differences.append("the index names other bytes than the samples")
            report.check(name, f"{len(got)} frames", differences)
        frames(drivemill, work, report)
    report.exit()


def frames(drivemill, work, report):
    pipeline = "testdata/pipelines/sensors.yaml"
    sets = [x for o in ("lake", "frames", "clips") for x in ("--set", f"outputs.{o}.uri={work}/sensors")]
    subprocess.run([drivemill, "run", "--progress", "none", *sets, pipeline], check=True, stdout=subprocess.DEVNULL)
    for table, twin in (("raw", "camera_image"), ("jpeg", "camera_jpeg")):
        want = [json.loads(line) for line in open(f"testdata/sensors/expected/{twin}.ndjson")]
        differences = []
        n = 0
        for directory in sorted(glob.glob(f"{work}/sensors/{table}_objects/*/*")):
            for i, name in enumerate(sorted(os.listdir(directory))):
                n += 1
                data = base64.b64decode(want[i]["data"])
                path = os.path.join(directory, name)
                if table == "jpeg":
                    same = open(path, "rb").read() == data
                else:
                    (got,) = av.open(path).decode(video=0)
                    lines = numpy.frombuffer(data, numpy.uint8).reshape(want[i]["height"], want[i]["step"])
                    same = numpy.array_equal(got.to_ndarray(format="rgb24"), lines[:, :3 * want[i]["width"]].reshape(want[i]["height"], want[i]["width"], 3))
                if not same:
                    differences.append(f"{name} is another picture")
        if n != 2 * len(want):
            differences.append(f"{n} objects for {2 * len(want)} messages")
        report.check(table, f"{n} objects", differences)


if __name__ == "__main__":
    main()
