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

from report import Report

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
    report = Report()
    declared_tables = re.findall(r"CREATE EXTERNAL TABLE IF NOT EXISTS `(\w+)` \((.*?)\n\)\n", ddl("athena"), re.S)
    report.check("catalog", f"{len(declared_tables)} tables declared", [] if declared_tables else ["none"])
    for table, body in declared_tables:
        declared = {n: found_type(t) for n, t in re.findall(r"\n  `(\w+)` (\S+)", body.replace(",\n", "\n"))}
        declared["drive_date"] = "VARCHAR"
        found = {n: t.replace('"', "") for n, t, *_ in db.execute(f'DESCRIBE "{table}"').fetchall()}
        wrong = [f"{n}: declared {declared.get(n)}, found {found.get(n)}" for n in declared | found if declared.get(n) != found.get(n)]
        rows, days = db.execute(f'SELECT count(*), count(DISTINCT drive_date) FROM "{table}"').fetchall()[0]
        want = sum(duckdb.sql(f"SELECT count(*) FROM read_parquet('{f}')").fetchall()[0][0] for f in glob.glob(f"{lake}/{table}/**/*.parquet", recursive=True))
        if rows != want or days != 1 or want == 0:
            wrong.append(f"{rows} rows in {days} days, the files have {want}")
        report.check(f"catalog {table}", f"{len(found)} columns, {rows} rows", wrong)
    report.exit()


main(*sys.argv[1:])
