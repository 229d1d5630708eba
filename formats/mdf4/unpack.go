package mdf4

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/drivemill/drivemill/pipeline"
)

// Compressions of a DZ block (dz_zip_type).
const (
	zipDeflate           = 0
	zipDeflateTransposed = 1
	zipZstd              = 2
	zipZstdTransposed    = 3
	zipLZ4               = 4
	zipLZ4Transposed     = 5
)

// codecName names a compression.
func codecName(zip uint8) string {
	switch zip {
	case plain:
		return "none"
	case zipDeflate:
		return "deflate"
	case zipDeflateTransposed:
		return "deflate, transposed"
	case zipZstd:
		return "zstd"
	case zipZstdTransposed:
		return "zstd, transposed"
	case zipLZ4:
		return "lz4"
	case zipLZ4Transposed:
		return "lz4, transposed"
	}
	return fmt.Sprintf("type %d", zip)
}

// unpacker unpacks blocks. One goroutine uses it at a time.
type unpacker struct {
	zlib io.ReadCloser
	zstd *zstd.Decoder
	lz4  *lz4.Reader
	in   bytes.Reader
	tmp  []byte
}

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// unpack appends the raw bytes of a block to dst[:0]. The claimed size, which
// was checked against the limit, must be met to the byte; memory grows with
// what comes out, not with the claim.
func (u *unpacker) unpack(dst, stored []byte, raw int64, zip uint8, param uint32) ([]byte, error) {
	transposed := zip&1 != 0
	target := dst[:0]
	if transposed {
		target = u.tmp[:0]
	}
	r, err := u.open(stored, zip)
	if err != nil {
		return dst, err
	}
	target, err = readRaw(r, target, raw, int64(len(stored)))
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return dst, fmt.Errorf("%s: %d bytes instead of %d: %w", codecName(zip), len(target), raw, pipeline.ErrCorrupt)
		}
		return dst, fmt.Errorf("%s: %w: %w", codecName(zip), err, pipeline.ErrCorrupt)
	}
	if !transposed {
		return target, nil
	}
	u.tmp = target
	if int64(cap(dst)) < raw {
		dst = make([]byte, raw)
	}
	dst = dst[:raw]
	transpose(dst, target, int64(param))
	return dst, nil
}

func (u *unpacker) open(stored []byte, zip uint8) (io.Reader, error) {
	u.in.Reset(stored)
	switch zip {
	case zipDeflate, zipDeflateTransposed:
		if u.zlib == nil {
			z, err := zlib.NewReader(&u.in)
			if err != nil {
				return nil, fmt.Errorf("deflate: %w: %w", err, pipeline.ErrCorrupt)
			}
			u.zlib = z
			return z, nil
		}
		if err := u.zlib.(zlib.Resetter).Reset(&u.in, nil); err != nil {
			return nil, fmt.Errorf("deflate: %w: %w", err, pipeline.ErrCorrupt)
		}
		return u.zlib, nil
	case zipZstd, zipZstdTransposed:
		if u.zstd == nil {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30), zstd.WithDecoderLowmem(true))
			if err != nil {
				return nil, err
			}
			u.zstd = d
		}
		if err := u.zstd.Reset(&u.in); err != nil {
			return nil, fmt.Errorf("zstd: %w: %w", err, pipeline.ErrCorrupt)
		}
		return u.zstd, nil
	case zipLZ4, zipLZ4Transposed:
		if u.lz4 == nil {
			u.lz4 = lz4.NewReader(&u.in)
		} else {
			u.lz4.Reset(&u.in)
		}
		return u.lz4, nil
	}
	return nil, fmt.Errorf("compression of %s is not supported: %w", codecName(zip), pipeline.ErrUnsupported)
}

// readRaw reads exactly raw bytes into dst. The first allocation trusts the
// claim as far as the stored bytes make it likely.
func readRaw(r io.Reader, dst []byte, raw, stored int64) ([]byte, error) {
	if int64(cap(dst)) < raw {
		dst = make([]byte, 0, min(raw, 64*stored+64<<10))
	}
	for int64(len(dst)) < raw {
		if len(dst) == cap(dst) {
			grown := make([]byte, len(dst), min(raw, 4*int64(cap(dst))))
			copy(grown, dst)
			dst = grown
		}
		n, err := io.ReadFull(r, dst[len(dst):min(raw, int64(cap(dst)))])
		dst = dst[:len(dst)+n]
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// transpose undoes the transposition of a block whose records have cols bytes:
// the stored bytes are all first bytes of the records, then all second ones;
// the bytes of an incomplete last record follow as they are.
func transpose(dst, src []byte, cols int64) {
	n := int64(len(src))
	if cols <= 1 || cols > n {
		copy(dst, src)
		return
	}
	rows := n / cols
	// Tiles keep both sides in the cache.
	const tile = 64
	for r0 := int64(0); r0 < rows; r0 += tile {
		r1 := min(r0+tile, rows)
		for c := range cols {
			in := src[c*rows+r0 : c*rows+r1]
			at := r0*cols + c
			for _, b := range in {
				dst[at] = b
				at += cols
			}
		}
	}
	copy(dst[rows*cols:], src[rows*cols:])
}
