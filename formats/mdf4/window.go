package mdf4

import (
	"context"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// window reads ahead while reads follow each other.
type window struct {
	src   pipeline.Source
	max   int64
	off   int64
	buf   []byte
	ahead int64
}

const windowMin = 64 << 10

func newWindow(src pipeline.Source, most int64) *window {
	return &window{src: src, max: max(most, windowMin), ahead: windowMin}
}

// at returns n bytes from off, valid until the next call. The range must lie in
// the object.
func (w *window) at(ctx context.Context, off, n int64) ([]byte, error) {
	end := w.off + int64(len(w.buf))
	if off >= w.off && off+n <= end {
		return w.buf[off-w.off:][:n], nil
	}
	size := w.src.Object().Size
	if off+n > size {
		return nil, fmt.Errorf("%d bytes at offset %d of an object of %d: %w", n, off, size, pipeline.ErrTruncated)
	}
	if off >= w.off && off <= end+windowMin && len(w.buf) > 0 {
		w.ahead = min(2*w.ahead, w.max)
	} else {
		w.ahead = windowMin
	}
	want := min(size-off, max(n, w.ahead))
	var kept int64
	if off >= w.off && off < end {
		kept = end - off
	}
	buf := w.buf
	if int64(cap(buf)) < want {
		buf = make([]byte, want)
	}
	buf = buf[:want]
	copy(buf, w.buf[min(max(off-w.off, 0), int64(len(w.buf))):][:kept])
	w.buf, w.off = buf[:0], off
	if err := readFull(ctx, w.src, buf[kept:], off+kept); err != nil {
		return nil, err
	}
	w.buf = buf
	return buf[:n], nil
}
