package drivestats

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

// TestRealHeaders and TestRealApril read real files.
func conformance(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DRIVEMILL_CONFORMANCE")
	if dir == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set")
	}
	return filepath.Join(dir, "drive_stats")
}

// TestRealHeaders: every layout there has been fits the table.
func TestRealHeaders(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(conformance(t), "headers", "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no headers: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSchema(bytes.TrimRight(data, "\r\n"))
		if err != nil || len(s.problems) > 0 || s.table != known().table {
			t.Errorf("%s: %v, %v", filepath.Base(f), err, s.problems)
		}
		for i, c := range s.header.target {
			if s.columns[c].name != s.header.names[i] {
				t.Errorf("%s: %s goes to %s", filepath.Base(f), s.header.names[i], s.columns[c].name)
			}
		}
		if strings.Contains(f, "197cols") && !slices.Equal(s.header.names, s.table.ColumnNames()) {
			t.Errorf("the newest layout is not the table's")
		}
	}
}

// TestRealApril reads the real days of April 2013.
func TestRealApril(t *testing.T) {
	z, err := zip.OpenReader(filepath.Join(conformance(t), "data_2013_april.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var rows, failures int
	for i, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		src := &memory{name: f.Name, data: data}
		sel := all
		if i > 1 { // two days cell by cell, the rest by what is published
			tab, _ := New().(pipeline.Typed).KnownTable("")
			sel.Tables = []pipeline.TableSelection{{Table: tab, Columns: []string{"date", "serial_number", "failure", "smart_9_raw"}}}
		}
		got := decode(t, src, sel, pipeline.DecodeOptions{Workers: 2})
		if got.err != nil || len(got.bad) > 0 || len(got.problems)+len(got.described.Problems) > 0 {
			t.Fatalf("%s: %v, %v", f.Name, got.err, got.problems)
		}
		rows += len(got.rows)
		for _, v := range got.column("failure") {
			failures += int(v[0] - '0')
		}
		if i <= 1 {
			names, want, _, ok := oracle(f.Name, data)
			if !ok {
				t.Fatal("oracle failed")
			}
			diff(t, names, got.rows, want)
		}
	}
	if rows != 452_821 || failures != 43 {
		t.Errorf("%d rows and %d failures, want 452821 and 43", rows, failures)
	}
}
