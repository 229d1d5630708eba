package column

import (
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Concat joins arrays of one type. Dictionary arrays keep their dictionary
// when all have the same one; otherwise the result has one dictionary with the
// values in order of first appearance, whatever the arrays were cut from. The
// caller owns the result.
func Concat(mem arrow.Allocator, arrs []arrow.Array) (arrow.Array, error) {
	switch {
	case len(arrs) == 0:
		return nil, fmt.Errorf("concatenating no array: %w", pipeline.ErrSchema)
	case len(arrs) == 1:
		arrs[0].Retain()
		return arrs[0], nil
	}
	dt := arrs[0].DataType()
	n := 0
	for _, a := range arrs {
		if !arrow.TypeEqual(a.DataType(), dt) {
			return nil, fmt.Errorf("concatenating %s and %s: %w", dt, a.DataType(), pipeline.ErrSchema)
		}
		n += a.Len()
	}
	switch dt.ID() {
	case arrow.NULL:
		return nullArray(n), nil
	case arrow.DICTIONARY:
		unified, err := unify(mem, arrs)
		if err != nil {
			return nil, err
		}
		defer unified.release()
		codes := make([]arrow.Array, len(arrs))
		for i, a := range arrs {
			codes[i] = unified.codes(mem, i, a)
		}
		out, err := arrow.Concatenate(codes, mem)
		for _, c := range codes {
			c.Release()
		}
		if err != nil {
			return nil, fmt.Errorf("concatenating %s: %w", dt, err)
		}
		defer out.Release()
		return arrow.NewDictionaryArray(dt, out, unified.dict), nil
	}
	parts := make([]arrow.Array, len(arrs))
	for i, a := range arrs {
		parts[i] = whole(mem, a)
		defer parts[i].Release()
	}
	out, err := arrow.Concatenate(parts, mem)
	if err != nil {
		return nil, fmt.Errorf("concatenating %s: %w", dt, err)
	}
	return out, nil
}

// whole gives value buffers to an array of nulls, which may come without.
func whole(mem arrow.Allocator, a arrow.Array) arrow.Array {
	if a.Len() == 0 || a.NullN() < a.Len() {
		a.Retain()
		return a
	}
	d := allNull(mem, a.DataType(), a.Len())
	defer d.Release()
	return arrow.MakeFromData(d)
}

// ConcatRecords joins records of one schema.
func ConcatRecords(mem arrow.Allocator, recs []arrow.Record) (arrow.Record, error) {
	switch {
	case len(recs) == 0:
		return nil, fmt.Errorf("concatenating no record: %w", pipeline.ErrSchema)
	case len(recs) == 1:
		recs[0].Retain()
		return recs[0], nil
	}
	var n int64
	for _, r := range recs {
		n += r.NumRows()
	}
	return eachColumn(recs, n, func(arrs []arrow.Array) (arrow.Array, error) { return Concat(mem, arrs) })
}

// eachColumn builds a record by joining the columns of recs one by one.
func eachColumn(recs []arrow.Record, n int64, join func([]arrow.Array) (arrow.Array, error)) (arrow.Record, error) {
	schema := recs[0].Schema()
	cols := make([]arrow.Array, 0, schema.NumFields())
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	parts := make([]arrow.Array, len(recs))
	for i, f := range schema.Fields() {
		for j, r := range recs {
			if int(r.NumCols()) != schema.NumFields() {
				return nil, fmt.Errorf("joining records of %d and %d columns: %w", schema.NumFields(), r.NumCols(), pipeline.ErrSchema)
			}
			parts[j] = r.Column(i)
		}
		c, err := join(parts)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.Name, err)
		}
		cols = append(cols, c)
	}
	return arrow.NewRecord(schema, cols, n), nil
}

// unified is one dictionary for several arrays.
type unified struct {
	dict arrow.Array
	// remap translates the codes of each array; nil where they stay.
	remap [][]int32
}

func (u *unified) release() { u.dict.Release() }

// unify finds one dictionary for all arrays.
func unify(mem arrow.Allocator, arrs []arrow.Array) (*unified, error) {
	u := &unified{remap: make([][]int32, len(arrs))}
	first := arrs[0].(*arrow.Dictionary).Dictionary()
	same := true
	for _, a := range arrs[1:] {
		d := a.(*arrow.Dictionary).Dictionary()
		if d != first && !arrow.ArrayEqual(d, first) {
			same = false
			break
		}
	}
	if same {
		first.Retain()
		u.dict = first
		return u, nil
	}
	out := New(mem, arrow.StringType)
	seen := make(map[string]int32)
	null := int32(-1)
	for i, a := range arrs {
		d, ok := a.(*arrow.Dictionary).Dictionary().(*arrow.String)
		if !ok {
			out.Release()
			return nil, fmt.Errorf("joining dictionaries of %s: %w", a.DataType(), pipeline.ErrUnsupported)
		}
		m := make([]int32, d.Len())
		for j := range m {
			if d.IsNull(j) {
				if null < 0 {
					null = int32(out.N)
					out.AppendNull()
				}
				m[j] = null
				continue
			}
			v := d.Value(j)
			code, ok := seen[v]
			if !ok {
				if len(out.Data)+len(v) > math.MaxInt32 {
					out.Release()
					return nil, tooLong(len(out.Data) + len(v))
				}
				code = int32(out.N)
				out.AppendString(v)
				seen[v] = code
			}
			m[j] = code
		}
		u.remap[i] = m
	}
	u.dict = out.Finish()
	return u, nil
}

// codes returns the codes of array i in the common dictionary.
func (u *unified) codes(mem arrow.Allocator, i int, a arrow.Array) arrow.Array {
	d := a.Data()
	bufs := d.Buffers()
	m := u.remap[i]
	if m == nil {
		data := arrow.NewData(arrow.Int32Type, d.Len(), bufs, nil, d.NullN(), d.Offset())
		defer data.Release()
		return arrow.MakeFromData(data)
	}
	// Codes in front of the offset are kept in place, so that the validity
	// bitmap can be shared.
	n := d.Offset() + d.Len()
	src := values[int32](bytesOf(d, 1), 0, n)
	buf, raw := newBuffer(mem, 4*n)
	defer buf.Release()
	dst := values[int32](raw, 0, n)
	for j, c := range src {
		// Where a row is null its code may be anything.
		if uint(c) < uint(len(m)) {
			dst[j] = m[c]
		} else {
			dst[j] = 0
		}
	}
	data := arrow.NewData(arrow.Int32Type, d.Len(), []*arrow.Buffer{bufs[0], buf}, nil, d.NullN(), d.Offset())
	defer data.Release()
	return arrow.MakeFromData(data)
}
