package mdf4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/store"
)

// objects numbers the objects of all tests.
var objects atomic.Int64

// object puts data into a store in memory and opens it.
func object(t testing.TB, data []byte) pipeline.Source {
	t.Helper()
	ctx := t.Context()
	st, err := store.Open(ctx, "mem://"+t.Name())
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("recording%d.mf4", objects.Add(1))
	if err := st.Put(ctx, name, data); err != nil {
		t.Fatal(err)
	}
	obj, err := st.Stat(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	src, err := st.Open(ctx, obj)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// reading is all that a recording held.
type reading struct {
	desc     *pipeline.Description
	tables   map[string]*rowsOf
	counts   map[string]pipeline.TableCounts
	problems []pipeline.Problem
	rejected []pipeline.BadRow
}

// rowsOf are the rows of one table: the cells of each column as text.
type rowsOf struct {
	cells   map[string][]string
	origins []int64
}

// read decodes what sel selects and checks the ledger.
func read(t testing.TB, f *Format, src pipeline.Source, sel pipeline.Selection, opt pipeline.DecodeOptions) (*reading, error) {
	t.Helper()
	ctx := t.Context()
	d, err := f.Describe(ctx, src)
	if err != nil {
		return nil, err
	}
	return readDescribed(ctx, t, f, src, d, sel, opt)
}

func readDescribed(ctx context.Context, t testing.TB, f *Format, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) (*reading, error) {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	out := &reading{desc: d, tables: make(map[string]*rowsOf), counts: make(map[string]pipeline.TableCounts)}
	opt.Allocator = mem
	opt.Reject = func(b pipeline.BadRow) error {
		out.rejected = append(out.rejected, b)
		return nil
	}
	dec, err := f.Open(ctx, src, d, sel, opt)
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	for {
		e, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		if e.Batch == nil {
			continue
		}
		out.add(e.Batch)
		e.Batch.Release()
	}
	out.problems = dec.Problems()
	for _, c := range dec.Counts() {
		out.counts[c.Table] = c
		rejected := int64(0)
		for _, n := range c.Rejected {
			rejected += n
		}
		if c.Found != c.Decoded+c.Unselected+rejected || c.Indexed >= 0 && c.Indexed != c.Found+c.Lost {
			t.Errorf("counts do not balance: %+v", c)
		}
	}
	return out, nil
}

func (r *reading) add(b *pipeline.Batch) {
	x := r.tables[b.Table.Name]
	if x == nil {
		x = &rowsOf{cells: make(map[string][]string)}
		r.tables[b.Table.Name] = x
	}
	for i, f := range b.Record.Schema().Fields() {
		col := b.Record.Column(i)
		for j := range b.Rows() {
			x.cells[f.Name] = append(x.cells[f.Name], cell(col, j))
		}
	}
	for j := range b.Rows() {
		x.origins = append(x.origins, b.Origin.At(j))
	}
}

func cell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case *arrow.Timestamp:
		return fmt.Sprint(int64(a.Value(i)))
	case *arrow.Binary:
		return fmt.Sprintf("%x", a.Value(i))
	case *arrow.String:
		return a.Value(i)
	case *arrow.Float64:
		return fmt.Sprint(a.Value(i))
	case *arrow.FixedSizeList:
		n := int(a.DataType().(*arrow.FixedSizeListType).Len())
		var words []string
		for k := range n {
			words = append(words, cell(a.ListValues(), (i+a.Data().Offset())*n+k))
		}
		return "[" + strings.Join(words, " ") + "]"
	}
	return a.ValueStr(i)
}

func conformance(t *testing.T) string {
	dir := os.Getenv("DRIVEMILL_CONFORMANCE")
	if dir == "" {
		t.Skip("DRIVEMILL_CONFORMANCE names no folder")
	}
	return dir
}
