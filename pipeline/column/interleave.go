package column

import (
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Pick is one row of one of several records.
type Pick struct {
	Rec int32
	Row int32
}

// Interleave builds one record out of rows picked from several records of one
// schema: the last step of a merge, and of a sort that spans batches. The
// caller owns the result; recs are unchanged.
func Interleave(mem arrow.Allocator, recs []arrow.Record, picks []Pick) (arrow.Record, error) {
	if len(recs) == 0 {
		return nil, fmt.Errorf("interleaving no record: %w", pipeline.ErrSchema)
	}
	if one, rows := singleRecord(picks); one {
		rec := recs[0]
		if len(picks) > 0 {
			rec = recs[picks[0].Rec]
		}
		return TakeRecord(mem, rec, rows)
	}
	// Types that are gathered by way of one joined array need positions in it.
	var joined []int32
	return eachColumn(recs, int64(len(picks)), func(arrs []arrow.Array) (arrow.Array, error) {
		switch arrs[0].DataType().ID() {
		case arrow.NULL:
			return nullArray(len(picks)), nil
		case arrow.DICTIONARY:
			return interleaveLabels(mem, arrs, picks)
		case arrow.BOOL, arrow.LIST, arrow.FIXED_SIZE_LIST, arrow.STRUCT:
			if joined == nil {
				var err error
				if joined, err = positions(arrs, picks); err != nil {
					return nil, err
				}
			}
			all, err := Concat(mem, arrs)
			if err != nil {
				return nil, err
			}
			defer all.Release()
			return Take(mem, all, joined)
		}
		for _, a := range arrs {
			if !arrow.TypeEqual(a.DataType(), arrs[0].DataType()) {
				return nil, fmt.Errorf("interleaving %s and %s: %w", arrs[0].DataType(), a.DataType(), pipeline.ErrSchema)
			}
		}
		return interleaveFlat(mem, arrs, picks)
	})
}

func nullArray(n int) arrow.Array {
	d := arrow.NewData(arrow.NullType, n, []*arrow.Buffer{nil}, nil, n, 0)
	defer d.Release()
	return arrow.MakeFromData(d)
}

// singleRecord reports whether all picks are of one record, and their rows.
func singleRecord(picks []Pick) (bool, []int32) {
	for _, p := range picks {
		if p.Rec != picks[0].Rec {
			return false, nil
		}
	}
	rows := make([]int32, len(picks))
	for i, p := range picks {
		rows[i] = p.Row
	}
	return true, rows
}

// positions translates picks to rows of the concatenation of arrs.
func positions(arrs []arrow.Array, picks []Pick) ([]int32, error) {
	start := make([]int32, len(arrs))
	n := 0
	for i, a := range arrs {
		start[i] = int32(n)
		if n += a.Len(); n > math.MaxInt32 {
			return nil, tooLong(n)
		}
	}
	out := make([]int32, len(picks))
	for i, p := range picks {
		out[i] = start[p.Rec] + p.Row
	}
	return out, nil
}

// interleaveLabels gathers codes in a common dictionary.
func interleaveLabels(mem arrow.Allocator, arrs []arrow.Array, picks []Pick) (arrow.Array, error) {
	u, err := unify(mem, arrs)
	if err != nil {
		return nil, err
	}
	defer u.release()
	codes := make([]arrow.Array, len(arrs))
	for i, a := range arrs {
		codes[i] = u.codes(mem, i, a)
		defer codes[i].Release()
	}
	out, err := interleaveFlat(mem, codes, picks)
	if err != nil {
		return nil, err
	}
	defer out.Release()
	return arrow.NewDictionaryArray(arrs[0].DataType(), out, u.dict), nil
}

// interleaveFlat handles fixed-width types, strings and binaries.
func interleaveFlat(mem arrow.Allocator, arrs []arrow.Array, picks []Pick) (arrow.Array, error) {
	dt := arrs[0].DataType()
	if onlyNulls(arrs) {
		// As Finish leaves a column of nulls: without values.
		c := New(mem, dt)
		c.AppendNulls(len(picks))
		return c.Finish(), nil
	}
	valid, nullN := interleaveValidity(mem, arrs, picks)
	bufs := []*arrow.Buffer{valid}
	defer func() {
		for _, b := range bufs {
			if b != nil {
				b.Release()
			}
		}
	}()
	switch id := dt.ID(); id {
	case arrow.STRING, arrow.BINARY:
		offBuf, valBuf, err := interleaveVar(mem, arrs, picks)
		bufs = append(bufs, offBuf, valBuf)
		if err != nil {
			return nil, err
		}
	default:
		w := widthOf(dt)
		buf, dst := newBuffer(mem, len(picks)*w)
		bufs = append(bufs, buf)
		switch w {
		case 1:
			interleaveT[uint8](dst, arrs, picks)
		case 2:
			interleaveT[uint16](dst, arrs, picks)
		case 4:
			interleaveT[uint32](dst, arrs, picks)
		case 8:
			interleaveT[uint64](dst, arrs, picks)
		default:
			interleaveT[[2]uint64](dst, arrs, picks)
		}
	}
	data := arrow.NewData(dt, len(picks), bufs, nil, nullN, 0)
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

func interleaveT[T any](raw []byte, arrs []arrow.Array, picks []Pick) {
	dst := values[T](raw, 0, len(picks))
	src := make([][]T, len(arrs))
	for i, a := range arrs {
		src[i] = values[T](bytesOf(a.Data(), 1), a.Data().Offset(), a.Len())
		if src[i] == nil {
			src[i] = make([]T, a.Len())
		}
	}
	for i, p := range picks {
		dst[i] = src[p.Rec][p.Row]
	}
}

func interleaveVar(mem arrow.Allocator, arrs []arrow.Array, picks []Pick) (*arrow.Buffer, *arrow.Buffer, error) {
	offs := make([][]int32, len(arrs))
	vals := make([][]byte, len(arrs))
	for i, a := range arrs {
		offs[i], vals[i] = offsetsOf(a.Data()), bytesOf(a.Data(), 2)
		if offs[i] == nil {
			offs[i] = make([]int32, a.Len()+1)
		}
	}
	offBuf, raw := newBuffer(mem, 4*(len(picks)+1))
	dst := values[int32](raw, 0, len(picks)+1)
	dst[0] = 0
	total := 0
	for i, p := range picks {
		o := offs[p.Rec]
		total += int(o[p.Row+1] - o[p.Row])
		dst[i+1] = int32(total)
	}
	if total > math.MaxInt32 {
		clear(dst)
		return offBuf, nil, tooLong(total)
	}
	valBuf, out := newBuffer(mem, total)
	for i, p := range picks {
		o := offs[p.Rec]
		copy(out[dst[i]:dst[i+1]], vals[p.Rec][o[p.Row]:o[p.Row+1]])
	}
	return offBuf, valBuf, nil
}

func interleaveValidity(mem arrow.Allocator, arrs []arrow.Array, picks []Pick) (*arrow.Buffer, int) {
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
	buf, dst := newBuffer(mem, (len(picks)+7)/8)
	clear(dst)
	count := 0
	for i, p := range picks {
		v := byte(1)
		if s := src[p.Rec]; s != nil {
			j := off[p.Rec] + int(p.Row)
			v = s[j>>3] >> (j & 7) & 1
		}
		dst[i>>3] |= v << (i & 7)
		count += int(v)
	}
	if count == len(picks) {
		buf.Release()
		return nil, 0
	}
	return buf, len(picks) - count
}
