package mcap

import (
	"context"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// Totals sums up the messages of a channel, or of a file.
type Totals struct {
	Rows  int64 // -1 where unknown
	Bytes int64 // of the messages, -1 where unknown
	// Start and End are the first and last log time, where HasTime.
	Start, End int64
	HasTime    bool
}

// Totals tells what is known of a channel's messages: from the statistics of
// an indexed file, otherwise from the scan.
func (in *Info) Totals(channel uint16) Totals {
	if in.Indexed {
		return Totals{Rows: in.indexedRows(channel), Bytes: -1}
	}
	sum := in.sums[channel]
	if sum == nil {
		return Totals{}
	}
	return sum.totals()
}

func (s *channelSum) totals() Totals {
	t := Totals{Rows: s.count, Bytes: s.bytes}
	if s.end <= math.MaxInt64 {
		t.Start, t.End, t.HasTime = int64(s.start), int64(s.end), true
	}
	return t
}

// indexedRows is the number of messages that the index tells of a channel, or
// -1.
func (in *Info) indexedRows(channel uint16) int64 {
	counts := in.Statistics.ChannelMessageCounts
	n, ok := counts[channel]
	switch {
	case ok:
		return clampTime(n)
	case in.counted:
		rows := int64(0)
		for _, b := range in.blocks {
			for _, c := range b.counts {
				if c.channel == channel {
					rows += int64(c.count)
				}
			}
		}
		return rows
	case len(counts) == 0 && in.Statistics.MessageCount > 0:
		return -1
	}
	return 0
}

// Range returns the first and last log time of the file, if it is known to
// have any.
func (in *Info) Range() (start, end int64, ok bool) {
	first, last := uint64(math.MaxUint64), uint64(0)
	if st := in.Statistics; in.Indexed && st.MessageCount > 0 {
		first, last = st.StartTime, st.EndTime
	}
	for _, s := range in.sums {
		first, last = min(first, s.start), max(last, s.end)
	}
	if first > last || last > math.MaxInt64 {
		return 0, 0, false
	}
	return int64(first), int64(last), true
}

// PartConfig says how a file takes part in a recording of several.
type PartConfig struct {
	Source pipeline.Source
	Info   *Info // of the source
	Limits Limits
	// Channels gives the engine's channel of a channel id.
	Channels map[uint16]int32
	// Tables are those of the engine, and TableOf the table of each channel.
	Tables    []*message.Table
	TableOf   []int32
	Selection pipeline.Selection
}

// Part hands the blocks of one file to an engine that reads several.
type Part struct{ w *walker }

var _ message.Walker = (*Part)(nil)

// NewPart prepares a file. Log order scans it where its index does not do.
func NewPart(ctx context.Context, cfg PartConfig) (*Part, error) {
	ix := &index{info: cfg.Info, tables: cfg.Tables, tableOf: cfg.TableOf}
	for id, ch := range cfg.Channels {
		for len(ix.byID) <= int(id) {
			ix.byID = append(ix.byID, -1)
		}
		ix.byID[id] = ch
	}
	w, err := newWalker(ctx, cfg.Source, cfg.Limits, ix, cfg.Selection)
	if err != nil {
		return nil, err
	}
	return &Part{w}, nil
}

// newWalker plans the blocks to fetch.
func newWalker(ctx context.Context, src pipeline.Source, lim Limits, ix *index, sel pipeline.Selection) (*walker, error) {
	in := ix.info
	if sel.Order == pipeline.LogOrder && !in.counted {
		// Log order needs to know when each chunk begins and how many messages
		// lie before it.
		s, err := scan(ctx, src, lim)
		if err != nil {
			return nil, fmt.Errorf("scanning for log order: %w", err)
		}
		in = s
	}
	w := &walker{
		src: src, lim: lim, ix: ix, info: in, blocks: in.blocks, lost: in.lost,
		sequential: sel.Order == pipeline.StorageOrder,
	}
	if in != ix.info {
		w.tell(in.Problems)
	}
	w.plan(sel)
	return w, nil
}

// NextStart is the log time of the first message of the next block, in
// LogOrder; the largest number when none is left.
func (p *Part) NextStart() int64 {
	if p.w.next == len(p.w.steps) {
		return math.MaxInt64
	}
	return p.w.start(p.w.steps[p.w.next])
}

// FindLatched finds the last rows of latched tables before the selected range
// in this file, for message.Settle; nil where none are asked for. It is called
// before Fetch, if the recording has several files.
func (p *Part) FindLatched(ctx context.Context) (*message.Latched, error) {
	p.w.found = true
	return p.w.latched, p.w.findLatched(ctx)
}

// Fetch reads the next block.
func (p *Part) Fetch(ctx context.Context, b *message.Block) error { return p.w.Fetch(ctx, b) }

// Unpack decompresses a block and lists its messages.
func (p *Part) Unpack(ctx context.Context, b *message.Block) error { return p.w.Unpack(ctx, b) }

// Close frees what the part holds.
func (p *Part) Close() error { return p.w.Close() }
