package runner

import (
	"context"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/observe"
)

// batchBytes is the size of a batch's rows in memory, near enough: strings
// inside of lists are counted as their offsets.
func batchBytes(b *pipeline.Batch) int64 {
	n := int64(0)
	for _, a := range b.Record.Columns() {
		n += arrayBytes(a)
	}
	return n
}

func arrayBytes(a arrow.Array) int64 {
	n := int64(a.Len())
	if a.NullN() == a.Len() {
		return 0 // there may be no buffers
	}
	switch a := a.(type) {
	case *arrow.Dictionary:
		return 4 * n
	case *arrow.String:
		return 4*n + int64(a.ValueOffset(a.Len())-a.ValueOffset(0))
	case *arrow.Binary:
		last := a.Len() - 1
		return 4*n + a.ValueOffset64(last) + int64(a.ValueLen(last)) - a.ValueOffset64(0)
	case *arrow.List:
		from, _ := a.ValueOffsets(0)
		_, to := a.ValueOffsets(a.Len() - 1)
		return 4*n + (to-from)*valueBytes(a.ListValues())
	case *arrow.FixedSizeList:
		from, to := a.ValueOffsets(0)
		return n * (to - from) * valueBytes(a.ListValues())
	}
	return n * valueBytes(a)
}

// valueBytes is the size of one value of fixed width.
func valueBytes(a arrow.Array) int64 {
	switch a := a.(type) {
	case *arrow.Struct:
		n := int64(0)
		for i := range a.NumField() {
			n += valueBytes(a.Field(i))
		}
		return n
	case *arrow.Bool, *arrow.Int8, *arrow.Uint8:
		return 1
	case *arrow.Int16, *arrow.Uint16:
		return 2
	case *arrow.Int32, *arrow.Uint32, *arrow.Float32, *arrow.String, *arrow.Binary, *arrow.Dictionary, *arrow.List:
		return 4
	}
	return 8
}

// gaugeOf returns the counters of a producer, numbered as in graph.Port.
func (x *execution) gaugeOf(producer int) *observe.Gauge {
	if producer < 0 {
		return &x.sourceGauges[-1-producer]
	}
	return &x.nodes[producer].gauge
}

// observed returns what the nodes did, inputs first.
func (x *execution) observed() []observe.Node {
	var out []observe.Node
	for i, s := range x.bound.Sources {
		out = append(out, x.sourceGauges[i].Node(s.Input.Name, observe.Source))
	}
	for _, n := range x.nodes {
		kind := observe.Stage
		if n.Sink != nil {
			kind = observe.Sink
		}
		out = append(out, n.gauge.Node(n.Name, kind))
	}
	return out
}

// deliver sends to a consumer, and notes how long nobody took it.
func (x *execution) deliver(producer int, e *edge, d delivery) error {
	x.flow.add(d.size)
	select {
	case e.consumer.in <- d:
		return nil
	default:
	}
	begin := time.Now()
	defer func() { x.gaugeOf(producer).Blocked(time.Since(begin)) }()
	select {
	case e.consumer.in <- d:
		return nil
	case <-x.ctx.Done():
		x.flow.remove(d.size)
		return context.Cause(x.ctx)
	}
}

// next waits for what comes in, and notes how long nothing came.
func (n *nodeRun) next() (delivery, error) {
	n.gauge.Queue(len(n.in))
	select {
	case d := <-n.in:
		return d, nil
	default:
	}
	begin := time.Now()
	defer func() { n.gauge.Waiting(time.Since(begin)) }()
	select {
	case d := <-n.in:
		return d, nil
	case <-n.exec.ctx.Done():
		return delivery{}, context.Cause(n.exec.ctx)
	}
}
