"""Does one thing with an MDF4 recording, in one library, for measuring.

usage: peer.py TASK RECORDING FOLDER

Results go to FOLDER, as Parquet where the task says so.
"""

import pathlib
import sys


def asammdf_select(path, out):
    """Reads every channel, converted, and writes nothing."""
    from asammdf import MDF

    with MDF(path) as mdf:
        entries = [(None, g, c) for g, group in enumerate(mdf.groups) for c in range(len(group.channels))]
        assert sum(len(s) for s in mdf.select(entries, copy_master=False))


def asammdf_parquet(path, out):
    """Writes each group as a Parquet file. MDF.export would put all groups on one
    time base, with ten times the rows."""
    from asammdf import MDF

    with MDF(path) as mdf:
        write_groups(mdf, out)


def asammdf_dbc(path, out):
    """Decodes all frames with the database and writes the signals as Parquet."""
    from asammdf import MDF

    with MDF(path) as mdf, mdf.extract_bus_logging({"CAN": [("testdata/mdf4/can.dbc", 0)]}) as decoded:
        write_groups(decoded, out)


def write_groups(mdf, out):
    for g in range(len(mdf.groups)):
        mdf.get_group(g).to_parquet(out / f"{g}.parquet", compression="zstd")


def mdfr_export(path, out):
    import mdfr

    mdf = mdfr.Mdfr(path)
    mdf.load_all_channels_data_in_memory()
    mdf.export_to_parquet(str(out / "out"), "zstd")


def mf4_rs_read(path, out):
    """Reads every numeric channel, converted; the library itself writes no Parquet."""
    import mf4_rs
    import pyarrow
    import pyarrow.parquet

    mdf = mf4_rs.Mdf(path)
    for i, group in enumerate(mdf.groups):
        columns = {n: mdf.values(n, group=group.name) for n in group.channel_names}
        pyarrow.parquet.write_table(pyarrow.table(columns), out / f"{i}.parquet", compression="zstd")


TASKS = {"asammdf-select": asammdf_select, "asammdf": asammdf_parquet, "asammdf-dbc": asammdf_dbc, "mdfr": mdfr_export, "mf4-rs": mf4_rs_read}

if __name__ == "__main__":
    TASKS[sys.argv[1]](sys.argv[2], pathlib.Path(sys.argv[3]))
