package mcap

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// walker hands the blocks of a file to an engine.
type walker struct {
	src    pipeline.Source
	lim    Limits
	ix     *index
	info   *Info
	blocks []block
	lost   int64 // bytes lost outside of what is unpacked, told with the last block
	// sequential tells that blocks are fetched in the order of the file.
	sequential bool

	steps []step
	next  int
	// problems to be told with the next block.
	problems []message.BlockProblem

	run codecPool

	reads *message.Reads // of steps, nil before the first
	base  int            // steps before those of reads

	// What is looked for before the range of latched tables, the blocks that
	// may hold it, and their bytes where they are few.
	latched    *message.Latched
	candidates []int
	found      bool
	held       map[int][]byte
}

// step is one block to fetch, after skipping others.
type step struct {
	block    int // -1: only skip
	skip     []int
	minLater int64
}

// scratch is the walker's state of a block.
type scratch struct {
	at int // of block
	// latched as it was when the block was fetched: a scan forgets it.
	latched *message.Latched
	block   block
	opened  opened
}

// plan decides which blocks to fetch.
func (w *walker) plan(sel pipeline.Selection) {
	wanted := w.wantedChannels(sel)
	w.findCandidates(sel)
	var skip []int
	for i := range w.blocks {
		b := &w.blocks[i]
		if b.counted && !w.wants(b, wanted, sel) && !w.isCandidate(i) {
			skip = append(skip, i)
			continue
		}
		w.steps = append(w.steps, step{block: i, skip: skip, minLater: math.MinInt64})
		skip = nil
	}
	if len(skip) > 0 || w.lost > 0 {
		w.steps = append(w.steps, step{block: -1, skip: skip, minLater: math.MaxInt64})
	}
	if sel.Order != pipeline.LogOrder {
		return
	}
	slices.SortStableFunc(w.steps, func(a, b step) int { return cmp.Compare(w.start(a), w.start(b)) })
	low := int64(math.MaxInt64)
	for i := len(w.steps) - 1; i >= 0; i-- {
		w.steps[i].minLater = low
		low = min(low, w.start(w.steps[i]))
	}
}

// start is the log time of the first message of a step.
func (w *walker) start(s step) int64 {
	if s.block < 0 || len(w.blocks[s.block].counts) == 0 {
		return math.MaxInt64
	}
	return clampTime(w.blocks[s.block].start)
}

// wantedChannels tells for each of the engine's channels whether its table is
// selected; nil means that all are.
func (w *walker) wantedChannels(sel pipeline.Selection) []bool {
	if sel.Tables == nil {
		return nil
	}
	names := make(map[string]bool)
	for _, t := range sel.Tables {
		names[t.Table.Name] = true
	}
	wanted := make([]bool, len(w.ix.tableOf))
	for i, t := range w.ix.tableOf {
		wanted[i] = names[w.ix.tables[t].Name]
	}
	return wanted
}

// wants reports whether a counted block may have rows that are selected or
// must be rejected.
func (w *walker) wants(b *block, wanted []bool, sel pipeline.Selection) bool {
	if len(b.counts) == 0 {
		return false
	}
	if b.end <= math.MaxInt64 {
		if int64(b.end) < sel.From || sel.To != 0 && int64(min(b.start, math.MaxInt64)) >= sel.To {
			return w.strangers(b)
		}
	}
	for _, c := range b.counts {
		if ch := w.ix.channel(c.channel); c.count > 0 && (ch < 0 || wanted == nil || wanted[ch]) {
			return true
		}
	}
	return false
}

// strangers reports whether a block has messages of no known channel, which
// are always told.
func (w *walker) strangers(b *block) bool {
	for _, c := range b.counts {
		if c.count > 0 && w.ix.channel(c.channel) < 0 {
			return true
		}
	}
	return false
}

// Fetch reads the next block.
func (w *walker) Fetch(ctx context.Context, b *message.Block) error {
	if w.next == len(w.steps) {
		return io.EOF
	}
	if !w.found {
		w.found = true
		if err := w.findLatched(ctx); err != nil {
			return err
		}
	}
	st := w.steps[w.next]
	w.next++
	for _, i := range st.skip {
		for _, c := range w.blocks[i].counts {
			b.Skipped = append(b.Skipped, message.ChannelCount{Channel: w.ix.channel(c.channel), Count: int64(c.count)})
		}
	}
	b.MinLater = st.minLater
	b.Problems = append(b.Problems, w.problems...)
	w.problems = w.problems[:0]
	sc, ok := b.Scratch.(*scratch)
	if !ok {
		sc = &scratch{}
		b.Scratch = sc
	}
	sc.block = block{}
	if w.next == len(w.steps) {
		b.LostBytes += w.lost
	}
	if st.block < 0 {
		return nil
	}
	bl := w.blocks[st.block]
	sc.block, sc.at, sc.latched = bl, st.block, w.latched
	b.Offset = bl.offset
	if bl.counted {
		b.Ordinal = bl.first
	}
	if bl.length > w.lim.record() {
		sc.block = block{}
		b.Problems = append(b.Problems, message.BlockProblem{Kind: "chunk_limit", Offset: bl.offset, Detail: fmt.Sprintf("chunk of %d bytes, more than the limit of %d", bl.length, w.lim.record()), Loses: true})
		b.LostBytes += bl.length
		return nil
	}
	if err := w.read(ctx, b, st.block); err != nil {
		return fmt.Errorf("reading %d bytes at %d: %w", bl.length, bl.offset, err)
	}
	if !bl.chunk {
		return nil
	}
	if op, n := Op(b.Stored[0]), binary.LittleEndian.Uint64(b.Stored[1:]); op == OpChunk && (n == uint64(bl.length-frameLen) || bl.cut) {
		b.RawSize = min(bl.raw, w.lim.chunk())
		return nil
	}
	return w.misled(ctx, b, st.block)
}

// misled deals with an index that points to what is no chunk.
func (w *walker) misled(ctx context.Context, b *message.Block, i int) error {
	bl := w.blocks[i]
	b.Scratch.(*scratch).block = block{}
	b.Stored = b.Stored[:0]
	p := message.BlockProblem{Kind: "bad_index", Offset: bl.offset, Detail: "the index points to a chunk that is not there", Loses: true}
	if !w.sequential {
		b.Problems = append(b.Problems, p)
		b.LostBytes += bl.length
		return nil
	}
	p.Loses = false
	p.Detail += "; scanning from the chunk before"
	b.Problems = append(b.Problems, p)
	// All before the end of the last good block is done, by the index.
	from, first := int64(len(Magic)), int64(0)
	if i > 0 {
		prev := &w.blocks[i-1]
		from, first = prev.offset+prev.length, prev.first+prev.messages()
	}
	return w.rescan(ctx, from, first)
}

// rescan replaces what is left to fetch by what a scan from an offset finds.
func (w *walker) rescan(ctx context.Context, from, first int64) error {
	if err := w.endReads(); err != nil {
		return err
	}
	w.latched = nil // of blocks that are not there
	rc, err := w.src.Reader(ctx, from, -1)
	if err != nil {
		return err
	}
	defer rc.Close()
	r := NewReader(rc, w.src.Object().Size, w.lim)
	defer r.Close()
	r.started, r.midway, r.f.off = true, true, from
	in, err := scanRecords(ctx, r, w.info)
	if err != nil {
		return err
	}
	w.tell(in.Problems)
	w.blocks, w.lost, w.steps, w.next = in.blocks, in.lost, nil, 0
	for i := range w.blocks {
		w.blocks[i].first += first
		w.steps = append(w.steps, step{block: i})
	}
	if w.lost > 0 || len(w.problems) > 0 {
		w.steps = append(w.steps, step{block: -1})
	}
	return nil
}

// tell reports problems of a scan with the next block.
func (w *walker) tell(problems []pipeline.Problem) {
	for _, p := range problems {
		w.problems = append(w.problems, message.BlockProblem{Kind: p.Kind, Offset: p.Offset, Detail: p.Detail, Loses: p.Loses})
	}
}

// read reads a block.
func (w *walker) read(ctx context.Context, b *message.Block, i int) error {
	bl := &w.blocks[i]
	if int64(cap(b.Stored)) < bl.length {
		b.Stored = make([]byte, bl.length)
	}
	b.Stored = b.Stored[:bl.length]
	if held, ok := w.held[i]; ok {
		copy(b.Stored, held)
		delete(w.held, i)
		return nil
	}
	if w.reads == nil {
		w.base = w.next - 1
		ranges := make([]message.Range, 0, len(w.steps)-w.base)
		before := -2
		for _, st := range w.steps[w.base:] {
			if _, ok := w.held[st.block]; ok || st.block < 0 {
				ranges = append(ranges, message.Range{}) // nothing is to be read
				before = -2
				continue
			}
			n := &w.blocks[st.block]
			ranges = append(ranges, message.Range{Off: n.offset, Len: n.length, Joined: st.block == before+1})
			before = st.block
		}
		w.reads = message.NewReads(w.src, ranges)
	}
	return w.reads.Read(ctx, w.next-1-w.base, b.Stored)
}

func (w *walker) endReads() error {
	if w.reads == nil {
		return nil
	}
	err := w.reads.Close()
	w.reads = nil
	return err
}

// Unpack decompresses a block and lists its messages.
func (w *walker) Unpack(ctx context.Context, b *message.Block) error {
	sc := b.Scratch.(*scratch)
	bl := &sc.block
	switch {
	case bl.length == 0:
		return nil
	case bl.chunk:
		c := w.run.get()
		b.Buffer = c.open(&sc.opened, b.Stored[frameLen:], b.Buffer, !bl.cut, w.lim)
		w.run.put(c)
		b.Data = sc.opened.data
		if b.Plain = sc.opened.Compression == ""; b.Plain {
			b.DataOffset = b.Offset + frameLen + chunkHead
		}
		if !bl.known {
			b.LostBytes += sc.opened.missing
			for _, d := range sc.opened.damages {
				b.Problems = append(b.Problems, message.BlockProblem{Kind: d.kind, Offset: b.Offset, Detail: d.detail, Loses: d.loses})
			}
		}
	default:
		b.Data = b.Stored
		b.Plain, b.DataOffset = true, b.Offset
	}
	w.list(b, bl, sc.opened.missing > 0)
	b.Keep = sc.latched.Keep(sc.at, b.Keep)
	return nil
}

// list walks over the records of a block.
func (w *walker) list(b *message.Block, bl *block, damaged bool) {
	data, byID, recs := b.Data, w.ix.byID, b.Records
	if n := bl.messages(); n <= int64(len(data)/(frameLen+messageHead)) {
		recs = slices.Grow(recs, int(n))
	}
	pos := 0
	var failed error
	for {
		// Messages are taken here, all else the general way.
		if left := data[pos:]; len(left) >= frameLen+messageHead && Op(left[0]) == OpMessage {
			n := binary.LittleEndian.Uint64(left[1:])
			if n >= messageHead && n <= uint64(len(left)-frameLen) {
				head := left[frameLen : frameLen+messageHead]
				ch := int32(-1)
				if id := binary.LittleEndian.Uint16(head); int(id) < len(byID) {
					ch = byID[id]
				}
				next := pos + frameLen + int(n)
				recs = append(recs, message.Record{
					Channel:     ch,
					Sequence:    binary.LittleEndian.Uint32(head[2:]),
					LogTime:     int64(binary.LittleEndian.Uint64(head[6:])),
					PublishTime: int64(binary.LittleEndian.Uint64(head[14:])),
					Span:        message.Span{Start: uint32(pos + frameLen + messageHead), End: uint32(next)},
				})
				pos = next
				continue
			}
		}
		op, content, next, err := record(data, pos)
		if op == 0 {
			failed = err
			break
		}
		if !bl.known {
			w.other(b, op, content, pos)
		}
		pos = next
	}
	b.Records = recs
	if bl.known {
		return
	}
	if failed != nil {
		b.LostBytes += int64(len(data) - pos)
		if !damaged {
			b.Problems = append(b.Problems, message.BlockProblem{Kind: "chunk_corrupt", Offset: b.Offset, Detail: fmt.Sprintf("at %d of the chunk: %v", pos, failed), Loses: true})
		}
	}
	if n := bl.messages(); bl.counted && n != int64(len(recs)) && !damaged && failed == nil {
		b.Problems = append(b.Problems, message.BlockProblem{Kind: "bad_index", Offset: b.Offset, Detail: fmt.Sprintf("the index tells %d messages, the chunk has %d", n, len(recs)), Loses: int64(len(recs)) < n})
	}
}

// other looks at a record that is no message, in a chunk that only an index
// has told of.
func (w *walker) other(b *message.Block, op Op, content []byte, pos int) {
	tell := func(kind string, loses bool, format string, args ...any) {
		b.Problems = append(b.Problems, message.BlockProblem{Kind: kind, Offset: b.Offset, Loses: loses, Detail: fmt.Sprintf(format, args...)})
	}
	switch {
	case op == OpMessage:
		tell("bad_record", true, "Message of %d bytes is shorter than its fields", len(content))
		b.LostBytes += int64(len(content))
	case op == OpChannel:
		c, err := ParseChannel(content)
		known, ok := w.info.Channels[c.ID]
		switch {
		case err != nil:
			tell("bad_record", false, "%v", err)
		case !ok:
			tell("bad_index", false, "channel %d is not in the summary", c.ID)
		case !sameChannel(known, c):
			tell("channel_conflict", false, "channel %d is %q in the summary and %q in a chunk, or has another schema, encoding or metadata", c.ID, known.Topic, c.Topic)
		}
	case op == OpSchema:
		s, err := ParseSchema(content)
		known, ok := w.info.Schemas[s.ID]
		switch {
		case err != nil:
			tell("bad_record", false, "%v", err)
		case s.ID == 0:
			tell("schema_zero", false, "schema %q has the reserved id 0", s.Name)
		case ok && (known.Name != s.Name || known.Encoding != s.Encoding || string(known.Data) != string(s.Data)):
			tell("schema_conflict", false, "schema %d is %q in the summary and %q in a chunk, or another text", s.ID, known.Name, s.Name)
		}
	case op <= OpDataEnd:
		tell("unexpected_record", false, "%s at %d of a chunk", op, pos)
	}
}

// Close ends reading.
func (w *walker) Close() error {
	w.run.close()
	return w.endReads()
}
