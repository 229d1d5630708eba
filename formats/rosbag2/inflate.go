package rosbag2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/pipeline"
)

// Bounds on trust: a message that claims to unpack to more than this is
// unpacked piece by piece, so that memory follows what is really there.
const (
	trustedSize  = 1 << 20
	trustedRatio = 1024
)

// inflater unpacks zstd messages. Many goroutines may use it.
type inflater struct {
	limit int64
	mu    sync.Mutex
	idle  []*zstd.Decoder
}

func (x *inflater) get() (*zstd.Decoder, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := len(x.idle); n > 0 {
		d := x.idle[n-1]
		x.idle = x.idle[:n-1]
		return d, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
}

func (x *inflater) put(d *zstd.Decoder) {
	x.mu.Lock()
	x.idle = append(x.idle, d)
	x.mu.Unlock()
}

func (x *inflater) close() {
	for _, d := range x.idle {
		d.Close()
	}
	x.idle = nil
}

// unpackedSize is what a message claims to unpack to; 0 where it does not
// tell.
func unpackedSize(data []byte) int64 {
	var h zstd.Header
	if !isZstd(data) || h.Decode(data) != nil || !h.HasFCS || h.FrameContentSize > math.MaxInt64/2 {
		return 0
	}
	return int64(h.FrameContentSize)
}

// unpack appends the content of a message to out. Out keeps what it had when
// that fails.
func (x *inflater) unpack(out, data []byte) (_ []byte, err error) {
	d, err := x.get()
	if err != nil {
		return out, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("zstd decoder failed: %v: %w", r, pipeline.ErrCorrupt)
			return
		}
		x.put(d)
	}()
	at := len(out)
	size := unpackedSize(data)
	room := min(x.limit, math.MaxUint32-1<<20-int64(at))
	if size > room {
		return out, fmt.Errorf("a message claims to unpack to %d bytes: %w", size, pipeline.ErrLimit)
	}
	if size > 0 && (size <= trustedSize || size/trustedRatio <= int64(len(data))) {
		if out, err = d.DecodeAll(data, out); err == nil && int64(len(out)-at) <= room {
			return out, nil
		}
		if err == nil {
			err = pipeline.ErrLimit
		}
		return out, corrupt(err)
	}
	if err := d.Reset(bytes.NewReader(data)); err != nil {
		return out, corrupt(err)
	}
	for {
		if len(out) == cap(out) {
			out = append(out, make([]byte, max(32<<10, len(out)/2))...)[:len(out)]
		}
		n, err := d.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case int64(len(out)-at) > room:
			return out, fmt.Errorf("a message unpacks to more than %d bytes: %w", room, pipeline.ErrLimit)
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return out, corrupt(err)
		}
	}
}

// corrupt marks an error of the codec, which knows nothing of our kinds.
func corrupt(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", err, pipeline.ErrTruncated)
	}
	return fmt.Errorf("zstd: %w: %w", err, pipeline.ErrCorrupt)
}
