"""Writes the MDF4 recordings that readers are measured on, with asammdf.

usage: workloads.py FOLDER MEGABYTES, from the root of the repository

sorted.mf4   ten groups of a float64 master, four float64 and four int16 channels,
             the latter with linear conversions
deflate.mf4  the same in deflated blocks
can.mf4      frames of two CAN buses, unsorted, for testdata/mdf4/can.dbc
"""

import pathlib
import sys

import cantools
import numpy as np
from asammdf import MDF, Signal, Source

sys.path.insert(0, "testdata/mdf4")
from generate import header, unsort

GROUPS, RECORD = 10, 8 + 4 * 8 + 4 * 2


def noise(r, n):
    return np.round(np.cumsum(r.normal(size=n)), 3)


def groups(rows):
    r = np.random.default_rng(20260302)
    mdf = header(MDF(version="4.10"))
    for g in range(GROUPS):
        stamps = np.arange(rows) * 0.001 + g * 1e-5
        signals = [Signal(noise(r, rows), stamps, name=f"f{g}_{i}", unit="m") for i in range(4)]
        for i in range(4):
            raw = np.clip(noise(r, rows), -30000, 30000).astype("<i2")
            signals.append(Signal(raw, stamps, name=f"i{g}_{i}", unit="V", conversion={"a": 0.01, "b": -5.0}))
        mdf.append(signals, acq_name=f"group{g}")
    return mdf


def frames(path, count):
    r = np.random.default_rng(3)
    kinds = [("BusChannel", "u1"), ("ID", "<u4"), ("IDE", "u1"), ("DLC", "u1"), ("DataLength", "u1"), ("DataBytes", "(8,)u1"), ("Dir", "u1")]
    messages = cantools.database.load_file("testdata/mdf4/can.dbc").messages
    ids = np.array([m.frame_id for m in messages], "<u4")
    extended = np.array([m.is_extended_frame for m in messages])
    mdf = header(MDF(version="4.11"))
    for bus in (1, 2):
        table = np.zeros(count // 2, [(f"CAN_DataFrame.{n}", t) for n, t in kinds])
        which = r.integers(0, len(ids), count // 2)
        table["CAN_DataFrame.BusChannel"] = bus
        table["CAN_DataFrame.ID"] = ids[which]
        table["CAN_DataFrame.IDE"] = extended[which]
        table["CAN_DataFrame.DLC"] = table["CAN_DataFrame.DataLength"] = 8
        table["CAN_DataFrame.DataBytes"] = r.integers(0, 256, (count // 2, 8))
        source = Source(name=f"CAN{bus}", path=f"CAN{bus}", comment="", source_type=Source.SOURCE_BUS, bus_type=Source.BUS_TYPE_CAN)
        stamps = np.arange(count // 2) * 0.0005 + bus * 1e-5
        mdf.append(Signal(table, stamps, name="CAN_DataFrame", source=source), acq_name=f"CAN{bus}", acq_source=source)
    mdf.save(path, overwrite=True)
    mdf.close()
    unsort(path)


def main():
    folder, size = pathlib.Path(sys.argv[1]), int(float(sys.argv[2]) * 1e6)
    mdf = groups(size // GROUPS // RECORD)
    mdf.save(folder / "sorted.mf4", overwrite=True)
    mdf.save(folder / "deflate.mf4", overwrite=True, compression=1)
    mdf.close()
    frames(folder / "can.mf4", size // 4 // 27)
    for name in ("sorted", "deflate", "can"):
        print(f"{name}.mf4: {(folder / name).with_suffix('.mf4').stat().st_size / 1e6:.1f} MB", file=sys.stderr)


main()
