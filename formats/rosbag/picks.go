package rosbag

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"slices"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// pick is a chunk to be read.
type pick struct {
	chunk   int32 // -1: nothing is read, what was passed over is told
	part    int
	skipped [2]int32 // chunks passed over before it, a range
	ordinal int64    // of its first message
	// minLater is the first time in the picks after this one.
	minLater int64
	off      int64 // of the bytes to read
	length   int64
	read     int // which range of the reads of its part that is
}

func newReader(srcs []pipeline.Source, rec *recording, sel pipeline.Selection, latched *message.Latched) *reader {
	skips := newSkipper(rec, sel)
	r := newPicker(srcs, rec, sel.Order, func(i int) bool { return latched.Has(i) || !skips.chunk(&rec.chunks[i]) })
	r.latched = latched
	return r
}

// newPicker makes a reader of the chunks that are wanted.
func newPicker(srcs []pipeline.Source, rec *recording, order pipeline.Order, wanted func(i int) bool) *reader {
	r := &reader{rec: rec, srcs: srcs}
	from := 0
	for p := range rec.parts {
		r.lookups = append(r.lookups, newLookup(rec.conns, p))
		var ordinal int64
		i := from
		for ; i < len(rec.chunks) && rec.chunks[i].part == p; i++ {
			c := &rec.chunks[i]
			if wanted(i) {
				k := pick{chunk: int32(i), part: p, skipped: [2]int32{int32(from), int32(i)}, ordinal: ordinal, off: c.dataOff, length: c.dataLen}
				if c.dataLen < 0 {
					k.off, k.length = c.off, rec.extent(c)
					if k.length > maxGuess {
						k.length = chunkHeaderStep
					}
				}
				r.picks = append(r.picks, k)
				from = i + 1
			}
			ordinal += c.messages
		}
		if from < i || rec.parts[p].lost > 0 {
			r.picks = append(r.picks, pick{chunk: -1, part: p, skipped: [2]int32{int32(from), int32(i)}})
			from = i
		}
	}
	if order == pipeline.LogOrder {
		slices.SortStableFunc(r.picks, func(a, b pick) int { return cmp.Compare(r.first(&a), r.first(&b)) })
	}
	later := int64(math.MaxInt64)
	for i := len(r.picks) - 1; i >= 0; i-- {
		p := &r.picks[i]
		p.minLater = later
		later = min(later, r.first(p))
	}
	r.plan(srcs)
	return r
}

// first is a time before which what is picked has no message.
func (r *reader) first(p *pick) int64 {
	if p.chunk < 0 {
		return math.MaxInt64
	}
	return r.rec.chunks[p.chunk].first()
}

// findLatched looks for the last messages before the range of latched tables.
func (r *recording) findLatched(ctx context.Context, srcs []pipeline.Source, latched *message.Latched) error {
	candidates := latched.Candidates(len(r.chunks), func(i int) message.BlockTimes {
		c := &r.chunks[i]
		b := message.BlockTimes{Start: c.start, End: c.end, Known: c.counted && !c.salvage}
		for _, n := range r.counts[c.countFrom:c.countTo] {
			if k, ok := r.conn(c.part, n.conn); ok && n.count > 0 {
				b.Channels = append(b.Channels, int32(k))
			}
		}
		return b
	})
	if len(candidates) == 0 {
		return nil
	}
	rd := newPicker(srcs, r, pipeline.StorageOrder, func(i int) bool {
		_, ok := slices.BinarySearch(candidates, i)
		return ok
	})
	defer rd.Close()
	b := &message.Block{}
	for {
		*b = message.Block{Stored: b.Stored[:0], Buffer: b.Buffer[:0], Records: b.Records[:0], Scratch: b.Scratch}
		at := rd.at
		err := rd.Fetch(ctx, b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = rd.Unpack(ctx, b)
		}
		if err != nil {
			return &pipeline.DecodeError{Object: srcs[b.Object].Object().URI, Format: Name, Offset: b.Offset, Record: -1, Err: err}
		}
		latched.Show(int(rd.picks[at].chunk), b.Records)
	}
}

// first is a time before which the chunk has no message.
func (c *chunk) first() int64 {
	if !c.counted || c.messages == 0 {
		return 0
	}
	return c.start
}

// skipper tells the chunks that need not be read.
type skipper struct {
	rec      *recording
	wanted   []bool // by connection; nil: all
	from, to int64
}

func newSkipper(rec *recording, sel pipeline.Selection) *skipper {
	s := &skipper{rec: rec, from: sel.From, to: sel.To}
	if sel.Tables == nil {
		return s
	}
	names := make(map[string]bool, len(sel.Tables))
	for _, t := range sel.Tables {
		names[t.Table.Name] = true
	}
	s.wanted = make([]bool, len(rec.conns))
	for i := range rec.conns {
		s.wanted[i] = names[rec.tables[rec.conns[i].table].Name]
	}
	return s
}

// chunk reports whether nothing of c is selected. What is not known to be
// unselected is read, chunks of unknown connections included.
func (s *skipper) chunk(c *chunk) bool {
	if s.wanted == nil && s.from <= 0 && s.to == 0 || !c.counted || c.messages == 0 || c.salvage {
		return false
	}
	outside := c.end < s.from || s.to != 0 && c.start >= s.to
	wanted := s.wanted == nil
	for _, n := range s.rec.counts[c.countFrom:c.countTo] {
		i, ok := s.rec.conn(c.part, n.conn)
		if !ok {
			return false
		}
		wanted = wanted || n.count > 0 && s.wanted[i]
	}
	return outside || !wanted
}

// plan groups the reads of each part.
func (r *reader) plan(srcs []pipeline.Source) {
	ranges := make([][]message.Range, len(srcs))
	before := int32(-2)
	for i := range r.picks {
		p := &r.picks[i]
		p.read = len(ranges[p.part])
		if p.chunk >= 0 {
			ranges[p.part] = append(ranges[p.part], message.Range{Off: p.off, Len: p.length, Joined: p.chunk == before+1})
		}
		before = p.chunk
	}
	for i, src := range srcs {
		r.reads = append(r.reads, message.NewReads(src, ranges[i]))
	}
}
