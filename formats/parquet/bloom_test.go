package parquet

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Another reader finds every value in the filters, and hardly any that is not
// there; columns without one have none.
func TestBloomFilters(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	serial, note, n := column.New(mem, arrow.StringType), column.New(mem, arrow.StringType), column.New(mem, arrow.Int64Type)
	const rows, distinct = 5000, 800
	for i := range rows {
		if i%50 == 0 {
			serial.AppendNull()
		} else {
			serial.AppendString(fmt.Sprint("S", i%distinct))
		}
		note.AppendString("x")
		n.AppendInt64(int64(i))
	}
	cols := []arrow.Array{serial.Finish(), note.Finish(), n.Finish()}
	schema := arrow.NewSchema([]arrow.Field{{Name: "serial_number", Type: arrow.StringType, Nullable: true}, {Name: "note", Type: arrow.StringType}, {Name: "n", Type: arrow.Int64Type}}, nil)
	rec := arrow.NewRecord(schema, cols, rows)
	for _, c := range cols {
		c.Release()
	}
	defer rec.Release()
	table := &pipeline.Table{Name: "drives", Schema: schema}
	cfg := testConfig()
	cfg.Bloom = []pipeline.Text{{Value: "serial_number"}, {Value: "of_another_table"}}
	cfg.RowGroupRows = rows / 2
	u := openUnit(t, cfg, mem, 2, nil, table)
	u.write(t, table, rec, 700)
	u.finish(t)
	for key, data := range u.store.visible {
		f, err := pq.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if len(f.RowGroups()) != 2 {
			t.Errorf("%d row groups", len(f.RowGroups()))
		}
		for _, g := range f.RowGroups() {
			filter := g.ColumnChunks()[0].BloomFilter()
			if filter == nil || g.ColumnChunks()[1].BloomFilter() != nil || g.ColumnChunks()[2].BloomFilter() != nil {
				t.Fatal("the first column has no filter, or another has")
			}
			if size := filter.Size(); size > 2*distinct*bloomBits/8 {
				t.Errorf("%d bytes for %d values", size, distinct)
			}
			wrong := 0
			for i := range 2 * distinct {
				ok, err := filter.Check(pq.ValueOf(fmt.Sprint("S", i)))
				if err != nil {
					t.Fatal(err)
				}
				if i < distinct && !ok && (i%50 != 0) {
					t.Errorf("S%d is not in the filter", i)
				}
				if i >= distinct && ok {
					wrong++
				}
			}
			if wrong > distinct/20 {
				t.Errorf("%d of %d values that are not there pass", wrong, distinct)
			}
		}
	}
	cfg.Bloom = []pipeline.Text{{Value: "n"}}
	s, err := Spec().New(t.Context(), cfg, testEnv{store: newMemStore()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bind([]*pipeline.Table{table}); err == nil || !strings.Contains(err.Error(), "Bloom filters are for strings") {
		t.Error(err)
	}
}
