package runner

import (
	"context"
	"io"
	"sort"
	"sync"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// rangeSource is a source that remembers which bytes were read from it, for
// the commit record, and counts them for progress.
type rangeSource struct {
	pipeline.Source
	onRead func(n int64)
	waited func(time.Duration) // how long a read took; nil: nobody asks
	mu     sync.Mutex
	ranges [][2]int64 // half-open, sorted, not touching
}

func (s *rangeSource) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	begin := time.Now()
	n, err := s.Source.ReadAt(ctx, p, off)
	s.wait(begin)
	s.add(off, int64(n))
	return n, err
}

func (s *rangeSource) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	r, err := s.Source.Reader(ctx, off, n)
	if err != nil {
		return nil, err
	}
	return &rangeReader{ReadCloser: r, source: s, from: off, at: off}, nil
}

type rangeReader struct {
	io.ReadCloser
	source   *rangeSource
	from, at int64
}

func (r *rangeReader) Read(p []byte) (int, error) {
	begin := time.Now()
	n, err := r.ReadCloser.Read(p)
	r.source.wait(begin)
	r.at += int64(n)
	r.source.onRead(int64(n))
	return n, err
}

func (r *rangeReader) Close() error {
	r.source.note(r.from, r.at)
	return r.ReadCloser.Close()
}

func (s *rangeSource) wait(begin time.Time) {
	if s.waited != nil {
		s.waited(time.Since(begin))
	}
}

func (s *rangeSource) add(off, n int64) {
	s.onRead(n)
	s.note(off, off+n)
}

// note merges [from, to) into the ranges.
func (s *rangeSource) note(from, to int64) {
	if to <= from {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i][1] >= from })
	j := i
	for j < len(s.ranges) && s.ranges[j][0] <= to {
		from = min(from, s.ranges[j][0])
		to = max(to, s.ranges[j][1])
		j++
	}
	s.ranges = append(s.ranges[:i], append([][2]int64{{from, to}}, s.ranges[j:]...)...)
}

// read returns the merged ranges.
func (s *rangeSource) read() [][2]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][2]int64{}, s.ranges...)
}
