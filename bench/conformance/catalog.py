"""Creates the views that catalog ddl writes, in DuckDB, and reads them.

usage: catalog.py DRIVEMILL LAKE, from the root of the repository. LAKE is created.

The columns that the DDL of Athena declares are those that DuckDB finds in the
files, in types that go together.
"""

import glob
import re
import subprocess
import sys

import duckdb

# Types of Athena's DDL, and how DuckDB calls them in the files.
TYPES = {"boolean": "BOOLEAN", "int": "INTEGER", "bigint": "BIGINT", "float": "FLOAT", "double": "DOUBLE", "string": "VARCHAR",
         "binary": "BLOB", "timestamp": "TIMESTAMP WITH TIME ZONE", "decimal(20,0)": "DECIMAL(20,0)", "date": "DATE"}


def found_type(declared):
    """What DuckDB calls a declared type."""
    if declared.startswith("array<"):
        return found_type(declared[6:-1]) + "[]"
    if declared.startswith("struct<"):
        parts, depth, start, text = [], 0, 0, declared[7:-1]
        for i, c in enumerate(text + ","):
            depth += (c == "<") - (c == ">")
            if c == "," and depth == 0:
                name, _, inner = text[start:i].partition(":")
                # DuckDB quotes names that are words of its own.
                parts.append(f"{name} {found_type(inner)}")
                start = i + 1
        return "STRUCT(" + ", ".join(parts) + ")"
    return TYPES[declared]


def main(drivemill, lake):
    subprocess.run([drivemill, "run", "--progress", "none", "--set", f"outputs.lake.uri={lake}", "testdata/pipelines/drives.yaml"],
                   check=True, stdout=subprocess.DEVNULL)

    def ddl(engine):
        return subprocess.run([drivemill, "catalog", "ddl", lake, "--engine", engine], check=True, capture_output=True, text=True).stdout

    db = duckdb.connect()
    for _ in range(2):  # run twice it changes nothing
        db.execute(ddl("duckdb"))
    tables = wrong = 0
    for table, body in re.findall(r"CREATE EXTERNAL TABLE IF NOT EXISTS `(\w+)` \((.*?)\n\)\n", ddl("athena"), re.S):
        tables += 1
        declared = {n: t for n, t in re.findall(r"\n  `(\w+)` (\S+)", body.replace(",\n", "\n"))}
        declared["drive_date"] = "string"
        found = {n: t.replace('"', "") for n, t, *_ in db.execute(f'DESCRIBE "{table}"').fetchall()}
        if {n: found_type(t) for n, t in declared.items()} != found:
            print(f"catalog: table {table}: declared {declared}, found {found}", file=sys.stderr)
            wrong += 1
        rows = db.execute(f'SELECT count(*), count(DISTINCT drive_date) FROM "{table}"').fetchall()[0]
        want = sum(duckdb.sql(f"SELECT count(*) FROM read_parquet('{f}')").fetchall()[0][0] for f in glob.glob(f"{lake}/{table}/**/*.parquet", recursive=True))
        if rows[0] != want or rows[1] != 1 or want == 0:
            print(f"catalog: table {table}: {rows}, the files have {want} rows", file=sys.stderr)
            wrong += 1
    print(f"catalog: {tables} tables declared and read, {wrong} wrong")
    if wrong or not tables:
        sys.exit(1)


main(*sys.argv[1:])
