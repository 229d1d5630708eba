package rosbag2

import (
	"context"
	"errors"
	"io"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// wantsLatched reports whether a part may hold what l looks for, so that its
// blocks have to be known.
func (p *part) wantsLatched(l *message.Latched, sel pipeline.Selection) bool {
	if l == nil || p.db == nil || p.db.timed && p.db.start >= sel.From {
		return false
	}
	for _, t := range p.db.topics {
		if l.Wants(p.db.channel.get(t.id)) {
			return true
		}
	}
	return false
}

// findCandidates lists the blocks that may hold the last row before the range
// of a latched table. They are read whatever else they hold.
func (w *dbWalker) findCandidates(channelOf []int32) {
	w.candidates = w.latched.Candidates(len(w.db.blocks), func(i int) message.BlockTimes {
		b := &w.db.blocks[i]
		t := message.BlockTimes{Start: b.start, End: b.end, Known: true}
		for _, c := range b.counts {
			if c.topic >= 0 {
				t.Channels = append(t.Channels, channelOf[c.topic])
			}
		}
		return t
	})
}

// FindLatched looks into the candidates, as far as rows lie on the leaves.
func (w *dbWalker) FindLatched(ctx context.Context) (*message.Latched, error) {
	if len(w.candidates) == 0 {
		return w.latched, nil
	}
	x := newDBWalker(w.db, w.file, w.target)
	defer x.Close()
	x.planned, x.channels, x.headOnly = true, w.channels, w.db.headFirst()
	for _, i := range w.candidates {
		x.steps = append(x.steps, dbStep{block: i})
	}
	var b message.Block
	for {
		b = message.Block{Stored: b.Stored[:0], Records: b.Records[:0], Scratch: b.Scratch}
		err := x.Fetch(ctx, &b)
		if errors.Is(err, io.EOF) {
			return w.latched, nil
		}
		if err != nil {
			return nil, err
		}
		x.list(&b)
		w.latched.Show(b.Scratch.(*dbScratch).block, b.Records)
	}
}

// settleLatched finds the last rows before the range of latched tables over
// all parts.
func (w *walker) settleLatched(ctx context.Context) error {
	if w.latched == nil {
		return nil
	}
	w.latched = nil
	if err := w.openAll(ctx); err != nil {
		return err
	}
	var found []*message.Latched
	for _, o := range w.open {
		l, err := o.FindLatched(ctx)
		if err != nil {
			return err
		}
		found = append(found, l)
	}
	message.Settle(found, w.rec.tableOf)
	return nil
}
