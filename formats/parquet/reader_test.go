package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// foreign writes rows of T with parquet-go's own writer.
func foreign[T any](t testing.TB, rows []T, options ...pq.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pq.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// foreignRow has what drivemill does not write itself.
type foreignRow struct {
	Millis  int64            `parquet:"millis,timestamp(millisecond)"`
	Micros  int64            `parquet:"micros,timestamp(microsecond)"`
	Day     int32            `parquet:"day,time(millisecond)"`
	Dec32   int32            `parquet:"dec32,decimal(2:9)"`
	Dec64   int64            `parquet:"dec64,decimal(4:18)"`
	Prefix  string           `parquet:"prefix,delta"`
	Split   float64          `parquet:"split,split"`
	Dict    int64            `parquet:"dict,dict"`
	DictStr string           `parquet:"dictstr,dict"`
	Group   *foreignGroup    `parquet:"group,optional"`
	Repeat  []int32          `parquet:"repeat"`
	Map     map[string]int32 `parquet:"map"`
	Fixed   [4]byte          `parquet:"fixed"`
	Bool    bool             `parquet:"bool"`
}

type foreignGroup struct {
	X *int32  `parquet:"x,optional"`
	L []int64 `parquet:"l,list"`
}

func TestReadForeign(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	seven := int32(7)
	rows := []foreignRow{
		{Millis: -1, Micros: 5, Day: 86399999, Dec32: -123, Dec64: 1e17, Prefix: "abc", Split: 1.5, Dict: 9, DictStr: "x",
			Group: &foreignGroup{X: &seven, L: []int64{1, 2}}, Repeat: []int32{1}, Map: map[string]int32{"k": 1}, Fixed: [4]byte{1, 2, 3, 4}, Bool: true},
		{Prefix: "abd", Dict: 9, DictStr: ""},
		{Prefix: "abdominal", Dict: math.MinInt64, DictStr: "x", Repeat: []int32{2, 3}},
	}
	want := [][]string{
		{"-1000000", "5000", "86399999000000", "-123", "100000000000000000", `"abc"`, "d3ff8000000000000", "9", `"x"`, "7", "[1 2]", "[1]", `[{"k" 1}]`, `"\x01\x02\x03\x04"`, "true"},
		{"0", "0", "0", "0", "0", `"abd"`, "d0000000000000000", "9", `""`, "null", "null", "[]", "[]", `"\x00\x00\x00\x00"`, "false"},
		{"0", "0", "0", "0", "0", `"abdominal"`, "d0000000000000000", "-9223372036854775808", `"x"`, "null", "null", "[2 3]", "[]", `"\x00\x00\x00\x00"`, "false"},
	}
	for _, version := range []int{1, 2} {
		for _, codec := range []string{"none", "snappy", "gzip", "zstd", "lz4"} {
			t.Run(fmt.Sprintf("v%d/%s", version, codec), func(t *testing.T) {
				opt := []pq.WriterOption{pq.DataPageVersion(version)}
				switch codec {
				case "snappy":
					opt = append(opt, pq.Compression(&pq.Snappy))
				case "gzip":
					opt = append(opt, pq.Compression(&pq.Gzip))
				case "zstd":
					opt = append(opt, pq.Compression(&pq.Zstd))
				case "lz4":
					opt = append(opt, pq.Compression(&pq.Lz4Raw))
				}
				tab, got := readAll(t, mem, foreign(t, rows, opt...), pipeline.Selection{}, pipeline.DecodeOptions{})
				names := "millis micros day dec32 dec64 prefix split dict dictstr group.x group.l repeat map fixed bool"
				if s := strings.Join(tab.ColumnNames(), " "); s != names {
					t.Errorf("columns %s", s)
				}
				for i := range want {
					if !slices.Equal(got[i], want[i]) {
						t.Errorf("row %d:\n got %v\nwant %v", i, got[i], want[i])
					}
				}
			})
		}
	}
}

func TestReadRefuses(t *testing.T) {
	type int96Row struct {
		When struct{ T [3]uint32 } `parquet:"-"`
		X    int64                 `parquet:"x,timestamp(millisecond)"`
	}
	late := foreign(t, []int96Row{{X: math.MaxInt64 / 1000}})
	if _, _, err := tryRead(arrow.NewGoAllocator(), late, pipeline.Selection{}, pipeline.DecodeOptions{}); err == nil || !strings.Contains(err.Error(), "does not fit nanoseconds") {
		t.Errorf("a time beyond nanoseconds: %v", err)
	}
	schema := pq.NewSchema("x", pq.Group{"old": pq.Leaf(pq.Int96Type)})
	var b bytes.Buffer
	w := pq.NewGenericWriter[any](&b, schema)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Reader{}.Describe(t.Context(), bytesSource(b.Bytes()))
	var de *pipeline.DecodeError
	if !errors.Is(err, pipeline.ErrUnsupported) || !strings.Contains(err.Error(), "column old: INT96") || !errors.As(err, &de) || de.Object == "" {
		t.Errorf("INT96: %v", err)
	}
}

func TestReadSelection(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	rec := driveRecord(t, mem, 1000)
	file := encodeWith(t, rec, WriterOptions{RowGroupRows: 300}, 1000)
	rec.Release()
	src := bytesSource(file)
	d, err := Reader{}.Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	tab := d.Tables[0].Table
	if tab.Name != "table" || d.Tables[0].Rows != 1000 || d.Writer != "drivemill" || len(d.Compression) != 1 || d.Compression[0].Codec != "zstd" {
		t.Errorf("described as %+v", d)
	}
	if len(tab.Clocks) != 1 || tab.Clocks[0].Column != "ts" {
		t.Errorf("clocks %+v", tab.Clocks)
	}
	if f := tab.Schema.Field(tab.Column("pose_x")); f.Metadata.String() == "" {
		t.Error("no metadata")
	} else if u, _ := f.Metadata.GetValue(pipeline.MetaUnit); u != "m" {
		t.Errorf("unit %q", u)
	}
	const first = 1772000000000000000 // floored to microseconds
	sel := pipeline.Selection{
		Tables: []pipeline.TableSelection{{Table: tab, Columns: []string{"pose_x"}}},
		From:   first + 10*10_000_000, To: first + 13*10_000_000,
	}
	dec, err := Reader{}.Open(t.Context(), src, d, sel, pipeline.DecodeOptions{Allocator: mem, Object: 3, Steps: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	marks := 0
	for {
		el, err := dec.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if el.Batch == nil {
			marks++
			continue
		}
		for i := range el.Batch.Rows() {
			got = append(got, fmt.Sprint(spell(el.Batch.Record.Column(0), i), "@", el.Batch.Origin.At(i)))
		}
		if el.Batch.Origin.Object != 3 || el.Batch.Record.NumCols() != 1 {
			t.Errorf("origin %+v, %d columns", el.Batch.Origin, el.Batch.Record.NumCols())
		}
		el.Batch.Release()
	}
	if err := dec.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"d4024000000000000@10", "d4026000000000000@11", "d4028000000000000@12"}
	if !slices.Equal(got, want) || marks != 4 {
		t.Errorf("got %v with %d marks", got, marks)
	}
	if c := dec.Counts()[0]; c.Found != 1000 || c.Decoded != 3 || c.Unselected != 997 {
		t.Errorf("counts %+v", c)
	}
	none := pipeline.Selection{Tables: []pipeline.TableSelection{}}
	if _, rows := readAll(t, mem, file, none, pipeline.DecodeOptions{}); len(rows) != 0 {
		t.Errorf("%d rows of no table", len(rows))
	}
	sel.Tables[0].Columns = []string{"nope"}
	if _, err := (Reader{}).Open(t.Context(), src, d, sel, pipeline.DecodeOptions{}); !errors.Is(err, pipeline.ErrSchema) {
		t.Errorf("an unknown column: %v", err)
	}
}

// smallFiles are what mutations start from.
func smallFiles(t testing.TB) [][]byte {
	mem := arrow.NewGoAllocator()
	seven := int32(7)
	rows := []foreignRow{{Millis: 1, Prefix: "abc", Group: &foreignGroup{X: &seven, L: []int64{1, 2}}, Repeat: []int32{1, 2}}, {Prefix: "abd"}}
	return [][]byte{
		encodeWith(t, driveRecord(t, mem, 3), WriterOptions{}, 3),
		encodeWith(t, allTypes(t, mem), WriterOptions{RowGroupRows: 4, Compression: "none"}, 7),
		foreign(t, rows, pq.DataPageVersion(1), pq.Compression(&pq.Snappy)),
	}
}

// Damage gives an error that names the object, never a panic.
func TestReadDamaged(t *testing.T) {
	for _, file := range smallFiles(t) {
		for n := range file {
			if _, _, err := tryRead(arrow.NewGoAllocator(), file[:n], pipeline.Selection{}, pipeline.DecodeOptions{}); err == nil {
				t.Fatalf("%d of %d bytes were read without an error", n, len(file))
			}
		}
	}
	files := smallFiles(t)
	rapid.Check(t, func(rt *rapid.T) {
		file := slices.Clone(files[rapid.IntRange(0, len(files)-1).Draw(rt, "file")])
		for range rapid.IntRange(1, 4).Draw(rt, "mutations") {
			file[rapid.IntRange(0, len(file)-1).Draw(rt, "at")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		}
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		_, _, err := tryRead(mem, file, pipeline.Selection{}, pipeline.DecodeOptions{})
		var de *pipeline.DecodeError
		if err != nil && !strings.Contains(err.Error(), "balance") && (!errors.As(err, &de) || de.Object == "") {
			rt.Fatalf("an error without its object: %v", err)
		}
		mem.AssertSize(fatalf{rt}, 0)
	})
}

func FuzzRead(f *testing.F) {
	for _, file := range smallFiles(f) {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		defer mem.AssertSize(t, 0)
		_, _, _ = tryRead(mem, file, pipeline.Selection{}, pipeline.DecodeOptions{BatchRows: 100})
	})
}

// A footer may claim anything.
func TestFooterClaims(t *testing.T) {
	footer := func(body ...byte) []byte {
		b := append([]byte(magic), body...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
		return append(b, magic...)
	}
	for name, file := range map[string][]byte{
		"list of 2^31 row groups": footer(0x15, 0x02, 0x19, 0x1c, 0x15, 0x0c, 0x18, 0x01, 'x', 0x00, 0x16, 0x02, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00),
		"structures without end":  footer(bytes.Repeat([]byte{0x1c}, 100_000)...),
		"nothing":                 footer(),
		"no schema":               footer(0x15, 0x02, 0x19, 0x0c, 0x16, 0x00, 0x19, 0x0c, 0x00),
		"length beyond the file":  append(footer(0)[:5], 0xff, 0xff, 0xff, 0x00, 'P', 'A', 'R', '1'),
		"length beyond reason":    append(footer(0)[:5], 0xff, 0xff, 0xff, 0xff, 'P', 'A', 'R', '1'),
	} {
		if _, err := (Reader{}).Describe(context.Background(), bytesSource(file)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
