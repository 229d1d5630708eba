package runner

import (
	"context"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// flow counts the bytes of the batches that wait in front of nodes. Sources,
// and only they, wait while there are too many: whoever else waited might be
// the one that others wait for.
type flow struct {
	limit int64 // 0: none

	mu   sync.Mutex
	used int64
	room chan struct{} // closed when there is room again
}

func newFlow(limit int64) *flow { return &flow{limit: limit, room: make(chan struct{})} }

// wait returns when there is room for another batch.
func (f *flow) wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		room, full := f.room, f.limit > 0 && f.used > f.limit
		f.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f *flow) add(n int64) {
	if f.limit == 0 {
		return
	}
	f.mu.Lock()
	f.used += n
	f.mu.Unlock()
}

func (f *flow) remove(n int64) {
	if f.limit == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.used
	f.used -= n
	if was > f.limit && f.used <= f.limit {
		close(f.room)
		f.room = make(chan struct{})
	}
}

// memory is about how many bytes a batch keeps alive.
func memory(b *pipeline.Batch) int64 {
	var n int64
	for _, c := range b.Record.Columns() {
		n += dataBytes(c.Data())
	}
	return n
}

func dataBytes(d arrow.ArrayData) int64 {
	var n int64
	for _, b := range d.Buffers() {
		if b != nil {
			n += int64(b.Len())
		}
	}
	for _, c := range d.Children() {
		n += dataBytes(c)
	}
	return n
}
