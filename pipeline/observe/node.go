package observe

import (
	"sync/atomic"
	"time"
)

// Gauge counts what one node of the graph does while a unit runs. It is told of
// batches, never of rows, and is safe for concurrent use.
type Gauge struct {
	rows, bytes, batches    atomic.Int64
	busy, waiting, blocked  atomic.Int64
	queued, samples, queueX atomic.Int64
}

// Batch counts a batch that the node took in, or a source decoded.
func (g *Gauge) Batch(rows, bytes int64) {
	g.batches.Add(1)
	g.rows.Add(rows)
	g.bytes.Add(bytes)
}

// Busy adds time in which a worker of the node was at work.
func (g *Gauge) Busy(d time.Duration) { g.busy.Add(int64(d)) }

// Waiting adds time in which the node had nothing to do: its input was empty.
func (g *Gauge) Waiting(d time.Duration) { g.waiting.Add(int64(d)) }

// Blocked adds time in which nobody took the node's output.
func (g *Gauge) Blocked(d time.Duration) { g.blocked.Add(int64(d)) }

// Queue notes how many elements waited in front of the node.
func (g *Gauge) Queue(n int) {
	g.samples.Add(1)
	g.queued.Add(int64(n))
	if int64(n) > g.queueX.Load() {
		g.queueX.Store(int64(n)) // one goroutine receives
	}
}

// Kind is what a node is.
type Kind string

// Kinds of node.
const (
	Source Kind = "input"
	Stage  Kind = "stage"
	Sink   Kind = "output"
)

// Node is what a node did, over one unit or over many. Seconds are those of its
// workers, which may be several: they can exceed the time that passed.
type Node struct {
	Name    string  `json:"node"`
	Kind    Kind    `json:"kind"`
	Rows    int64   `json:"rows"`  // taken in; of an input: decoded
	Bytes   int64   `json:"bytes"` // of these rows in memory
	Batches int64   `json:"batches"`
	Busy    float64 `json:"busy_seconds"`
	Input   float64 `json:"input_seconds"`  // had nothing to do; of an input: its reads of the store, several at once
	Output  float64 `json:"output_seconds"` // nobody took what it had
	// QueueMean and QueueMax are of the elements that waited in front of it.
	QueueMean float64 `json:"queue_mean"`
	QueueMax  int64   `json:"queue_max"`

	queued, samples int64
}

// Node returns the counts so far.
func (g *Gauge) Node(name string, kind Kind) Node {
	n := Node{Name: name, Kind: kind, Rows: g.rows.Load(), Bytes: g.bytes.Load(), Batches: g.batches.Load(),
		Busy: seconds(g.busy.Load()), Input: seconds(g.waiting.Load()), Output: seconds(g.blocked.Load()),
		QueueMax: g.queueX.Load(), queued: g.queued.Load(), samples: g.samples.Load()}
	n.mean()
	return n
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

func (n *Node) mean() {
	if n.samples > 0 {
		n.QueueMean = float64(n.queued) / float64(n.samples)
	}
}

// AddNodes adds the counts of from to those of the nodes of the same name, and
// keeps the order in which nodes came first.
func AddNodes(to, from []Node) []Node {
	for _, f := range from {
		i := 0
		for i < len(to) && (to[i].Name != f.Name || to[i].Kind != f.Kind) {
			i++
		}
		if i == len(to) {
			to = append(to, Node{Name: f.Name, Kind: f.Kind})
		}
		n := &to[i]
		n.Rows += f.Rows
		n.Bytes += f.Bytes
		n.Batches += f.Batches
		n.Busy += f.Busy
		n.Input += f.Input
		n.Output += f.Output
		n.QueueMax = max(n.QueueMax, f.QueueMax)
		n.queued += f.queued
		n.samples += f.samples
		n.mean()
	}
	return to
}
