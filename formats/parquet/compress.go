package parquet

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// Compressions lists the codecs by name, the default first.
var Compressions = []string{"zstd", "snappy", "none"}

// zstdWindow is how far back matches may lie: as far as a page is long.
const zstdWindow = 1 << 20

// codec compresses pages, for many goroutines at a time. Its encoders stay as
// long as it does: their memory is worth more than a page takes.
type codec struct {
	format format.CompressionCodec
	level  zstd.EncoderLevel

	mu   sync.Mutex
	idle []*zstd.Encoder
}

// newCodec makes a codec; level is zstd's (1 to 22), 0 for its default.
func newCodec(name string, level int) (*codec, error) {
	switch name {
	case "", "zstd":
		c := &codec{format: format.Zstd, level: zstd.SpeedDefault}
		if level != 0 {
			c.level = zstd.EncoderLevelFromZstd(level)
		}
		return c, nil
	case "snappy":
		return &codec{format: format.Snappy}, nil
	case "none":
		return &codec{format: format.Uncompressed}, nil
	}
	return nil, fmt.Errorf("no compression is called %s", name)
}

// compress returns src compressed, in the memory of dst or, where there is no
// compression, src itself.
func (c *codec) compress(dst, src []byte) ([]byte, error) {
	switch c.format {
	case format.Snappy:
		return snappy.Encode(dst[:cap(dst)], src), nil
	case format.Zstd:
		e, err := c.take()
		if err != nil {
			return nil, err
		}
		defer c.put(e)
		return e.EncodeAll(src, dst[:0]), nil
	}
	return src, nil
}

func (c *codec) take() (*zstd.Encoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n > 0 {
		e := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return e, nil
	}
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(c.level),
		zstd.WithWindowSize(zstdWindow), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
}

func (c *codec) put(e *zstd.Encoder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, e)
}
