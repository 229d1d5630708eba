package drivestats

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/bench/fleet"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// fleetDay is the file of a small fleet on a day.
func fleetDay(t testing.TB, day fleet.Day, drives int, l fleet.Layout) *memory {
	t.Helper()
	f, err := fleet.New(fleet.Config{Seed: uint64(day), From: day, To: day, Models: fleet.Catalog(drives, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := f.WriteDay(&b, day, l); err != nil {
		t.Fatal(err)
	}
	return &memory{name: day.String() + ".csv", data: b.Bytes()}
}

// TestChecklist checks what a reader of drive statistics has to get right.
// Numbers are those of the project's list for this kind of file.
func TestChecklist(t *testing.T) {
	small := func(lines ...string) []byte { return []byte(begin + "\n" + strings.Join(lines, "\n") + "\n") }

	t.Run("3 all headers make one table", func(t *testing.T) {
		newest := fleet.Eras()[len(fleet.Eras())-1]
		for _, day := range fleet.Eras() {
			src := fleetDay(t, day, 30, fleet.Layout{})
			got := decode(t, src, all, pipeline.DecodeOptions{})
			if got.err != nil || len(got.problems)+len(got.described.Problems)+len(got.bad) > 0 || got.described.Tables[0].Table != known().table {
				t.Fatalf("%s: %v, %v", day, got.err, got.described.Problems)
			}
			if !slices.Equal(got.names, fleet.Header(newest)) {
				t.Errorf("%s: columns %v", day, got.names)
			}
			names, want, _, _ := oracle(src.name, src.data)
			diff(t, names, got.rows, want)
		}
	})
	t.Run("3 columns in any order", func(t *testing.T) {
		for _, day := range fleet.Eras() {
			columns := fleet.Header(day)
			want := decode(t, fleetDay(t, day, 30, fleet.Layout{}), all, pipeline.DecodeOptions{})
			tail := columns[len("date")+1:] // the first five tell drive stats from other tables
			rand.New(rand.NewPCG(1, uint64(day))).Shuffle(len(tail), func(i, j int) { tail[i], tail[j] = tail[j], tail[i] })
			got := decode(t, fleetDay(t, day, 30, fleet.Layout{Columns: columns}), all, pipeline.DecodeOptions{})
			diff(t, want.names, got.rows, want.rows)
			slices.Reverse(columns)
			got = decode(t, fleetDay(t, day, 30, fleet.Layout{Columns: columns}), all, pipeline.DecodeOptions{})
			diff(t, want.names, got.rows, want.rows)
		}
	})
	t.Run("4 placement is null in old files", func(t *testing.T) {
		got := decode(t, fleetDay(t, fleet.Date(2013, 4, 10), 30, fleet.Layout{}), all, pipeline.DecodeOptions{})
		for _, name := range got.names[5:11] {
			for _, v := range got.column(name) {
				if v != null {
					t.Fatalf("%s is %q", name, v)
				}
			}
		}
	})
	t.Run("5 raw values are exact", func(t *testing.T) {
		src := &memory{name: "2014-01-01.csv", data: []byte(begin + ",smart_1_raw\n2014-01-01,A,M,1,0,4294967295\n2014-01-01,B,M,1,0,281474976710655\n")}
		got := decode(t, src, all, pipeline.DecodeOptions{})
		if v := got.column("smart_1_raw"); !slices.Equal(v, []string{"4294967295", "281474976710655"}) {
			t.Errorf("%q", v)
		}
	})
	t.Run("6 empty is null", func(t *testing.T) {
		got := decode(t, &memory{name: "2014-01-01.csv", data: small("2014-01-01,A,,,")}, all, pipeline.DecodeOptions{})
		if want := []string{"2014-01-01", "A", null, null, null}; got.err != nil || !slices.Equal(got.rows[0][:5], want) {
			t.Errorf("%q, %v", got.rows, got.err)
		}
	})
	t.Run("7 line ends", func(t *testing.T) {
		day := fleet.Date(2018, 2, 25)
		want := decode(t, fleetDay(t, day, 40, fleet.Layout{}), all, pipeline.DecodeOptions{})
		for _, eol := range []string{"\r\n", "\r"} {
			got := decode(t, fleetDay(t, day, 40, fleet.Layout{LineEnd: eol}), all, pipeline.DecodeOptions{})
			diff(t, want.names, got.rows, want.rows)
		}
		// Each line in a way of its own.
		ends := []string{"\n", "\r\n", "\r"}
		for first := range ends {
			var mixed, offsets = []byte(nil), []int{0}
			for i, line := range strings.Split(strings.TrimSuffix(string(fleetDay(t, day, 40, fleet.Layout{}).data), "\n"), "\n") {
				mixed = append(append(mixed, line...), ends[(first+i*i)%3]...)
				offsets = append(offsets, len(mixed))
			}
			for _, opt := range []pipeline.DecodeOptions{{}, {BatchRows: 1}, {BatchRows: 7, Workers: 3}, {BatchBytes: 3000}} {
				for _, step := range []int{0, 1} {
					got := decode(t, &memory{name: day.String() + ".csv", data: mixed, step: step}, all, opt)
					if got.err != nil || len(got.bad) > 0 {
						t.Fatal(got.err, got.bad)
					}
					diff(t, want.names, got.rows, want.rows)
				}
			}
			// A bad row after them is told with its line and offset.
			bad := append(bytes.Clone(mixed), "short,row\r\n"...)
			got := decode(t, &memory{name: day.String() + ".csv", data: bad}, all, pipeline.DecodeOptions{})
			if len(got.bad) != 1 || got.bad[0].Offset != int64(offsets[len(offsets)-1]) || !strings.Contains(got.bad[0].Err.Error(), fmt.Sprintf("line %d ", len(offsets))) {
				t.Errorf("%+v, want offset %d and line %d", got.bad, offsets[len(offsets)-1], len(offsets))
			}
		}
	})
	t.Run("8 dates of another format and of other days", func(t *testing.T) {
		src := &memory{name: "data/2018-02-25.csv", data: small(
			"2/25/18,A,M,1,0", "2018-02-24,B,M,1,0", "2018-02-26,C,M,1,0", "2018-02-25,D,M,1,0", "2018-02-27,E,M,1,0", ",F,M,1,0", "2017-02-25,G,M,1,0")}
		for _, workers := range []int{1, 2} {
			got := decode(t, src, all, pipeline.DecodeOptions{Workers: workers, BatchRows: 2})
			if want := []string{"2018-02-25", "2018-02-24", "2018-02-26", "2018-02-25", "2018-02-25", "2018-02-25", "2018-02-25"}; !slices.Equal(got.column("date"), want) || len(got.bad) > 0 {
				t.Errorf("%q, %v", got.column("date"), got.bad)
			}
			rows := map[string]int64{}
			for _, p := range got.problems {
				if rows[p.Kind] = p.Rows; p.Loses {
					t.Errorf("%+v loses rows", p)
				}
			}
			if rows["date_replaced"] != 4 || rows["date_differs"] != 2 {
				t.Errorf("counted %v", rows)
			}
		}
		// Without a name to go by, a date that is none is a bad cell.
		got := decode(t, &memory{name: "export.csv", data: src.data}, all, pipeline.DecodeOptions{})
		if len(got.bad) != 1 || got.bad[0].Column != "date" || got.column("date")[4] != null {
			t.Errorf("%+v, %q", got.bad, got.column("date"))
		}
	})
	t.Run("9 days without rows", func(t *testing.T) {
		for kind, data := range map[string][]byte{"no_rows": []byte(begin + "\r\n"), "empty": nil} {
			for _, packed := range []func([]byte) []byte{bytes.Clone, gzipped, zstandard} {
				name := "2014-11-02.csv"
				switch body := packed(data); {
				case bytes.HasPrefix(body, []byte("\x1f\x8b")):
					name += ".gz"
				case len(body) > 0 && body[0] == 0x28:
					name += ".zst"
				}
				src := &memory{name: name, data: packed(data)}
				got := decode(t, src, all, pipeline.DecodeOptions{})
				if got.err != nil || len(got.rows) > 0 || !strings.Contains(got.problem(kind), "2014-11-02") || got.described.Tables[0].Rows != 0 || !New().Sniff(name, src.data) {
					t.Errorf("%s: %v, %d rows, %v", name, got.err, len(got.rows), got.described.Problems)
				}
			}
		}
	})
	t.Run("12 unknown columns", func(t *testing.T) {
		day := fleet.Date(2024, 4, 1)
		columns := append(fleet.Header(day), "foo_bar", "smart_999_raw")
		src := fleetDay(t, day, 10, fleet.Layout{Columns: columns})
		src.data = bytes.ReplaceAll(src.data, []byte(",,\n"), []byte(",0012,5\n"))
		got := decode(t, src, all, pipeline.DecodeOptions{})
		tab := got.described.Tables[0].Table
		if !slices.Equal(got.names, columns) || !arrow.TypeEqual(tab.Schema.Field(197).Type, arrow.StringType) || !arrow.TypeEqual(tab.Schema.Field(198).Type, arrow.Int64Type) {
			t.Fatalf("columns %v", got.names[195:])
		}
		if v := got.column("foo_bar"); v[0] != "0012" {
			t.Errorf("foo_bar is %q", v)
		}
		if v := got.column("smart_999_raw"); v[0] != "5" {
			t.Errorf("smart_999_raw is %q", v)
		}
		if n := len(got.described.Problems); n != 2 || got.described.Problems[0].Kind != "unknown_column" || got.described.Problems[0].Loses {
			t.Errorf("problems %+v", got.described.Problems)
		}
	})
	t.Run("29 absent columns cost nothing", func(t *testing.T) {
		src := fleetDay(t, fleet.Date(2013, 4, 10), 2000, fleet.Layout{})
		heap := &meter{}
		batches(t, src, heap, func(e *pipeline.Batch) {
			rows, filled := int64(e.Rows()), int64(0)
			for _, a := range e.Record.Columns() {
				if a.NullN() < a.Len() {
					filled++
				}
			}
			// Ten columns have values: three of text, seven of at most eight bytes.
			if filled != 10 || heap.now > rows*(7*8+3*48)+filled*rows/8+64<<10 {
				t.Errorf("%d rows in %d columns hold %d bytes", rows, filled, heap.now)
			}
		})
	})
	t.Run("30 header lines in the middle", func(t *testing.T) {
		var joined []byte
		var want [][]string
		var names []string
		lines := int64(0)
		for i, day := range []fleet.Day{fleet.Date(2021, 9, 29), fleet.Date(2021, 9, 30), fleet.Date(2021, 10, 1), fleet.Date(2021, 10, 2)} {
			src := fleetDay(t, day, 25, fleet.Layout{LineEnd: []string{"\n", "\r\n"}[i%2]})
			joined = append(joined, src.data...)
			one := decode(t, src, all, pipeline.DecodeOptions{})
			names, want = one.names, append(want, one.rows...)
			if i > 0 {
				lines++
			}
		}
		for _, opt := range []pipeline.DecodeOptions{{}, {BatchRows: 3}, {BatchRows: 5, Workers: 3}} {
			got := decode(t, &memory{name: "quarter.csv", data: joined}, all, opt)
			if got.err != nil || len(got.bad) > 0 {
				t.Fatal(got.err, got.bad)
			}
			diff(t, names, got.rows, want)
			if p := got.problems; len(p) != 1 || p[0].Kind != "repeated_header" || p[0].Rows != lines {
				t.Errorf("problems %+v", p)
			}
		}
	})
}

// TestLimitsOfBatches: batches end at rows and at bytes, whichever comes first.
func TestLimitsOfBatches(t *testing.T) {
	src := fleetDay(t, fleet.Date(2022, 3, 17), 4000, fleet.Layout{})
	for _, limit := range []int64{64 << 10, 1 << 20} {
		got := decode(t, src, all, pipeline.DecodeOptions{BatchBytes: limit})
		text := int64(len(src.data)) / int64(len(got.rows))
		if most := int64(slices.Max(got.batches)); most*text > limit+2*text || len(got.batches) < 2 {
			t.Errorf("batches of up to %d rows of about %d bytes, limit %d", most, text, limit)
		}
	}
}

// TestTruncation: a file cut anywhere gives the rows before the cut, and at most
// one that is refused or cut short.
func TestTruncation(t *testing.T) {
	whole := []byte(begin + ",smart_9_raw\r\n2024-01-01,A,\"M, \"\"1\"\"\",1,0,17\r\n2024-01-01,B,M,,1,\r2024-01-01,C,M,3,0,18\n")
	full := decode(t, &memory{name: "2024-01-01.csv", data: whole}, all, pipeline.DecodeOptions{})
	if len(full.rows) != 3 {
		t.Fatalf("%d rows, %v", len(full.rows), full.bad)
	}
	for n := range len(whole) {
		got := decode(t, &memory{name: "2024-01-01.csv", data: whole[:n]}, all, pipeline.DecodeOptions{})
		if got.err != nil { // the header is cut
			continue
		}
		if len(got.bad) > 1 || len(got.rows) > len(full.rows) {
			t.Fatalf("cut at %d: %d rows, %v", n, len(got.rows), got.bad)
		}
		for i, row := range got.rows[:max(0, len(got.rows)-1)] {
			if !slices.Equal(row, full.rows[i]) {
				t.Fatalf("cut at %d: row %d is %q", n, i, row)
			}
		}
	}
}
