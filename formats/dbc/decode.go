package dbc

import (
	"encoding/binary"
	"math"

	"github.com/drivemill/drivemill/pipeline/column"
)

// decodeSignal appends one block of the columns of one signal.
func (p *Plan) decodeSignal(fields []Field, out []*column.Column, f *Frames, from, n int, s *Scratch, c *Counts) {
	wanted := false
	for _, o := range out {
		wanted = wanted || o != nil
	}
	if !wanted {
		return
	}
	sp := &p.signals[fields[0].signal]
	if len(sp.layouts) == 1 {
		l := &sp.layouts[0]
		c.Short += p.rawBlock(l, f, from, s.raw[:n], s.ok[:n], s)
		for k := range fields {
			if out[k] != nil {
				c.Special += l.emit(fields[k].Part, sp.numeric, out[k], s.raw[:n], s.ok[:n], fields[k].Part == Value)
			}
		}
		return
	}
	// Of several layouts the first whose switch fits counts for each row.
	filled := s.filled[:n]
	clear(filled)
	for j := range sp.layouts {
		ok := s.ok[:n]
		c.Short += p.rawBlock(&sp.layouts[j], f, from, s.other[:n], ok, s)
		for i := range ok {
			if ok[i] && !filled[i] {
				filled[i], s.raw[i], s.layout[i] = true, s.other[i], uint16(j)
			}
		}
	}
	for k := range fields {
		if out[k] == nil {
			continue
		}
		for i := 0; i < n; {
			end := i + 1
			for end < n && filled[end] == filled[i] && (!filled[i] || s.layout[end] == s.layout[i]) {
				end++
			}
			if filled[i] {
				c.Special += sp.layouts[s.layout[i]].emit(fields[k].Part, sp.numeric, out[k], s.raw[i:end], filled[i:end], fields[k].Part == Value)
			} else {
				out[k].AppendNulls(end - i)
			}
			i = end
		}
	}
}

// rawBlock fills raw and ok for one layout.
func (p *Plan) rawBlock(l *layout, f *Frames, from int, raw []uint64, ok []bool, s *Scratch) int64 {
	if l.parent < 0 {
		fill(ok)
	} else {
		l.present(&s.switches[l.parent], ok)
	}
	return l.extract(f, from, raw, ok)
}

// emit appends the values of one layout; a row that is not ok is null. Values
// that stand for none are null too, and counted if count is set.
func (l *layout) emit(part Part, num numeric, out *column.Column, raw []uint64, ok []bool, count bool) (special int64) {
	switch part {
	case Text:
		l.texts(out, raw, ok)
		return 0
	case Raw:
		l.values(asInteger, true, out, raw, ok)
		return 0
	}
	if l.special == noSpecial {
		l.values(num, false, out, raw, ok)
		return 0
	}
	var mask [blockRows]bool
	m := mask[:len(ok)]
	for i := range m {
		if m[i] = ok[i]; !ok[i] {
			continue
		}
		if v := l.special.classify(raw[i], int(l.length), l.signed); v >= ErrorIndicator {
			if _, named := l.labels[uint64(l.integer(raw[i]))]; !named {
				m[i] = false
				special++
			}
		}
	}
	l.values(num, false, out, raw, m)
	if !count {
		special = 0
	}
	return special
}

// values appends numbers, in runs of rows that have one and rows that do not.
func (l *layout) values(num numeric, plain bool, out *column.Column, raw []uint64, ok []bool) {
	for i := 0; i < len(raw); {
		if !ok[i] {
			j := i + 1
			for j < len(raw) && !ok[j] {
				j++
			}
			out.AppendNulls(j - i)
			i = j
			continue
		}
		j := i + 1
		for j < len(raw) && ok[j] {
			j++
		}
		out.Grow(8 * (j - i))
		at := len(out.Data)
		out.Data = out.Data[:at+8*(j-i)]
		l.write(num, plain, out.Data[at:], raw[i:j])
		out.N += j - i
		i = j
	}
}

// write stores one number of eight bytes for each raw value.
func (l *layout) write(num numeric, plain bool, dst []byte, raw []uint64) {
	dst = dst[:8*len(raw)]
	switch {
	case num == asUnsigned:
		for i, v := range raw {
			binary.LittleEndian.PutUint64(dst[8*i:], v)
		}
	case num == asInteger && (plain || l.factor == 1 && l.offset == 0) && !l.signed:
		for i, v := range raw {
			binary.LittleEndian.PutUint64(dst[8*i:], v)
		}
	case num == asInteger && (plain || l.factor == 1 && l.offset == 0):
		up := 64 - l.length
		for i, v := range raw {
			binary.LittleEndian.PutUint64(dst[8*i:], uint64(int64(v<<up)>>up))
		}
	case num == asInteger:
		for i, v := range raw {
			binary.LittleEndian.PutUint64(dst[8*i:], uint64(l.integer(v)*l.ifactor+l.ioffset))
		}
	case l.kind == Integer && !l.signed && l.length < 64:
		for i, v := range raw {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(float64(int64(v))*l.factor)+l.offset))
		}
	case l.kind == Integer && l.signed:
		up := 64 - l.length
		for i, v := range raw {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(float64(int64(v<<up)>>up)*l.factor)+l.offset))
		}
	default:
		for i, v := range raw {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(l.physical(v)))
		}
	}
}

// texts appends the codes of labels; a value without one is null.
func (l *layout) texts(out *column.Column, raw []uint64, ok []bool) {
	for i, v := range raw {
		if ok[i] {
			if key, whole := l.key(v); whole {
				if code, found := l.labels[key]; found {
					out.AppendInt32(code)
					continue
				}
			}
		}
		out.AppendNull()
	}
}
