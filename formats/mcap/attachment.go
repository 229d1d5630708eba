package mcap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

// AttachmentReader streams the data of an attachment.
type AttachmentReader struct {
	Attachment
	// Verified tells, once Read has returned io.EOF, that the attachment has a
	// checksum and it is right.
	Verified bool

	f      *frames
	frame  frame
	src    *contentReader // the whole content
	data   uint64         // left to read
	sum    uint32
	done   bool
	err    error
	report func(stored, sum uint32)
	close  func() error
}

// openAttachment reads the fields in front of the data. The returned reader is
// never nil: it also skips the content of an attachment that is malformed.
func openAttachment(f *frames, fr frame, lim Limits) (*AttachmentReader, error) {
	a := &AttachmentReader{f: f, frame: fr}
	a.src = &contentReader{f: f, left: fr.size, sum: &a.sum}
	a.LogTime = a.u64()
	a.CreateTime = a.u64()
	a.Name = a.text(lim.record())
	a.MediaType = a.text(lim.record())
	a.DataSize = a.u64()
	if a.err == nil && (a.src.left < 4 || a.DataSize > a.src.left-4) {
		a.err = fmt.Errorf("attachment of %d bytes claims %d bytes of data: %w", fr.size, a.DataSize, pipeline.ErrCorrupt)
	}
	a.data = a.DataSize
	return a, a.err
}

func (a *AttachmentReader) full(b []byte) {
	if a.err != nil {
		return
	}
	if uint64(len(b)) > a.src.left {
		a.err = fmt.Errorf("attachment of %d bytes is shorter than its fields: %w", a.frame.size, pipeline.ErrCorrupt)
		return
	}
	if _, err := io.ReadFull(a.src, b); err != nil {
		a.err = err
	}
}

func (a *AttachmentReader) u64() uint64 {
	var b [8]byte
	a.full(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func (a *AttachmentReader) text(limit int64) string {
	var b [4]byte
	a.full(b[:])
	n := binary.LittleEndian.Uint32(b[:])
	if a.err == nil && (uint64(n) > a.src.left || int64(n) > min(limit, 1<<20)) {
		a.err = fmt.Errorf("attachment of %d bytes claims a text of %d bytes: %w", a.frame.size, n, pipeline.ErrCorrupt)
	}
	if a.err != nil {
		return ""
	}
	s := make([]byte, n)
	a.full(s)
	return string(s)
}

// Read streams the data. After the last byte it checks the checksum.
func (a *AttachmentReader) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	if a.data == 0 {
		if err := a.check(); err != nil {
			a.err = err
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := a.src.Read(p[:min(uint64(len(p)), a.data)])
	a.data -= uint64(n)
	if err != nil {
		a.err = err
	}
	return n, err
}

// check compares the checksum, once.
func (a *AttachmentReader) check() error {
	if a.done {
		return nil
	}
	a.done = true
	sum := a.sum
	var b [4]byte
	if _, err := io.ReadFull(a.src, b[:]); err != nil {
		return err
	}
	stored := binary.LittleEndian.Uint32(b[:])
	a.Verified = stored != 0 && stored == sum
	if stored == 0 || stored == sum {
		return nil
	}
	if a.report == nil {
		return fmt.Errorf("attachment %q has CRC %08x and claims %08x: %w", a.Name, sum, stored, pipeline.ErrCorrupt)
	}
	a.report(stored, sum)
	return nil
}

// finish reads what is left of the record.
func (a *AttachmentReader) finish() error {
	if a.err == nil {
		if _, err := io.Copy(io.Discard, a); err != nil {
			return err
		}
	}
	_, err := a.f.skip(a.src.left)
	return err
}

// Close ends reading an attachment that OpenAttachment opened.
func (a *AttachmentReader) Close() error {
	if a.close == nil {
		return nil
	}
	return a.close()
}

// OpenAttachment streams an attachment that an index tells of. The caller
// closes it. A wrong checksum is an error at the end of the data.
func OpenAttachment(ctx context.Context, src pipeline.Source, x AttachmentIndex, lim Limits) (*AttachmentReader, error) {
	size := src.Object().Size
	if x.Length < frameLen || x.Length > uint64(size) || x.Offset > uint64(size)-x.Length {
		return nil, fmt.Errorf("attachment %q lies outside the file: %w", x.Name, pipeline.ErrCorrupt)
	}
	rc, err := src.Reader(ctx, int64(x.Offset), int64(x.Length))
	if err != nil {
		return nil, fmt.Errorf("reading attachment %q: %w", x.Name, err)
	}
	f := newFrames(rc, int64(x.Length))
	fr, err := f.next()
	if err == nil && (fr.op != OpAttachment || fr.size != x.Length-frameLen) {
		err = fmt.Errorf("offset %d holds no attachment of that size: %w", x.Offset, pipeline.ErrCorrupt)
	}
	var a *AttachmentReader
	if err == nil {
		a, err = openAttachment(f, fr, lim)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading attachment %q: %w", x.Name, err), rc.Close())
	}
	a.close = rc.Close
	return a, nil
}
