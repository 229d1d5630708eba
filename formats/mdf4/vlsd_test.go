package mdf4

import (
	"bytes"
	"fmt"
	"testing"
)

// Values far behind are let go, those that are still wanted are not.
func TestValueList(t *testing.T) {
	for _, order := range []bool{false, true} {
		q := &vlsdList{order: order}
		value := make([]byte, 1<<20)
		at := make(map[int64]int64)
		var next int64
		for i := range int64(400) {
			copy(value, fmt.Sprintf("%08d", i))
			at[i] = q.end()
			q.add(value)
			q.bound()
			if i%2 == 0 {
				continue // records come at half the pace
			}
			b, err := q.at(at[next], -1, next)
			if err != nil {
				if len(q.buf) > vlsdMost-2<<20 || i < 250 {
					t.Fatalf("order %v: value %d of %d: %v", order, next, i, err)
				}
				next = i // too far behind
				continue
			}
			if !bytes.HasPrefix(b, fmt.Appendf(nil, "%08d", next)) || len(b) != len(value) {
				t.Fatalf("order %v: value %d begins with %q", order, next, b[:8])
			}
			next++
			q.drop(at[next], next)
		}
		if len(q.buf) > vlsdMost+2<<20 {
			t.Errorf("%d bytes are held", len(q.buf))
		}
	}
}
