package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

func TestParseType(t *testing.T) {
	for text, want := range map[string]string{
		"bool": "boolean", "int32": "int", "int64": "bigint", "float32": "float", "float64": "double", "utf8": "string", "binary": "binary", "date32": "date",
		"timestamp[us, tz=UTC]": "timestamp", "decimal(20, 0)": "decimal(20,0)", "list<element: float64, nullable>": "array<double>",
		"list<element: struct<level: int32, values: list<element: struct<key: utf8, nullable, value: utf8>, nullable>>, nullable>": "array<struct<level:int,values:array<struct<key:string,value:string>>>>",
	} {
		typ, err := ParseType(text)
		if err != nil || typ.Hive() != want {
			t.Errorf("%s: %+v, %v", text, typ, err)
		}
		for i := range text {
			if _, err := ParseType(text[:i]); err != nil && !errors.Is(err, pipeline.ErrUnsupported) {
				t.Errorf("%s: %v", text[:i], err)
			}
		}
	}
	for _, bad := range []string{"", "thing", "int32 ", "list<>", "list<a: int32, b: int32>", "decimal(x, 0)", strings.Repeat("list<e: ", 100) + "bool" + strings.Repeat(">", 100)} {
		if _, err := ParseType(bad); !errors.Is(err, pipeline.ErrUnsupported) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseType(f *testing.F) {
	f.Add("list<element: struct<a: int32, nullable>, nullable>")
	f.Add("decimal(20, 0)")
	f.Fuzz(func(t *testing.T, s string) {
		if typ, err := ParseType(s); err == nil && typ.Hive() == "" {
			t.Fatalf("%q has no name", s)
		}
	})
}

// lakeOf puts commit records into a lake.
func lakeOf(t *testing.T, name string, commits ...*lineage.Commit) pipeline.Store {
	t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, "mem://"+name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commits {
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Put(ctx, lineage.CommitKey{Slot: c.Slot, Sequence: c.Sequence, Revision: "aaaaaaaaaaaa"}.String(), data); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func commitOf(slot string, sequence, day int, columns ...lineage.Column) *lineage.Commit {
	date := fmt.Sprintf("2026-03-%02d", day)
	return &lineage.Commit{Layout: 1, Slot: slot, Sequence: sequence, Tables: []lineage.Table{
		{Name: "imu", Columns: columns, Files: []pipeline.File{{Key: "imu/drive_date=" + date + "/x.parquet", Partition: map[string]string{"drive_date": date}, Rows: 5}}},
		{Name: "frames", Columns: columns, Files: []pipeline.File{{Key: "frames_objects/x/"}}},
	}}
}

// Tables are the union over the commits in force, in every engine's words.
func TestDDL(t *testing.T) {
	long := strings.Repeat("ä", 300)
	a := lineage.Column{Name: "a", Type: "int64", Expression: "it's\n" + long}
	b := lineage.Column{Name: "b", Type: "list<element: float64, nullable>", From: []lineage.Origin{{Input: "in", Table: "/imu", Column: "b"}}}
	key := lineage.Column{Name: "drive_date", Type: "utf8"}
	commits := []*lineage.Commit{
		commitOf("0000000000000001", 1, 9, lineage.Column{Name: "old", Type: "int32"}),
		commitOf("0000000000000001", 2, 1, a, key),
	}
	for i := range 120 {
		commits = append(commits, commitOf(fmt.Sprintf("1%015d", i), 1, 1+i%28, a, b))
	}
	tables, err := Read(context.Background(), lakeOf(t, "ddl", commits...))
	if err != nil || len(tables) != 1 || len(tables[0].Columns) != 2 || len(tables[0].Partitions) != 28 || tables[0].Files != 121 || tables[0].Rows != 605 {
		t.Fatalf("%+v, %v", tables, err)
	}
	if n := len([]rune(tables[0].Columns[0].Comment)); n != maxComment {
		t.Errorf("a comment of %d characters", n)
	}
	for engine, want := range map[string][]string{
		"athena": {"CREATE EXTERNAL TABLE IF NOT EXISTS `imu`", "`a` bigint COMMENT 'it\\'s ä", "`b` array<double> COMMENT '/imu:b'", "PARTITIONED BY (`drive_date` string)", "LOCATION 'mem://ddl/imu/'", "PARTITION (`drive_date` = '2026-03-28');"},
		"spark":  {"CREATE TABLE IF NOT EXISTS `imu`", "USING PARQUET\nPARTITIONED BY (`drive_date`)", "`drive_date` string\n)", "MSCK REPAIR TABLE `imu`;"},
		"duckdb": {`CREATE OR REPLACE VIEW "imu" AS SELECT * FROM read_parquet('mem://ddl/imu/**/*.parquet'`, "hive_types = {'drive_date': VARCHAR}"},
	} {
		var out bytes.Buffer
		if err := DDL(&out, tables, engine); err != nil {
			t.Errorf("%s: %v", engine, err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: no %q in\n%s", engine, w, out.String())
			}
		}
	}
	if err := DDL(&bytes.Buffer{}, tables, "hive"); !errors.Is(err, pipeline.ErrUnsupported) {
		t.Errorf("an unknown engine: %v", err)
	}
}

// Columns of two types, partitions of two kinds, and what is no lake.
func TestConflicts(t *testing.T) {
	ctx := context.Background()
	one, two := commitOf("0000000000000001", 1, 1, lineage.Column{Name: "a", Type: "int32"}), commitOf("0000000000000002", 1, 2, lineage.Column{Name: "a", Type: "int64"})
	tables, err := Read(ctx, lakeOf(t, "conflicts", one, two))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := DDL(&out, tables, "athena"); !errors.Is(err, pipeline.ErrSchema) || !strings.Contains(err.Error(), "column a is int32 in some files and int64 in others") || out.Len() > 0 {
		t.Errorf("%v\n%s", err, out.String())
	}
	two.Tables[0].Files[0] = pipeline.File{Key: "imu/x.parquet"}
	if _, err := Read(ctx, lakeOf(t, "partitions", one, two)); !errors.Is(err, pipeline.ErrSchema) {
		t.Errorf("other partitions: %v", err)
	}
	if _, err := Read(ctx, lakeOf(t, "nothing")); !errors.Is(err, pipeline.ErrNotFound) {
		t.Errorf("no lake: %v", err)
	}
}
