package rosbag

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// parts is a recording of several objects in memory.
type parts struct {
	*object
	all []*object
}

func (p *parts) Parts() []pipeline.Source {
	var out []pipeline.Source
	for _, o := range p.all {
		out = append(out, o)
	}
	return out
}

func split(data ...[]byte) *parts {
	p := &parts{}
	for i, d := range data {
		p.all = append(p.all, &object{name: fmt.Sprintf("mem://drive_%d.bag", i), data: d})
	}
	p.object = p.all[0]
	return p
}

// numbered is one row of a part.
type numbered struct {
	object int
	row
}

// readSplit decodes a recording of several objects as raw tables.
func readSplit(t *testing.T, src pipeline.Source, sel func(*pipeline.Description) pipeline.Selection, opt pipeline.DecodeOptions) ([]numbered, []pipeline.TableCounts, []pipeline.Problem, []pipeline.Watermark) {
	t.Helper()
	d, err := New().Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	opt.Allocator = mem
	dec, err := New().Open(t.Context(), src, d, sel(d), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var rows []numbered
	var marks []pipeline.Watermark
	for {
		el, err := dec.Next(t.Context())
		if err != nil {
			break
		}
		if el.Batch == nil {
			marks = append(marks, el.Mark)
			continue
		}
		for _, r := range appendRows(nil, el.Batch) {
			rows = append(rows, numbered{el.Batch.Origin.Object, r})
		}
		el.Batch.Release()
	}
	problems := slices.DeleteFunc(slices.Concat(d.Problems, dec.Problems()), func(p pipeline.Problem) bool { return p.Kind == "no_decoder" })
	return rows, dec.Counts(), problems, marks
}

func whole(*pipeline.Description) pipeline.Selection { return pipeline.Selection{} }

// A split bag: each part numbers its connections anew, and /c is only in one.
func splitBag() [][]byte {
	first := &bag{}
	first.connect(0, "/a")
	first.connect(1, "/b", "latching", "1", "callerid", "/map")
	for i := range uint32(6) {
		first.write(i%2, at(100+i, 0), fmt.Sprint("p0 ", i))
		if i == 3 {
			first.endChunk()
		}
	}
	second := &bag{codec: codecLZ4}
	second.connect(0, "/b", "latching", "1", "callerid", "/map")
	second.connect(7, "/a")
	second.connect(8, "/c")
	for i := range uint32(6) {
		second.write([]uint32{0, 7, 8}[i%3], at(105+i, 0), fmt.Sprint("p1 ", i)) // begins while the first ends
	}
	third := &bag{}
	third.connect(0, "/a")
	third.write(0, at(200, 0), "p2 0")
	return [][]byte{first.closed(), second.closed(), third.unclosed()}
}

func TestSplitBag(t *testing.T) {
	src := split(splitBag()...)
	d, err := New().Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for _, info := range d.Tables {
		tables = append(tables, fmt.Sprint(info.Table.Name, " ", info.Rows, " ", info.Latched))
	}
	equal(t, "tables", tables, []string{"/a 6 false", "/b 5 true", "/c 2 false"})
	equal(t, "range", []int64{d.Start, d.End}, []int64{100e9, 200e9})
	if d.Indexed {
		t.Error("the last part has no index")
	}
	for _, opt := range []pipeline.DecodeOptions{{Object: 3}, {Object: 3, Workers: 4, BatchRows: 1}, {Object: 3, Workers: 2, Steps: true}} {
		rows, counts, problems, marks := readSplit(t, src, whole, opt)
		perTable := map[string][]string{}
		for _, r := range rows {
			perTable[r.table] = append(perTable[r.table], fmt.Sprintf("%d:%d %s", r.object, r.record, r.data))
		}
		equal(t, "/a", perTable["/a"], []string{"3:0 p0 0", "3:2 p0 2", "3:4 p0 4", "4:1 p1 1", "4:4 p1 4", "5:0 p2 0"})
		equal(t, "/b", perTable["/b"], []string{"3:1 p0 1", "3:3 p0 3", "3:5 p0 5", "4:0 p1 0", "4:3 p1 3"})
		equal(t, "/c", perTable["/c"], []string{"4:2 p1 2", "4:5 p1 5"})
		for _, c := range counts {
			if c.Indexed != c.Found || c.Lost != 0 || c.LostBytes != 0 {
				t.Errorf("counts %+v", c)
			}
		}
		if len(problems) != 1 || problems[0].Kind != "unindexed" || !strings.HasPrefix(problems[0].Detail, "drive.bag: ") {
			t.Errorf("problems %v", problems)
		}
		for i := 1; i < len(marks); i++ {
			if a, b := marks[i-1], marks[i]; a.Object > b.Object || a.Object == b.Object && a.Record >= b.Record {
				t.Errorf("watermark %v after %v", b, a)
			}
		}
	}
}

// In log order the parts are merged where they overlap.
func TestSplitBagLogOrder(t *testing.T) {
	rows, _, _, _ := readSplit(t, split(splitBag()...), func(*pipeline.Description) pipeline.Selection {
		return pipeline.Selection{Order: pipeline.LogOrder}
	}, pipeline.DecodeOptions{Workers: 3, BatchRows: 2})
	last := map[string]int64{}
	for _, r := range rows {
		if r.time < last[r.table] {
			t.Errorf("%v comes after %d", r, last[r.table])
		}
		last[r.table] = r.time
	}
	if len(rows) != 13 {
		t.Errorf("%d rows", len(rows))
	}
	var b []string
	for _, r := range rows {
		if r.table == "/b" {
			b = append(b, r.data)
		}
	}
	equal(t, "/b: equal times in storage order", b, []string{"p0 1", "p0 3", "p0 5", "p1 0", "p1 3"})
}

// Damage in one part costs nothing of the others, and is told with its name.
func TestSplitBagDamage(t *testing.T) {
	data := splitBag()
	data[1] = []byte("no bag")
	rows, counts, problems, _ := readSplit(t, split(data...), whole, pipeline.DecodeOptions{})
	lost := int64(0)
	for _, c := range counts {
		lost += c.LostBytes
	}
	if len(rows) != 7 || lost != 6 || !slices.ContainsFunc(problems, func(p pipeline.Problem) bool { return p.Kind == "bad_part" && p.Loses }) {
		t.Errorf("%d rows, %d bytes lost, %v", len(rows), lost, problems)
	}
	for i := range data {
		data[i] = []byte("no bag")
	}
	if _, err := New().Describe(t.Context(), split(data...)); !errors.Is(err, pipeline.ErrCorrupt) || !strings.Contains(err.Error(), "drive_0.bag") {
		t.Errorf("error %v", err)
	}
	// A description is not used with other objects.
	src := split(splitBag()...)
	d, err := New().Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New().Open(t.Context(), src.all[0], d, pipeline.Selection{}, pipeline.DecodeOptions{}); err == nil {
		t.Error("one object was taken for three")
	}
}

func TestAssemble(t *testing.T) {
	const d1, d2, d3, d4 = "2024-01-02-03-04-05", "2024-01-02-03-14-05", "2024-01-02-03-24-05", "2024-01-03-00-00-00"
	for _, tc := range []struct {
		name string
		keys []string
		want []string
	}{
		{"numbered", []string{"a/drive_1.bag", "a/drive_0.bag", "a/drive_2.bag"}, []string{"drive_0.bag drive_1.bag drive_2.bag"}},
		{"ten parts", []string{"d_0.bag", "d_1.bag", "d_10.bag", "d_2.bag", "d_3.bag", "d_4.bag", "d_5.bag", "d_6.bag", "d_7.bag", "d_8.bag", "d_9.bag"},
			[]string{"d_0.bag d_1.bag d_2.bag d_3.bag d_4.bag d_5.bag d_6.bag d_7.bag d_8.bag d_9.bag d_10.bag"}},
		{"the last is open", []string{"d_0.bag", "d_1.bag.active"}, []string{"d_0.bag d_1.bag.active"}},
		{"an open one in the middle", []string{"d_0.bag", "d_1.bag.active", "d_2.bag"}, nil},
		{"both open and closed", []string{"d_0.bag", "d_1.bag", "d_1.bag.active"}, nil},
		{"one alone", []string{"d_0.bag"}, nil},
		{"not from 0", []string{"d_1.bag", "d_2.bag"}, nil},
		{"a gap", []string{"d_0.bag", "d_1.bag", "d_3.bag"}, nil},
		{"zero padding", []string{"d_00.bag", "d_01.bag"}, nil},
		{"no stem", []string{"0.bag", "1.bag", "_0.bag", "_1.bag"}, []string{"_0.bag _1.bag"}},
		{"other folder", []string{"a/d_0.bag", "b/d_1.bag"}, nil},
		{"other stem", []string{"d_0.bag", "e_1.bag", "d__1.bag"}, nil},
		{"dates", []string{"v_" + d1 + "_0.bag", "v_" + d2 + "_1.bag", "v_" + d3 + "_2.bag"}, []string{"v_" + d1 + "_0.bag v_" + d2 + "_1.bag v_" + d3 + "_2.bag"}},
		{"dates alone", []string{d1 + "_0.bag", d2 + "_1.bag.active"}, []string{d1 + "_0.bag " + d2 + "_1.bag.active"}},
		{"two drives of one prefix", []string{d1 + "_0.bag", d2 + "_1.bag", d3 + "_0.bag", d4 + "_1.bag"}, []string{d1 + "_0.bag " + d2 + "_1.bag", d3 + "_0.bag " + d4 + "_1.bag"}},
		{"two drives, longer one first", []string{d1 + "_0.bag", d2 + "_1.bag", d3 + "_2.bag", d4 + "_0.bag"}, []string{d1 + "_0.bag " + d2 + "_1.bag " + d3 + "_2.bag"}},
		{"nobody knows whose", []string{d1 + "_0.bag", d2 + "_0.bag", d3 + "_1.bag"}, nil},
		{"the first is missing", []string{d1 + "_1.bag", d2 + "_0.bag", d3 + "_1.bag"}, []string{d2 + "_0.bag " + d3 + "_1.bag"}},
		{"a part is missing", []string{d1 + "_0.bag", d2 + "_1.bag", d3 + "_3.bag"}, nil},
		{"with and without dates", []string{"v_0.bag", "v_" + d1 + "_1.bag"}, nil},
		{"not bags", []string{"d_0.mcap", "d_1.mcap", "d_0.bag.gz"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var objects []pipeline.Object
			for _, k := range tc.keys {
				objects = append(objects, pipeline.Object{Key: k})
			}
			got, err := New().(pipeline.Assembler).Assemble(context.Background(), objects, nil)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, a := range got {
				var one []string
				for _, o := range a.Objects {
					one = append(one, path.Base(o.Key))
				}
				names = append(names, strings.Join(one, " "))
				if a.Key != a.Objects[0].Key {
					t.Errorf("key %s", a.Key)
				}
			}
			equal(t, "recordings", names, tc.want)
		})
	}
}

// The last row before the range of latched tables, of each publisher.
func TestLatched(t *testing.T) {
	b := &bag{}
	b.connect(0, "/map", "latching", "1", "callerid", "/one")
	b.connect(1, "/map", "latching", "1", "callerid", "/two")
	b.connect(2, "/odom")
	b.connect(3, "/late", "latching", "1")
	n := uint32(0)
	for chunk := range uint32(50) {
		if chunk == 2 {
			b.write(0, at(3, 0), "old map")
			b.write(0, at(20, 5), "map") // logged before others of its chunk
		}
		if chunk == 7 {
			b.write(1, at(70, 5), "second map")
		}
		if chunk == 45 {
			b.write(0, at(455, 0), "map in range")
			b.write(3, at(456, 0), "late")
		}
		for range 10 {
			b.write(2, at(n, 0), strings.Repeat("odom", 5000))
			n++
		}
		b.endChunk()
	}
	sel := func(from int64, order pipeline.Order) func(d *pipeline.Description) pipeline.Selection {
		return func(d *pipeline.Description) pipeline.Selection {
			s := pipeline.Selection{From: from, To: 460e9, Order: order}
			for _, info := range d.Tables {
				s.Tables = append(s.Tables, pipeline.TableSelection{Table: info.Table, Latched: info.Latched})
			}
			return s
		}
	}
	closed, open := b.closed(), b.unclosed()
	for _, data := range [][]byte{closed, open} {
		for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
			rows, counts, _, _ := readSplit(t, inMemory(data), sel(450e9, order), pipeline.DecodeOptions{Workers: 2})
			var maps []string
			for _, r := range rows {
				if r.table != "/odom" {
					maps = append(maps, r.data)
				} else if r.time < 450e9 || r.time >= 460e9 {
					t.Errorf("%v is out of range", r)
				}
			}
			slices.Sort(maps)
			equal(t, "latched rows", maps, []string{"late", "map", "map in range", "second map"})
			if len(rows) != 14 {
				t.Errorf("%d rows", len(rows))
			}
			for _, c := range counts {
				if c.Indexed != c.Found || c.Found != c.Decoded+c.Unselected {
					t.Errorf("counts %+v", c)
				}
			}
		}
	}
	// Not asked for, they stay away; and only chunks that may hold one are read.
	rows, _, _, _ := readSplit(t, inMemory(closed), func(d *pipeline.Description) pipeline.Selection { return pipeline.Selection{From: 450e9, To: 460e9} }, pipeline.DecodeOptions{})
	if len(rows) != 12 {
		t.Errorf("%d rows", len(rows))
	}
	src := inMemory(closed)
	if _, err := New().Describe(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	before := src.bytes.Load()
	readSplit(t, src, sel(450e9, pipeline.StorageOrder), pipeline.DecodeOptions{})
	if n := src.bytes.Load() - before; n > int64(len(closed)/2) {
		t.Errorf("%d of %d bytes read", n, len(closed))
	}
	// A part of a split bag has what was published in an earlier one.
	rows, _, _, _ = readSplit(t, split(splitBag()...), func(d *pipeline.Description) pipeline.Selection {
		s := sel(150e9, pipeline.StorageOrder)(d)
		s.To = 0
		return s
	}, pipeline.DecodeOptions{})
	equal(t, "split bag", rows, []numbered{{0, row{"/b", 5, 105e9, "p0 5"}}, {1, row{"/b", 3, 108e9, "p1 3"}}, {2, row{"/a", 0, 200e9, "p2 0"}}})
}
