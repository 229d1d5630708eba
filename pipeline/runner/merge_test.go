package runner

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"pgregory.net/rapid"
)

func testBatch(mem arrow.Allocator, t *pipeline.Table, object int, records []int64) *pipeline.Batch {
	c, name := column.New(mem, arrow.Int64Type), column.New(mem, arrow.StringType)
	o := pipeline.Origin{Object: object, First: records[0]}
	for _, r := range records {
		c.AppendInt64(r)
		name.AppendString(t.Name)
		o.Deltas = append(o.Deltas, uint32(r-records[0]))
	}
	a, names := c.Finish(), name.Finish()
	defer a.Release()
	defer names.Release()
	return &pipeline.Batch{Table: t, Record: arrow.NewRecord(t.Schema, []arrow.Array{a, names}, int64(len(records))), Origin: o}
}

// Streams cut and interleaved at random merge into the same rows in the same
// order: by record, then by stream; copied together or not.
func TestMergerOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		schema := arrow.NewSchema([]arrow.Field{{Name: "r", Type: arrow.Int64Type}, {Name: "lane", Type: arrow.StringType}}, nil)
		lanes := rapid.IntRange(2, 5).Draw(t, "lanes")
		var tables []*pipeline.Table
		var queues [][]*pipeline.Batch
		var want []string
		type key struct {
			p    position
			lane int
		}
		var keys []key
		for l := range lanes {
			tab := &pipeline.Table{Name: fmt.Sprint(l), Schema: schema}
			tables = append(tables, tab)
			var q []*pipeline.Batch
			for object := range rapid.IntRange(1, 2).Draw(t, "objects") {
				recs := rapid.SliceOfNDistinct(rapid.OneOf(rapid.Int64Range(0, 30), rapid.Int64Range(1<<33, 1<<33+9)), 0, 20, rapid.ID).Draw(t, "records")
				sort.Slice(recs, func(i, j int) bool { return recs[i] < recs[j] })
				for _, r := range recs {
					keys = append(keys, key{position{object, r}, l})
				}
				for len(recs) > 0 {
					n := rapid.IntRange(1, len(recs)).Draw(t, "cut")
					for recs[n-1]-recs[0] > math.MaxUint32 {
						n--
					}
					q = append(q, testBatch(mem, tab, object, recs[:n]))
					recs = recs[n:]
				}
			}
			queues = append(queues, q)
		}
		sort.Slice(keys, func(i, j int) bool {
			if keys[i].p != keys[j].p {
				return keys[i].p.before(keys[j].p)
			}
			return keys[i].lane < keys[j].lane
		})
		for _, k := range keys {
			want = append(want, fmt.Sprintf("%d:%d:%d", k.p.object, k.p.record, k.lane))
		}
		m := newMerger(tables)
		mixes := rapid.Bool().Draw(t, "mixes")
		m.gather = newGatherer(mem, &pipeline.SinkTable{Inputs: tables, Mixes: mixes})
		var got []string
		emit := func(b *pipeline.Batch) error {
			for i := range b.Rows() {
				lane := b.Record.Column(1).(*arrow.String).Value(i)
				if !mixes && lane != b.Table.Name {
					t.Fatalf("a row of stream %s in a batch of %s", lane, b.Table.Name)
				}
				got = append(got, fmt.Sprintf("%d:%d:%s", b.Origin.Object, b.Origin.At(i), lane))
				if v := b.Record.Column(0).(*arrow.Int64).Value(i); v != b.Origin.At(i) {
					t.Fatalf("row says %d, origin says %d", v, b.Origin.At(i))
				}
			}
			b.Release()
			return nil
		}
		for {
			var alive []int
			for l, q := range queues {
				if len(q) > 0 {
					alive = append(alive, l)
				}
			}
			if len(alive) == 0 {
				break
			}
			l := rapid.SampledFrom(alive).Draw(t, "lane")
			m.add(queues[l][0])
			queues[l] = queues[l][1:]
			if err := m.release(emit); err != nil {
				t.Fatal(err)
			}
		}
		m.end()
		if err := m.release(emit); err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
		mem.AssertSize(t, 0)
	})
}

// One batch of every stream whose rows take turns becomes few batches.
func TestMergerGathersShortRuns(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	schema := arrow.NewSchema([]arrow.Field{{Name: "r", Type: arrow.Int64Type}, {Name: "lane", Type: arrow.StringType}}, nil)
	const lanes, each = 5, 4000
	var tables []*pipeline.Table
	for l := range lanes {
		tables = append(tables, &pipeline.Table{Name: fmt.Sprint(l), Schema: schema})
	}
	m := newMerger(tables)
	m.gather = newGatherer(mem, &pipeline.SinkTable{Inputs: tables, Mixes: true})
	for l, tab := range tables {
		var records []int64
		for i := range each {
			records = append(records, int64(i*lanes+l))
		}
		m.add(testBatch(mem, tab, 0, records))
	}
	m.end()
	batches, next := 0, int64(0)
	if err := m.release(func(b *pipeline.Batch) error {
		defer b.Release()
		batches++
		for i, v := range b.Record.Column(0).(*arrow.Int64).Int64Values() {
			if v != next || b.Origin.At(i) != next {
				t.Fatalf("row %d of batch %d is record %d by its origin and %d by its value, want %d", i, batches, b.Origin.At(i), v, next)
			}
			next++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if next != lanes*each || batches != 3 {
		t.Errorf("%d rows in %d batches", next, batches)
	}
}

func BenchmarkMerger(b *testing.B) {
	mem := arrow.NewGoAllocator()
	schema := arrow.NewSchema([]arrow.Field{{Name: "r", Type: arrow.Int64Type}, {Name: "lane", Type: arrow.StringType}}, nil)
	const lanes, each = 3, 20000
	var tables []*pipeline.Table
	var batches []*pipeline.Batch
	for l := range lanes {
		t := &pipeline.Table{Name: fmt.Sprint(l), Schema: schema}
		tables = append(tables, t)
		var records []int64
		for i := range each {
			records = append(records, int64(i*lanes+l))
		}
		batches = append(batches, testBatch(mem, t, 0, records))
	}
	b.SetBytes(lanes * each * 13)
	b.ReportAllocs()
	for b.Loop() {
		m := newMerger(tables)
		m.gather = newGatherer(mem, &pipeline.SinkTable{Inputs: tables, Mixes: true})
		for _, batch := range batches {
			own := *batch
			own.Retain()
			m.add(&own)
		}
		m.end()
		rows := 0
		if err := m.release(func(out *pipeline.Batch) error {
			rows += out.Rows()
			out.Release()
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		if rows != lanes*each {
			b.Fatalf("%d rows", rows)
		}
	}
}
