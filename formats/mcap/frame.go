package mcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

// frames reads the records of a stream one after the other, without looking
// into them. Offsets count from the beginning of the file.
type frames struct {
	r    *bufio.Reader
	off  int64  // of the next byte
	size int64  // of the file, -1 where unknown
	crc  uint32 // of all bytes read so far
	tail uint32 // of those since restart
	both bool   // tail is wanted
	buf  []byte
	head [frameLen]byte
}

// frame is a record that begins at off and has size bytes of content.
type frame struct {
	op    Op
	off   int64
	size  uint64
	crc   uint32 // of all bytes in front of it
	tail  uint32 // of those since restart
	zeros bool   // the frame is all zeros
}

func newFrames(r io.Reader, size int64) *frames {
	buffer := int64(256 << 10)
	if size >= 0 {
		buffer = min(buffer, size)
	}
	return &frames{r: bufio.NewReaderSize(r, int(buffer)), size: size}
}

// magic reads the first bytes of a file.
func (f *frames) magic() error {
	b, err := f.read(uint64(len(Magic)), int64(len(Magic)))
	if err != nil && !errors.Is(err, pipeline.ErrTruncated) {
		return err
	}
	return checkMagic(b)
}

// checkMagic says what is wrong with the first bytes of a file.
func checkMagic(b []byte) error {
	switch {
	case string(b) == Magic:
		return nil
	case len(b) == len(Magic) && string(b[:5]) == Magic[:5] && string(b[6:]) == Magic[6:]:
		return fmt.Errorf("unsupported major version %q: %w", b[5:6], pipeline.ErrUnsupported)
	case len(b) < len(Magic):
		return fmt.Errorf("bad magic: file of %d bytes: %w", len(b), pipeline.ErrTruncated)
	}
	return fmt.Errorf("bad magic: file begins with % x: %w", b[:len(Magic)], pipeline.ErrCorrupt)
}

// next reads the frame of the next record. It returns io.EOF where the file
// ends between records. The content must be read or skipped before the next.
func (f *frames) next() (frame, error) {
	fr := frame{off: f.off, crc: f.crc, tail: f.tail}
	n, err := io.ReadFull(f.r, f.head[:])
	f.advance(f.head[:n])
	if err != nil {
		if n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			return fr, fmt.Errorf("file ends %d bytes into the frame of a record: %w", n, pipeline.ErrTruncated)
		}
		return fr, err
	}
	fr.op, fr.size = Op(f.head[0]), binary.LittleEndian.Uint64(f.head[1:])
	fr.zeros = f.head == [frameLen]byte{}
	return fr, nil
}

func (f *frames) advance(b []byte) {
	f.off += int64(len(b))
	f.crc = crc32.Update(f.crc, crc32.IEEETable, b)
	if f.both {
		f.tail = crc32.Update(f.tail, crc32.IEEETable, b)
	}
}

// restart begins a second checksum at the byte that comes next.
func (f *frames) restart() { f.tail, f.both = 0, true }

// read reads n bytes of content, which stay valid until the next call. Where
// the file ends before, it returns what is there with ErrTruncated.
func (f *frames) read(n uint64, limit int64) ([]byte, error) {
	avail := uint64(limit)
	if f.size >= 0 {
		avail = min(avail, uint64(max(0, f.size-f.off)))
	}
	if n > uint64(limit) && (f.size < 0 || n <= uint64(f.size-f.off)) {
		return nil, fmt.Errorf("record of %d bytes, more than the limit of %d: %w", n, limit, pipeline.ErrLimit)
	}
	want := int(min(n, avail))
	f.buf = f.buf[:0]
	for len(f.buf) < want {
		// Memory follows the data: the length is a claim.
		step := min(want-len(f.buf), max(1<<20, len(f.buf)))
		at := len(f.buf)
		if cap(f.buf)-at < step {
			grown := make([]byte, at, at+step)
			copy(grown, f.buf)
			f.buf = grown
		}
		m, err := io.ReadFull(f.r, f.buf[at:at+step])
		f.buf = f.buf[:at+m]
		f.advance(f.buf[at:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return f.buf, err
		}
	}
	if uint64(len(f.buf)) < n {
		return f.buf, fmt.Errorf("file ends %d bytes into content of %d bytes: %w", len(f.buf), n, pipeline.ErrTruncated)
	}
	return f.buf, nil
}

// skip passes over n bytes. It returns how many there were.
func (f *frames) skip(n uint64) (uint64, error) {
	var done uint64
	for done < n {
		b, err := f.r.Peek(int(min(n-done, uint64(f.r.Size()))))
		if len(b) == 0 {
			if errors.Is(err, io.EOF) {
				return done, fmt.Errorf("file ends %d bytes into content of %d bytes: %w", done, n, pipeline.ErrTruncated)
			}
			return done, err
		}
		f.advance(b)
		f.r.Discard(len(b))
		done += uint64(len(b))
	}
	return done, nil
}

type contentReader struct {
	f    *frames
	left uint64
	sum  *uint32
}

func (c *contentReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.f.r.Read(p[:min(uint64(len(p)), c.left)])
	c.f.advance(p[:n])
	*c.sum = crc32.Update(*c.sum, crc32.IEEETable, p[:n])
	c.left -= uint64(n)
	if errors.Is(err, io.EOF) && c.left > 0 {
		return n, fmt.Errorf("file ends inside an attachment: %w", pipeline.ErrTruncated)
	}
	return n, err
}
