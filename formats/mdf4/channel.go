package mdf4

import (
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Data types of a channel (cn_data_type).
const (
	typeUintLE    = 0
	typeUintBE    = 1
	typeIntLE     = 2
	typeIntBE     = 3
	typeFloatLE   = 4
	typeFloatBE   = 5
	typeLatin1    = 6
	typeUTF8      = 7
	typeUTF16LE   = 8
	typeUTF16BE   = 9
	typeBytes     = 10
	typeMIMESamp  = 11
	typeMIMEFlow  = 12
	typeDate      = 13
	typeTime      = 14
	typeComplexLE = 15
	typeComplexBE = 16
	typeBOMText   = 17
)

// valueKind is what a channel holds.
type valueKind uint8

const (
	kindInt valueKind = iota
	kindFloat
	kindVirtual // the index of the record
	kindText
	kindBytes
	kindDate
	kindTime
	kindComplex
)

// storage says where the bytes of a text or byte array lie.
type storage uint8

const (
	inRecord storage = iota // all bytes of the record's field
	inLength                // as many of them as another channel says
	inStream                // in a stream of values, each with its length in front
	inBare                  // in a stream of values, with the length in another channel
)

// source is where and how the values of a channel are stored: a channel
// compiled for reading.
type source struct {
	ch     *channel
	part   int
	off    int // in the record, the id aside
	size   int // bytes of one element there
	kind   valueKind
	raw    arrow.DataType // of one element as it is stored
	width  int            // bytes of raw in a column, 0 where that varies
	big    bool
	signed bool
	shift  int
	bits   int
	mask   uint64 // of bits that belong to the value, after the shift
	dt     uint8

	store  storage
	link   int64   // of the stream
	record *group  // that has the values as records of its own; nil for none
	length *source // of values

	nullable  bool
	invalPart int
	invalOff  int // of the byte, from the beginning of the invalidation bytes' part
	invalBit  int
	allNull   bool

	nest    *nesting
	prog    *conversion.Program
	out     conversion.Output
	integer bool // physical values are whole numbers of intType
	intType arrow.DataType
}

// source compiles a channel; nil, with a problem, for one that cannot be read.
// outer counts the channels whose length is being looked for.
func (t *table) source(c *channel, at location, in *nesting, outer map[*channel]bool) *source {
	s := &source{ch: c, part: at.values, dt: c.dt, nest: in, off: int(c.byteOff), bits: int(c.bits), shift: c.bitOff}
	bad := func(format string, args ...any) *source {
		t.tell("bad_channel", c.off, "channel %q is left out: "+format, append([]any{c.fullName()}, args...)...)
		return nil
	}
	if c.kind > chanVLSC {
		return bad("its type %d is not known", c.kind)
	}
	s.size = int((c.bits + 7) / 8)
	virtual := c.kind == chanVirtual || c.kind == chanVirtualMaster
	switch {
	case virtual:
		s.kind, s.raw, s.width, s.size = kindVirtual, arrow.Uint64Type, 8, 0
	case c.kind == chanVLSD || c.kind == chanVLSC || c.dt >= typeLatin1 && c.dt <= typeMIMEFlow || c.dt == typeBOMText:
		if why := t.varying(s, c, at, outer); why != "" {
			return bad("%s", why)
		}
	case c.dt <= typeIntBE && c.bits > 64:
		s.kind, s.raw = kindBytes, arrow.BinaryType
		t.tell("wide_integer", c.off, "channel %q is an integer of %d bits and kept as bytes", c.fullName(), c.bits)
	default:
		if why := s.number(c); why != "" {
			return bad("%s", why)
		}
	}
	lo, hi := int64(0), int64(0)
	if in != nil {
		lo, hi = span(in.elems)
	}
	if !virtual && (c.byteOff+lo < 0 || c.byteOff+hi+int64(s.size) > at.width) {
		return bad("bytes %d to %d lie outside a record of %d", c.byteOff+lo, c.byteOff+hi+int64(s.size), at.width)
	}
	g := c.group
	s.allNull = c.flags&cnAllInvalid != 0
	if c.flags&cnInvalBit != 0 && g.inval > 0 && c.kind != chanMaster && c.kind != chanVirtualMaster {
		if c.invalBit/8 >= g.inval {
			t.tell("bad_channel", c.off, "channel %q has invalidation bit %d of %d bytes; its values count as valid", c.fullName(), c.invalBit, g.inval)
		} else {
			s.nullable, s.invalPart, s.invalOff, s.invalBit = true, at.inval, int(at.invalOff), int(c.invalBit)
		}
	}
	kind := conversion.Numeric
	if s.kind == kindText {
		kind = conversion.Text
	}
	if s.kind <= kindText {
		if s.prog = t.conversionOf(c, kind); s.prog != nil {
			s.out = s.prog.Output()
		}
	}
	return s
}

// number settles how a channel of fixed width is read; the text says why not.
func (s *source) number(c *channel) string {
	s.big = c.dt == typeUintBE || c.dt == typeIntBE || c.dt == typeFloatBE || c.dt == typeComplexBE
	switch c.dt {
	case typeUintLE, typeUintBE, typeIntLE, typeIntBE:
		s.signed = c.dt >= typeIntLE
		if c.bits == 0 || c.bitOff > 7 || int(c.bits)+c.bitOff > 64 {
			return "an integer of " + strconv.FormatInt(c.bits, 10) + " bits from bit " + strconv.Itoa(c.bitOff) + " does not exist"
		}
		s.kind = kindInt
		s.size = (int(c.bits) + c.bitOff + 7) / 8
		s.mask = 1<<c.bits - 1
		s.raw = integerType(int(c.bits), s.signed)
		s.width = integerWidth(int(c.bits))
	case typeFloatLE, typeFloatBE:
		s.kind = kindFloat
		switch c.bits {
		case 16, 32:
			s.raw, s.width = arrow.Float32Type, 4
		case 64:
			s.raw, s.width = arrow.Float64Type, 8
		default:
			return "a floating point number of " + strconv.FormatInt(c.bits, 10) + " bits does not exist"
		}
	case typeComplexLE, typeComplexBE:
		s.kind = kindComplex
		switch c.bits {
		case 32, 64:
			s.raw, s.width = arrow.Float32Type, 4
		case 128:
			s.raw, s.width = arrow.Float64Type, 8
		default:
			return "a complex number of " + strconv.FormatInt(c.bits, 10) + " bits does not exist"
		}
	case typeDate:
		s.kind, s.raw, s.size = kindDate, arrow.BinaryType, 7
	case typeTime:
		s.kind, s.raw, s.size = kindTime, arrow.BinaryType, 6
	default:
		return "its data type " + strconv.Itoa(int(c.dt)) + " is not known"
	}
	return ""
}

// varying settles how a text or byte array is read.
func (t *table) varying(s *source, c *channel, at location, outer map[*channel]bool) string {
	s.kind, s.raw = kindBytes, arrow.BinaryType
	switch c.dt {
	case typeLatin1, typeUTF8, typeUTF16LE, typeUTF16BE, typeBOMText:
		s.kind, s.raw = kindText, arrow.StringType
	case typeDate, typeTime, typeComplexLE, typeComplexBE:
		t.tell("raw_values", c.off, "channel %q has values of variable length and data type %d; they are kept as bytes", c.fullName(), c.dt)
	}
	var by *channel
	switch c.kind {
	case chanVLSD, chanVLSC:
		if c.bits == 0 || c.bits > 64 || c.bits%8 != 0 {
			return "its offsets have " + strconv.FormatInt(c.bits, 10) + " bits"
		}
		s.store, s.link = inStream, c.data
		if c.kind == chanVLSC {
			s.store, by = inBare, t.f.channelOf(c.group, c.sizeCN)
		}
		for _, g := range c.group.dg.groups {
			if g.off == c.data && g.varying() {
				s.record, s.link = g, 0
			}
		}
	case chanMLSD:
		s.store, by = inLength, t.f.channelOf(c.group, c.data)
		if by == nil {
			by = c.sibling("DataLength")
		}
	case chanFixed:
		if t.frame != nil && c.parent == t.frame.channel && frameColumn(t.frame.channel.name, c.name) == "data_bytes" {
			if by = c.sibling("DataLength"); by == nil {
				by = c.sibling("DLC")
			}
			if by != nil {
				s.store = inLength
			}
		}
	}
	if s.store != inLength && s.store != inBare {
		return ""
	}
	if by == nil || by == c || by.group != c.group || outer[c] || by.dt > typeIntBE {
		return "the channel with the length of its values is missing"
	}
	if outer == nil {
		outer = make(map[*channel]bool)
	}
	outer[c] = true
	if s.length = t.source(by, at, nil, outer); s.length == nil {
		return "the channel with the length of its values cannot be read"
	}
	return ""
}

// sibling finds the member of that name in the structure that c is part of.
func (c *channel) sibling(name string) *channel {
	if c.parent == nil {
		return nil
	}
	for _, m := range c.parent.members {
		if m.name == name || strings.HasSuffix(m.name, "."+name) {
			return m
		}
	}
	return nil
}

// framed gives a member of a bus frame the type that all writers share.
func (s *source) framed(name string, t *table) {
	typ := frameTypes[name]
	if typ == nil || s.kind != kindInt && s.kind != kindVirtual {
		return
	}
	if s.out.Value && !s.out.Label {
		s.integer, s.intType = true, typ
		return
	}
	if w := typeWidth(typ); s.kind == kindInt && s.bits <= 8*w && !s.signed && !s.out.Value {
		s.raw, s.width = typ, w
	}
	if name == "id" && t.frame.bus == "can" && s.bits > 29 && s.kind == kindInt {
		s.mask &= 1<<29 - 1
	}
}

// meta is what a column's metadata say of how its values are arranged.
func (s *source) meta() []string {
	var kv []string
	if s.dt == typeMIMESamp || s.dt == typeMIMEFlow {
		kv = append(kv, "media_type", s.ch.unit)
	}
	a := s.ch.array
	if a == nil {
		return kv
	}
	for i, axis := range a.fixed {
		words := make([]string, len(axis))
		for j, v := range axis {
			words[j] = strconv.FormatFloat(v, 'g', -1, 64)
		}
		kv = append(kv, "axis_"+strconv.Itoa(i+1), strings.Join(words, ","))
	}
	for i, link := range a.axes {
		if c := s.ch.group.channelAt(link); c != nil {
			kv = append(kv, "axis_"+strconv.Itoa(i+1), c.fullName())
		}
	}
	return kv
}

// channelOf finds the channel that a block describes, in g where it is one of
// several groups that the block describes.
func (f *file) channelOf(g *group, off int64) *channel {
	c := f.byOffset[off]
	if c != nil && c.group != g {
		return g.channelAt(off)
	}
	return c
}

// channelAt finds a channel of the group by its block.
func (g *group) channelAt(off int64) *channel {
	var find func([]*channel) *channel
	find = func(list []*channel) *channel {
		for _, c := range list {
			if c.off == off {
				return c
			}
			if m := find(c.members); m != nil {
				return m
			}
		}
		return nil
	}
	return find(g.channels)
}

func integerWidth(bits int) int {
	switch {
	case bits <= 8:
		return 1
	case bits <= 16:
		return 2
	case bits <= 32:
		return 4
	}
	return 8
}

func integerType(bits int, signed bool) arrow.DataType {
	switch integerWidth(bits) {
	case 1:
		if signed {
			return arrow.Int8Type
		}
		return arrow.Uint8Type
	case 2:
		if signed {
			return arrow.Int16Type
		}
		return arrow.Uint16Type
	case 4:
		if signed {
			return arrow.Int32Type
		}
		return arrow.Uint32Type
	}
	if signed {
		return arrow.Int64Type
	}
	return arrow.Uint64Type
}

func typeWidth(t arrow.DataType) int {
	switch t.ID() {
	case arrow.UINT8:
		return 1
	case arrow.UINT16:
		return 2
	case arrow.UINT32:
		return 4
	}
	return 8
}
