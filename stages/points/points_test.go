package points

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

var pointField = arrow.StructOf(
	arrow.Field{Name: "name", Type: arrow.StringType, Nullable: true}, arrow.Field{Name: "offset", Type: arrow.Uint32Type, Nullable: true},
	arrow.Field{Name: "datatype", Type: arrow.Uint8Type, Nullable: true}, arrow.Field{Name: "count", Type: arrow.Uint32Type, Nullable: true})

var cloudTable = rowtest.Table("/points",
	rowtest.F("ts", arrow.TimeType, pipeline.MetaRole, pipeline.RoleTime),
	rowtest.F("header.frame_id", arrow.StringType),
	rowtest.F("height", arrow.Uint32Type), rowtest.F("width", arrow.Uint32Type),
	rowtest.F("fields", arrow.ListOf(pointField)), rowtest.F("is_bigendian", arrow.BoolType),
	rowtest.F("point_step", arrow.Uint32Type), rowtest.F("row_step", arrow.Uint32Type),
	rowtest.F("data", arrow.BinaryType, pipeline.MetaPayload, "reference:65536"), rowtest.F("data.uri", arrow.StringType),
	rowtest.F("is_dense", arrow.BoolType),
)

type cloudField struct {
	name   string
	offset uint32
	code   uint8
	count  uint32
}

type cloud struct {
	height, width, step, rowStep uint32
	big                          bool
	fields                       []cloudField
	data                         []byte
	null                         string // a column that is null
}

func cloudRecord(mem arrow.Allocator, list []cloud) arrow.Record {
	cols := make([]*column.Column, cloudTable.Schema.NumFields())
	for i, f := range cloudTable.Schema.Fields() {
		cols[i] = column.New(mem, f.Type)
	}
	for n, c := range list {
		for i, f := range cloudTable.Schema.Fields() {
			col := cols[i]
			if f.Name == c.null || f.Name == "data.uri" {
				col.AppendNull()
				continue
			}
			switch f.Name {
			case "ts":
				col.AppendInt64(int64(n))
			case "header.frame_id":
				col.AppendString("lidar")
			case "height":
				col.AppendInt32(int32(c.height))
			case "width":
				col.AppendInt32(int32(c.width))
			case "point_step":
				col.AppendInt32(int32(c.step))
			case "row_step":
				col.AppendInt32(int32(c.rowStep))
			case "is_bigendian":
				col.AppendBool(c.big)
			case "is_dense":
				col.AppendBool(true)
			case "data":
				col.AppendBytes(c.data)
			case "fields":
				st := col.Children[0]
				for _, f := range c.fields {
					st.Children[0].AppendString(f.name)
					st.Children[1].AppendInt32(int32(f.offset))
					st.Children[2].AppendFixed([]byte{f.code})
					st.Children[3].AppendInt32(int32(f.count))
					st.N++
				}
				col.CloseValue(st.N)
			}
		}
	}
	arrays := make([]arrow.Array, len(cols))
	for i, c := range cols {
		arrays[i] = c.Finish()
		defer arrays[i].Release()
	}
	return arrow.NewRecord(cloudTable.Schema, arrays, int64(len(list)))
}

func bind(t testing.TB, table *pipeline.Table, rows string, kv ...string) *pipeline.Binding {
	t.Helper()
	st, err := Spec().New(context.Background(), &Config{Fields: rowtest.Map(kv...), Rows: rows}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := st.Bind([]*pipeline.Table{table})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// small is an organised cloud of 2 x 2 points with padding between points, at
// the end of rows, and between fields.
func small(big bool) cloud {
	c := cloud{height: 2, width: 2, step: 12, rowStep: 27, big: big, data: make([]byte, 54),
		fields: []cloudField{{"ring", 9, 4, 1}, {"x", 1, 7, 1}, {"t", 0, 1, 1}, {"extra", 5, 5, 9}}}
	var order binary.ByteOrder = binary.LittleEndian
	if big {
		order = binary.BigEndian
	}
	for i, x := range []float64{1.5, 1e9, -8, -0.25} {
		p := c.data[i/2*27+i%2*12:]
		p[0] = byte(-i)
		order.PutUint32(p[1:], math.Float32bits(float32(x)))
		order.PutUint16(p[9:], uint16(65533+i))
	}
	return c
}

func TestSweeps(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b := bind(t, cloudTable, "sweep", "x", "float32", "ring", "uint16", "t", "int8")
	r := rowtest.Run(t, mem, b, cloudTable, cloudRecord(mem, []cloud{small(false), {}, small(true)}))
	const cells = "lidar 2 2 true [1.5,1000000000,-8,-0.25] [65533,65534,65535,0] [0,-1,-2,-3]\n"
	want := "1970-01-01 00:00:00Z " + cells + "1970-01-01 00:00:00.000000001Z lidar 0 0 true [] [] []\n1970-01-01 00:00:00.000000002Z " + cells
	if r.Rows != want {
		t.Errorf("rows\n%swant\n%s", r.Rows, want)
	}
	lineage := "ts <- ts =\nheader.frame_id <- header.frame_id =\nheight <- height =\nwidth <- width =\nis_dense <- is_dense =\n"
	for _, f := range []string{"x", "ring", "t"} {
		lineage += f + " <- height width fields is_bigendian point_step row_step data [points of the message]\n"
	}
	if got := rowtest.Lineage(b.Outputs[0]); got != lineage {
		t.Errorf("lineage\n%swant\n%s", got, lineage)
	}
}

func TestPoints(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b := bind(t, cloudTable, "point", "ring", "uint16")
	bad := small(false)
	bad.data = bad.data[1:]
	r := rowtest.Run(t, mem, b, cloudTable, cloudRecord(mem, []cloud{small(false), bad, {}, small(true)}))
	var want strings.Builder
	for _, ts := range []string{"00Z", "00.000000003Z"} {
		for i, ring := range []int{65533, 65534, 65535, 0} {
			fmt.Fprintf(&want, "1970-01-01 00:00:%s lidar 2 2 true %d %d\n", ts, i, ring)
		}
	}
	if r.Rows != want.String() || !slices.Equal(r.Records, []int64{100, 100, 100, 100, 103, 103, 103, 103}) {
		t.Errorf("rows\n%s%v", r.Rows, r.Records)
	}
	if !slices.Equal(r.Bad, []string{"/points@101 data cloud_size"}) || r.Account.Absorbed != 3 || r.Account.Created != 8 {
		t.Errorf("bad %v, account %+v", r.Bad, r.Account)
	}
}

// A cloud whose lengths contradict each other, or which lacks what was
// declared, is refused with a reason, and takes nothing with it.
func TestRefusals(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b := bind(t, cloudTable, "sweep", "x", "float32")
	for want, change := range map[string]func(*cloud){
		"data cloud_size":         func(c *cloud) { c.data = append(c.data, 0) },
		"row_step cloud_size":     func(c *cloud) { c.width = 3 },
		"x field_missing":         func(c *cloud) { c.fields[1].name = "X" },
		"x field_type":            func(c *cloud) { c.fields[1].code = 6 },
		"x field_count":           func(c *cloud) { c.fields[1].count = 2 },
		"x field_offset":          func(c *cloud) { c.fields[1].offset = 9 },
		"height null_cell":        func(c *cloud) { c.null = "height" },
		"data null_cell":          func(c *cloud) { c.null = "data" },
		"fields null_cell":        func(c *cloud) { c.null = "fields" },
		"data cloud_size again":   func(c *cloud) { c.height = math.MaxUint32 },
		"row_step cloud_size 2":   func(c *cloud) { c.width, c.step = math.MaxUint32, math.MaxUint32 },
		"x field_offset overflow": func(c *cloud) { c.fields[1].offset = math.MaxUint32 - 1 },
	} {
		c := small(false)
		change(&c)
		r := rowtest.Run(t, mem, b, cloudTable, cloudRecord(mem, []cloud{c, {}}))
		words := strings.Fields(want)
		if !slices.Equal(r.Bad, []string{"/points@100 " + words[0] + " " + words[1]}) || !slices.Equal(r.Records, []int64{101}) {
			t.Errorf("%s: %v, records %v", want, r.Bad, r.Records)
		}
	}
}

// Any layout gives what reading each point alone gives, also from a slice of a
// batch.
func TestLayouts(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var kv []string
		c := cloud{height: 1 + rnd.Uint32N(3), width: 1 + rnd.Uint32N(9), big: rnd.IntN(2) == 0}
		for i := range 1 + rnd.IntN(5) {
			d := datatypes[rnd.IntN(len(datatypes))]
			c.step += rnd.Uint32N(3)
			c.fields = append(c.fields, cloudField{fmt.Sprint("f", i), c.step, d.code, 1})
			c.step += uint32(d.width)
			kv = append(kv, fmt.Sprint("f", i), d.name)
		}
		c.step += rnd.Uint32N(2)
		c.rowStep = c.step*c.width + rnd.Uint32N(4)
		c.data = make([]byte, c.rowStep*c.height)
		for i := range c.data {
			c.data[i] = byte(rnd.Uint32())
		}
		for _, mode := range []string{"sweep", "point"} {
			b := bind(t, cloudTable, mode, kv...)
			whole := cloudRecord(mem, []cloud{small(false), c})
			rec := whole.NewSlice(1, 2)
			whole.Release()
			p, err := b.Open(pipeline.ProcessOptions{Allocator: mem})
			if err != nil {
				t.Fatal(err)
			}
			err = p.Process(t.Context(), &pipeline.Batch{Table: cloudTable, Record: rec}, &pipeline.Account{}, func(e pipeline.Element) error {
				defer e.Batch.Release()
				first := e.Batch.Table.Column("f0")
				for k, f := range c.fields {
					arr := e.Batch.Record.Column(first + k)
					if l, ok := arr.(*arrow.List); ok {
						arr = l.ListValues()
					}
					if got, want := fixedBytes(arr), naive(&c, f); !slices.Equal(got, want) {
						t.Errorf("%s %s: %x, want %x", mode, kv[2*k+1], got, want)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fixedBytes are the bytes of a column of fixed width.
func fixedBytes(a arrow.Array) []byte { return a.Data().Buffers()[1].Bytes() }

func naive(c *cloud, f cloudField) []byte {
	width := datatypes[f.code-1].width
	var out []byte
	for h := range c.height {
		for w := range c.width {
			v := slices.Clone(c.data[h*c.rowStep+w*c.step+f.offset:][:width])
			if c.big {
				slices.Reverse(v)
			}
			out = append(out, v...)
		}
	}
	return out
}

var scanTable = rowtest.Table("/scan",
	rowtest.F("ts", arrow.TimeType, pipeline.MetaRole, pipeline.RoleTime),
	rowtest.F("angle_min", arrow.Float32Type), rowtest.F("angle_increment", arrow.Float32Type),
	rowtest.F("ranges", arrow.ListOf(arrow.Float32Type)), rowtest.F("intensities", arrow.ListOf(arrow.Float32Type)),
)

func TestScans(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	rows := func() arrow.Record {
		return rowtest.Record(mem, scanTable.Schema,
			[]any{0, 0.0, 0.5, []any{2.0, math.Inf(1)}, []any{7.0, 8.0}},
			[]any{1, 0.0, 0.5, []any{1.0}, []any{1.0, 2.0}},
			[]any{2, 0.0, 0.5, nil, []any{}},
			[]any{3, -1.5, 0.5, []any{math.NaN()}, []any{}})
	}
	bad := []string{"/scan@101 intensities intensities_length", "/scan@102 ranges null_cell"}
	r := rowtest.Run(t, mem, bind(t, scanTable, "point"), scanTable, rows())
	want := "1970-01-01 00:00:00Z 0 0.5 0 0 2 7 2 0\n" +
		"1970-01-01 00:00:00Z 0 0.5 1 0.5 +Inf 8 +Inf +Inf\n" +
		"1970-01-01 00:00:00.000000003Z -1.5 0.5 0 -1.5 NaN null NaN NaN\n"
	if r.Rows != want || !slices.Equal(r.Bad, bad) {
		t.Errorf("rows\n%swant\n%s%v", r.Rows, want, r.Bad)
	}
	r = rowtest.Run(t, mem, bind(t, scanTable, "sweep"), scanTable, rowtest.Record(mem, scanTable.Schema,
		[]any{0, 0.0, 0.5, []any{2.0, 0.0, 4.0}, []any{7.0, 8.0, 9.0}},
		[]any{1, 0.0, 0.5, []any{1.0}, []any{1.0, 2.0}},
		[]any{2, 0.0, 0.5, []any{}, []any{}}))
	want = "1970-01-01 00:00:00Z 0 0.5 [2,0,4] [7,8,9] [0,0.5,1] " + fmt.Sprintf("[2,0,%v] [0,0,%v]\n", 4*math.Cos(1), 4*math.Sin(1)) +
		"1970-01-01 00:00:00.000000002Z 0 0.5 [] [] [] [] []\n"
	if r.Rows != want || !slices.Equal(r.Bad, bad[:1]) {
		t.Errorf("rows\n%swant\n%s%v", r.Rows, want, r.Bad)
	}
}

func TestMistakes(t *testing.T) {
	_, err := Spec().New(context.Background(), &Config{Fields: rowtest.Map("x", "float23")}, nil)
	if want := `p.yaml:7:20: stages.x: unknown type "float23" of field x (did you mean float32?)`; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	st, err := Spec().New(context.Background(), &Config{Fields: rowtest.Map("width", "uint8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, table := range map[string]*pipeline.Table{
		"is neither a PointCloud2 nor a LaserScan": rowtest.Table("/a", rowtest.F("data", arrow.BinaryType)),
		`has a column "width" already`:             cloudTable,
	} {
		if _, err := st.Bind([]*pipeline.Table{table}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// No cloud, whatever it claims, is read beyond its bytes.
func FuzzClouds(f *testing.F) {
	s := small(false)
	f.Add(s.height, s.width, s.step, s.rowStep, uint32(1), uint8(7), uint32(1), false, s.data)
	f.Add(uint32(1), uint32(math.MaxUint32), uint32(0), uint32(0), uint32(0), uint8(7), uint32(1), true, []byte{})
	mem := arrow.NewGoAllocator()
	f.Fuzz(func(t *testing.T, height, width, step, rowStep, offset uint32, code uint8, count uint32, big bool, data []byte) {
		c := cloud{height: height, width: width, step: step, rowStep: rowStep, big: big, data: data, fields: []cloudField{{"x", offset, code, count}}}
		for _, mode := range []string{"sweep", "point"} {
			r := rowtest.Run(t, mem, bind(t, cloudTable, mode, "x", "uint8"), cloudTable, cloudRecord(mem, []cloud{c}))
			if points := uint64(height) * uint64(width); len(r.Bad) == 0 && mode == "point" && uint64(len(r.Records)) != points {
				t.Errorf("%d rows of %d points", len(r.Records), points)
			}
		}
	})
}

// The usual layout of a lidar: x, y, z, intensity and ring in 22 bytes.
func BenchmarkClouds(b *testing.B) {
	mem := arrow.NewGoAllocator()
	c := cloud{height: 1, width: 100_000, step: 22, fields: []cloudField{{"x", 0, 7, 1}, {"y", 4, 7, 1}, {"z", 8, 7, 1}, {"intensity", 16, 7, 1}, {"ring", 20, 4, 1}}}
	c.rowStep = c.step * c.width
	c.data = make([]byte, c.rowStep)
	for _, mode := range []string{"sweep", "point"} {
		b.Run(mode, func(b *testing.B) {
			bound := bind(b, cloudTable, mode, "x", "float32", "y", "float32", "z", "float32", "intensity", "float32", "ring", "uint16")
			p, err := bound.Open(pipeline.ProcessOptions{Allocator: mem})
			if err != nil {
				b.Fatal(err)
			}
			rec := cloudRecord(mem, []cloud{c, c})
			b.SetBytes(2 * int64(len(c.data)))
			b.ReportAllocs()
			for b.Loop() {
				rec.Retain()
				rows := 0
				err := p.Process(b.Context(), &pipeline.Batch{Table: cloudTable, Record: rec}, &pipeline.Account{}, func(e pipeline.Element) error {
					rows += e.Batch.Rows()
					e.Batch.Release()
					return nil
				})
				if err != nil || rows != map[string]int{"sweep": 2, "point": 200_000}[mode] {
					b.Fatal(rows, err)
				}
			}
		})
	}
}
