package parquet

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"github.com/drivemill/drivemill/pipeline"
)

// Limits of a page that is read.
const (
	maxPage       = 512 << 20
	maxPageValues = 1 << 26
	// Pages of more than freePage bytes may not claim to unpack to more than
	// maxRatio times what is stored.
	freePage = 64 << 20
	maxRatio = 4096
)

// zstdDecoders keep their memory from page to page.
var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(maxPage))
	if err != nil {
		panic(err) // the options are constant
	}
	return d
}}

// unpackPage decompresses src, which claims to become size bytes, into dst.
func unpackPage(dst []byte, codec format.CompressionCodec, src []byte, size int) ([]byte, error) {
	if size > maxPage || (size > freePage && size/maxRatio > len(src)) {
		return nil, fmt.Errorf("a page of %d bytes in %d: %w", size, len(src), pipeline.ErrLimit)
	}
	if codec == format.Uncompressed {
		if len(src) != size {
			return nil, corrupt("a page of %d bytes is stored in %d", size, len(src))
		}
		return src, nil
	}
	dst = growTo(dst, size)
	n, err := unpackInto(dst, codec, src)
	if errors.Is(err, pipeline.ErrUnsupported) {
		return nil, err
	}
	if err != nil {
		return nil, corrupt("unpacking %s: %v", codec, err)
	}
	if n != size {
		return nil, corrupt("a page of %d bytes unpacked to %d", size, n)
	}
	return dst, nil
}

func unpackInto(dst []byte, codec format.CompressionCodec, src []byte) (int, error) {
	switch codec {
	case format.Zstd:
		d := zstdDecoders.Get().(*zstd.Decoder)
		defer zstdDecoders.Put(d)
		out, err := d.DecodeAll(src, dst[:0:len(dst)])
		return len(out), err
	case format.Snappy:
		if n, err := snappy.DecodedLen(src); err != nil || n != len(dst) {
			return n, err
		}
		out, err := snappy.Decode(dst, src)
		return len(out), err
	case format.Gzip:
		r, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return 0, err
		}
		return io.ReadFull(r, dst)
	case format.Lz4Raw:
		return lz4.UncompressBlock(src, dst)
	}
	return 0, fmt.Errorf("compression %s: %w", codec, pipeline.ErrUnsupported)
}
