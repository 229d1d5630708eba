package mdf4test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
)

// writer appends blocks. What a block refers to is written before it; links to
// what is not there yet are patched at the end.
type writer struct {
	f     *File
	out   []byte
	at    map[any]int64 // of groups, channels, attachments, ...
	later []patch
	data  []func()
	texts map[string]int64
}

type patch struct {
	place int64
	to    any
}

// Bytes returns the file.
func (f *File) Bytes() []byte {
	w := &writer{f: f, out: make([]byte, 64+104), at: make(map[any]int64), texts: make(map[string]int64)}
	version := f.Version
	if version == 0 {
		version = 410
	}
	id := "MDF     "
	if f.Unfinalised != 0 {
		id = "UnFinMF "
	}
	copy(w.out, LE(id, fmt.Sprintf("%d.%02d    ", version/100, version%100), "drivemil", make([]byte, 4), version, make([]byte, 30), f.Unfinalised, uint16(0)))

	history := w.block("FH", []int64{0, w.text("MD", "<FHcomment><TX>written for a test</TX><tool_id>mdf4test</tool_id><tool_vendor>drivemill</tool_vendor><tool_version>1</tool_version></FHcomment>")},
		LE(f.StartNS, int16(0), int16(0), make([]byte, 4)))
	attachment, event := int64(0), int64(0)
	for i := len(f.Attachments) - 1; i >= 0; i-- {
		attachment = w.attachment(f.Attachments[i], attachment)
	}
	for i := len(f.Events) - 1; i >= 0; i-- {
		e := f.Events[i]
		event = w.block("EV", []int64{event, 0, 0, w.text("TX", e.Name), 0},
			LE(e.Type, e.Sync, e.Range, e.Cause, e.Flags, make([]byte, 3), uint32(0), uint16(0), uint16(0), e.Base, e.Factor))
	}
	group := int64(0)
	for i := len(f.Groups) - 1; i >= 0; i-- {
		group = w.dataGroup(f.Groups[i], group)
	}
	comment := w.note(f.Comment)
	// The last group's description came first; its data shall come last.
	for i := len(w.data) - 1; i >= 0; i-- {
		w.data[i]()
	}
	head := LE("##HD", uint32(0), uint64(104), uint64(6), group, history, int64(0), attachment, event, comment,
		f.StartNS, f.TZMinutes, f.DSTMinutes, f.TimeFlags, uint8(0), uint8(0), uint8(0), float64(0), float64(0))
	copy(w.out[64:], head)
	for _, p := range w.later {
		copy(w.out[p.place:], LE(w.at[p.to]))
	}
	return w.out
}

// block appends a block and returns its offset.
func (w *writer) block(id string, links []int64, data []byte) int64 {
	for len(w.out)%8 != 0 {
		w.out = append(w.out, 0)
	}
	at := int64(len(w.out))
	w.out = append(w.out, LE("##"+id, uint32(0), uint64(24+8*len(links)+len(data)), uint64(len(links)))...)
	for _, l := range links {
		w.out = append(w.out, LE(l)...)
	}
	w.out = append(w.out, data...)
	return at
}

// link makes link i of the block at that offset lead to what is written later.
func (w *writer) link(at int64, i int, to any) {
	w.later = append(w.later, patch{at + 24 + 8*int64(i), to})
}

// setLink sets link i of the block at that offset.
func (w *writer) setLink(at int64, i int, to int64) {
	binary.LittleEndian.PutUint64(w.out[at+24+8*int64(i):], uint64(to))
}

// text writes a TX or MD, once for equal texts; "" is NIL.
func (w *writer) text(id, s string) int64 {
	if s == "" {
		return 0
	}
	if at := w.texts[id+s]; at != 0 {
		return at
	}
	data := append([]byte(s), 0)
	for len(data)%8 != 0 {
		data = append(data, 0)
	}
	w.texts[id+s] = w.block(id, nil, data)
	return w.texts[id+s]
}

// note writes a comment: XML as MD, other texts as TX.
func (w *writer) note(s string) int64 {
	if strings.HasPrefix(s, "<") {
		return w.text("MD", s)
	}
	return w.text("TX", s)
}

func (w *writer) dataGroup(g *DataGroup, next int64) int64 {
	first := int64(0)
	for i := len(g.Groups) - 1; i >= 0; i-- {
		first = w.group(g.Groups[i], first)
	}
	at := w.block("DG", []int64{next, first, 0, 0}, LE(g.IDSize, make([]byte, 7)))
	w.at[g] = at
	if !g.NoData {
		c := g.contents()
		w.data = append(w.data, func() {
			data := w.store(c)
			w.setLink(at, 2, data)
			last := w.f.Groups[len(w.f.Groups)-1] == g
			if last && w.f.Unfinalised&UnfinLastDT != 0 && c.List == Single && c.Zip == Plain {
				binary.LittleEndian.PutUint64(w.out[data+8:], 24)
			}
		})
	}
	return at
}

// contents is the record stream of a group of groups.
func (g *DataGroup) contents() contents {
	c := contents{id: "DT", Storage: g.Storage, data: g.Stream}
	if len(g.Groups) == 0 {
		return c
	}
	one := g.Groups[0]
	data, inval := one.sizes()
	c.row = int(data + inval)
	if g.IDSize > 0 {
		c.row = 0
	}
	if g.Stream != nil {
		return c
	}
	if g.IDSize == 0 {
		for _, r := range one.Records {
			if g.Storage.List == LD || g.Storage.List == Column {
				c.data = append(c.data, r[:data]...)
				c.inval = append(c.inval, r[data:]...)
			} else {
				c.data = append(c.data, r...)
			}
		}
		if g.Storage.List == LD || g.Storage.List == Column {
			c.row, c.ibytes = int(data), int(inval)
		}
		return c
	}
	done := make([]int, len(g.Groups))
	order := g.Order
	if order == nil {
		for more := true; more; {
			more = false
			for i, cg := range g.Groups {
				if done[i] < len(cg.Records) {
					order = append(order, i)
					done[i]++
					more = true
				}
			}
		}
		clear(done)
	}
	for _, i := range order {
		cg := g.Groups[i]
		c.data = append(c.data, Tagged(g.IDSize, cg.ID, cg.Records[done[i]], cg.Flags&GroupVLSD != 0)...)
		done[i]++
	}
	return c
}

// Tagged is a record in an unsorted stream: its id, its length where it is of
// variable length, and its bytes.
func Tagged(idSize uint8, id uint64, record []byte, variable bool) []byte {
	b := LE(id)[:idSize]
	if variable {
		b = append(b, LE(uint32(len(record)))...)
	}
	return append(b, record...)
}

// sizes returns data and invalidation bytes of a record.
func (g *Group) sizes() (data, inval uint32) {
	if g.Flags&(GroupVLSD|GroupVLSC) != 0 {
		total := uint64(0)
		for _, r := range g.Records {
			total += uint64(len(r))
		}
		return uint32(total), uint32(total >> 32)
	}
	if g.DataBytes == 0 && len(g.Records) > 0 {
		return uint32(len(g.Records[0])) - g.InvalBytes, g.InvalBytes
	}
	return g.DataBytes, g.InvalBytes
}

func (w *writer) group(g *Group, next int64) int64 {
	reduction := int64(0)
	for i := len(g.Reductions) - 1; i >= 0; i-- {
		reduction = w.reduction(g, g.Reductions[i], reduction)
	}
	links := []int64{next, w.channels(g.Channels), w.text("TX", g.Name), w.source(g.Source), reduction, w.note(g.Comment)}
	if g.Master != nil {
		links = append(links, 0)
	}
	cycles := uint64(len(g.Records))
	if g.Cycles != nil {
		cycles = *g.Cycles
	}
	if w.f.Unfinalised&UnfinCycles != 0 {
		cycles = 0
	}
	data, inval := g.sizes()
	if g.Flags&GroupVLSD != 0 && w.f.Unfinalised&UnfinVLSDBytes != 0 {
		data, inval = 0, 0
	}
	at := w.block("CG", links, LE(g.ID, cycles, g.Flags, g.Separator, make([]byte, 4), data, inval))
	if g.Master != nil {
		w.link(at, 6, g.Master)
	}
	w.at[g] = at
	return at
}

func (w *writer) reduction(g *Group, r *Reduction, next int64) int64 {
	cycles := r.Cycles
	if w.f.Unfinalised&UnfinReductions != 0 {
		cycles = 0
	}
	at := w.block("SR", []int64{next, 0}, LE(cycles, r.Interval, r.Sync, r.Flags, make([]byte, 6)))
	data, inval := g.sizes()
	c := contents{id: "RD", data: r.Bytes, row: int(3*data + inval), Storage: r.Storage}
	w.data = append(w.data, func() {
		w.setLink(at, 1, w.store(c))
	})
	return at
}

func (w *writer) source(s *Source) int64 {
	if s == nil {
		return 0
	}
	if at := w.at[s]; at != 0 {
		return at
	}
	w.at[s] = w.block("SI", []int64{w.text("TX", s.Name), w.text("TX", s.Path), 0}, LE(s.Type, s.Bus, s.Flags, make([]byte, 5)))
	return w.at[s]
}

// channels writes a chain and returns its first.
func (w *writer) channels(cs []*Channel) int64 {
	next := int64(0)
	for i := len(cs) - 1; i >= 0; i-- {
		next = w.channel(cs[i], next)
	}
	return next
}

func (w *writer) channel(c *Channel, next int64) int64 {
	composition := w.channels(c.Members)
	if c.Array != nil {
		composition = w.array(c.Array)
	}
	if c.Dynamic != nil {
		composition = w.any(c.Dynamic)
	}
	links := []int64{next, composition, w.text("TX", c.Name), w.source(c.Source), w.conversion(c.Conversion), 0, w.text("TX", c.Unit), w.note(c.Comment)}
	var extra []any
	if c.Size != nil {
		extra = append(extra, c.Size)
	}
	for _, a := range c.Attachments {
		extra = append(extra, a)
	}
	if c.Flags&DefaultX != 0 {
		extra = append(extra, c.DefaultX[:]...)
	}
	for range extra {
		links = append(links, 0)
	}
	data := LE(c.Type, c.Sync, c.Data, c.Bit, c.Byte, c.Bits, c.Flags, c.InvalBit, c.Precision, c.Alignment, uint16(len(c.Attachments)))
	for _, l := range c.Limits {
		data = append(data, LE(l)...)
	}
	at := w.block("CN", links, data)
	w.at[c] = at
	for i, to := range extra {
		w.link(at, 8+i, to)
	}
	switch {
	case c.Signal != nil:
		w.signal(at, 5, c.Signal, "SD")
	case c.Group != nil:
		w.link(at, 5, c.Group)
	case c.Length != nil:
		w.link(at, 5, c.Length)
	case c.Stream != nil:
		w.link(at, 5, c.Stream)
	}
	return at
}

// signal writes signal data later, for link i of the block at that offset.
func (w *writer) signal(at int64, i int, s *Signal, id string) {
	if s.Plain {
		id = "VD"
	}
	c := contents{id: id, data: s.Bytes, Storage: s.Storage}
	w.data = append(w.data, func() {
		w.setLink(at, i, w.store(c))
	})
}

func (w *writer) array(a *Array) int64 {
	composition := w.channels(a.Members)
	if a.Array != nil {
		composition = w.array(a.Array)
	}
	links := make([]int64, 1+len(a.Data)+len(a.Links))
	links[0] = composition
	data := LE(a.Type, a.Storage, uint16(len(a.Dims)), a.Flags, a.ByteBase, a.InvalBase)
	for _, d := range a.Dims {
		data = append(data, LE(d)...)
	}
	for _, v := range a.Axis {
		data = append(data, LE(v)...)
	}
	for _, n := range a.Cycles {
		data = append(data, LE(n)...)
	}
	at := w.block("CA", links, data)
	for i, s := range a.Data {
		w.signal(at, 1+i, s, "DT")
	}
	for i, to := range a.Links {
		if to != nil {
			w.link(at, 1+len(a.Data)+i, to)
		}
	}
	return at
}

func (w *writer) conversion(b *conversion.Block) int64 {
	if b == nil {
		return 0
	}
	links := []int64{w.text("TX", b.Name), w.text("TX", b.Unit), 0, 0}
	for _, r := range b.Refs {
		switch {
		case r.Text != nil && *r.Text == "":
			links = append(links, w.block("TX", nil, make([]byte, 8)))
		case r.Text != nil:
			links = append(links, w.text("TX", *r.Text))
		default:
			links = append(links, w.conversion(r.Conversion))
		}
	}
	n := len(b.Values)
	if b.Type == 11 {
		n = len(b.Masks)
	}
	data := LE(b.Type, uint8(0), b.Flags, uint16(len(b.Refs)), uint16(n), float64(0), float64(0))
	if b.Type == 11 {
		for _, m := range b.Masks {
			data = append(data, LE(m)...)
		}
	} else {
		for _, v := range b.Values {
			data = append(data, LE(v)...)
		}
	}
	return w.block("CC", links, data)
}

func (w *writer) attachment(a *Attachment, next int64) int64 {
	w.at[a] = w.block("AT", []int64{next, w.text("TX", a.Name), w.text("TX", a.MIME), 0},
		LE(a.Flags, uint16(0), a.ZipType, make([]byte, 3), a.MD5[:], a.Size, uint64(len(a.Bytes)), bytes.Clone(a.Bytes)))
	return w.at[a]
}

// any writes a block of which nothing is known.
func (w *writer) any(b *Block) int64 {
	if at := w.at[b]; at != 0 {
		return at
	}
	for _, l := range b.Links {
		switch l := l.(type) {
		case *Block:
			w.any(l)
		case *Channel: // one that no group holds, such as a member of a union
			if w.at[l] == 0 {
				w.channel(l, 0)
			}
		}
	}
	at := w.block(b.ID, make([]int64, len(b.Links)), b.Data)
	w.at[b] = at
	for i, l := range b.Links {
		if l != nil {
			w.link(at, i, l)
		}
	}
	return at
}
