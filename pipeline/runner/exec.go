package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/observe"
)

// edgeDepth is how many elements may wait in front of a node.
const edgeDepth = 8

// execution runs a bound graph over the sources of one unit. Producers send
// straight into the one channel of each consumer, which therefore always
// receives from all of them: a diamond cannot block itself.
type execution struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	bound  *graph.Bound
	alloc  arrow.Allocator
	spill  pipeline.Spill // nil: nowhere
	nodes  []*nodeRun
	outs   map[int][]*edge // by producer, numbered as in graph.Port
	// announced are the tables that each stage said it makes.
	announced map[int]map[*pipeline.Table]bool
	wg        sync.WaitGroup
	// merging means that some output merges streams, and so needs to know how
	// far each has come; otherwise nobody listens to watermarks.
	merging bool
	// sourceGauges count what the inputs do, in the order of bound.Sources.
	sourceGauges []observe.Gauge
	flow         *flow
}

// edge is one connection of the graph. The sender's half of a count is only
// touched by the producer's goroutine, the receiver's by the consumer's; they
// are compared when both have ended.
type edge struct {
	from, to string
	consumer *nodeRun
	tables   []*pipeline.Table
	at       map[*pipeline.Table]int
	sent     []int64
	received []int64
}

// index returns the position of a table on the edge, or -1.
func (e *edge) index(t *pipeline.Table) int {
	if i, ok := e.at[t]; ok {
		return i
	}
	return -1
}

// delivery is what arrives at a node.
type delivery struct {
	edge *edge
	el   pipeline.Element
	size int64 // of the batch, about
	done bool  // the producer has ended
}

// nodeRun is a stage or sink at work.
type nodeRun struct {
	*graph.BoundNode
	exec      *execution
	id        int
	in        chan delivery
	producers int
	workers   int
	reject    func(pipeline.BadRow) error
	entries   map[*pipeline.Table]*lineage.NodeEntry
	sink      *sinkRun
	gauge     observe.Gauge
	// made lists, for each input table of a stage, the output tables that are
	// made of it alone: its watermarks are theirs.
	made map[*pipeline.Table][]*pipeline.Table
}

// emit sends an element to all edges of a producer that carry it. It takes
// over the batch.
func (x *execution) emit(producer int, el pipeline.Element) error {
	edges := x.outs[producer]
	if el.Batch == nil {
		if !x.merging {
			return nil
		}
		for _, e := range edges {
			if el.Mark.Table != nil && e.index(el.Mark.Table) < 0 {
				continue
			}
			if err := x.deliver(producer, e, delivery{edge: e, el: el}); err != nil {
				return err
			}
		}
		return nil
	}
	b := el.Batch
	defer b.Release()
	if producer >= 0 && !x.announced[producer][b.Table] {
		// Nobody receives it: the rows would be gone without a trace.
		return fmt.Errorf("stage %s: %d rows of table %s, which it did not announce: %w", x.nodes[producer].Name, b.Rows(), b.Table.Name, pipeline.ErrSchema)
	}
	size := memory(b)
	for _, e := range edges {
		i := e.index(b.Table)
		if i < 0 {
			continue
		}
		own := *b
		own.Retain()
		n := int64(own.Rows())
		if err := x.deliver(producer, e, delivery{edge: e, el: pipeline.Element{Batch: &own}, size: size}); err != nil {
			own.Release()
			return err
		}
		e.sent[i] += n
	}
	return nil
}

// finish tells all consumers of a producer that nothing more comes.
func (x *execution) finish(producer int) {
	for _, e := range x.outs[producer] {
		if x.deliver(producer, e, delivery{edge: e, done: true}) != nil {
			return
		}
	}
}

// newExecution wires the nodes of a bound graph.
func newExecution(ctx context.Context, bound *graph.Bound, alloc arrow.Allocator, workers int, reject func(producer string) func(pipeline.BadRow) error) *execution {
	x := &execution{bound: bound, alloc: alloc, flow: newFlow(0), sourceGauges: make([]observe.Gauge, len(bound.Sources)), outs: make(map[int][]*edge), announced: make(map[int]map[*pipeline.Table]bool)}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	for i, bn := range bound.Nodes {
		n := &nodeRun{BoundNode: bn, exec: x, id: i, in: make(chan delivery, edgeDepth), workers: max(workers, 1),
			reject: reject(bn.Name), entries: make(map[*pipeline.Table]*lineage.NodeEntry)}
		if bn.Stage != nil {
			n.made = madeOf(bn.Stage.Outputs)
			if bn.Stage.State != pipeline.StateNone {
				n.workers = 1
			}
		}
		if bn.Sink != nil {
			for _, t := range bn.Sink.Tables {
				x.merging = x.merging || len(t.Inputs) > 1
			}
		}
		x.nodes = append(x.nodes, n)
		x.announced[i] = make(map[*pipeline.Table]bool, len(bn.Out))
		for _, t := range bn.Out {
			x.announced[i][t] = true
		}
		for _, p := range bn.From {
			var from string
			if p.Producer < 0 {
				from = bound.Sources[-1-p.Producer].Input.Name
			} else {
				from = bound.Nodes[p.Producer].Name
			}
			at := make(map[*pipeline.Table]int, len(p.Tables))
			for i, t := range p.Tables {
				at[t] = i
			}
			e := &edge{at: at, from: from, to: bn.Name, consumer: n, tables: p.Tables,
				sent: make([]int64, len(p.Tables)), received: make([]int64, len(p.Tables))}
			x.outs[p.Producer] = append(x.outs[p.Producer], e)
			n.producers++
		}
	}
	return x
}

// start runs f as part of the execution; its error cancels everything.
func (x *execution) start(f func() error) {
	x.wg.Add(1)
	go func() {
		defer x.wg.Done()
		if err := f(); err != nil {
			x.cancel(err)
		}
	}()
}

// wait joins all goroutines and returns the first error. After an error it
// releases what was still on its way.
func (x *execution) wait() error {
	x.wg.Wait()
	err := context.Cause(x.ctx)
	if err != nil {
		for _, n := range x.nodes {
			n.drain()
		}
	}
	return err
}

func (n *nodeRun) drain() {
	for {
		select {
		case d := <-n.in:
			if d.el.Batch != nil {
				d.el.Batch.Release()
			}
		default:
			return
		}
	}
}

// receive returns the next delivery, or false when all producers have ended.
func (n *nodeRun) receive() (delivery, bool, error) {
	for n.producers > 0 {
		d, err := n.next()
		if err != nil {
			return d, false, err
		}
		if d.done {
			n.producers--
			continue
		}
		n.exec.flow.remove(d.size)
		if b := d.el.Batch; b != nil {
			d.edge.received[d.edge.index(b.Table)] += int64(b.Rows())
			n.gauge.Batch(int64(b.Rows()), batchBytes(b))
		}
		return d, true, nil
	}
	return delivery{}, false, nil
}

// task is one batch on its way through a stage. The worker that has it fills
// out; the collector passes tasks on in the order in which they came in.
type task struct {
	el   pipeline.Element
	mark pipeline.Watermark // what is certain once the batch is through
	acct pipeline.Account
	rows int64
	in   *pipeline.Table
	out  []pipeline.Element
	bad  []pipeline.BadRow
	err  error
	done chan struct{}
}

// after returns the watermark that a batch implies: rows of a table come in
// ascending order of record.
func after(b *pipeline.Batch) pipeline.Watermark {
	m := pipeline.Watermark{Table: b.Table, Object: b.Origin.Object, Record: b.Origin.First}
	if n := b.Rows(); n > 0 {
		m.Record = b.Origin.At(n-1) + 1
	}
	return m
}

// runStage takes batches in order, processes them on the workers and emits
// the results in the same order.
func (n *nodeRun) runStage() (err error) {
	x := n.exec
	order := make(chan *task, 2*n.workers)
	work := make(chan *task, n.workers)
	procs := make([]pipeline.Processor, n.workers)
	defer func() {
		for _, p := range procs {
			if p != nil {
				p.Close()
			}
		}
	}()
	workerTask := make([]*task, n.workers)
	for i := range procs {
		opt := pipeline.ProcessOptions{Allocator: x.alloc, Spill: x.spill, Needed: x.bound.Needed, Reject: func(r pipeline.BadRow) error {
			t := workerTask[i]
			r.Raw = nil
			t.bad = append(t.bad, r)
			return nil
		}}
		if procs[i], err = n.Stage.Open(opt); err != nil {
			return fmt.Errorf("stage %s: %w", n.Name, err)
		}
	}
	var workers sync.WaitGroup
	for i, p := range procs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for t := range work {
				workerTask[i] = t
				emit := func(el pipeline.Element) error {
					t.out = append(t.out, el)
					return nil
				}
				begin := time.Now()
				t.err = p.Process(x.ctx, t.el.Batch, &t.acct, emit)
				n.gauge.Busy(time.Since(begin))
				close(t.done)
			}
		}()
	}
	collected := make(chan error, 1)
	go func() { collected <- n.collect(order) }()

	receiveErr := func() error {
		for {
			d, ok, err := n.receive()
			if err != nil || !ok {
				return err
			}
			t := &task{el: d.el, done: make(chan struct{})}
			if b := d.el.Batch; b != nil {
				t.rows, t.in = int64(b.Rows()), b.Table
				t.mark = after(b)
				work <- t
			} else {
				close(t.done)
			}
			order <- t
		}
	}()
	close(work)
	close(order)
	workers.Wait()
	collectErr := <-collected
	if err := errors.Join(receiveErr, collectErr); err != nil {
		return err
	}
	for i, p := range procs {
		t := &task{}
		workerTask[i] = t
		err := p.Flush(x.ctx, &t.acct, func(el pipeline.Element) error {
			t.out = append(t.out, el)
			return nil
		})
		t.err = err
		if err := n.pass(t); err != nil {
			return err
		}
	}
	x.finish(n.id)
	return nil
}

// collect passes finished tasks on in order. After an error it goes on
// receiving, so that nobody blocks, and releases what comes.
func (n *nodeRun) collect(order <-chan *task) error {
	var failed error
	for t := range order {
		<-t.done
		if failed != nil {
			t.release()
			continue
		}
		if failed = n.pass(t); failed != nil {
			n.exec.cancel(failed)
		}
	}
	return failed
}

func (t *task) release() {
	for _, el := range t.out {
		if el.Batch != nil {
			el.Batch.Release()
		}
	}
	t.out = nil
}

// pass books a finished task and sends its results on.
func (n *nodeRun) pass(t *task) error {
	if t.err != nil {
		t.release()
		return fmt.Errorf("stage %s: %w", n.Name, t.err)
	}
	for _, r := range t.bad {
		if err := n.reject(r); err != nil {
			t.release()
			return err
		}
	}
	entry := n.entry(t.in)
	entry.In += t.rows
	entry.Created += t.acct.Created
	entry.Filtered += t.acct.Filtered
	entry.Absorbed += t.acct.Absorbed
	for reason, c := range t.acct.Rejected {
		if entry.Rejected == nil {
			entry.Rejected = make(map[string]int64)
		}
		entry.Rejected[reason] += c
	}
	for what, c := range t.acct.Noted {
		if entry.Noted == nil {
			entry.Noted = make(map[string]int64)
		}
		entry.Noted[what] += c
	}
	for i, el := range t.out {
		if el.Batch != nil {
			entry.Out += int64(el.Batch.Rows())
		}
		if err := n.exec.emit(n.id, el); err != nil {
			t.out = t.out[i+1:]
			t.release()
			return err
		}
	}
	if n.Stage.State != pipeline.StateNone {
		return nil
	}
	if t.in == nil {
		if t.el.Mark != (pipeline.Watermark{}) {
			return n.forwardMark(t.el.Mark)
		}
		return nil
	}
	return n.forwardMark(t.mark)
}

// forwardMark passes a watermark through a stateless stage, where every
// output table made of the marked table gets it.
func (n *nodeRun) forwardMark(m pipeline.Watermark) error {
	if m.Table == nil {
		return n.exec.emit(n.id, pipeline.Element{Mark: m})
	}
	for _, out := range n.made[m.Table] {
		m.Table = out
		if err := n.exec.emit(n.id, pipeline.Element{Mark: m}); err != nil {
			return err
		}
	}
	return nil
}

// madeOf finds the output tables all of whose columns come from one table.
func madeOf(outputs []pipeline.Output) map[*pipeline.Table][]*pipeline.Table {
	made := make(map[*pipeline.Table][]*pipeline.Table)
	for _, o := range outputs {
		var from *pipeline.Table
		alone := true
		for _, d := range o.Columns {
			for _, c := range d.Inputs {
				if c.Table == nil {
					continue
				}
				alone = alone && (from == nil || from == c.Table)
				from = c.Table
			}
		}
		if alone && from != nil {
			made[from] = append(made[from], o.Table)
		}
	}
	return made
}

func (n *nodeRun) entry(t *pipeline.Table) *lineage.NodeEntry {
	e := n.entries[t]
	if e == nil {
		name := "*"
		if t != nil {
			name = t.Name
		}
		e = &lineage.NodeEntry{Node: n.Name, Table: name}
		n.entries[t] = e
	}
	return e
}
