package drivestats

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// conformance is the folder of real files.
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

// TestRealApril reads the real days of April 2013 as members of their zip.
func TestRealApril(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, conformance(t))
	if err != nil {
		t.Fatal(err)
	}
	obj, err := st.Stat(ctx, "data_2013_april.zip")
	if err != nil {
		t.Fatal(err)
	}
	src, err := st.Open(ctx, obj)
	if err != nil {
		t.Fatal(err)
	}
	z, err := store.OpenZip(ctx, src)
	if err != nil {
		t.Fatal(err)
	}
	var rows, failures, days int
	for i, m := range z.Members() {
		if ok, _ := store.SafeMember(m.Key[len(obj.Key)+len(store.MemberMark):]); !ok {
			continue
		}
		days++
		day, err := z.Open(m)
		if err != nil {
			t.Fatal(err)
		}
		r, err := day.Reader(ctx, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if path.Base(m.Key) == "2013-04-10.csv" {
			t.Run("15 the sum of the first day", func(t *testing.T) {
				if sum := fmt.Sprintf("%x", sha256.Sum256(data)); sum != "fdac92cd6c8f4d89a17ea4e5da52f30d62a8b36851e1dc4ea224ef2cf647a5fb" {
					t.Errorf("sha256 %s", sum)
				}
			})
		}
		sel := all
		if i > 1 { // two days cell by cell, the rest by what is published
			tab, _ := New().(pipeline.Typed).KnownTable("")
			sel.Tables = []pipeline.TableSelection{{Table: tab, Columns: []string{"date", "serial_number", "failure", "smart_9_raw"}}}
		}
		got := decodeSource(t, day, sel, pipeline.DecodeOptions{Workers: 2})
		if got.err != nil || len(got.bad) > 0 || len(got.problems)+len(got.described.Problems) > 0 {
			t.Fatalf("%s: %v, %v", m.Key, got.err, got.problems)
		}
		rows += len(got.rows)
		for _, v := range got.column("failure") {
			failures += int(v[0] - '0')
		}
		if i <= 1 {
			names, want, _, ok := oracle(m.Key, data)
			if !ok {
				t.Fatal("oracle failed")
			}
			diff(t, names, got.rows, want)
		}
	}
	t.Run("13 rows and failures of April 2013", func(t *testing.T) {
		if days != 21 || rows != 452_821 || failures != 43 {
			t.Errorf("%d days, %d rows and %d failures, want 21, 452821 and 43", days, rows, failures)
		}
	})
}
