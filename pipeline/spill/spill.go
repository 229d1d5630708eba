// Package spill keeps records on disk that would not fit into memory.
//
// A Space is a directory with a limit, shared by all that spill in a process. A
// File in it has no name: it is unlinked as soon as it is open, so that nothing
// is left of it whatever becomes of the process. Records go to the file as the
// buffers of their columns, and come back as the same values; space that was
// read for the last time is used again.
package spill

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Space is where files are spilled to. It is safe for concurrent use.
type Space struct {
	dir   string
	limit int64
	used  atomic.Int64
	peak  atomic.Int64
	total atomic.Int64
}

// NewSpace returns the space of a directory, of which limit bytes may be used;
// 0 means all there are. Nothing is created before it is needed.
func NewSpace(dir string, limit int64) *Space { return &Space{dir: dir, limit: limit} }

// Check reports whether files can be made in the directory.
func (s *Space) Check() error {
	f, err := s.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// Peak is the most that was in use at once, Total all that was ever written.
func (s *Space) Peak() int64  { return s.peak.Load() }
func (s *Space) Total() int64 { return s.total.Load() }

// take claims n bytes.
func (s *Space) take(n int64) error {
	used := s.used.Add(n)
	if s.limit > 0 && used > s.limit {
		s.used.Add(-n)
		return fmt.Errorf("spilling to %s: %d bytes are in use, %d more are beyond the limit of %d: %w", s.dir, used-n, n, s.limit, pipeline.ErrLimit)
	}
	for {
		peak := s.peak.Load()
		if used <= peak || s.peak.CompareAndSwap(peak, used) {
			return nil
		}
	}
}

// Open makes a file.
func (s *Space) Open() (pipeline.SpillFile, error) { return s.open() }

func (s *Space) open() (*File, error) {
	f, err := os.CreateTemp(s.dir, "drivemill-spill-*")
	if err != nil {
		return nil, fmt.Errorf("making a file to spill to: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlinking a file to spill to: %w", err), f.Close())
	}
	return &File{space: s, file: f}, nil
}

// File keeps records. It is safe for concurrent use.
type File struct {
	space *Space
	file  *os.File

	mu   sync.Mutex
	end  int64
	free []extent // in order, not touching
}

// extent is a part of a file.
type extent struct{ off, size int64 }

// Write keeps a record, which stays the caller's.
func (f *File) Write(rec arrow.Record) (pipeline.SpillRef, error) {
	enc := &encoder{}
	defer enc.release()
	if err := enc.record(rec); err != nil {
		return pipeline.SpillRef{}, err
	}
	at, err := f.allocate(enc.size)
	if err != nil {
		return pipeline.SpillRef{}, err
	}
	w := bufio.NewWriterSize(io.NewOffsetWriter(f.file, at.off), 256<<10)
	for _, part := range enc.parts {
		if _, err := w.Write(part); err != nil {
			return pipeline.SpillRef{}, fmt.Errorf("spilling to %s: %w", f.space.dir, err)
		}
	}
	if err := w.Flush(); err != nil {
		return pipeline.SpillRef{}, fmt.Errorf("spilling to %s: %w", f.space.dir, err)
	}
	f.space.total.Add(at.size)
	return pipeline.SpillRef{Offset: at.off, Size: at.size, Rows: rec.NumRows()}, nil
}

// Read returns a record of a schema, which the caller releases.
func (f *File) Read(mem arrow.Allocator, schema *arrow.Schema, ref pipeline.SpillRef) (arrow.Record, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f.file, ref.Offset, ref.Size), 256<<10)
	rec, err := decode(r, mem, schema, ref.Rows)
	if err != nil {
		return nil, fmt.Errorf("reading what was spilled to %s: %w", f.space.dir, err)
	}
	return rec, nil
}

// Free gives the space of a record back.
func (f *File) Free(ref pipeline.SpillRef) {
	if ref.Size == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := extent{ref.Offset, ref.Size}
	f.space.used.Add(-at.size)
	i, _ := slices.BinarySearchFunc(f.free, at, func(a, b extent) int { return int(min(max(a.off-b.off, -1), 1)) })
	f.free = slices.Insert(f.free, i, at)
	if i+1 < len(f.free) && f.free[i].off+f.free[i].size == f.free[i+1].off {
		f.free[i].size += f.free[i+1].size
		f.free = slices.Delete(f.free, i+1, i+2)
	}
	if i > 0 && f.free[i-1].off+f.free[i-1].size == f.free[i].off {
		f.free[i-1].size += f.free[i].size
		f.free = slices.Delete(f.free, i, i+1)
	}
	if n := len(f.free); n > 0 && f.free[n-1].off+f.free[n-1].size == f.end {
		f.end = f.free[n-1].off
		f.free = f.free[:n-1]
	}
}

// allocate finds room: the first gap that is large enough, or the end.
func (f *File) allocate(size int64) (extent, error) {
	if err := f.space.take(size); err != nil {
		return extent{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.free {
		if g := &f.free[i]; g.size >= size {
			at := extent{g.off, size}
			g.off, g.size = g.off+size, g.size-size
			if g.size == 0 {
				f.free = slices.Delete(f.free, i, i+1)
			}
			return at, nil
		}
	}
	at := extent{f.end, size}
	f.end += size
	return at, nil
}

// Close gives everything back.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := f.end
	for _, g := range f.free {
		held -= g.size
	}
	f.space.used.Add(-held)
	f.end, f.free = 0, nil
	return f.file.Close()
}
