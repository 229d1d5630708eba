package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

// Magic is what a database begins with.
const Magic = "SQLite format 3\x00"

const (
	headerLen = 100
	// MaxPayload bounds what a record may claim: more than SQLite stores by
	// default.
	MaxPayload = 1 << 30
	maxDepth   = 40
)

// File is a database. It is immutable and may be used by many goroutines.
type File struct {
	src      pipeline.Source
	size     int64
	pageSize int
	usable   int
	pages    uint32
	claimed  uint32
	wal      bool
	encoding uint32
}

// Open reads the header of a database. The error of a file that is no
// database, or is cut short within its first page, wraps pipeline.ErrCorrupt
// or pipeline.ErrTruncated.
func Open(ctx context.Context, src pipeline.Source) (*File, error) {
	f := &File{src: src, size: src.Object().Size}
	if f.size == 0 {
		return nil, fmt.Errorf("the database is empty (0 bytes): %w", pipeline.ErrTruncated)
	}
	h := make([]byte, min(f.size, headerLen))
	if err := readFull(ctx, src, h, 0); err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	if string(h[:min(len(h), len(Magic))]) != Magic[:min(len(h), len(Magic))] {
		return nil, fmt.Errorf("no SQLite header: %w", pipeline.ErrCorrupt)
	}
	if len(h) < headerLen {
		return nil, fmt.Errorf("the file ends in the header, at %d: %w", len(h), pipeline.ErrTruncated)
	}
	f.pageSize = int(binary.BigEndian.Uint16(h[16:]))
	if f.pageSize == 1 {
		f.pageSize = 65536
	}
	if f.pageSize < 512 || f.pageSize&(f.pageSize-1) != 0 {
		return nil, fmt.Errorf("page size %d: %w", f.pageSize, pipeline.ErrCorrupt)
	}
	f.usable = f.pageSize - int(h[20])
	if f.usable < 480 {
		return nil, fmt.Errorf("%d of %d bytes of a page are reserved: %w", h[20], f.pageSize, pipeline.ErrCorrupt)
	}
	if h[19] > 2 {
		return nil, fmt.Errorf("read version %d of the file format: %w", h[19], pipeline.ErrUnsupported)
	}
	f.wal = h[18] == 2 || h[19] == 2
	if f.encoding = binary.BigEndian.Uint32(h[56:]); f.encoding > 3 {
		return nil, fmt.Errorf("text encoding %d: %w", f.encoding, pipeline.ErrCorrupt)
	}
	f.pages = uint32(min(f.size/int64(f.pageSize), 1<<32-2))
	if binary.BigEndian.Uint32(h[24:]) == binary.BigEndian.Uint32(h[92:]) {
		f.claimed = binary.BigEndian.Uint32(h[28:])
	}
	if f.pages == 0 {
		return nil, fmt.Errorf("the file ends in its first page of %d bytes: %w", f.pageSize, pipeline.ErrTruncated)
	}
	return f, nil
}

// PageSize is the size of a page in bytes.
func (f *File) PageSize() int { return f.pageSize }

// Pages is how many whole pages the file has.
func (f *File) Pages() uint32 { return f.pages }

// WAL reports whether the database was written with a write-ahead log.
func (f *File) WAL() bool { return f.wal }

// Missing is how many bytes the file lacks of the pages that its header tells
// of; 0 where it is whole.
func (f *File) Missing() int64 {
	return max(0, int64(f.claimed)*int64(f.pageSize)-f.size)
}

// readFull fills p from off.
func readFull(ctx context.Context, src pipeline.Source, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := src.ReadAt(ctx, p, off)
		p, off = p[n:], off+int64(n)
		if len(p) == 0 {
			break
		}
		if err == nil && n == 0 || errors.Is(err, io.EOF) {
			return fmt.Errorf("object ends at %d: %w", off, pipeline.ErrTruncated)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Damage is something wrong with a database that leaves the rest readable.
type Damage struct {
	Offset int64 // in the file, -1 where unknown
	Bytes  int64 // that cannot be read because of it, as far as known
	Err    error
}

func (d Damage) Error() string { return d.Err.Error() }

// offset of a page in the file.
func (f *File) offset(page uint32) int64 { return int64(page-1) * int64(f.pageSize) }

// check reports why a page number cannot be followed.
func (f *File) check(page uint32) error {
	switch {
	case page == 0:
		return fmt.Errorf("page 0: %w", pipeline.ErrCorrupt)
	case page > f.pages && page <= f.claimed:
		return fmt.Errorf("page %d lies behind the end of the file: %w", page, pipeline.ErrTruncated)
	case page > f.pages:
		return fmt.Errorf("page %d of %d: %w", page, f.pages, pipeline.ErrCorrupt)
	}
	return nil
}
