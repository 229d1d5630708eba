package recording

import (
	"bytes"
	"context"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
)

// maxHead is how much of the beginning of an object is kept.
const maxHead = 8 << 10

// headed is a source that remembers its first bytes: they are read to find out
// the format, and then by the format, which over a network costs as much as
// much larger reads.
type headed struct {
	pipeline.Source
	mu   sync.Mutex
	head []byte
}

func (s *headed) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	s.mu.Lock()
	head := s.head
	s.mu.Unlock()
	if end := off + int64(len(p)); off >= 0 && end <= int64(len(head)) {
		return copy(p, head[off:]), nil
	}
	n, err := s.Source.ReadAt(ctx, p, off)
	if off == 0 && n > len(head) && n <= maxHead {
		s.mu.Lock()
		s.head = bytes.Clone(p[:n])
		s.mu.Unlock()
	}
	return n, err
}
