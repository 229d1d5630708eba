package dbc

import (
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Part says which column of a signal a Field is.
type Part uint8

const (
	// Value is the physical value.
	Value Part = iota
	// Raw is the raw number of a scaled signal with a value table.
	Raw
	// Text is the text of the raw value, as a code into Texts.
	Text
)

// Field is one column that a Plan decodes.
type Field struct {
	Name        string
	Signal      string         // the signal's own name
	Type        arrow.DataType // int64, uint64 or float64; int32 codes of a Text
	Part        Part
	Unit        string
	Description string
	Texts       []string // of a Text, by code

	signal int
}

// Options of a plan.
type Options struct {
	// KeepSpecial keeps the numbers by which J1939 and NMEA 2000 say that there
	// is an error or no value; otherwise those cells are null.
	KeepSpecial bool
	// Protocol, where not nil, replaces that of the message.
	Protocol *Protocol
}

// Plan decodes the frames of one message into columns. It is immutable.
type Plan struct {
	Message  *Message
	fields   []Field
	signals  []signalPlan
	switches []switchPlan
}

// signalPlan is a signal with all its layouts.
type signalPlan struct {
	layouts []layout
	numeric numeric
}

type numeric uint8

const (
	asFloat    numeric = iota
	asInteger          // raw, or raw*ifactor+ioffset, as int64
	asUnsigned         // 64 bits without sign
)

type switchPlan struct {
	layout
	children []Range // of all signals that depend on it, sorted and merged
}

// NewPlan compiles a message.
func NewPlan(m *Message, opt Options) *Plan {
	if opt.Protocol != nil && *opt.Protocol != m.Protocol {
		c := *m
		c.Protocol = *opt.Protocol
		m = &c
	}
	p := &Plan{Message: m}
	switches := make(map[*Signal]int32)
	var add func(s *Signal) int32
	add = func(s *Signal) int32 { // parents first
		if s == nil {
			return -1
		}
		if i, ok := switches[s]; ok {
			return i
		}
		parent := add(s.Parent)
		l := newLayout(s)
		l.parent = parent
		p.switches = append(p.switches, switchPlan{layout: l})
		switches[s] = int32(len(p.switches) - 1)
		return switches[s]
	}
	at := make(map[string]int)
	var groups [][]*Signal
	for _, s := range m.Signals {
		if parent := add(s.Parent); parent >= 0 {
			p.switches[parent].children = append(p.switches[parent].children, s.Ranges...)
		}
		i, ok := at[s.Name]
		if !ok {
			i = len(groups)
			at[s.Name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], s)
	}
	for i := range p.switches {
		p.switches[i].children = merge(p.switches[i].children)
	}
	for _, g := range groups {
		p.signal(m, g, switches, opt)
	}
	return p
}

// merge sorts ranges and joins those that touch.
func merge(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int {
		switch {
		case a.From < b.From:
			return -1
		case a.From > b.From:
			return 1
		}
		return 0
	})
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && (r.From <= out[n-1].To || r.From == out[n-1].To+1) {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// signal adds the columns of all layouts of one name.
func (p *Plan) signal(m *Message, layouts []*Signal, switches map[*Signal]int32, opt Options) {
	s := layouts[0]
	sp := signalPlan{numeric: numericOf(s)}
	var texts []string
	codes := make(map[string]int32)
	scaled := false
	for _, s := range layouts {
		if numericOf(s) != sp.numeric {
			sp.numeric = asFloat
		}
		l := newLayout(s)
		if s.Parent != nil {
			l.parent = switches[s.Parent]
		}
		l.ifactor, l.ioffset = int64(s.Factor), int64(s.Offset)
		if !opt.KeepSpecial {
			l.special = m.specialRule(s)
		}
		scaled = scaled || s.Kind == Integer && (s.Factor != 1 || s.Offset != 0)
		if len(s.Labels) > 0 {
			l.labels = make(map[uint64]int32, len(s.Labels))
			for _, label := range s.Labels {
				code, ok := codes[label.Text]
				if !ok {
					code = int32(len(texts))
					codes[label.Text] = code
					texts = append(texts, label.Text)
				}
				l.labels[uint64(label.Raw)] = code
			}
		}
		sp.layouts = append(sp.layouts, l)
	}
	n := len(p.signals)
	p.signals = append(p.signals, sp)
	types := [...]arrow.DataType{asFloat: arrow.Float64Type, asInteger: arrow.Int64Type, asUnsigned: arrow.Uint64Type}
	p.fields = append(p.fields, Field{Name: s.Name, Signal: s.Name, Type: types[sp.numeric], Unit: s.Unit, Description: s.Comment, signal: n})
	if len(texts) == 0 {
		return
	}
	if scaled {
		p.fields = append(p.fields, Field{Name: s.Name + "_raw", Signal: s.Name, Type: arrow.Int64Type, Part: Raw, Description: "raw value of " + s.Name, signal: n})
	}
	p.fields = append(p.fields, Field{Name: s.Name + "_label", Signal: s.Name, Type: arrow.Int32Type, Part: Text, Description: s.Comment, Texts: texts, signal: n})
}

// numericOf tells the type of the physical value of a signal.
func numericOf(s *Signal) numeric {
	switch {
	case s.Kind != Integer, s.Factor != math.Trunc(s.Factor), s.Offset != math.Trunc(s.Offset):
		return asFloat
	case s.Factor == 1 && s.Offset == 0:
		if s.Length == 64 && !s.Signed {
			return asUnsigned
		}
		return asInteger
	}
	// Scaled by whole numbers: exact in float64 unless the range is too wide.
	lo, hi := 0.0, math.Ldexp(1, s.Length)
	if s.Signed {
		lo, hi = -hi/2, hi/2
	}
	reach := math.Max(math.Abs(lo*s.Factor+s.Offset), math.Abs(hi*s.Factor+s.Offset))
	if reach > 1<<53 && reach < 1<<62 && math.Abs(s.Factor) < 1<<53 && math.Abs(s.Offset) < 1<<53 {
		return asInteger
	}
	return asFloat
}

// Fields lists the columns, in the order of the file.
func (p *Plan) Fields() []Field { return p.fields }

// Frames are payloads that lie in one buffer: frame i has the Size[i] bytes
// from Start[i] on, all of which are in Data.
type Frames struct {
	Data  []byte
	Start []int32
	Size  []int32
}

// Counts tells what was noticed while decoding.
type Counts struct {
	// Short counts cells that are null because the payload ends before them.
	Short int64
	// UnknownSwitch counts values of switches that no signal is sent with.
	UnknownSwitch int64
	// Special counts cells that are null because the sender says that it has no
	// right value.
	Special int64
}

// switchBlock holds the raw values of a switch for one block.
type switchBlock struct {
	raw [blockRows]uint64
	ok  [blockRows]bool
}

// Scratch is the memory a Plan works with. One goroutine uses it at a time, for
// any plans.
type Scratch struct {
	switches []switchBlock
	raw      [blockRows]uint64
	other    [blockRows]uint64
	ok       [blockRows]bool
	filled   [blockRows]bool
	layout   [blockRows]uint16
}

// Decode appends one value for each frame to those columns of out, which is
// parallel to Fields, that are not nil.
func (p *Plan) Decode(f *Frames, out []*column.Column, s *Scratch) Counts {
	var c Counts
	if len(s.switches) < len(p.switches) {
		s.switches = make([]switchBlock, len(p.switches))
	}
	for from := 0; from < len(f.Start); from += blockRows {
		n := min(blockRows, len(f.Start)-from)
		for i := range p.switches {
			p.switchRaw(i, f, from, n, s, &c)
		}
		for i := 0; i < len(p.fields); {
			end := i + 1
			for end < len(p.fields) && p.fields[end].signal == p.fields[i].signal {
				end++
			}
			p.decodeSignal(p.fields[i:end], out[i:end], f, from, n, s, &c)
			i = end
		}
	}
	return c
}

// switchRaw fills the block of a switch.
func (p *Plan) switchRaw(i int, f *Frames, from, n int, s *Scratch, c *Counts) {
	sw, b := &p.switches[i], &s.switches[i]
	ok := b.ok[:n]
	if sw.parent < 0 {
		fill(ok)
	} else {
		sw.present(&s.switches[sw.parent], ok)
	}
	sw.extract(f, from, b.raw[:n], ok)
	for k := range ok {
		if ok[k] && !known(sw.children, b.raw[k]) {
			c.UnknownSwitch++
		}
	}
}

func fill(ok []bool) {
	for i := range ok {
		ok[i] = true
	}
}

// known is within for sorted ranges.
func known(ranges []Range, v uint64) bool {
	lo, hi := 0, len(ranges)
	for lo < hi {
		if mid := (lo + hi) / 2; ranges[mid].To < v {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(ranges) && ranges[lo].From <= v
}
