package store

import "testing"

// S3 allows 10,000 parts of 5 MiB to 5 GiB, and objects of 5 TiB.
func TestPartSizes(t *testing.T) {
	sum, last := int64(0), 0
	for n := range maxParts {
		size := partSize(n)
		if size < last || size < 5<<20 || size > 5<<30 {
			t.Fatalf("part %d has %d bytes", n, size)
		}
		sum, last = sum+int64(size), size
	}
	if sum < 5<<40 {
		t.Errorf("%d parts hold %d bytes", maxParts, sum)
	}
	if partSize(partsPerSize-1) != minPart {
		t.Errorf("parts grow too early")
	}
}

// A buffer never has room for more than one part.
func TestPartBufferGrows(t *testing.T) {
	w := &s3Writer{}
	for len(w.buf) < 2*minPart {
		n := min(1000, 2*minPart-len(w.buf))
		w.grow(n, 2*minPart)
		if cap(w.buf) > 2*minPart || cap(w.buf) < len(w.buf)+n || cap(w.buf) > 4*len(w.buf)+1000 {
			t.Fatalf("capacity %d for %d+%d bytes", cap(w.buf), len(w.buf), n)
		}
		w.buf = w.buf[:len(w.buf)+n]
	}
}
