package bagtest

import (
	"bytes"
	"testing"
)

func TestVarint(t *testing.T) {
	for v, want := range map[uint64][]byte{0: {0}, 127: {127}, 128: {0x81, 0}, 1 << 56: {0x80, 0xc0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0}, ^uint64(0): bytes.Repeat([]byte{0xff}, 9)} {
		if got := varint(nil, v); !bytes.Equal(got, want) {
			t.Errorf("%d is % x, want % x", v, got, want)
		}
	}
}
