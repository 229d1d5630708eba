package csv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

func configured(t *testing.T, c Config) pipeline.Format {
	t.Helper()
	f, err := FormatSpec().Configure(context.Background(), &c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSettings: another delimiter, other nulls, and types that are declared.
func TestSettings(t *testing.T) {
	src := &memory{name: "t.csv", data: []byte("id;at;x;note\n007;2026-03-02;1;NA\n8;NA;-;\"a;b\"\n9;2026-03-04;x;\n10;2026-03-05;;c\n")}
	typed := map[string]string{"id": "text", "at": "date", "x": "float64", "note": "text"}
	for _, rows := range []int{0, 1} {
		for name, c := range map[string]Config{
			"all declared": {Delimiter: ";", Nulls: []string{"NA", "-"}, Columns: typed},
			"some":         {Delimiter: ";", Nulls: []string{"NA", "-"}, Columns: map[string]string{"id": "text", "x": "float64"}},
		} {
			f := configured(t, c)
			got := readWith(t, f, src, nil, pipeline.DecodeOptions{BatchRows: rows})
			if want := []string{"utf8", "date32", "float64", "utf8"}; got.err != nil || !slices.Equal(got.types, want) {
				t.Fatalf("%s: %v %v", name, got.types, got.err)
			}
			if want := "[[007 20514 1 null] [8 null null a;b] [10 20517 null c]]"; fmt.Sprint(got.rows) != want {
				t.Errorf("%s: %v", name, got.rows)
			}
			if b := got.bad; len(b) != 1 || b[0].Reason != "bad_cell" || b[0].Column != "x" || b[0].Record != 2 || b[0].Offset != 46 || !strings.HasPrefix(b[0].Err.Error(), "4:14: ") || !errors.Is(b[0].Err, pipeline.ErrCorrupt) {
				t.Errorf("%s: %+v", name, b)
			}
			if scanned := got.desc.Tables[0].Rows >= 0; scanned != (name == "some") {
				t.Errorf("%s: the file was read beforehand: %v", name, scanned)
			}
			got = readWith(t, f, src, nil, pipeline.DecodeOptions{BatchRows: rows, NullCells: true})
			if len(got.rows) != 4 || got.counts.NullCells["x"] != 1 || got.rows[2][2] != "null" || len(got.bad) > 0 {
				t.Errorf("%s: null cells: %v %+v", name, got.rows, got.counts)
			}
			if got = readWith(t, f, src, []string{"id"}, pipeline.DecodeOptions{}); len(got.rows) != 4 || len(got.bad) > 0 {
				t.Errorf("%s: a column nobody selected was looked at: %v", name, got.bad)
			}
		}
	}
}

func TestBadSettings(t *testing.T) {
	for want, c := range map[string]Config{
		"delimiter": {Delimiter: ";;"}, "no quote": {Delimiter: "\""}, "no line end": {Delimiter: "\n"}, "columns.a": {Columns: map[string]string{"a": "int"}},
	} {
		_, err := FormatSpec().Configure(context.Background(), &c, nil)
		var issue *pipeline.Issue
		if !errors.As(err, &issue) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
