package runner

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"pgregory.net/rapid"
)

func testBatch(mem arrow.Allocator, t *pipeline.Table, object int, records []int64) *pipeline.Batch {
	c := column.New(mem, arrow.Int64Type)
	o := pipeline.Origin{Object: object, First: records[0]}
	for _, r := range records {
		c.AppendInt64(r)
		o.Deltas = append(o.Deltas, uint32(r-records[0]))
	}
	a := c.Finish()
	defer a.Release()
	return &pipeline.Batch{Table: t, Record: arrow.NewRecord(t.Schema, []arrow.Array{a}, int64(len(records))), Origin: o}
}

// Streams cut and interleaved at random merge into the same rows in the same
// order: by record, then by stream.
func TestMergerOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		schema := arrow.NewSchema([]arrow.Field{{Name: "r", Type: arrow.Int64Type}}, nil)
		lanes := rapid.IntRange(2, 3).Draw(t, "lanes")
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
				recs := rapid.SliceOfNDistinct(rapid.Int64Range(0, 30), 0, 20, rapid.ID).Draw(t, "records")
				sort.Slice(recs, func(i, j int) bool { return recs[i] < recs[j] })
				for _, r := range recs {
					keys = append(keys, key{position{object, r}, l})
				}
				for len(recs) > 0 {
					n := rapid.IntRange(1, len(recs)).Draw(t, "cut")
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
		var got []string
		emit := func(b *pipeline.Batch) error {
			for i := range b.Rows() {
				got = append(got, fmt.Sprintf("%d:%d:%s", b.Origin.Object, b.Origin.At(i), b.Table.Name))
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
