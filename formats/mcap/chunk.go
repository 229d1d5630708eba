package mcap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/drivemill/drivemill/pipeline"
)

// codecs decompresses. One goroutine uses it at a time.
type codecs struct {
	zstd *zstd.Decoder
	fast *zstd.Decoder // does not look at the checksums of frames
	lz4  *lz4.Reader
	src  bytes.Reader
}

// codecPool hands out codecs and keeps them for reuse.
type codecPool struct {
	mu   sync.Mutex
	idle []*codecs
}

func (p *codecPool) get() *codecs {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return c
	}
	return &codecs{}
}

func (p *codecPool) put(c *codecs) {
	c.src.Reset(nil)
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
}

func (p *codecPool) close() {
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}

func (c *codecs) close() {
	if c.zstd != nil {
		c.zstd.Close()
	}
	if c.fast != nil {
		c.fast.Close()
	}
}

// Bounds on trust: a chunk that claims to unpack to more than this is unpacked
// piece by piece, so that memory follows what is really there.
const (
	trustedSize  = 16 << 20
	trustedRatio = 1024
)

// errCodec is a compression that is not read.
type errCodec struct{ name string }

func (e errCodec) Error() string { return fmt.Sprintf("compression %q is not read", e.name) }
func (e errCodec) Unwrap() error { return pipeline.ErrUnsupported }

// unpack appends the decompressed bytes of src to dst, which is empty. When
// it fails the bytes before the failure are returned with the error. size is
// what the file claims, at most limit.
func (c *codecs) unpack(dst, src []byte, codec string, size, limit int64) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = dst[:0], fmt.Errorf("%s decoder failed: %v: %w", codec, r, pipeline.ErrCorrupt)
			c.zstd, c.fast, c.lz4 = nil, nil, nil
		}
	}()
	switch codec {
	case "zstd":
		if c.zstd == nil {
			c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
			if err != nil {
				return dst, err
			}
		}
		if size <= trustedSize || size/trustedRatio <= int64(len(src)) {
			if int64(cap(dst)) < size {
				dst = make([]byte, 0, size)
			}
			if out, err = c.zstd.DecodeAll(src, dst); err == nil || finished(out, size, err) {
				return out, nil
			}
		}
		c.src.Reset(src)
		if err := c.zstd.Reset(&c.src); err != nil {
			return dst[:0], corrupt(err)
		}
		out, err = readAll(dst[:0], c.zstd, limit)
	case "lz4":
		c.src.Reset(src)
		if c.lz4 == nil {
			c.lz4 = lz4.NewReader(&c.src)
		} else {
			c.lz4.Reset(&c.src)
		}
		// LZ4 cannot shrink data to less than a 255th.
		if want := min(size, 255*int64(len(src))) + 1; int64(cap(dst)) < want {
			dst = make([]byte, 0, want)
		}
		out, err = readAll(dst[:0], c.lz4, limit)
	default:
		return dst, errCodec{codec}
	}
	if err == nil || finished(out, size, err) {
		return out, nil
	}
	return out, corrupt(err)
}

// finished reports whether all was unpacked, although the codec stumbled over
// bytes behind the last frame. A wrong checksum is no stumbling.
func finished(out []byte, size int64, err error) bool {
	return int64(len(out)) == size && size > 0 && !errors.Is(err, zstd.ErrCRCMismatch) && !errors.Is(err, lz4.ErrInvalidFrameChecksum) && !errors.Is(err, lz4.ErrInvalidBlockChecksum)
}

// corrupt marks an error of a codec, which knows nothing of our kinds.
func corrupt(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", err, pipeline.ErrTruncated)
	}
	if errors.Is(err, pipeline.ErrLimit) {
		return err
	}
	return fmt.Errorf("%w: %w", err, pipeline.ErrCorrupt)
}

// readAll appends what r gives to dst, up to limit bytes.
func readAll(dst []byte, r io.Reader, limit int64) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, make([]byte, max(32<<10, len(dst)/2))...)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case int64(len(dst)) > limit:
			return dst[:limit], fmt.Errorf("chunk unpacks to more than %d bytes: %w", limit, pipeline.ErrLimit)
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst, err
		}
	}
}

// unpackSummed decompresses a chunk of zstd whose CRC is known. That vouches for
// every byte of it, so that the checksum of the frame, which costs more, need
// not be computed. Where anything is wrong ok is false, and unpack says what.
func (c *codecs) unpackSummed(dst, src []byte, size int64, sum uint32) (out []byte, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			out, ok = dst[:0], false
			c.fast = nil
		}
	}()
	if size > trustedSize && size/trustedRatio > int64(len(src)) {
		return dst, false
	}
	if c.fast == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.IgnoreChecksum(true))
		if err != nil {
			return dst, false
		}
		c.fast = d
	}
	if int64(cap(dst)) < size {
		dst = make([]byte, 0, size)
	}
	out, err := c.fast.DecodeAll(src, dst)
	return out, err == nil && int64(len(out)) == size && crc32.ChecksumIEEE(out) == sum
}

// chunkHead is how many bytes of the content of a Chunk without compression lie
// before its records: two times, two sizes with a checksum between them, and an
// empty name.
const chunkHead = 8 + 8 + 8 + 4 + 4 + 8

// ReadChunk implements pipeline.ChunkReader.
func (f *Format) ReadChunk(ctx context.Context, src pipeline.Source, off int64) ([]byte, error) {
	var head [frameLen]byte
	if off < 0 || off > src.Object().Size-frameLen {
		return nil, fmt.Errorf("no record begins at %d: %w", off, pipeline.ErrTruncated)
	}
	if err := readFull(ctx, src, head[:], off); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(head[1:])
	switch left := uint64(src.Object().Size - off - frameLen); {
	case Op(head[0]) != OpChunk:
		return nil, fmt.Errorf("no chunk begins at %d: %w", off, pipeline.ErrCorrupt)
	case n > uint64(f.Limits.record()):
		return nil, fmt.Errorf("chunk of %d bytes: %w", n, pipeline.ErrLimit)
	case n > left:
		return nil, fmt.Errorf("chunk of %d bytes, of which %d are there: %w", n, left, pipeline.ErrTruncated)
	}
	body := make([]byte, n)
	if err := readFull(ctx, src, body, off+frameLen); err != nil {
		return nil, err
	}
	var c codecs
	defer c.close()
	var o opened
	c.open(&o, body, nil, true, f.Limits)
	for _, d := range o.damages {
		if d.loses {
			return nil, fmt.Errorf("%s: %s: %w", d.kind, d.detail, pipeline.ErrCorrupt)
		}
	}
	return o.data, nil
}

// damage is something wrong with a chunk.
type damage struct {
	kind   string
	detail string
	loses  bool
}

// opened is an unpacked chunk.
type opened struct {
	Chunk
	data []byte // its records, as far as they could be unpacked
	// damages found; missing are the bytes of data that should be there.
	damages []damage
	missing int64
}

// open unpacks the content of a chunk record into buf, where it must be
// unpacked at all. Whole tells that body was not cut short by the end of the
// file. The buffer, perhaps grown, is returned for reuse.
func (c *codecs) open(o *opened, body, buf []byte, whole bool, lim Limits) []byte {
	o.damages, o.missing, o.data = o.damages[:0], 0, nil
	var err error
	if o.Chunk, err = ParseChunk(body); err != nil {
		o.lose("chunk_corrupt", err.Error(), int64(len(body)))
		return buf
	}
	stored, limit := o.Records, lim.chunk()
	if uint64(len(stored)) < o.Size && whole {
		o.lose("chunk_corrupt", fmt.Sprintf("chunk claims %d bytes of records and has %d", o.Size, len(stored)), 0)
		whole = false
	}
	if o.UncompressedSize > uint64(limit) {
		o.lose("chunk_limit", fmt.Sprintf("chunk claims to unpack to %d bytes, more than the limit of %d", o.UncompressedSize, limit), int64(len(stored)))
		return buf
	}
	size := int64(o.UncompressedSize)
	if o.Compression == "" {
		if uint64(size) != o.Size {
			o.lose("chunk_size", fmt.Sprintf("stored chunk of %d bytes claims an uncompressed size of %d", o.Size, size), int64(len(stored)))
			return buf
		}
		o.data = stored
	} else {
		if o.Compression == "zstd" && o.UncompressedCRC != 0 && whole {
			out, ok := c.unpackSummed(buf[:0], stored, size, o.UncompressedCRC)
			if ok {
				o.data = out
				return out
			}
			buf = out
		}
		o.data, err = c.unpack(buf[:0], stored, o.Compression, size, limit)
		buf = o.data
		switch {
		case errors.As(err, new(errCodec)):
			o.data = nil
			o.lose("chunk_compression", err.Error(), size)
			return buf
		case err != nil && whole:
			o.lose("chunk_corrupt", fmt.Sprintf("%s: %v", o.Compression, err), 0)
		case err == nil && int64(len(o.data)) != size:
			o.lose("chunk_size", fmt.Sprintf("chunk unpacks to %d bytes and claims %d", len(o.data), size), 0)
			o.damages[len(o.damages)-1].loses = int64(len(o.data)) < size
		}
	}
	o.missing += max(0, size-int64(len(o.data)))
	if o.UncompressedCRC != 0 && whole && o.missing == 0 {
		if sum := crc32.ChecksumIEEE(o.data); sum != o.UncompressedCRC {
			o.damages = append(o.damages, damage{"crc_mismatch", fmt.Sprintf("chunk has CRC %08x and claims %08x", sum, o.UncompressedCRC), false})
		}
	}
	return buf
}

func (o *opened) lose(kind, detail string, bytes int64) {
	o.damages = append(o.damages, damage{kind, detail, true})
	o.missing += bytes
}
