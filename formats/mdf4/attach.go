package mdf4

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/drivemill/drivemill/pipeline"
)

// OpenAttachment implements pipeline.Extractor. An attachment outside the file
// is looked for beside it, where the source knows its neighbours; names that
// are absolute or lead out of the folder are refused.
func (f *Format) OpenAttachment(ctx context.Context, src pipeline.Source, d *pipeline.Description, i int) (io.ReadCloser, error) {
	ix, ok := d.Index.(*index)
	if !ok || i < 0 || i >= len(ix.file.attachments) {
		return nil, f.fail(src, fmt.Errorf("there is no attachment %d: %w", i, pipeline.ErrNotFound))
	}
	a := ix.file.attachments[i]
	fail := func(err error) error {
		return &pipeline.DecodeError{Object: src.Object().URI, Format: Name, Offset: a.off, Record: -1, Err: fmt.Errorf("attachment %q: %w", a.name, err)}
	}
	r, err := a.open(ctx, src)
	if err != nil {
		return nil, fail(err)
	}
	c := &attachmentReader{in: r, left: a.original, fail: fail}
	if a.flags&atEmbedded == 0 && a.original == 0 {
		c.left = -1
	}
	if a.flags&atMD5 != 0 {
		c.sum, c.want = md5.New(), a.md5
	}
	return c, nil
}

// open streams the bytes of an attachment, unpacked.
func (a attachment) open(ctx context.Context, src pipeline.Source) (io.ReadCloser, error) {
	if a.flags&atEmbedded == 0 {
		name, err := besideName(a.name)
		if err != nil {
			return nil, err
		}
		n, ok := src.(pipeline.Neighbours)
		if !ok {
			return nil, fmt.Errorf("it lies beside the recording, and nothing is known of what lies there: %w", pipeline.ErrNotFound)
		}
		out, err := n.Beside(ctx, name)
		if err != nil {
			return nil, err
		}
		return out.Reader(ctx, 0, -1)
	}
	if a.stored > src.Object().Size-a.data {
		return nil, fmt.Errorf("it ends after the file: %w", pipeline.ErrTruncated)
	}
	r, err := src.Reader(ctx, a.data, a.stored)
	if err != nil {
		return nil, err
	}
	zip := uint8(plain)
	switch {
	case a.flags&atDeflated != 0:
		zip = zipDeflate
	case a.flags&atCompressed != 0:
		zip = a.zip
	}
	in, err := unpackAttachment(r, zip)
	if err != nil {
		r.Close()
		return nil, err
	}
	return in, nil
}

func unpackAttachment(r io.ReadCloser, zip uint8) (io.ReadCloser, error) {
	switch zip {
	case plain:
		return r, nil
	case zipDeflate:
		z, err := zlib.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("deflate: %w: %w", err, pipeline.ErrCorrupt)
		}
		return &unpackedReader{z, r, z.Close}, nil
	case zipZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w: %w", err, pipeline.ErrCorrupt)
		}
		return &unpackedReader{z, r, func() error { z.Close(); return nil }}, nil
	case zipLZ4:
		return &unpackedReader{lz4.NewReader(r), r, func() error { return nil }}, nil
	}
	return nil, fmt.Errorf("compression of type %d is not supported: %w", zip, pipeline.ErrUnsupported)
}

type unpackedReader struct {
	io.Reader
	below io.Closer
	done  func() error
}

func (u *unpackedReader) Close() error { return errors.Join(u.done(), u.below.Close()) }

// besideName makes the name of a file beside the recording of what the recording
// says, which may have backslashes. It refuses names that lead elsewhere.
func besideName(name string) (string, error) {
	s := strings.ReplaceAll(name, `\`, "/")
	var words []string
	for _, w := range strings.Split(s, "/") {
		if w == ".." || strings.Contains(w, ":") {
			return "", fmt.Errorf("the name leads out of the folder of the recording: %w", pipeline.ErrUnsupported)
		}
		if w != "" && w != "." {
			words = append(words, w)
		}
	}
	if strings.HasPrefix(s, "/") || len(words) == 0 {
		return "", fmt.Errorf("the name is not relative to the folder of the recording: %w", pipeline.ErrUnsupported)
	}
	return strings.Join(words, "/"), nil
}

// attachmentReader checks size and checksum at the end.
type attachmentReader struct {
	in   io.ReadCloser
	left int64 // -1 unknown
	sum  hash.Hash
	want [16]byte
	fail func(error) error
	err  error
}

// Read implements io.Reader.
func (r *attachmentReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.in.Read(p)
	if r.sum != nil {
		r.sum.Write(p[:n])
	}
	if r.left >= 0 {
		if r.left -= int64(n); r.left < 0 {
			r.err = r.fail(fmt.Errorf("it is larger than it claims: %w", pipeline.ErrCorrupt))
			return 0, r.err
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		r.err = r.ended(err)
	case err != nil:
		r.err = r.fail(err)
	}
	return n, r.err
}

func (r *attachmentReader) ended(eof error) error {
	if r.left > 0 {
		return r.fail(fmt.Errorf("%d bytes are missing: %w", r.left, pipeline.ErrTruncated))
	}
	if r.sum != nil {
		if got := r.sum.Sum(nil); !bytes.Equal(got, r.want[:]) {
			return r.fail(fmt.Errorf("its MD5 is %x and should be %x: %w", got, r.want, pipeline.ErrCorrupt))
		}
	}
	return eof
}

// Close implements io.Closer.
func (r *attachmentReader) Close() error { return r.in.Close() }
