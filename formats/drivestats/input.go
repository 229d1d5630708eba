package drivestats

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/pipeline"
)

const (
	gzipMagic = "\x1f\x8b"
	zstdMagic = "\x28\xb5\x2f\xfd"
	// maxWindow bounds the memory that a zstd frame may ask for.
	maxWindow = 128 << 20
)

// codecOf names the compression of a stream that begins with head.
func codecOf(head []byte) string {
	switch {
	case len(head) >= 2 && string(head[:2]) == gzipMagic:
		return "gzip"
	case len(head) >= 4 && string(head[:4]) == zstdMagic:
		return "zstd"
	}
	return "none"
}

// input is the decompressed text of an object.
type input struct {
	io.Reader
	codec  string
	source *sourceReader
	free   func()
}

// sourceReader remembers what went wrong with the object, to tell it from
// what is wrong in it.
type sourceReader struct {
	io.ReadCloser
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// open starts reading an object from its beginning.
func open(ctx context.Context, src pipeline.Source) (*input, error) {
	rc, err := src.Reader(ctx, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	in := &input{source: &sourceReader{ReadCloser: rc}, free: func() {}}
	buf := bufio.NewReaderSize(in.source, 64<<10)
	head, _ := buf.Peek(4) // a failure comes back at the next read
	in.codec = codecOf(head)
	if err := in.decompress(buf); err != nil {
		rc.Close()
		return nil, err
	}
	return in, nil
}

func (in *input) decompress(r io.Reader) error {
	switch in.codec {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return in.damage(err)
		}
		in.Reader = z
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return in.damage(err)
		}
		in.Reader, in.free = z, z.Close
	default:
		in.Reader = r
	}
	return nil
}

// damage says what kind of failure of the decompressor err is: the object's,
// or that of the bytes in it.
func (in *input) damage(err error) error {
	switch {
	case in.source.err != nil:
		return fmt.Errorf("reading: %w", in.source.err)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return fmt.Errorf("the %s stream ends early: %w", in.codec, pipeline.ErrTruncated)
	}
	return fmt.Errorf("decompressing %s: %v: %w", in.codec, err, pipeline.ErrCorrupt)
}

func (in *input) Close() error {
	in.free()
	return in.source.Close()
}

var dayName = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)\.csv(\.gz|\.zst)?$`)

// dayOf returns the day an object is named for, counted from 1970.
func dayOf(name string) (day int32, ok bool) {
	m := dayName.FindStringSubmatch(path.Base(name))
	if m == nil {
		return 0, false
	}
	t, err := time.Parse(time.DateOnly, m[1])
	if err != nil {
		return 0, false
	}
	return int32(t.Unix() / 86400), true
}

// dateString spells a day.
func dateString(day int32) string {
	return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
}
