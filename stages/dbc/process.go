package dbc

import (
	"context"
	"fmt"
	"math"

	candb "github.com/drivemill/drivemill/formats/dbc"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// maxCached is how many identifiers of 29 bits are remembered for each set of
// databases; a recording of more starts over.
const maxCached = 1 << 16

// processor is what one worker holds.
type processor struct {
	*stage
	sources map[*pipeline.Table]*source
	opt     pipeline.ProcessOptions
	frames  frames
	scratch candb.Scratch
	buses   map[*source][]*busState // by lane
	dicts   map[*labels]arrow.Array
	needed  map[*output][]bool
	columns []*column.Column // of the plan at work

	masks    []uint64 // by row, where rows differ
	lane     []uint16 // by row
	touched  []*group
	transfer map[transferKey]*transfers
	underway []*transfers // in the order in which they were first met
	counted  []byte       // a payload with a byte of its length in front
}

// busState is what is remembered about a bus.
type busState struct {
	lane   *lane
	sets   map[uint64]*idSet
	last   *idSet
	slots  map[*target]*slot
	groups map[*output]*group
	raw    []int32 // rows without an entry, error and remote frames
	failed int     // how many of raw are error and remote frames
}

// slot is a message with the group in which its frames gather.
type slot struct {
	*target
	group *group
}

// idSet finds messages by identifier, for one set of databases.
type idSet struct {
	mask     uint64
	standard [2048]*slot // nil: not looked for yet
	extended map[frameID]*slot
}

// nothing is what is remembered of identifiers without an entry.
var nothing = new(slot)

// group gathers the frames of one message in a batch.
type group struct {
	target  *target
	rows    []int32
	frames  candb.Frames
	senders []sender // where the table has addresses or transfers
	wide    bool     // it has
	own     []byte   // payloads, where not all lie in the batch
	copied  bool
}

// sender is what a frame of J1939 or of a transfer says beside its payload.
type sender struct {
	id    uint32
	dest  int16 // -1: none
	began int64 // math.MinInt64: no transfer
}

func newProcessor(s *stage, sources map[*pipeline.Table]*source, opt pipeline.ProcessOptions) *processor {
	return &processor{stage: s, sources: sources, opt: opt, buses: make(map[*source][]*busState), dicts: make(map[*labels]arrow.Array),
		needed: make(map[*output][]bool), transfer: make(map[transferKey]*transfers)}
}

func (p *processor) Process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account, emit pipeline.Emit) error {
	src := p.sources[b.Table]
	if src.passes != nil {
		b.Table = src.passes
		return emit(pipeline.Element{Batch: b})
	}
	defer b.Release()
	f := &p.frames
	f.load(&src.cols, b.Record)
	p.assignLanes(src)
	mask, masks := p.databases(src, b.Record)
	var clock []int64
	if src.ts >= 0 {
		clock = times(b.Record.Column(src.ts))
	}
	buses := p.busesOf(src)
	for i := range f.rows {
		bus := buses[p.lane[i]]
		id, ok := f.frameID(i)
		if !ok {
			bus.raw = append(bus.raw, int32(i))
			bus.failed++
			continue
		}
		if masks != nil {
			mask = masks[i]
		}
		set := bus.set(mask)
		t := p.find(set, bus, id)
		if p.joins {
			done, err := p.join(src, bus, set, t, id, i, b, clock, acct, emit)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if t == nothing {
			bus.raw = append(bus.raw, int32(i))
			continue
		}
		g, err := p.gather(t, b, acct, emit)
		if err != nil {
			return err
		}
		g.add(i, uint32(id)&0x1fffffff, f.start[i], f.size[i], f.data)
	}
	return p.flush(src, b, acct, emit)
}

// frameID is the identifier of a data frame; false for a row that is none.
func (f *frames) frameID(i int) (frameID, bool) {
	id := f.id[i]
	if id < 0 || id > math.MaxUint32 || f.size[i] < 0 || len(f.remote) > 0 && f.remote[i] > 0 || len(f.err) > 0 && f.err[i] > 0 {
		return 0, false
	}
	const remote, failed = 1 << 30, 1 << 29
	switch {
	case len(f.ext) > 0 && f.ext[i] >= 0:
		if f.ext[i] > 0 {
			return frameID(id)&0x1fffffff | extendedBit, true
		}
		return frameID(id), id <= 0x7ff
	case id&(remote|failed) != 0:
		return 0, false
	case id > 0x7ff:
		return frameID(id)&0x1fffffff | extendedBit, true
	}
	return frameID(id), true
}

// assignLanes tells the bus of each row.
func (p *processor) assignLanes(src *source) {
	n := p.frames.rows
	if cap(p.lane) < n {
		p.lane = make([]uint16, n)
	}
	p.lane = p.lane[:n]
	clear(p.lane)
	if len(src.lanes) == 1 {
		return
	}
	for i, c := range p.frames.channel {
		p.lane[i] = uint16(len(src.lanes) - 1) // any
		for k, l := range src.lanes {
			if l.channel == c && c >= 0 {
				p.lane[i] = uint16(k)
				break
			}
		}
	}
}

// databases tells which databases may serve the rows of a batch: mask for all
// of them, or masks for each.
func (p *processor) databases(src *source, rec arrow.Record) (mask uint64, masks []uint64) {
	n := p.frames.rows
	each := func(k int) []uint64 {
		if masks == nil {
			if cap(p.masks) < n {
				p.masks = make([]uint64, n)
			}
			masks = p.masks[:n]
			clear(masks)
		}
		for i := range masks {
			masks[i] |= 1 << k
		}
		return masks
	}
	for k, e := range p.entries {
		if len(src.when[k]) == 0 && !e.timed {
			mask |= 1 << k
			continue
		}
		each(k)
		for _, c := range src.when[k] {
			arr := rec.Column(c.column)
			for i := range masks {
				if !textIs(arr, i, c.value) {
					masks[i] &^= 1 << k
				}
			}
		}
		if !e.timed {
			continue
		}
		arr := rec.Column(src.ts)
		ts := times(arr)
		for i := range masks {
			if ts == nil || ts[i] < e.from || ts[i] >= e.to || arr.IsNull(i) {
				masks[i] &^= 1 << k
			}
		}
	}
	for i := range masks {
		masks[i] |= mask
	}
	return mask, masks
}

// textIs compares a cell of a string or label column.
func textIs(arr arrow.Array, i int, want string) bool {
	if arr.IsNull(i) {
		return false
	}
	switch a := arr.(type) {
	case *arrow.String:
		return a.Value(i) == want
	case *arrow.Dictionary:
		return a.Dictionary().(*arrow.String).Value(a.GetValueIndex(i)) == want
	}
	return false
}

func (p *processor) busesOf(src *source) []*busState {
	buses := p.buses[src]
	if buses == nil {
		for _, l := range src.lanes {
			buses = append(buses, &busState{lane: l, sets: make(map[uint64]*idSet), slots: make(map[*target]*slot), groups: make(map[*output]*group)})
		}
		p.buses[src] = buses
	}
	return buses
}

func (b *busState) set(mask uint64) *idSet {
	if b.last != nil && b.last.mask == mask {
		return b.last
	}
	s := b.sets[mask]
	if s == nil {
		s = &idSet{mask: mask, extended: make(map[frameID]*slot)}
		b.sets[mask] = s
	}
	b.last = s
	return s
}

// find returns the message of an identifier, or nothing.
func (p *processor) find(s *idSet, bus *busState, id frameID) *slot {
	if id < 2048 {
		if t := s.standard[id]; t != nil {
			return t
		}
		s.standard[id] = p.search(s, bus, id)
		return s.standard[id]
	}
	if t := s.extended[id]; t != nil {
		return t
	}
	if len(s.extended) >= maxCached {
		clear(s.extended)
	}
	t := p.search(s, bus, id)
	s.extended[id] = t
	return t
}

func (p *processor) search(s *idSet, bus *busState, id frameID) *slot {
	for _, byGroup := range []bool{false, true} {
		for _, k := range bus.lane.entries {
			if s.mask&(1<<k) == 0 {
				continue
			}
			if m := p.entries[k].find(id, byGroup); m >= 0 {
				if bus.lane.messages[k][m].out == nil {
					return nothing // not wanted
				}
				return bus.slot(&bus.lane.messages[k][m])
			}
		}
	}
	return nothing
}

func (b *busState) slot(t *target) *slot {
	s := b.slots[t]
	if s == nil {
		g := b.groups[t.out]
		if g == nil {
			g = &group{}
			b.groups[t.out] = g
		}
		s = &slot{target: t, group: g}
		b.slots[t] = s
	}
	return s
}

// gather returns the group for a frame of a message. Frames that another
// database describes leave first.
func (p *processor) gather(t *slot, b *pipeline.Batch, acct *pipeline.Account, emit pipeline.Emit) (*group, error) {
	g := t.group
	if len(g.rows) > 0 && g.target != t.target {
		if err := p.send(g, b, acct, emit); err != nil {
			return nil, err
		}
	}
	if len(g.rows) == 0 {
		g.target = t.target
		g.wide = t.out.address >= 0 || t.out.transfer >= 0
		p.touched = append(p.touched, g)
	}
	return g, nil
}

// add takes a frame whose payload lies in the batch.
func (g *group) add(row int, id uint32, start, size int32, data []byte) {
	s := sender{id: id, dest: -1, began: math.MinInt64}
	if g.wide {
		if d := candb.GroupOf(id); d.Directed {
			s.dest = int16(d.Destination)
		}
	}
	if g.copied {
		g.addOwn(row, s, data[start:start+size])
		return
	}
	if g.wide {
		g.senders = append(g.senders, s)
	}
	g.rows = append(g.rows, int32(row))
	g.frames.Data = data
	g.frames.Start, g.frames.Size = append(g.frames.Start, start), append(g.frames.Size, size)
}

// addOwn takes a payload that was put together. From then on the group holds
// all of its payloads itself.
func (g *group) addOwn(row int, s sender, payload []byte) {
	if !g.copied {
		g.copied = true
		g.own = g.own[:0]
		for i, at := range g.frames.Start {
			g.frames.Start[i] = int32(len(g.own))
			g.own = append(g.own, g.frames.Data[at:at+g.frames.Size[i]]...)
		}
	}
	if g.wide {
		g.senders = append(g.senders, s)
	}
	g.rows = append(g.rows, int32(row))
	g.frames.Start, g.frames.Size = append(g.frames.Start, int32(len(g.own))), append(g.frames.Size, int32(len(payload)))
	g.own = append(g.own, payload...)
	g.frames.Data = g.own
}

func (g *group) reset() {
	g.rows, g.senders = g.rows[:0], g.senders[:0]
	g.frames = candb.Frames{Start: g.frames.Start[:0], Size: g.frames.Size[:0]}
	g.own, g.copied = g.own[:0], false
}

// flush sends what a batch has become.
func (p *processor) flush(src *source, b *pipeline.Batch, acct *pipeline.Account, emit pipeline.Emit) error {
	defer func() {
		for _, g := range p.touched {
			g.reset()
		}
		p.touched = p.touched[:0]
	}()
	for _, g := range p.touched {
		if err := p.send(g, b, acct, emit); err != nil {
			return err
		}
	}
	for _, bus := range p.buses[src] {
		if len(bus.raw) == 0 {
			continue
		}
		l := bus.lane
		if l.unknown == nil {
			acct.Filtered += int64(len(bus.raw))
			bus.raw, bus.failed = bus.raw[:0], 0
			continue
		}
		acct.Note(noteRaw, int64(bus.failed))
		acct.Note(noteUnknown, int64(len(bus.raw)-bus.failed))
		rec, err := column.TakeRecord(p.opt.Allocator, b.Record, bus.raw)
		if err != nil {
			return fmt.Errorf("frames of bus %s: %w", l.name, err)
		}
		out := &pipeline.Batch{Table: l.unknown, Record: rec, Origin: b.Origin.Take(bus.raw)}
		bus.raw, bus.failed = bus.raw[:0], 0
		if err := emit(pipeline.Element{Batch: out}); err != nil {
			return err
		}
	}
	return nil
}

func (p *processor) Close() {
	for _, d := range p.dicts {
		d.Release()
	}
	p.dicts = nil
}
