package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	pq "github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// What parquet-go reads from a file is what a plain walk over the rows, value
// by value, says: values, repetition and definition levels of every leaf, and
// bounds that hold.
func TestParquetGoReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := drawRecord(t, arrow.NewGoAllocator())
		opt := WriterOptions{
			Mapping:      Mapping{SourceTypes: rapid.Bool().Draw(t, "source types")},
			Compression:  rapid.SampledFrom(Compressions).Draw(t, "compression"),
			RowGroupRows: rapid.IntRange(1, 50).Draw(t, "row group"),
		}
		compareWithParquetGo(t, rec, opt)
	})
}

// The same for pages that are cut in the middle of a row group.
func TestParquetGoReadsManyPages(t *testing.T) {
	rec := benchRecord(100_000)
	compareWithParquetGo(t, rec, WriterOptions{})
}

func compareWithParquetGo(t testingT, rec arrow.Record, opt WriterOptions) {
	t.Helper()
	data := encodeWith(t, rec, opt, 1000)
	p, err := newPlan(&pipeline.Table{Name: "/t", Schema: rec.Schema()}, opt.Mapping, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := pq.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if int(f.NumRows()) != int(rec.NumRows()) {
		t.Fatalf("%d rows, want %d", f.NumRows(), rec.NumRows())
	}
	order := writtenOrder(t, rec, opt.RowGroupRows)
	for _, g := range f.RowGroups() {
		rows := order[:g.NumRows()]
		order = order[g.NumRows():]
		leaf := 0
		for _, c := range p.columns {
			want := make([][]pq.Value, len(c.leaves))
			for _, r := range rows {
				walkValue(t, c.node, rec.Column(c.input), int(r), 0, 0, 0, want, 0)
			}
			for i, l := range c.leaves {
				compareChunk(t, l, g.ColumnChunks()[leaf+i], want[i])
			}
			leaf += len(c.leaves)
		}
	}
}

// compareChunk compares a column chunk, and the page index with its pages.
func compareChunk(t testingT, l *leaf, c pq.ColumnChunk, want []pq.Value) {
	t.Helper()
	if int(c.NumValues()) != len(want) {
		t.Fatalf("%v has %d values, want %d", l.path, c.NumValues(), len(want))
	}
	index, err := c.ColumnIndex()
	if err != nil {
		t.Fatal(err)
	}
	places, err := c.OffsetIndex()
	if err != nil {
		t.Fatal(err)
	}
	pages := c.Pages()
	defer pages.Close()
	row := int64(0)
	for n := 0; ; n++ {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if places.FirstRowIndex(n) != row {
			t.Fatalf("%v: page %d begins at row %d, its index says %d", l.path, n, row, places.FirstRowIndex(n))
		}
		got := make([]pq.Value, page.NumValues())
		if k, err := page.Values().ReadValues(got); k != len(got) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("%d of %d values: %v", k, len(got), err)
		}
		nulls := int64(0)
		for i, v := range got {
			w := want[i]
			if !pq.Equal(v, w) && (v.Kind() != w.Kind() || !bytes.Equal(v.Bytes(), w.Bytes())) || v.RepetitionLevel() != w.RepetitionLevel() || v.DefinitionLevel() != w.DefinitionLevel() {
				t.Fatalf("%v: page %d, value %d: %+v, want %+v", l.path, n, i, v, w)
			}
			if v.RepetitionLevel() == 0 {
				row++
			}
			if v.IsNull() {
				nulls++
				continue
			}
			b := v.Bytes()
			if !l.isNaN(b) && (l.compare(index.MinValue(n).Bytes(), b) > 0 || l.compare(index.MaxValue(n).Bytes(), b) < 0) {
				t.Fatalf("%v: page %d: %v is outside %v to %v", l.path, n, v, index.MinValue(n), index.MaxValue(n))
			}
		}
		if index.NullCount(n) != nulls || index.NullPage(n) != (int(nulls) == len(got)) {
			t.Fatalf("%v: page %d: %d nulls, its index says %d", l.path, n, nulls, index.NullCount(n))
		}
		want = want[len(got):]
		pq.Release(page)
	}
	if len(want) > 0 {
		t.Fatalf("%v: %d values are missing", l.path, len(want))
	}
}

// walkValue appends what row i of arr is in the leaves of n, from leaf on.
// next is the repetition level of what comes first, depth that of the lists
// around n.
func walkValue(t testingT, n *node, arr arrow.Array, i, next, depth, def int, out [][]pq.Value, leaf int) {
	t.Helper()
	missing := func() {
		for k := range n.leaves {
			out[leaf+k] = append(out[leaf+k], pq.Value{}.Level(next, def, 0))
		}
	}
	if arr.IsNull(i) || arr.DataType().ID() == arrow.NULL {
		missing()
		return
	}
	if n.nullable {
		def++
	}
	elements := func(values arrow.Array, from, to int) {
		if from == to {
			missing()
		}
		for k := from; k < to; k++ {
			walkValue(t, n.kids[0], values, k, next, depth+1, def+1, out, leaf)
			next = depth + 1
		}
	}
	switch a := arr.(type) {
	case *arrow.List:
		off := listOffsets(a)
		elements(a.ListValues(), int(off[i]), int(off[i+1]))
	case *arrow.FixedSizeList:
		first := (a.Data().Offset() + i) * listSize(a)
		elements(a.ListValues(), first, first+listSize(a))
	case *arrow.Struct:
		for k, kid := range n.kids {
			walkValue(t, kid, a.Field(k), i, next, depth, def, out, leaf)
			leaf += len(kid.leaves)
		}
	default:
		v, err := box(n.leaf, arr, i)
		if err != nil {
			t.Fatal(err)
		}
		out[leaf] = append(out[leaf], v.Level(next, def, 0))
	}
}

// box makes one value of what lies at position i of arr.
func box(l *leaf, arr arrow.Array, i int) (pq.Value, error) {
	switch l.cell {
	case cellBool:
		b, first := bitmap(arr)
		return pq.BooleanValue(b[(first+i)>>3]>>((first+i)&7)&1 != 0), nil
	case cellInt8:
		return pq.Int32Value(int32(fixed[int8](arr)[i])), nil
	case cellUint8:
		return pq.Int32Value(int32(fixed[uint8](arr)[i])), nil
	case cellInt16:
		return pq.Int32Value(int32(fixed[int16](arr)[i])), nil
	case cellUint16:
		return pq.Int32Value(int32(fixed[uint16](arr)[i])), nil
	case cellInt32, cellUint32:
		return pq.Int32Value(fixed[int32](arr)[i]), nil
	case cellFloat:
		return pq.FloatValue(fixed[float32](arr)[i]), nil
	case cellInt64, cellUint64:
		return pq.Int64Value(fixed[int64](arr)[i]), nil
	case cellDouble:
		return pq.DoubleValue(fixed[float64](arr)[i]), nil
	case cellUint32L:
		return pq.Int64Value(int64(fixed[uint32](arr)[i])), nil
	case cellMicros:
		return pq.Int64Value(floorMicros(fixed[int64](arr)[i])), nil
	case cellUint64D:
		b := make([]byte, 1, bytesOfUint64D)
		return pq.FixedLenByteArrayValue(binary.BigEndian.AppendUint64(b, fixed[uint64](arr)[i])), nil
	case cellDecimal:
		b, err := decimalBytes(fixed[arrow.DecimalNumber](arr)[i], l.width)
		return pq.FixedLenByteArrayValue(b[16-l.width:]), err
	case cellBytes:
		data, off := texts(arr)
		return pq.ByteArrayValue(data[off[i]:off[i+1]]), nil
	case cellLabel:
		a := arr.(*arrow.Dictionary)
		data, off := texts(a.Dictionary())
		k := fixed[int32](arr)[i]
		return pq.ByteArrayValue(data[off[k]:off[k+1]]), nil
	}
	panic("parquet: a cell without values")
}
