package mdf4

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/drivemill/drivemill/pipeline"
)

// vlsdKeep is how many bytes of values, stored as records among those that
// refer to them, are kept behind the last record that was decoded. A value
// further back than that is lost to a record that refers to it again.
const vlsdKeep = 16 << 20

// vlsdMost is how many bytes of values may wait for records that refer to them.
const vlsdMost = 256 << 20

// vlsdList holds the values of a group of records of variable length, as the
// stream of values that they would be in a sorted file: each with its length of
// 4 bytes in front, or bare for VLSC.
type vlsdList struct {
	bare  bool
	order bool // offsets were never written: the n-th record has the n-th value

	buf  []byte
	base int64 // position of buf[0]

	starts []int64 // of the values, where order counts
	first  int64   // ordinal of starts[0]
}

// add appends a value.
func (q *vlsdList) add(b []byte) {
	if q.order {
		q.starts = append(q.starts, q.base+int64(len(q.buf)))
	}
	if !q.bare || q.order {
		q.buf = binary.LittleEndian.AppendUint32(q.buf, uint32(len(b)))
	}
	q.buf = append(q.buf, b...)
}

// end is the position behind the last value.
func (q *vlsdList) end() int64 { return q.base + int64(len(q.buf)) }

// ready reports whether the value at pos, or of the record with that index, is
// there in full. What is no position at all counts as ready: reading it fails.
func (q *vlsdList) ready(pos, size, index int64) bool {
	if q.order {
		return index < q.first+int64(len(q.starts))
	}
	if size >= 0 {
		return pos+size <= q.end()
	}
	if pos < q.base {
		return true
	}
	if pos+4 > q.end() {
		return false
	}
	return pos+4+int64(binary.LittleEndian.Uint32(q.buf[pos-q.base:])) <= q.end()
}

// at returns the value at pos. size is -1 where the length lies in front of it.
func (q *vlsdList) at(pos, size, index int64) ([]byte, error) {
	if q.order {
		i := index - q.first
		if i < 0 || i >= int64(len(q.starts)) {
			return nil, fmt.Errorf("record %d has no value: %w", index, pipeline.ErrTruncated)
		}
		pos, size = q.starts[i], -1
	}
	if pos < q.base || pos > q.end() {
		return nil, fmt.Errorf("the value at position %d lies outside of positions %d to %d that are held: %w", pos, q.base, q.end(), pipeline.ErrCorrupt)
	}
	b := q.buf[pos-q.base:]
	if size < 0 {
		if len(b) < 4 {
			return nil, fmt.Errorf("the value at position %d is not there: %w", pos, pipeline.ErrTruncated)
		}
		size, b = int64(binary.LittleEndian.Uint32(b)), b[4:]
	}
	if size > int64(len(b)) {
		return nil, fmt.Errorf("the value at position %d has %d bytes, of which %d are there: %w", pos, size, len(b), pipeline.ErrTruncated)
	}
	return b[:size], nil
}

// drop lets go of values that lie far behind; those from pos on, and those of
// the record with that index on, are still wanted.
func (q *vlsdList) drop(pos, index int64) {
	n := int64(0)
	if q.order {
		n = min(max(0, index-q.first), int64(len(q.starts)))
		pos = q.end()
		if n < int64(len(q.starts)) {
			pos = q.starts[n]
		}
	} else {
		pos = min(pos, q.end()-vlsdKeep)
	}
	// What stays is moved, so that it must be less than what goes.
	if gone := pos - q.base; gone > vlsdKeep && gone > int64(len(q.buf))/2 {
		q.buf = append(q.buf[:0], q.buf[gone:]...)
		q.base = pos
		q.starts = append(q.starts[:0], q.starts[n:]...)
		q.first += n
	}
}

// bound lets go of the oldest values where more than vlsdMost bytes wait for
// records to refer to them: such records are then rejected.
func (q *vlsdList) bound() {
	if len(q.buf) <= vlsdMost {
		return
	}
	pos := q.end() - vlsdKeep
	if q.order {
		n := sort.Search(len(q.starts), func(i int) bool { return q.starts[i] >= pos })
		if n == len(q.starts) {
			pos = q.end()
		} else {
			pos = q.starts[n]
		}
		q.starts = append(q.starts[:0], q.starts[n:]...)
		q.first += int64(n)
	}
	q.buf = append(q.buf[:0], q.buf[pos-q.base:]...)
	q.base = pos
}
