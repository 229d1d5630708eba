package conversion

import (
	"math"
	"strconv"
)

// maxMasks bounds the masks of a bitfield; maxNumberText is the longest number
// that appears in its texts.
const (
	maxMasks      = 1024
	maxNumberText = 24
	// bitCells bounds the results of all masks that are held at once.
	bitCells = 1 << 16
)

// bitfield evaluates the rule of each mask on the masked numbers and joins the
// texts of each row.
func (c *Converter) bitfield(n *node, in *vec, out result, depth int) {
	f := c.frame(depth)
	step := min(blockRows, bitCells/max(1, len(n.masks)))
	if need := step * len(n.masks); len(f.cells.num) < need {
		f.cells = newResult(need)
	}
	for from := 0; from < in.n; from += step {
		rows := min(step, in.n-from)
		for m, mask := range n.masks {
			f.sub.n, f.sub.domain = rows, unsigned
			for i := range rows {
				x, _ := in.integer(from + i)
				f.sub.bits[i] = x & mask
				f.sub.f[i] = float64(x & mask)
			}
			c.eval(n.entries[m].rule, &f.sub, f.cells.slice(m*rows, (m+1)*rows), depth+1)
		}
		for i := range rows {
			out.has[from+i], out.label[from+i] = false, noLabel
			if _, ok := in.integer(from + i); ok {
				out.label[from+i] = c.join(n, &f.cells, i, rows)
			}
		}
	}
}

// integer returns row i as the integer whose bits a bitfield looks at; a
// floating point number has bits if it is a whole one.
func (v *vec) integer(i int) (uint64, bool) {
	if v.domain != floats {
		return v.bits[i], true
	}
	x := v.f[i]
	if x != math.Trunc(x) || x < -(1<<63) || x >= 1<<64 {
		return 0, false
	}
	if x < 0 {
		return uint64(int64(x)), true
	}
	return uint64(x), true
}

// join composes the label of row i from the results of all masks.
func (c *Converter) join(n *node, cells *result, i, rows int) int32 {
	start := len(c.arena)
	for m := range n.masks {
		at := m*rows + i
		l := cells.label[at]
		var text string
		var made []byte
		switch {
		case cells.has[at]:
		case l >= 0:
			text = c.p.texts[l]
		case l < noLabel:
			made = c.composed(l)
		}
		if !cells.has[at] && len(text)+len(made) == 0 {
			continue
		}
		if len(c.arena) > start {
			c.arena = append(c.arena, '|')
		}
		if name := n.entries[m].rule.name; name != "" {
			c.arena = append(append(c.arena, name...), '=')
		}
		if cells.has[at] {
			c.arena = appendNumber(c.arena, cells.num[at])
			continue
		}
		c.arena = append(append(c.arena, text...), made...)
	}
	c.ends = append(c.ends, int32(len(c.arena)))
	return int32(-len(c.ends) - 1)
}

// appendNumber writes whole numbers with their digits and others in their
// shortest form.
func appendNumber(b []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}
