package message_test

import (
	"slices"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
)

func TestCut(t *testing.T) {
	even := func(n int) []message.Extent {
		out := make([]message.Extent, n)
		for i := range out {
			out[i] = message.Extent{From: int64(10 * i), To: int64(10*i + 9), Bytes: 100}
		}
		return out
	}
	backwards := even(6)
	slices.Reverse(backwards)
	for _, c := range []struct {
		blocks []message.Extent
		size   int64
		want   []int64
	}{
		{nil, 1, nil},
		{even(1), 1, nil},
		{even(4), 100, []int64{10, 20, 30}},
		{even(6), 250, []int64{30}},
		{backwards, 250, []int64{30}},
		{even(6), 1000, nil},
		// Blocks that begin together stay together.
		{[]message.Extent{{0, 9, 100}, {0, 9, 100}, {5, 9, 100}}, 100, []int64{5}},
	} {
		if got := message.Cut(c.blocks, c.size); !slices.Equal(got, c.want) {
			t.Errorf("%v into parts of %d: %v, want %v", c.blocks, c.size, got, c.want)
		}
	}
}
