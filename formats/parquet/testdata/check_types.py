"""Reads Parquet files with pyarrow and with DuckDB and compares every value.

usage: check_types.py DIRECTORY

For each NAME.parquet in the directory NAME.json holds the expected rows: a
list of columns, each {"name": ..., "values": [...]}, a value being null, a
string or a list of values. Strings spell integers, decimals (without their
point), dates, times and durations in decimal, floats as the hex digits of
their bits, texts as "s:" and the text, bytes as "b:" and hex digits.
"""

import decimal
import json
import pathlib
import struct
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

decimal.getcontext().prec = 60


def spell(value, typ):
    if value is None:
        return None
    if pa.types.is_list(typ) or pa.types.is_large_list(typ) or pa.types.is_fixed_size_list(typ):
        return [spell(v, typ.value_type) for v in value]
    if pa.types.is_struct(typ):
        return [spell(value[f.name], f.type) for f in typ]
    if pa.types.is_float32(typ):
        return "f%08x" % struct.unpack("<I", struct.pack("<f", value))[0]
    if pa.types.is_float64(typ):
        return "d%016x" % struct.unpack("<Q", struct.pack("<d", value))[0]
    if pa.types.is_boolean(typ):
        return "true" if value else "false"
    if pa.types.is_decimal(typ):
        return str(int(value.scaleb(typ.scale)))
    if pa.types.is_binary(typ) or pa.types.is_large_binary(typ):
        return "b:" + value.hex()
    if pa.types.is_string(typ) or pa.types.is_large_string(typ):
        return "s:" + value
    return str(value)


def column(array):
    """Spells a column; times become integers first, which Python's own cannot hold."""
    typ = array.type
    if pa.types.is_timestamp(typ) or pa.types.is_time64(typ):
        array = array.cast(pa.int64())
    elif pa.types.is_date32(typ):
        array = array.cast(pa.int32())
    if pa.types.is_floating(typ):
        # to_pylist() would lose the payload of NaN in float32.
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        bits = array.view(pa.uint32() if pa.types.is_float32(typ) else pa.uint64())
        shape = "f%08x" if pa.types.is_float32(typ) else "d%016x"
        return [None if v is None else shape % v for v in bits.to_pylist()]
    return [spell(v, array.type) for v in array.to_pylist()]


def compare(reader, path, table, expected):
    wrong = 0
    names = [c["name"] for c in expected]
    if table.column_names != names:
        print(f"{path.name}: {reader}: columns {table.column_names}, want {names}")
        return 1
    for i, want in enumerate(expected):
        got = column(table.column(i))
        if got != want["values"]:
            wrong += 1
            print(f"{path.name}: {reader}: column {want['name']} ({table.column(i).type})")
            for row, (g, w) in enumerate(zip(got, want["values"])):
                if g != w:
                    print(f"  row {row}: {g}, want {w}")
    return wrong


def filters(path, con, table):
    """Looks for each value by itself: statistics that are wrong lose rows."""
    wrong = 0
    for name in table.column_names:
        col = table.column(name)
        typ = col.type
        simple = (pa.types.is_integer(typ) or pa.types.is_floating(typ) or pa.types.is_string(typ)
                  or pa.types.is_binary(typ) or pa.types.is_decimal(typ) or pa.types.is_boolean(typ))
        if not simple:
            continue
        values = col.to_pylist()
        for v in {repr(v): v for v in values if v is not None}.values():
            if v != v:
                continue  # statistics leave NaN out, and DuckDB takes them at their word, whoever wrote the file
            want = sum(1 for x in values if x == v)
            got = con.execute(f'select count(*) from read_parquet(?) where "{name}" = ?::{sql(typ)}', [str(path), v]).fetchall()[0][0]
            if got != want:
                wrong += 1
                print(f"{path.name}: DuckDB finds {got} rows with {name} = {v!r}, want {want}")
            if pa.types.is_decimal(typ):
                continue
            got = pq.read_table(path, filters=[(name, "=", pa.scalar(v, typ))]).num_rows
            if got != want:
                wrong += 1
                print(f"{path.name}: pyarrow finds {got} rows with {name} = {v!r}, want {want}")
    return wrong


def sql(typ):
    if pa.types.is_floating(typ):
        return "float" if pa.types.is_float32(typ) else "double"
    if pa.types.is_string(typ):
        return "varchar"
    if pa.types.is_binary(typ):
        return "blob"
    if pa.types.is_decimal(typ):
        return f"decimal({typ.precision},{typ.scale})"
    if pa.types.is_boolean(typ):
        return "boolean"
    return {"int8": "tinyint", "int16": "smallint", "int32": "integer", "int64": "bigint",
            "uint8": "utinyint", "uint16": "usmallint", "uint32": "uinteger", "uint64": "ubigint"}[str(typ)]


def main():
    wrong = files = 0
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'").fetchall()
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.parquet")):
        files += 1
        expected = json.loads(path.with_suffix(".json").read_text())
        table = pq.read_table(path)
        wrong += compare("pyarrow", path, table, expected)
        duck = con.sql("select * from read_parquet(?)", params=[str(path)])
        wrong += compare("DuckDB", path, duck.to_arrow_table(), expected)
        wrong += filters(path, con, table)
    if files == 0:
        print("no files")
        wrong += 1
    print(f"{files} files, {wrong} differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
