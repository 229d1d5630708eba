package observe

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drivemill/drivemill/pipeline/retry"
)

// Run is what is known of a run while it goes on. It is safe for concurrent
// use; its fields are set before the run.
type Run struct {
	Requests *Requests
	Retry    *retry.Policy
	Prices   Prices
	// Dropped, where not nil, is how many lines of the log were dropped.
	Dropped func() int64
	// Spans keeps the spans of units, for a trace.
	Spans bool

	rows, bytes atomic.Int64
	mu          sync.Mutex
	begin       time.Time
	units       map[string]int64
	nodes       []Node
	spans       []UnitSpan
	lost        int64 // spans beyond maxSpans
}

// maxSpans bounds the units whose spans are kept.
const maxSpans = 10_000

// UnitSpan is one unit in a trace, with its nodes.
type UnitSpan struct {
	Name, Outcome string
	Error         string
	Begin, End    time.Time
	Attempts      int
	Nodes         []Node
}

// Start tells when the run begins.
func (r *Run) Start(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begin.IsZero() {
		r.begin = now
	}
}

// Rows counts rows that were decoded. A nil Run counts nothing.
func (r *Run) Rows(n int64) {
	if r != nil {
		r.rows.Add(n)
	}
}

// Bytes counts what was read of recordings. A nil Run counts nothing.
func (r *Run) Bytes(n int64) {
	if r != nil {
		r.bytes.Add(n)
	}
}

// Unit tells of a unit that has ended.
func (r *Run) Unit(u UnitSpan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.units == nil {
		r.units = make(map[string]int64)
	}
	r.units[u.Outcome]++
	r.nodes = AddNodes(r.nodes, u.Nodes)
	if !r.Spans {
		return
	}
	if len(r.spans) == maxSpans {
		r.lost++
		return
	}
	r.spans = append(r.spans, u)
}

// state is a snapshot.
type state struct {
	begin       time.Time
	rows, bytes int64
	units       map[string]int64
	nodes       []Node
	requests    RequestCounts
	retries     map[retry.Class]int64
	dropped     int64
	spans       []UnitSpan
	lost        int64
}

func (r *Run) state() state {
	s := state{rows: r.rows.Load(), bytes: r.bytes.Load(), units: make(map[string]int64)}
	if r.Requests != nil {
		s.requests = r.Requests.Counts(r.Prices)
	}
	if r.Retry != nil {
		s.retries = r.Retry.Counts()
	}
	if r.Dropped != nil {
		s.dropped = r.Dropped()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, n := range r.units {
		s.units[k] = n
	}
	s.begin, s.nodes, s.spans, s.lost = r.begin, slices.Clone(r.nodes), slices.Clone(r.spans), r.lost
	return s
}
