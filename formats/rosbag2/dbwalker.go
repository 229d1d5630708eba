package rosbag2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/rosbag2/sqlite"
	"github.com/drivemill/drivemill/pipeline"
)

// Sizes of blocks: leaves are gathered until they hold this much, or messages
// that claim to unpack to this much.
const (
	blockSize   = 256 << 10
	blockUnpack = 16 << 20
)

// dbWalker hands the messages of a database to an engine, in the order of
// rowids. A block is some leaves of the table; behind each leaf lie the payloads
// that overflow it.
type dbWalker struct {
	db       *database
	file     *sqlite.File
	pager    *sqlite.Pager
	cursor   *sqlite.Cursor
	target   int // bytes of a block
	channels topicIndex
	// headOnly leaves out what lies on overflow pages; inner tells that
	// messages are compressed, so that blocks are cut by what they unpack to.
	headOnly, inner bool
	lost            int64                  // bytes to be told with the first block
	later           []message.BlockProblem // the same

	latched    *message.Latched
	candidates []int // blocks that may hold a last row before the range

	planned bool // steps are all there is; their damage is known
	steps   []dbStep
	next    int

	row    int64 // the last rowid
	rowing bool  // there is one
	leaves int   // in the block fetched last
	cells  []sqlite.Cell
	block  *message.Block // being fetched
}

// dbStep is one block to fetch, after skipping others.
type dbStep struct {
	block    int // -1: only skip
	skip     []int
	minLater int64
}

// dbScratch is the walker's state of a block.
type dbScratch struct {
	block    int // of database.blocks, where planned
	payloads []payload
	bad      []badPayload
	sizes    []int64 // of messages, where headOnly
}

// payload is where a record lies in Block.Stored.
type payload struct {
	start, end uint32
	size       int64 // of the whole record
}

// badPayload is a record that is not there in full.
type badPayload struct {
	payload int
	err     error
}

// newDBWalker reads all messages in turn, until plan says otherwise.
func newDBWalker(db *database, file *sqlite.File, target int) *dbWalker {
	w := &dbWalker{db: db, file: file, pager: file.NewPager(), target: target}
	if target <= 0 {
		w.target = blockSize
	}
	w.cursor = file.NewCursor(w.pager, db.messages.Root)
	w.cursor.Damaged = func(d sqlite.Damage) {
		if errors.Is(d.Err, pipeline.ErrTruncated) {
			d.Bytes = 0 // counted with what the file lacks
		}
		w.tell("bad_page", d.Offset, d.Bytes, "%v; the records behind it are numbered as if it held none", d.Err)
	}
	return w
}

// tell reports damage with the block being fetched.
func (w *dbWalker) tell(kind string, off, lost int64, format string, args ...any) {
	if w.planned {
		return
	}
	w.block.LostBytes += lost
	w.block.Problems = append(w.block.Problems, message.BlockProblem{Kind: kind, Offset: off, Loses: true, Detail: fmt.Sprintf(format, args...)})
}

// plan decides which of the blocks of a scan to fetch. channelOf gives the
// engine's channel of each topic, wanted whether it is selected; nil: all are.
func (w *dbWalker) plan(sel pipeline.Selection, channelOf []int32, wanted []bool) {
	w.planned = true
	w.findCandidates(channelOf)
	var skip []int
	for i := range w.db.blocks {
		if !w.wants(&w.db.blocks[i], sel, channelOf, wanted) && !slices.Contains(w.candidates, i) {
			skip = append(skip, i)
			continue
		}
		w.steps = append(w.steps, dbStep{block: i, skip: skip, minLater: math.MinInt64})
		skip = nil
	}
	if len(skip) > 0 {
		w.steps = append(w.steps, dbStep{block: -1, skip: skip, minLater: math.MaxInt64})
	}
	if sel.Order != pipeline.LogOrder {
		return
	}
	slices.SortStableFunc(w.steps, func(a, b dbStep) int { return cmp.Compare(w.start(a), w.start(b)) })
	low := int64(math.MaxInt64)
	for i := len(w.steps) - 1; i >= 0; i-- {
		w.steps[i].minLater = low
		low = min(low, w.start(w.steps[i]))
	}
}

// wants reports whether a block may have rows that are selected or must be
// rejected.
func (w *dbWalker) wants(b *dbBlock, sel pipeline.Selection, channelOf []int32, wanted []bool) bool {
	early := sel.From != 0 && b.end < sel.From
	late := sel.To != 0 && b.start >= sel.To
	for _, c := range b.counts {
		if c.topic < 0 || !early && !late && (wanted == nil || wanted[channelOf[c.topic]]) {
			return true
		}
	}
	return false
}

// start is the log time of the first message of a step.
func (w *dbWalker) start(s dbStep) int64 {
	if s.block < 0 || len(w.db.blocks[s.block].counts) == 0 {
		return math.MaxInt64
	}
	return w.db.blocks[s.block].start
}

// NextStart is the log time of the first message of the next block, where
// blocks are planned.
func (w *dbWalker) NextStart() int64 {
	if w.next == len(w.steps) {
		return math.MaxInt64
	}
	return w.start(w.steps[w.next])
}

// Fetch reads the next block.
func (w *dbWalker) Fetch(ctx context.Context, b *message.Block) error {
	sc, ok := b.Scratch.(*dbScratch)
	if !ok {
		sc = &dbScratch{}
		b.Scratch = sc
	}
	sc.payloads, sc.bad, sc.sizes = sc.payloads[:0], sc.bad[:0], sc.sizes[:0]
	w.block, w.leaves = b, 0
	if !w.planned {
		return w.gather(ctx, b, sc, math.MaxInt)
	}
	if w.next == len(w.steps) {
		if w.lost == 0 && len(w.later) == 0 {
			return io.EOF
		}
		w.tellLost(b)
		b.MinLater = math.MaxInt64
		return nil
	}
	w.tellLost(b)
	st := w.steps[w.next]
	w.next++
	b.MinLater = st.minLater
	for _, i := range st.skip {
		for _, c := range w.db.blocks[i].counts {
			ch := int32(-1)
			if c.topic >= 0 {
				ch = w.channels.get(w.db.topics[c.topic].id)
			}
			b.Skipped = append(b.Skipped, message.ChannelCount{Channel: ch, Count: c.count})
		}
	}
	if st.block < 0 {
		return nil
	}
	x := &w.db.blocks[st.block]
	b.Ordinal = x.first
	sc.block = st.block
	w.rowing = false
	if err := w.cursor.Seek(ctx, x.place); err != nil {
		return err
	}
	if err := w.gather(ctx, b, sc, x.leaves); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (w *dbWalker) tellLost(b *message.Block) {
	b.Problems = append(b.Problems, w.later...)
	w.later = nil
	b.LostBytes += w.lost
	w.lost = 0
}

// gather reads leaves until the block is full.
func (w *dbWalker) gather(ctx context.Context, b *message.Block, sc *dbScratch, leaves int) error {
	unpacked := int64(0)
	for w.leaves < leaves && (leaves < math.MaxInt || len(b.Stored) < w.target && unpacked < blockUnpack) {
		number, page, err := w.cursor.Next(ctx)
		if errors.Is(err, io.EOF) {
			if w.leaves > 0 || len(b.Problems) > 0 || w.lost > 0 || len(w.later) > 0 {
				break
			}
			return io.EOF
		}
		if err != nil {
			return err
		}
		if w.leaves == 0 {
			b.Offset = int64(number-1) * int64(w.file.PageSize())
		}
		w.leaves++
		from := len(sc.payloads)
		if err := w.leaf(ctx, b, sc, number, page); err != nil {
			return err
		}
		if w.inner {
			for _, p := range sc.payloads[from:] {
				if m, ok := w.db.columns.parse(b.Stored[p.start:p.end]); ok {
					unpacked += unpackedSize(b.Stored[int(p.start)+m.start : int(p.start)+m.end])
				}
			}
		}
	}
	b.RawSize = unpacked
	w.tellLost(b)
	return nil
}

// leaf takes a leaf into the block.
func (w *dbWalker) leaf(ctx context.Context, b *message.Block, sc *dbScratch, number uint32, page []byte) error {
	var bad int
	off := int64(number-1) * int64(w.file.PageSize())
	if w.cells, bad = w.file.Cells(number, page, w.cells[:0]); bad > 0 {
		w.tell("bad_page", off, 0, "page %d: %d rows lie outside of it", number, bad)
	}
	at := len(b.Stored)
	b.Stored = append(b.Stored, page...)
	astray, bytes := 0, int64(0)
	for _, c := range w.cells {
		if w.rowing && c.Rowid <= w.row {
			astray++
			bytes += c.Size
			continue
		}
		w.row, w.rowing = c.Rowid, true
		p := payload{uint32(at + c.Start), uint32(at + c.End), c.Size}
		if c.Overflow != 0 && !w.headOnly {
			var err error
			if p, err = w.overflow(ctx, b, p, c); err != nil {
				if !errors.As(err, new(sqlite.Damage)) {
					return err
				}
				sc.bad = append(sc.bad, badPayload{len(sc.payloads), err})
			}
		}
		sc.payloads = append(sc.payloads, p)
	}
	if astray > 0 {
		w.tell("bad_page", off, bytes, "page %d: %d rows have an id that is not greater than the one before", number, astray)
	}
	return nil
}

// overflow puts a payload together behind the pages of the block. Where that
// fails for damage, it returns the part that lies in the leaf.
func (w *dbWalker) overflow(ctx context.Context, b *message.Block, local payload, c sqlite.Cell) (payload, error) {
	if c.Size > sqlite.MaxPayload {
		return local, sqlite.Damage{Offset: b.Offset, Bytes: c.Size, Err: fmt.Errorf("record of %d bytes: %w", c.Size, pipeline.ErrLimit)}
	}
	at := len(b.Stored)
	b.Stored = append(b.Stored, b.Stored[local.start:local.end]...)
	var err error
	b.Stored, err = w.cursor.Overflow(ctx, c.Overflow, c.Size-int64(c.End-c.Start), b.Stored)
	if err != nil {
		b.Stored = b.Stored[:at]
		return local, err
	}
	return payload{uint32(at), uint32(len(b.Stored)), c.Size}, nil
}

// Unpack lists the messages of a block.
func (w *dbWalker) Unpack(_ context.Context, b *message.Block) error {
	w.list(b)
	if w.planned {
		b.Keep = w.latched.Keep(b.Scratch.(*dbScratch).block, b.Keep)
	}
	return nil
}

// list makes records of payloads.
func (w *dbWalker) list(b *message.Block) {
	sc := b.Scratch.(*dbScratch)
	b.Data = b.Stored
	recs := slices.Grow(b.Records, len(sc.payloads))
	bad := sc.bad
	for i, p := range sc.payloads {
		m, ok := w.db.columns.parse(b.Data[p.start:p.end])
		r := message.Record{Channel: -1}
		if ok {
			r = message.Record{
				Channel: w.channels.get(m.topic), LogTime: m.time, PublishTime: m.time,
				Span: message.Span{Start: p.start + uint32(m.start), End: p.start + uint32(m.end)},
			}
		}
		switch {
		case len(bad) > 0 && bad[0].payload == i:
			b.Bad = append(b.Bad, message.BadRecord{Record: uint32(len(recs)), Err: &rowError{"bad_overflow", bad[0].err}})
			bad = bad[1:]
		case !ok:
			b.Bad = append(b.Bad, message.BadRecord{Record: uint32(len(recs)), Err: errRow})
		case m.cut && !w.headOnly:
			b.Bad = append(b.Bad, message.BadRecord{Record: uint32(len(recs)), Err: errRow})
		}
		if w.headOnly {
			sc.sizes = append(sc.sizes, m.size)
		}
		recs = append(recs, r)
	}
	b.Records = recs
}

// Close frees what the walker holds.
func (w *dbWalker) Close() error {
	w.pager.Close()
	return nil
}

// row is what a record of table messages holds.
type row struct {
	topic, time int64
	start, end  int   // of the data in the payload, as far as it is there
	size        int64 // of the data
	cut         bool  // not all is there
}

// parse reads a record of table messages. It reports false when the record has
// no topic, time or data.
func (c *columns) parse(p []byte) (r row, ok bool) {
	head, n := sqlite.Varint(p)
	if n == 0 || head > uint64(len(p)) || head < uint64(n) {
		return r, false
	}
	at := head
	seen := 0
	for header, i := p[n:head], 0; i <= c.last; i++ {
		serial, n := sqlite.Varint(header)
		size := sqlite.Size(serial)
		if n == 0 || size > sqlite.MaxPayload {
			return r, false
		}
		header = header[n:]
		switch i {
		case c.topic, c.time:
			if serial == 0 || serial == 7 || serial > 9 || at+size > uint64(len(p)) {
				return r, false
			}
			v := sqlite.Int(serial, p[at:at+size])
			if i == c.topic {
				r.topic = v
			} else {
				r.time = v
			}
			seen++
		case c.data:
			if serial < 12 {
				return r, false
			}
			end := at + size
			r.size, r.cut = int64(size), end > uint64(len(p))
			r.start, r.end = int(min(at, uint64(len(p)))), int(min(end, uint64(len(p))))
			seen++
		}
		at += size
	}
	return r, seen == 3
}

// rowError is a message.RowError.
type rowError struct {
	reason string
	err    error
}

func (e *rowError) Error() string  { return e.err.Error() }
func (e *rowError) Unwrap() error  { return e.err }
func (e *rowError) Reason() string { return e.reason }

var errRow = &rowError{"bad_record", fmt.Errorf("the record has no topic, time or data: %w", pipeline.ErrCorrupt)}
