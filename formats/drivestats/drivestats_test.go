package drivestats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/bench/fleet"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

const testdata = "../../testdata"

func load(t testing.TB, name string) *memory {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testdata, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return &memory{name: name, data: data}
}

func unpacked(t testing.TB, data []byte) []byte {
	t.Helper()
	r, _, err := store.Decompress("", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func gzipped(data []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func zstandard(data []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(data, nil)
}

var all = pipeline.Selection{}

// TestWeek reads the sample week and holds it against encoding/csv and against
// the sums and rows that the generator wrote.
func TestWeek(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata, "drivestats", "*.csv*"))
	if err != nil || len(files) != 7 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	days := ndjson(t, "drivestats/expected/days.ndjson")
	drives := ndjson(t, "drivestats/expected/drives.ndjson")
	serials := map[string]bool{}
	for _, d := range drives {
		serials[d["serial_number"].(string)] = true
	}
	for i, f := range files {
		src := load(t, "drivestats/"+filepath.Base(f))
		head := src.data[:min(4096, len(src.data))]
		if !New().Sniff(src.name, head) {
			t.Errorf("%s is not recognised", src.name)
		}
		got := decode(t, src, all, pipeline.DecodeOptions{})
		if got.err != nil || len(got.problems)+len(got.described.Problems)+len(got.bad) > 0 {
			t.Fatalf("%s: %v, %v", src.name, got.err, got.problems)
		}
		names, want, _, ok := oracle(src.name, unpacked(t, src.data))
		if !ok || len(names) != 197 {
			t.Fatalf("%s: oracle failed", src.name)
		}
		diff(t, names, got.rows, want)
		day := days[i]
		sums := map[string]int64{"rows": int64(len(got.rows))}
		for _, row := range got.rows {
			for c, v := range row {
				if v == null {
					continue
				}
				sums["cells"]++
				switch n := names[c]; n {
				case "failure":
					sums["failures"] += int64(v[0] - '0')
				case "smart_9_raw", "smart_194_raw", "capacity_bytes":
					var x int64
					fmt.Sscan(v, &x)
					sums[n] += x
				}
			}
			if serials[row[1]] {
				for c, v := range row {
					want, there := drives[0][names[c]]
					if there != (v != null) || there && fmt.Sprint(want) != v {
						t.Fatalf("%s, %s: %q, want %v", src.name, names[c], v, want)
					}
				}
				drives = drives[1:]
			}
		}
		for k, v := range sums {
			if fmt.Sprint(day[k]) != fmt.Sprint(v) {
				t.Errorf("%s: %s is %d, want %v", src.name, k, v, day[k])
			}
		}
		if got.described.Version != fmt.Sprintf("%v columns", day["columns"]) {
			t.Errorf("%s: %s", src.name, got.described.Version)
		}
		d := got.described
		if start := time.Unix(0, d.Start).UTC().Format(time.RFC3339); !d.HasTime || start != day["date"].(string)+"T00:00:00Z" || d.End-d.Start != 24*3600*1e9-1 {
			t.Errorf("%s: from %s", src.name, start)
		}
	}
	if len(drives) > 0 {
		t.Errorf("%d expected rows were not found", len(drives))
	}
}

func ndjson(t *testing.T, name string) []map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(load(t, name).data))
	dec.UseNumber()
	var out []map[string]any
	for {
		var m map[string]any
		if err := dec.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return out
			}
			t.Fatal(err)
		}
		out = append(out, m)
	}
}

// TestOldHeader: a file of 2013 gets all 197 columns; those it lacks are null.
func TestOldHeader(t *testing.T) {
	names, err := New().(pipeline.Typed).KnownTable("")
	if err != nil || len(names.ColumnNames()) != 197 {
		t.Fatal(err)
	}
	cols := names.ColumnNames()
	if want := strings.Split("date,serial_number,model,capacity_bytes,failure,datacenter,cluster_id,vault_id,pod_id,pod_slot_num,is_legacy_format,smart_1_normalized,smart_1_raw,smart_2_normalized", ","); !slices.Equal(cols[:len(want)], want) {
		t.Fatalf("columns begin %v", cols[:len(want)])
	}
	src := &memory{name: "2013-04-10.csv", data: []byte("date,serial_number,model,capacity_bytes,failure,smart_1_normalized,smart_1_raw\n" +
		"2013-04-10,A,M,3000592982016,0,,4294967295\n2013-04-10,B,M,,1,0,281474976710655\n")}
	got := decode(t, src, all, pipeline.DecodeOptions{})
	if got.err != nil {
		t.Fatal(got.err)
	}
	for _, c := range cols[5:11] {
		if v := got.column(c); v[0] != null || v[1] != null {
			t.Errorf("%s is %v", c, v)
		}
	}
	for name, want := range map[string][]string{
		"smart_1_raw":        {"4294967295", "281474976710655"},
		"smart_1_normalized": {null, "0"}, // empty is not zero
		"capacity_bytes":     {"3000592982016", null},
		"failure":            {"0", "1"},
		"smart_255_raw":      {null, null},
	} {
		if v := got.column(name); !slices.Equal(v, want) {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}

// TestLineEnds: LF, CR LF and CR give the same table, with and without an end
// of the last line.
func TestLineEnds(t *testing.T) {
	lf := load(t, "drivestats/2018-10-01.csv")
	want := decode(t, lf, all, pipeline.DecodeOptions{})
	for _, eol := range []string{"\n", "\r\n", "\r"} {
		data := bytes.ReplaceAll(lf.data, []byte("\n"), []byte(eol))
		for _, d := range [][]byte{data, data[:len(data)-len(eol)]} {
			got := decode(t, &memory{name: lf.name, data: d}, all, pipeline.DecodeOptions{})
			if got.err != nil || len(got.bad) > 0 {
				t.Fatal(got.err, got.bad)
			}
			diff(t, want.names, got.rows, want.rows)
		}
	}
}

// TestQuoted: the slow way over quotes gives the table of the fast way.
func TestQuoted(t *testing.T) {
	src := load(t, "drivestats/2018-10-04.csv")
	want := decode(t, src, all, pipeline.DecodeOptions{})
	head := bytes.IndexByte(src.data, '\n') + 1
	for name, quote := range map[string]func(column int, cell string) bool{
		"all cells":     func(int, string) bool { return true },
		"models":        func(column int, _ string) bool { return column == 2 },
		"empty cells":   func(_ int, cell string) bool { return cell == "" },
		"every seventh": func(column int, _ string) bool { return column%7 == 0 },
	} {
		data := bytes.Clone(src.data[:head])
		for line := range strings.SplitSeq(strings.TrimSuffix(string(src.data[head:]), "\r\n"), "\r\n") {
			cells := strings.Split(line, ",")
			for i, c := range cells {
				if quote(i, c) {
					cells[i] = `"` + c + `"`
				}
			}
			data = append(append(data, strings.Join(cells, ",")...), "\r\n"...)
		}
		got := decode(t, &memory{name: src.name, data: data}, all, pipeline.DecodeOptions{})
		if got.err != nil || len(got.bad) > 0 {
			t.Fatal(name, got.err, got.bad)
		}
		diff(t, want.names, got.rows, want.rows)
	}
}

// TestQuirks reads the files that each have an oddity of the real ones.
func TestQuirks(t *testing.T) {
	t.Run("dates of another format", func(t *testing.T) {
		got := decode(t, load(t, "broken/drivestats/2018-02-25.csv"), all, pipeline.DecodeOptions{})
		if want := []string{"2018-02-25", "2018-02-25", "2018-02-25"}; !slices.Equal(got.column("date"), want) || len(got.bad) > 0 {
			t.Errorf("dates %v", got.column("date"))
		}
		if p := got.problem("date_replaced"); !strings.HasPrefix(p, "2 rows") {
			t.Errorf("problem %q", p)
		}
	})
	t.Run("dates of two days", func(t *testing.T) {
		got := decode(t, load(t, "broken/drivestats/2022-12-10.csv"), all, pipeline.DecodeOptions{})
		if want := []string{"2022-12-10", "2022-12-11", "2022-12-10"}; !slices.Equal(got.column("date"), want) {
			t.Errorf("dates %v", got.column("date"))
		}
		if p := got.problem("date_differs"); !strings.HasPrefix(p, "1 rows") || got.problem("date_replaced") != "" {
			t.Errorf("problem %q", p)
		}
	})
	t.Run("no rows", func(t *testing.T) {
		for name, kind := range map[string]string{"2014-11-02.csv": "no_rows", "2015-11-01.csv": "empty"} {
			for _, workers := range []int{1, 3} {
				src := load(t, "broken/drivestats/"+name)
				got := decode(t, src, all, pipeline.DecodeOptions{Workers: workers})
				if got.err != nil || len(got.rows) > 0 || got.described.Tables[0].Rows != 0 || got.counts.Found != 0 {
					t.Errorf("%s: %v, %+v", name, got.err, got.counts)
				}
				if p := got.problem(kind); !strings.Contains(p, strings.TrimSuffix(name, ".csv")) {
					t.Errorf("%s: problem %q", name, p)
				}
				if !New().Sniff(src.name, src.data) {
					t.Errorf("%s is not recognised", name)
				}
			}
		}
	})
	t.Run("placement", func(t *testing.T) {
		got := decode(t, load(t, "broken/drivestats/2023-07-01.csv"), all, pipeline.DecodeOptions{})
		for name, want := range map[string][]string{
			"datacenter":       {"sac0", null, "sac0"},
			"pod_id":           {"0007", "0012", "0007"},
			"pod_slot_num":     {"12", null, null},
			"is_legacy_format": {"false", "false", "true"},
		} {
			if v := got.column(name); !slices.Equal(v, want) {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
	})
	t.Run("unknown columns and quotes", func(t *testing.T) {
		src := load(t, "broken/drivestats/2024-02-29.csv")
		got := decode(t, src, all, pipeline.DecodeOptions{})
		for name, want := range map[string][]string{
			"model":         {`ACME "Red, 4 TB"`, null, "ST4000DM000"},
			"smart_999_raw": {"17", null, "-3"},
			"foo_bar":       {"two\r\nlines", null, "é"},
		} {
			if v := got.column(name); !slices.Equal(v, want) {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
		if n := len(got.described.Problems); n != 2 || got.problem("unknown_column") != "column smart_999_raw is not known; it is kept as int64" {
			t.Errorf("problems %v", got.described.Problems)
		}
	})
	t.Run("joined files", func(t *testing.T) {
		for _, rows := range []int{0, 1} {
			got := decode(t, load(t, "broken/drivestats/joined.csv"), all, pipeline.DecodeOptions{BatchRows: rows})
			if want := []string{"2014-01-01", "2014-01-01", "2014-01-02", "2018-10-01"}; !slices.Equal(got.column("date"), want) || len(got.bad) > 0 {
				t.Fatalf("dates %q, bad %v, %v", got.column("date"), got.bad, got.err)
			}
			if v := got.column("smart_231_raw"); !slices.Equal(v, []string{null, null, null, "99"}) {
				t.Errorf("smart_231_raw is %q", v)
			}
			if p := got.problem("repeated_header"); !strings.HasPrefix(p, "2 header lines") {
				t.Errorf("problem %q", p)
			}
			if want := []int64{0, 1, 2, 3}; !slices.Equal(got.ordinals, want) {
				t.Errorf("ordinals %v", got.ordinals)
			}
		}
	})
}

// TestBadRows: reason, place and column of rows that are refused, and null
// cells on request.
func TestBadRows(t *testing.T) {
	head := "date,serial_number,model,capacity_bytes,failure,smart_1_raw\n"
	lines := []string{
		"2024-01-01,A,M,1,0,1",
		"2024-01-01,B,M,1,0",
		"2024-01-01,C,M,x,0,1",
		"2024-01-01,\"D,M,1,0,1",
		"2024-01-01,E,M,1,0,9223372036854775808",
		"2024-01-01,F,M,1,0,1,2,3",
		"2024-01-01,G,M,1,4294967296,-9223372036854775808",
		"2024-01-01,H,M,1,0,9223372036854775807",
		"2024-01-01,I,\xff,1,0,-",
	}
	src := &memory{name: "2024-01-01.csv", data: []byte(head + strings.Join(lines, "\n") + "\n")}
	type bad struct {
		record, offset int64
		reason, column string
		line           int
	}
	at := func(i int) int64 { return int64(len(head) + len(strings.Join(lines[:i], "\n")) + min(i, 1)) }
	want := []bad{
		{1, at(1), "field_count", "", 3},
		{2, at(2), "bad_cell", "capacity_bytes", 4},
		{3, at(3), "bad_quote", "", 5},
		{4, at(4), "bad_cell", "smart_1_raw", 6},
		{5, at(5), "field_count", "", 7},
		{6, at(6), "bad_cell", "failure", 8},
		{8, at(8), "bad_cell", "model", 10},
	}
	for _, opt := range []pipeline.DecodeOptions{{}, {BatchRows: 1}, {BatchRows: 2, Workers: 3}} {
		got := decode(t, src, all, opt)
		if got.err != nil || len(got.bad) != len(want) {
			t.Fatalf("%v, %v", got.err, got.bad)
		}
		for i, w := range want {
			b := got.bad[i]
			if b.Record != w.record || b.Offset != w.offset || b.Reason != w.reason || b.Column != w.column ||
				!strings.Contains(b.Err.Error(), fmt.Sprintf("line %d", w.line)) || string(b.Raw) != lines[w.record] || !errors.Is(b.Err, pipeline.ErrCorrupt) {
				t.Errorf("bad row %d is %+v %v, want %+v", i, b, b.Err, w)
			}
		}
		if v := got.column("serial_number"); !slices.Equal(v, []string{"A", "H"}) || !slices.Equal(got.ordinals, []int64{0, 7}) {
			t.Errorf("kept %v, ordinals %v", v, got.ordinals)
		}
		if v := got.column("smart_1_raw"); !slices.Equal(v, []string{"1", "9223372036854775807"}) {
			t.Errorf("smart_1_raw %v", v)
		}
	}
	got := decode(t, src, all, pipeline.DecodeOptions{NullCells: true})
	if len(got.bad) != 3 || !slices.Equal(got.column("smart_1_raw"), []string{"1", "1", null, "-9223372036854775808", "9223372036854775807", null}) {
		t.Errorf("%v, %v", got.bad, got.column("smart_1_raw"))
	}
	for name, n := range map[string]int64{"capacity_bytes": 1, "smart_1_raw": 2, "failure": 1, "model": 1} {
		if got.counts.NullCells[name] != n {
			t.Errorf("%d cells of %s were made null, want %d", got.counts.NullCells[name], name, n)
		}
	}
	// Columns nobody selected are not looked at.
	sel := pipeline.Selection{Tables: []pipeline.TableSelection{{Table: got.described.Tables[0].Table, Columns: []string{"serial_number", "date"}}}}
	got = decode(t, src, sel, pipeline.DecodeOptions{})
	if len(got.bad) != 3 || !slices.Equal(got.names, []string{"date", "serial_number"}) || len(got.rows) != 6 {
		t.Errorf("%v, %v, %v", got.bad, got.names, got.rows)
	}
	// Without anyone to take a bad row decoding ends, and says where.
	refuse := errors.New("stop")
	got = decode(t, src, all, pipeline.DecodeOptions{Reject: func(pipeline.BadRow) error { return refuse }})
	if !errors.Is(got.err, refuse) {
		t.Errorf("%v", got.err)
	}
}

// TestTimeRange selects rows by midnight of their date, whether the date is delivered or not.
func TestTimeRange(t *testing.T) {
	src := load(t, "broken/drivestats/2022-12-10.csv")
	day := time.Date(2022, 12, 11, 0, 0, 0, 0, time.UTC).UnixNano()
	tab, _ := New().(pipeline.Typed).KnownTable("")
	for _, columns := range [][]string{nil, {"serial_number"}} {
		sel := pipeline.Selection{From: day, To: day + 1, Tables: []pipeline.TableSelection{{Table: tab, Columns: columns}}}
		got := decode(t, src, sel, pipeline.DecodeOptions{})
		if len(got.rows) != 1 || got.counts.Unselected != 2 || !slices.Equal(got.ordinals, []int64{1}) {
			t.Errorf("%d rows, %+v", len(got.rows), got.counts)
		}
	}
	got := decode(t, src, pipeline.Selection{Tables: []pipeline.TableSelection{}}, pipeline.DecodeOptions{})
	if got.counts.Unselected != 3 || len(got.rows) != 0 {
		t.Errorf("%+v", got.counts)
	}
}

// TestSameRows: rows, ordinals and rejects depend on no option, and batches on
// none but their limits.
func TestSameRows(t *testing.T) {
	var text bytes.Buffer
	text.WriteString("date,serial_number,model,capacity_bytes,failure,smart_9_raw,smart_194_raw\n")
	for i := range 8_000 {
		switch {
		case i%977 == 0:
			text.WriteString("2024-01-02,short\n")
		case i%1300 == 0:
			fmt.Fprintf(&text, "2024-01-02,S%d,\"quoted\nname, \"\"%d\"\"\",1,0,,%d\n", i, i, i)
		case i%3001 == 0:
			text.WriteString("date,serial_number,model,capacity_bytes,failure,smart_9_raw,smart_194_raw\n\r\n")
		case i%5003 == 0:
			text.WriteString("date,serial_number,model,capacity_bytes,failure,smart_194_raw,smart_9_raw\n")
		default:
			fmt.Fprintf(&text, "2024-01-02,S%d,MODEL %d,4000787030016,0,%d,%d\n", i, i%7, i*3, 20+i%9)
		}
	}
	base := decode(t, &memory{name: "2024-01-02.csv", data: text.Bytes()}, all, pipeline.DecodeOptions{})
	if base.err != nil || len(base.rows) < 7_000 || len(base.bad) == 0 {
		t.Fatal(base.err, len(base.rows), len(base.bad))
	}
	batches := map[int][]int{}
	for _, rows := range []int{0, 1000, 77} {
		for _, workers := range []int{1, 4} {
			for _, step := range []int{0, 4093} {
				got := decode(t, &memory{name: "2024-01-02.csv", data: text.Bytes(), step: step}, all,
					pipeline.DecodeOptions{BatchRows: rows, Workers: workers, Steps: step > 0})
				if got.err != nil {
					t.Fatal(got.err)
				}
				diff(t, base.names, got.rows, base.rows)
				if !slices.Equal(got.ordinals, base.ordinals) || len(got.bad) != len(base.bad) {
					t.Fatalf("rows %d, workers %d, step %d: other ordinals", rows, workers, step)
				}
				for i, b := range got.bad {
					if w := base.bad[i]; b.Record != w.Record || b.Offset != w.Offset || b.Err.Error() != w.Err.Error() {
						t.Fatalf("bad row %+v, want %+v", b, w)
					}
				}
				if batches[rows] == nil {
					batches[rows] = got.batches
				}
				if !slices.Equal(got.batches, batches[rows]) {
					t.Fatalf("rows %d, workers %d, step %d: batches %v, want %v", rows, workers, step, got.batches, batches[rows])
				}
				if rows > 0 && slices.Max(got.batches) > rows {
					t.Errorf("a batch of %d rows", slices.Max(got.batches))
				}
				if step > 0 && (len(got.marks) < len(got.batches) || got.marks[len(got.marks)-1] != got.counts.Found) {
					t.Errorf("marks %v", got.marks)
				}
			}
		}
	}
}

// TestDamage: what can be read of a cut or damaged file is read, and the loss told.
func TestDamage(t *testing.T) {
	plain := []byte("date,serial_number,model,capacity_bytes,failure,smart_1_raw\n")
	for i := range 20_000 {
		plain = fmt.Appendf(plain, "2018-10-01,S%x,M,,0,%d\n", uint32(i)*2654435761, uint32(i*i)*2246822519)
	}
	full := decode(t, &memory{name: "2018-10-01.csv", data: plain}, all, pipeline.DecodeOptions{})
	for name, data := range map[string][]byte{"2018-10-01.csv.gz": gzipped(plain), "2018-10-01.csv.zst": zstandard(plain)} {
		for _, workers := range []int{1, 2} {
			for _, broken := range [][]byte{data[:len(data)*2/3], append(bytes.Clone(data), "garbage"...)} {
				got := decode(t, &memory{name: name, data: broken}, all, pipeline.DecodeOptions{Workers: workers})
				if got.err != nil || got.problem("truncated")+got.problem("corrupt") == "" || len(got.bad) > 0 || len(got.rows) < 2000 {
					t.Fatalf("%s: %v, %v, %d rows", name, got.err, got.problems, len(got.rows))
				}
				diff(t, full.names, got.rows, full.rows[:len(got.rows)])
			}
		}
	}
	long := append([]byte("date,serial_number,model,capacity_bytes,failure\n2024-01-01,A,M,1,0\n2024-01-01,B,"), bytes.Repeat([]byte("x"), 3<<20)...)
	for _, tail := range []string{"", ",1,0\n", "\"\n"} {
		for _, rows := range []int{1, 0} {
			src := &memory{name: "2024-01-01.csv", data: append(bytes.Clone(long), tail...)}
			got := decode(t, src, all, pipeline.DecodeOptions{BatchRows: rows})
			var de *pipeline.DecodeError
			if !errors.Is(got.err, pipeline.ErrLimit) || !errors.As(got.err, &de) || de.Object != "mem://2024-01-01.csv" || len(got.rows) != 1 {
				t.Fatalf("%v, %d rows", got.err, len(got.rows))
			}
		}
	}
	got := decode(t, &memory{name: "2024-01-01.csv", data: []byte(begin + "\n2024-01-01,A,M,1,0\n" + strings.Replace(begin, "capacity", "size", 1) + "\n2024-01-01,B,M,1,0\n")}, all, pipeline.DecodeOptions{})
	if !errors.Is(got.err, pipeline.ErrSchema) || !strings.Contains(got.err.Error(), "line 3") || len(got.rows) != 1 || len(got.bad) > 0 {
		t.Errorf("%v, %d rows", got.err, len(got.rows))
	}
	for text, kind := range map[string]error{
		"a,b,c\n1,2,3\n": pipeline.ErrSchema,
		"\n":             pipeline.ErrSchema,
		"date,serial_number,\"model,capacity_bytes,failure\n": pipeline.ErrCorrupt,
	} {
		got := decode(t, &memory{name: "2024-01-01.csv", data: []byte(text)}, all, pipeline.DecodeOptions{})
		if !errors.Is(got.err, kind) {
			t.Errorf("%q: %v", text, got.err)
		}
	}
}

func TestSniff(t *testing.T) {
	head := []byte(begin + ",smart_1_raw\n")
	for name, want := range map[string]bool{
		"2014/2014-06-25.csv": true, "data_Q1_2016/2016-03-08.csv": true, "2017-03-01.csv": true, "x": true,
		"__MACOSX/data_Q1_2016/._2016-03-08.csv": false,
	} {
		if got := New().Sniff(name, head); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, other := range []string{"date,serial_number\n", strings.Replace(begin, "model", "models", 1) + "\n", "time,value\n1,2\n", "\x1f\x8b", "PK\x03\x04"} {
		if New().Sniff("2014-06-25.csv", []byte(other)) {
			t.Errorf("%q is taken for drive stats", other)
		}
	}
	for _, day := range fleet.Eras() {
		src := fleetDay(t, day, 5, fleet.Layout{})
		names := fleet.Header(day)
		slices.Reverse(names)
		back := fleetDay(t, day, 5, fleet.Layout{Columns: names})
		for _, data := range [][]byte{src.data, back.data} {
			for _, packed := range [][]byte{data, gzipped(data), zstandard(data)} {
				if !New().Sniff(src.name, packed[:min(len(packed), 4096)]) {
					t.Errorf("%s is not recognised, %d bytes", src.name, len(packed))
				}
			}
		}
	}
	if New().Sniff("empty.csv", nil) || !New().Sniff("2014-11-02.csv.gz", nil) {
		t.Error("empty files are told by name")
	}
}
