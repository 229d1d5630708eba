package column

import (
	"fmt"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Run is rows [From, To) of one of several records.
type Run struct {
	Rec      int32
	From, To int32
}

// Interleave builds one record out of runs of rows of several records of one
// schema, in the order of the runs: the last step of a merge, and of a sort that
// spans batches. A run costs little more than its values, however short it is.
// The caller owns the result; recs are unchanged.
func Interleave(mem arrow.Allocator, recs []arrow.Record, runs []Run) (arrow.Record, error) {
	if len(recs) == 0 {
		return nil, fmt.Errorf("interleaving no record: %w", pipeline.ErrSchema)
	}
	rows := 0
	for _, r := range runs {
		rows += int(r.To - r.From)
	}
	m := &mixer{mem: mem, runs: runs, rows: rows}
	return eachColumn(recs, int64(rows), m.column)
}

// mixer interleaves one column after another.
type mixer struct {
	mem  arrow.Allocator
	runs []Run
	rows int

	// Where types are gathered by way of one joined array: the rows of each
	// record that are in use, and the positions in what they are joined to.
	used   []Run
	joined []int32
}

func (m *mixer) column(arrs []arrow.Array) (arrow.Array, error) {
	dt := arrs[0].DataType()
	for _, a := range arrs {
		if t := a.DataType(); t != dt && !arrow.TypeEqual(t, dt) {
			return nil, fmt.Errorf("interleaving %s and %s: %w", dt, t, pipeline.ErrSchema)
		}
	}
	switch dt.ID() {
	case arrow.NULL:
		return nullArray(m.rows), nil
	case arrow.LIST, arrow.FIXED_SIZE_LIST, arrow.STRUCT:
		return m.nested(arrs)
	case arrow.DICTIONARY:
		return m.labels(arrs)
	}
	return m.flat(arrs)
}

func nullArray(n int) arrow.Array {
	d := arrow.NewData(arrow.NullType, n, []*arrow.Buffer{nil}, nil, n, 0)
	defer d.Release()
	return arrow.MakeFromData(d)
}

// nested joins the rows that are in use and takes them in the order of the runs.
func (m *mixer) nested(arrs []arrow.Array) (arrow.Array, error) {
	if m.used == nil {
		if err := m.locate(len(arrs)); err != nil {
			return nil, err
		}
	}
	parts := make([]arrow.Array, len(arrs))
	for i, a := range arrs {
		parts[i] = arrow.NewSlice(a, int64(m.used[i].From), int64(m.used[i].To))
		defer parts[i].Release()
	}
	all, err := Concat(m.mem, parts)
	if err != nil {
		return nil, err
	}
	defer all.Release()
	return Take(m.mem, all, m.joined)
}

// locate finds the rows in use and their positions once these are joined.
func (m *mixer) locate(recs int) error {
	m.used = make([]Run, recs)
	for _, r := range m.runs {
		u := &m.used[r.Rec]
		if u.To == 0 {
			*u = r
		}
		u.From, u.To = min(u.From, r.From), max(u.To, r.To)
	}
	start := make([]int32, recs)
	n := 0
	for i, u := range m.used {
		start[i] = int32(n) - u.From
		if n += int(u.To - u.From); n > math.MaxInt32 {
			return tooLong(n)
		}
	}
	m.joined = make([]int32, 0, m.rows)
	for _, r := range m.runs {
		for row := r.From; row < r.To; row++ {
			m.joined = append(m.joined, start[r.Rec]+row)
		}
	}
	return nil
}

// labels gathers codes in a common dictionary.
func (m *mixer) labels(arrs []arrow.Array) (arrow.Array, error) {
	u, err := unify(m.mem, arrs)
	if err != nil {
		return nil, err
	}
	defer u.release()
	valid, nullN := m.validity(arrs)
	buf, raw := newBuffer(m.mem, 4*m.rows)
	defer buf.Release()
	dst := mix[int32](m, raw, arrs)
	if slices.ContainsFunc(u.remap, func(r []int32) bool { return r != nil }) {
		at := 0
		for _, r := range m.runs {
			remap := u.remap[r.Rec]
			for end := at + int(r.To-r.From); at < end; at++ {
				// Where a row is null its code may be anything.
				if c := dst[at]; uint(c) < uint(len(remap)) {
					dst[at] = remap[c]
				} else {
					dst[at] = 0
				}
			}
		}
	}
	data := arrow.NewData(arrow.Int32Type, m.rows, []*arrow.Buffer{valid, buf}, nil, nullN, 0)
	defer data.Release()
	if valid != nil {
		valid.Release()
	}
	codes := arrow.MakeFromData(data)
	defer codes.Release()
	return arrow.NewDictionaryArray(arrs[0].DataType(), codes, u.dict), nil
}

// flat handles booleans, fixed-width types, strings and binaries.
func (m *mixer) flat(arrs []arrow.Array) (arrow.Array, error) {
	dt := arrs[0].DataType()
	if onlyNulls(arrs) {
		// As Finish leaves a column of nulls: without values.
		c := New(m.mem, dt)
		c.AppendNulls(m.rows)
		return c.Finish(), nil
	}
	valid, nullN := m.validity(arrs)
	bufs := []*arrow.Buffer{valid}
	defer func() {
		for _, b := range bufs {
			if b != nil {
				b.Release()
			}
		}
	}()
	switch dt.ID() {
	case arrow.BOOL:
		bufs = append(bufs, m.bits(arrs))
	case arrow.STRING, arrow.BINARY:
		offBuf, valBuf, err := m.texts(arrs)
		bufs = append(bufs, offBuf, valBuf)
		if err != nil {
			return nil, err
		}
	default:
		w := widthOf(dt)
		buf, dst := newBuffer(m.mem, m.rows*w)
		bufs = append(bufs, buf)
		switch w {
		case 1:
			mix[uint8](m, dst, arrs)
		case 2:
			mix[uint16](m, dst, arrs)
		case 4:
			mix[uint32](m, dst, arrs)
		case 8:
			mix[uint64](m, dst, arrs)
		default:
			mix[[2]uint64](m, dst, arrs)
		}
	}
	data := arrow.NewData(dt, m.rows, bufs, nil, nullN, 0)
	defer data.Release()
	return arrow.MakeFromData(data), nil
}

func onlyNulls(arrs []arrow.Array) bool {
	for _, a := range arrs {
		if a.NullN() < a.Len() {
			return false
		}
	}
	return true
}

// mix copies the values of the runs to raw, which it returns as values.
func mix[T any](m *mixer, raw []byte, arrs []arrow.Array) []T {
	dst := values[T](raw, 0, m.rows)
	src := make([][]T, len(arrs))
	for i, a := range arrs {
		src[i] = values[T](bytesOf(a.Data(), 1), a.Data().Offset(), a.Len())
		if src[i] == nil {
			src[i] = make([]T, a.Len())
		}
	}
	at := 0
	for _, r := range m.runs {
		from := src[r.Rec][r.From:r.To]
		if len(from) == 1 {
			dst[at] = from[0]
			at++
			continue
		}
		at += copy(dst[at:], from)
	}
	return dst
}

func (m *mixer) bits(arrs []arrow.Array) *arrow.Buffer {
	src := make([][]byte, len(arrs))
	off := make([]int, len(arrs))
	for i, a := range arrs {
		off[i] = a.Data().Offset()
		if b := bytesOf(a.Data(), 1); len(b)*8 >= off[i]+a.Len() {
			src[i] = b
		}
	}
	buf, _ := m.mixBits(src, off, 0)
	return buf
}

// mixBits copies the bits of the runs; a source that is nil is all missing.
func (m *mixer) mixBits(src [][]byte, off []int, missing byte) (*arrow.Buffer, int) {
	buf, dst := newBuffer(m.mem, (m.rows+7)/8)
	clear(dst)
	at, ones := 0, 0
	for _, r := range m.runs {
		s := src[r.Rec]
		for j := off[r.Rec] + int(r.From); j < off[r.Rec]+int(r.To); j++ {
			v := missing
			if s != nil {
				v = s[j>>3] >> (j & 7) & 1
			}
			dst[at>>3] |= v << (at & 7)
			ones += int(v)
			at++
		}
	}
	return buf, ones
}

func (m *mixer) texts(arrs []arrow.Array) (*arrow.Buffer, *arrow.Buffer, error) {
	offs := make([][]int32, len(arrs))
	vals := make([][]byte, len(arrs))
	for i, a := range arrs {
		offs[i], vals[i] = offsetsOf(a.Data()), bytesOf(a.Data(), 2)
		if offs[i] == nil {
			offs[i] = make([]int32, a.Len()+1)
		}
	}
	offBuf, raw := newBuffer(m.mem, 4*(m.rows+1))
	dst := values[int32](raw, 0, m.rows+1)
	dst[0] = 0
	at, total := 1, 0
	for _, r := range m.runs {
		o := offs[r.Rec][r.From : r.To+1]
		shift := total - int(o[0])
		for _, end := range o[1:] {
			dst[at] = int32(int(end) + shift)
			at++
		}
		total += int(o[len(o)-1] - o[0])
	}
	if total > math.MaxInt32 {
		clear(dst)
		return offBuf, nil, tooLong(total)
	}
	valBuf, out := newBuffer(m.mem, total)
	for _, r := range m.runs {
		o := offs[r.Rec]
		out = out[copy(out, vals[r.Rec][o[r.From]:o[r.To]]):]
	}
	return offBuf, valBuf, nil
}

// validity is nil where no row is null.
func (m *mixer) validity(arrs []arrow.Array) (*arrow.Buffer, int) {
	src := make([][]byte, len(arrs))
	off := make([]int, len(arrs))
	any := false
	for i, a := range arrs {
		off[i] = a.Data().Offset()
		if a.NullN() > 0 {
			src[i] = bytesOf(a.Data(), 0)
			any = any || src[i] != nil
		}
	}
	if !any {
		return nil, 0
	}
	buf, ones := m.mixBits(src, off, 1)
	if ones == m.rows {
		buf.Release()
		return nil, 0
	}
	return buf, m.rows - ones
}
