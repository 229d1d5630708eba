package expr

import (
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Scratch is the memory in which one goroutine evaluates one program. It is
// made once and grows to what a block needs, so that evaluating a batch
// allocates only the result.
type Scratch struct {
	slots []*vec
	cols  []boundColumn

	rows     int // of the batch
	from, n  int // the block
	full     rowset
	bad      rowset
	anyBad   bool
	why      [blockRows]reason
	rejected []Reject
	keep     []int32
	versions uint64
}

// Reject is a row that an expression could not be computed for.
type Reject struct {
	Row    int32
	Reason string
}

// node is one step of a program.
type node interface {
	// eval computes the step for the current block. Only rows in need count:
	// others may hold anything and are never rejected.
	eval(s *Scratch, need *rowset) *vec
}

// reject marks rows, unless they are marked already or not needed.
func (s *Scratch) reject(need *rowset, row int, why reason) {
	if why == fine || !need.has(row) || s.bad.has(row) {
		return
	}
	s.bad[row>>6] |= 1 << (row & 63)
	s.why[row] = why
	s.anyBad = true
}

// begin makes the scratch ready for a batch.
func (s *Scratch) begin(p *Program, cols []arrow.Array, rows int) {
	s.rows = rows
	s.rejected = s.rejected[:0]
	for i, c := range p.columns {
		s.cols[i].bind(cols[c.index])
	}
}

// block runs the program over rows [from, from+n).
func (s *Scratch) block(p *Program, from int) *vec {
	s.from, s.n = from, min(blockRows, s.rows-from)
	s.full = firstRows(s.n)
	s.bad, s.anyBad = rowset{}, false
	v := p.root.eval(s, &s.full)
	if s.anyBad {
		s.bad.eachRow(func(i int) {
			s.rejected = append(s.rejected, Reject{Row: int32(from + i), Reason: reasonNames[s.why[i]]})
		})
	}
	return v
}

// end lets go of the batch.
func (s *Scratch) end() {
	for i := range s.cols {
		s.cols[i].unbind()
	}
}
