package column

import (
	"math/bits"
	"sync"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Sizes of buffers that a Pool keeps. Smaller ones cost the garbage collector
// little, larger ones are rare and would hold too much.
const (
	poolMin = 10 // 1 KiB
	poolMax = 25 // 32 MiB
)

// Pool is an allocator that keeps freed buffers for reuse, in classes of
// powers of two, which is what columns ask for. It holds at most a fixed number
// of bytes idle; what is beyond goes back to the allocator below it. It is safe
// for concurrent use.
//
// A buffer must be freed at most once and not be used afterwards, as with any
// allocator; one that is never freed is collected as garbage. Unlike those of
// Go's allocator, reused buffers are not zeroed.
type Pool struct {
	below arrow.Allocator
	limit int64

	mu   sync.Mutex
	idle int64
	free [poolMax + 1][][]byte
}

// NewPool returns a pool over below that keeps up to limit bytes idle.
func NewPool(below arrow.Allocator, limit int64) *Pool {
	return &Pool{below: below, limit: limit}
}

// class returns the class whose buffers hold size bytes, or 0 for none.
func class(size int) int {
	c := bits.Len(uint(max(size, 1) - 1))
	if c < poolMin || c > poolMax {
		return 0
	}
	return c
}

// Allocate returns size bytes of any content.
func (p *Pool) Allocate(size int) []byte {
	c := class(size)
	if c == 0 {
		return p.below.Allocate(size)
	}
	p.mu.Lock()
	if n := len(p.free[c]); n > 0 {
		b := p.free[c][n-1]
		p.free[c][n-1] = nil
		p.free[c] = p.free[c][:n-1]
		p.idle -= 1 << c
		p.mu.Unlock()
		return b[:size]
	}
	p.mu.Unlock()
	return p.below.Allocate(1 << c)[:size]
}

// Reallocate returns size bytes that begin with the content of b, which is freed.
func (p *Pool) Reallocate(size int, b []byte) []byte {
	was, is := class(len(b)), class(size)
	if was == 0 && is == 0 {
		return p.below.Reallocate(size, b)
	}
	if was == is {
		return b[:size:cap(b)]
	}
	grown := p.Allocate(size)
	copy(grown, b)
	p.Free(b)
	return grown
}

// Free takes b back. Its length, like that given to any allocator, is the one
// it was allocated with.
func (p *Pool) Free(b []byte) {
	c := class(len(b))
	if c == 0 || cap(b) < 1<<c {
		p.below.Free(b)
		return
	}
	b = b[:1<<c]
	p.mu.Lock()
	if p.idle+1<<c <= p.limit {
		p.idle += 1 << c
		p.free[c] = append(p.free[c], b)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.below.Free(b)
}

// Drain gives all idle buffers to the allocator below.
func (p *Pool) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.free {
		for _, b := range p.free[c] {
			p.below.Free(b)
		}
		p.free[c] = nil
	}
	p.idle = 0
}
