package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
)

// createdBy names the writer in every file. It carries no version: the bytes
// of a file must not depend on the build that wrote them.
const createdBy = "drivemill"

// fileVersion is the version of the format in the footer: 2 since logical types.
const fileVersion = 2

// file writes the row groups of one Parquet file. Row groups may be encoded
// at the same time and are committed one after another.
type file struct {
	plan    *plan
	codec   *codec
	sorting []format.SortingColumn

	out     output
	groups  []format.RowGroup
	indexes []encoded // column index of each row group
	offsets []encoded // offset index of each row group
}

// encoded are structures of Thrift, one for each column, as they will be
// written. A file has thousands of pages: their bounds weigh a tenth like this.
type encoded struct {
	data []byte
	size []int32
}

// add encodes one structure.
func (e *encoded) add(v any) error {
	var b bytes.Buffer
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&b)).Encode(v); err != nil {
		return err
	}
	e.data = append(e.data, b.Bytes()...)
	e.size = append(e.size, int32(b.Len()))
	return nil
}

// newFile starts a file. sort names the columns by which the rows of each row
// group are sorted.
func newFile(w io.Writer, p *plan, c *codec, sort []string) *file {
	f := &file{plan: p, codec: c, out: output{w: w}}
	for _, name := range sort {
		leaf := int32(0)
		for _, col := range p.columns {
			if col.name == name {
				f.sorting = append(f.sorting, format.SortingColumn{ColumnIdx: leaf, NullsFirst: true})
				break
			}
			leaf += int32(len(col.leaves))
		}
	}
	return f
}

// commit writes the row group behind those committed before.
func (f *file) commit(g *rowGroup) error {
	if len(f.groups) > math.MaxInt16 {
		return fmt.Errorf("a file of more than %d row groups: %w", len(f.groups), pipeline.ErrLimit)
	}
	if err := f.begin(); err != nil {
		return err
	}
	rg := format.RowGroup{
		Columns: make([]format.ColumnChunk, len(g.chunks)), NumRows: int64(g.rows), SortingColumns: f.sorting,
		FileOffset: f.out.offset, Ordinal: int16(len(f.groups)),
	}
	var indexes, offsets encoded
	for i := range g.chunks {
		c := &g.chunks[i]
		c.place(f.out.offset)
		if err := f.out.write(c.body); err != nil {
			return err
		}
		rg.Columns[i] = c.meta
		if err := errors.Join(indexes.add(&c.index), offsets.add(&c.offsets)); err != nil {
			return err
		}
		rg.TotalByteSize += c.meta.MetaData.TotalUncompressedSize
		rg.TotalCompressedSize += int64(len(c.body))
		c.body = nil
	}
	if err := f.writeBlooms(g, rg.Columns); err != nil {
		return err
	}
	f.groups, f.indexes, f.offsets = append(f.groups, rg), append(f.indexes, indexes), append(f.offsets, offsets)
	return f.out.flush()
}

// begin writes what stands in front of the first row group.
func (f *file) begin() error {
	if f.out.offset > 0 {
		return nil
	}
	return f.out.write([]byte(magic))
}

// close writes page indexes and footer.
func (f *file) close() error {
	if err := f.begin(); err != nil {
		return err
	}
	meta := format.FileMetaData{
		Version: fileVersion, Schema: f.plan.elems, RowGroups: f.groups, CreatedBy: createdBy,
		KeyValueMetadata: []format.KeyValue{{Key: metaKey, Value: f.plan.meta}},
		ColumnOrders:     make([]format.ColumnOrder, len(f.plan.leaves)),
	}
	for i, l := range f.plan.leaves {
		meta.ColumnOrders[i] = *l.typ.ColumnOrder()
	}
	for i := range f.groups {
		meta.NumRows += f.groups[i].NumRows
		rest := f.indexes[i].data
		for j, n := range f.indexes[i].size {
			c := &f.groups[i].Columns[j]
			c.ColumnIndexOffset, c.ColumnIndexLength = f.out.offset, n
			if err := f.out.write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	for i := range f.groups {
		rest := f.offsets[i].data
		for j, n := range f.offsets[i].size {
			c := &f.groups[i].Columns[j]
			c.OffsetIndexOffset, c.OffsetIndexLength = f.out.offset, n
			if err := f.out.write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	start := f.out.offset
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&f.out)).Encode(&meta); err != nil {
		return err
	}
	size := f.out.offset - start
	if size > math.MaxInt32 {
		return fmt.Errorf("a footer of %d bytes: %w", size, pipeline.ErrLimit)
	}
	end := binary.LittleEndian.AppendUint32(nil, uint32(size))
	if err := f.out.write(append(end, magic...)); err != nil {
		return err
	}
	return f.out.flush()
}

// outputBuffer is how much small writes are collected.
const outputBuffer = 64 << 10

// output counts what is written and collects small pieces. It keeps no memory
// behind a flush, because thousands of files may be open.
type output struct {
	w      io.Writer
	buf    []byte
	offset int64
}

func (o *output) write(b []byte) error {
	o.offset += int64(len(b))
	if len(o.buf)+len(b) > outputBuffer {
		if err := o.flush(); err != nil {
			return err
		}
	}
	if len(b) >= outputBuffer {
		_, err := o.w.Write(b)
		return err
	}
	o.buf = append(o.buf, b...)
	return nil
}

// Write is write for Thrift's encoder.
func (o *output) Write(b []byte) (int, error) {
	if err := o.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (o *output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	b := o.buf
	o.buf = nil
	_, err := o.w.Write(b)
	return err
}
