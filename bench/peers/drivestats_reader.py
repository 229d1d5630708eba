"""Turns the daily CSV files of a month into Parquet with one library.

usage: drivestats_reader.py ENGINE MONTH OUTPUT CORES [MEMORY]

Types are declared, pages are compressed with zstd at level 3, and each day is a
file of its own. MEMORY is DuckDB's limit, such as 400MB.
"""

import os
import pathlib
import sys

LEVEL = 3
TEXT = {"serial_number", "model", "datacenter", "cluster_id", "vault_id", "pod_id"}


def kinds(path):
    """The kind of each column, by name, in the order of the header."""
    with open(path) as f:
        names = f.readline().strip().split(",")
    return {n: "date" if n == "date" else "text" if n in TEXT else "small" if n == "failure" else "integer" for n in names}


def duckdb_session(cores, memory, spill):
    import duckdb

    con = duckdb.connect()
    con.execute(f"set threads = {cores}")
    con.execute("set preserve_insertion_order = false")
    con.execute(f"set temp_directory = '{spill}'")
    if memory:
        con.execute(f"set memory_limit = '{memory}'")
    return con


def duckdb_source(paths):
    types = {"date": "DATE", "text": "VARCHAR", "small": "INTEGER", "integer": "BIGINT"}
    columns = ", ".join(f"'{n}': '{types[k]}'" for n, k in kinds(paths[0]).items())
    files = ", ".join(f"'{p}'" for p in paths)
    return f"read_csv([{files}], header = true, delim = ',', quote = '\"', auto_detect = false, columns = {{{columns}}})"


def duckdb_days(paths, out, cores, memory):
    con = duckdb_session(cores, memory, out.parent / "spill")
    for p in paths:
        con.execute(f"copy (select * from {duckdb_source([p])}) to '{out / p.stem}.parquet' (format parquet, compression zstd, compression_level {LEVEL})")


def duckdb_partitioned(paths, out, cores, memory):
    con = duckdb_session(cores, memory, out.parent / "spill")
    con.execute(f"copy (select * from {duckdb_source(paths)}) to '{out}' (format parquet, compression zstd, compression_level {LEVEL}, partition_by (date), write_partition_columns true, overwrite_or_ignore)")


def polars_days(paths, out, cores, _):
    os.environ["POLARS_MAX_THREADS"] = str(cores)
    import polars as pl

    types = {"date": pl.Date, "text": pl.String, "small": pl.Int32, "integer": pl.Int64}
    for p in paths:
        schema = {n: types[k] for n, k in kinds(p).items()}
        pl.scan_csv(p, schema=schema).sink_parquet(out / f"{p.stem}.parquet", compression="zstd", compression_level=LEVEL)


def pyarrow_days(paths, out, cores, _):
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    pa.set_cpu_count(cores)
    types = {"date": pa.date32(), "text": pa.string(), "small": pa.int32(), "integer": pa.int64()}
    for p in paths:
        convert = pa.csv.ConvertOptions(column_types={n: types[k] for n, k in kinds(p).items()}, strings_can_be_null=True, null_values=[""])
        with pa.csv.open_csv(p, convert_options=convert, read_options=pa.csv.ReadOptions(block_size=8 << 20)) as batches:
            with pa.parquet.ParquetWriter(out / f"{p.stem}.parquet", batches.schema, compression="zstd", compression_level=LEVEL) as writer:
                for batch in batches:
                    writer.write_batch(batch)


ENGINES = {"duckdb-days": duckdb_days, "duckdb-partitioned": duckdb_partitioned, "polars": polars_days, "pyarrow": pyarrow_days}


def main():
    engine, month, out, cores, *memory = sys.argv[1:]
    paths = sorted(pathlib.Path(month).glob("*.csv"))
    ENGINES[engine](paths, pathlib.Path(out), int(cores), memory[0] if memory else None)


if __name__ == "__main__":
    main()
