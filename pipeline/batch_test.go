package pipeline

import "testing"

func TestOriginOfTakenRows(t *testing.T) {
	for _, o := range []Origin{
		{Object: 2, First: 100},
		{Object: 2, First: 100, Deltas: []uint32{0, 3, 4, 9, 20, 21}},
	} {
		for _, rows := range [][]int32{{}, {0}, {5}, {1, 2, 3}, {0, 2, 5}, {0, 1, 2, 3, 4, 5}} {
			got := o.Take(rows)
			for i, r := range rows {
				if got.At(i) != o.At(int(r)) || got.Object != 2 {
					t.Errorf("%v of %+v: row %d has record %d of object %d, want %d", rows, o, i, got.At(i), got.Object, o.At(int(r)))
				}
			}
			if len(rows) == 6 {
				if cut := got.Slice(2, 5); cut.At(0) != o.At(2) || cut.At(2) != o.At(4) {
					t.Errorf("slice of %+v begins at %d", o, cut.At(0))
				}
			}
		}
	}
}
