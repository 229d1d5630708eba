package observe

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// queueLines is how many lines of a log may wait to be written.
const queueLines = 4096

// Queue is a writer for logs that never makes its callers wait: each Write is
// one line, which is written later, or dropped and counted when too many wait.
// A terminal or pipe that nobody reads from does not stop a run.
type Queue struct {
	w       io.Writer
	lines   chan []byte
	done    chan struct{}
	closing sync.Once
	dropped atomic.Int64
}

// NewQueue starts a queue in front of w; Close ends it.
func NewQueue(w io.Writer) *Queue {
	q := &Queue{w: w, lines: make(chan []byte, queueLines), done: make(chan struct{})}
	go q.run()
	return q
}

func (q *Queue) run() {
	defer close(q.done)
	told := int64(0)
	for line := range q.lines {
		// A log that cannot be written is no reason to fail.
		_, _ = q.w.Write(line)
		if n := q.dropped.Load(); n > told && len(q.lines) == 0 {
			_, _ = fmt.Fprintf(q.w, "%d lines of the log were dropped: they came faster than they could be written\n", n-told)
			told = n
		}
	}
}

// Write takes over a copy of the line. It never fails.
func (q *Queue) Write(line []byte) (int, error) {
	select {
	case q.lines <- bytes.Clone(line):
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

// Dropped is how many lines were dropped.
func (q *Queue) Dropped() int64 { return q.dropped.Load() }

// Close writes what waits. Nobody may write any more.
func (q *Queue) Close() {
	q.closing.Do(func() { close(q.lines) })
	<-q.done
}
