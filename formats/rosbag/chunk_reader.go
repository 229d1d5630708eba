package rosbag

import (
	"context"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// ReadChunk implements pipeline.ChunkReader.
func (Format) ReadChunk(ctx context.Context, src pipeline.Source, off int64) ([]byte, error) {
	in := newFile(src, chunkHeaderStep)
	if off < 0 || off >= in.size {
		return nil, fmt.Errorf("no record begins at %d: %w", off, pipeline.ErrTruncated)
	}
	r, err := in.record(ctx, off)
	if err != nil {
		return nil, err
	}
	c := chunk{off: off}
	if err := c.setHeader(in, &r); err != nil {
		return nil, err
	}
	switch {
	case c.dataLen > maxChunk:
		return nil, fmt.Errorf("chunk of %d bytes: %w", c.dataLen, pipeline.ErrLimit)
	case c.dataLen > in.size-c.dataOff:
		return nil, fmt.Errorf("chunk of %d bytes, of which %d are there: %w", c.dataLen, in.size-c.dataOff, pipeline.ErrTruncated)
	}
	stored := make([]byte, c.dataLen)
	if err := readFull(ctx, src, stored, c.dataOff); err != nil {
		return nil, err
	}
	var u unpacker
	return u.unpack(c.codec, stored, c.size)
}
