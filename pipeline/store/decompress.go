package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/pipeline"
)

// maxWindow bounds the memory of a zstd stream: what zstd --ultra -22 needs.
const maxWindow = 128 << 20

// Decompress reads an object that may be compressed as a whole, such as a
// CSV. The codec (gzip, zstd or none) is told by its first bytes; name, the
// URI, is for errors. Closing the result frees the decoder and leaves r open.
//
// It holds 64 KiB of input and the window of the codec: 32 KiB for gzip, for
// zstd what the stream asks for, up to 128 MiB.
func Decompress(name string, r io.Reader) (rc io.ReadCloser, codec string, err error) {
	d := &decompressor{name: name, src: sourceErrors{r: r}}
	in := bufio.NewReaderSize(&d.src, 64<<10)
	d.in = in
	head, err := in.Peek(4)
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	switch {
	case strings.HasPrefix(string(head), "\x1f\x8b\x08"):
		d.codec = "gzip"
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, "", d.explain(err)
		}
		d.out, d.close = z, func() { z.Close() }
	case isZstd(head):
		d.codec = "zstd"
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, "", d.explain(err)
		}
		d.out, d.close = z, z.Close
	default:
		return io.NopCloser(in), "none", nil
	}
	return d, d.codec, nil
}

// isZstd knows frames and skippable frames, with which parallel writers begin.
func isZstd(head []byte) bool {
	s := string(head)
	return s == "\x28\xb5\x2f\xfd" || len(s) == 4 && s[0]&0xf0 == 0x50 && s[1:] == "\x2a\x4d\x18"
}

type decompressor struct {
	name  string
	codec string
	src   sourceErrors
	in    *bufio.Reader // over src
	out   io.Reader
	close func()
	err   error
}

func (d *decompressor) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.out.Read(p)
	if err != nil {
		d.err = d.explain(err)
	}
	return n, d.err
}

// explain tells a fault of the stream from one of the source, which is passed
// on as it is.
func (d *decompressor) explain(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return err
	case d.src.err != nil:
		return d.src.err
	}
	kind := pipeline.ErrCorrupt
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		kind = pipeline.ErrTruncated
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		kind = pipeline.ErrLimit
	case errors.Is(err, zstd.ErrUnknownDictionary):
		kind = pipeline.ErrUnsupported
	}
	return &pipeline.DecodeError{Object: d.name, Format: d.codec, Offset: d.src.n - int64(d.in.Buffered()), Record: -1, Err: fmt.Errorf("%w: %w", kind, err)}
}

func (d *decompressor) Close() error {
	if d.close != nil {
		d.close()
		d.close = nil
		if d.err == nil {
			d.err = fmt.Errorf("reading %s: closed", d.name)
		}
	}
	return nil
}

// sourceErrors remembers how reading the compressed bytes failed, and how many
// there were.
type sourceErrors struct {
	r   io.Reader
	n   int64
	err error
}

func (s *sourceErrors) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
