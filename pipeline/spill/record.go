package spill

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// A record is written column by column. A column is
//
//	rows, nulls, offset, number of buffers    int64 each
//	for each buffer: its length, -1 for none, and its bytes
//	the children, each like a column
//	of a dictionary: its values, like a column
//
// Numbers are little-endian.

// encoder lays a record out. Parts refer to the memory of its columns.
type encoder struct {
	parts [][]byte
	size  int64
	own   []arrow.Array
}

func (e *encoder) release() {
	for _, a := range e.own {
		a.Release()
	}
}

func (e *encoder) bytes(b []byte) {
	e.parts = append(e.parts, b)
	e.size += int64(len(b))
}

func (e *encoder) number(n int64) { e.bytes(binary.LittleEndian.AppendUint64(nil, uint64(n))) }

func (e *encoder) record(rec arrow.Record) error {
	for _, c := range rec.Columns() {
		// A slice would bring the rows around it along: joined with nothing, it
		// becomes an array of its own.
		none := arrow.NewSlice(c, 0, 0)
		own, err := column.Concat(arrow.NewGoAllocator(), []arrow.Array{c, none})
		none.Release()
		if err != nil {
			return fmt.Errorf("spilling: %w", err)
		}
		e.own = append(e.own, own)
		e.array(own.Data())
	}
	return nil
}

func (e *encoder) array(d arrow.ArrayData) {
	e.number(int64(d.Len()))
	e.number(int64(d.NullN()))
	e.number(int64(d.Offset()))
	e.number(int64(len(d.Buffers())))
	for _, b := range d.Buffers() {
		if b == nil {
			e.number(-1)
			continue
		}
		e.number(int64(b.Len()))
		e.bytes(b.Bytes())
	}
	for _, c := range d.Children() {
		e.array(c)
	}
	if d.DataType().ID() == arrow.DICTIONARY {
		e.array(d.Dictionary())
	}
}

// decoder reads columns back.
type decoder struct {
	r   io.Reader
	mem arrow.Allocator
}

func decode(r io.Reader, mem arrow.Allocator, schema *arrow.Schema, rows int64) (arrow.Record, error) {
	d := decoder{r: r, mem: mem}
	cols := make([]arrow.Array, 0, schema.NumFields())
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for _, f := range schema.Fields() {
		data, err := d.array(f.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.Name, err)
		}
		cols = append(cols, arrow.MakeFromData(data))
		data.Release()
	}
	return arrow.NewRecord(schema, cols, rows), nil
}

func (d decoder) number() (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(d.r, b[:]); err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint64(b[:])), nil
}

func (d decoder) array(t arrow.DataType) (_ *arrow.Data, err error) {
	var head [4]int64 // rows, nulls, offset, buffers
	for i := range head {
		if head[i], err = d.number(); err != nil {
			return nil, err
		}
	}
	buffers := make([]*arrow.Buffer, head[3])
	var children []arrow.ArrayData
	var dict *arrow.Data
	defer func() {
		for _, b := range buffers {
			if b != nil {
				b.Release()
			}
		}
		for _, c := range children {
			c.Release()
		}
		if dict != nil {
			dict.Release()
		}
	}()
	for i := range buffers {
		n, err := d.number()
		if err != nil {
			return nil, err
		}
		if n < 0 {
			continue
		}
		buffers[i] = arrow.NewResizableBuffer(d.mem)
		buffers[i].Resize(int(n))
		if _, err := io.ReadFull(d.r, buffers[i].Bytes()); err != nil {
			return nil, err
		}
	}
	for _, inner := range childTypes(t) {
		c, err := d.array(inner)
		if err != nil {
			return nil, err
		}
		children = append(children, c)
	}
	if dt, ok := t.(*arrow.DictionaryType); ok {
		if dict, err = d.array(dt.ValueType); err != nil {
			return nil, err
		}
		return arrow.NewDataWithDictionary(t, int(head[0]), buffers, int(head[1]), int(head[2]), dict), nil
	}
	return arrow.NewData(t, int(head[0]), buffers, children, int(head[1]), int(head[2])), nil
}

// childTypes lists the types of what is inside a list or struct.
func childTypes(t arrow.DataType) []arrow.DataType {
	switch t := t.(type) {
	case *arrow.ListType:
		return []arrow.DataType{t.Elem()}
	case *arrow.FixedSizeListType:
		return []arrow.DataType{t.Elem()}
	case *arrow.StructType:
		var out []arrow.DataType
		for _, f := range t.Fields() {
			out = append(out, f.Type)
		}
		return out
	}
	return nil
}
