package conversion

import (
	"errors"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
)

// Program is a compiled conversion. It is immutable: converters of several
// goroutines may share it.
type Program struct {
	root  *node
	in    Kind
	out   Output
	texts []string // the texts of the labels
}

// Output returns what the program makes of a channel.
func (p *Program) Output() Output { return p.out }

// opcode is what a node does.
type opcode uint8

const (
	opIdentity opcode = iota
	opLinear
	opRational
	opFormula
	opInterpolate
	opNearest
	opRangeValue
	opKeys   // value to text or rule
	opRanges // range to text or rule
	opBits
	opTextValue
	opTextText
)

// node is one compiled block.
type node struct {
	op      opcode
	name    string
	unit    string
	param   [6]float64
	formula *formula
	keys    []float64 // ascending, of opInterpolate and opNearest
	values  []float64 // of keys, ranges or texts; the default is last
	key     keyTable
	rng     rangeTable
	entries []entry // of keys or ranges; the default is last
	masks   []uint64
	byText  map[string]int32 // to values, or to labels

	label   int32 // opTextText: the default, or noLabel for the input
	depth   int   // of nodes below
	number  bool  // rows may get a value
	text    bool  // rows may get a label
	maxText int   // bytes of the largest label
}

// entry is what a key or range leads to.
type entry struct {
	label int32 // number of a text, or noLabel
	node  int32 // one more than the place of a rule in rules, or 0
	rule  *node
}

// compiler holds what the blocks of one tree share.
type compiler struct {
	texts  []string
	textID map[string]int32
	done   map[*Block]*node
	open   map[*Block]bool
	blocks int
}

// Compile checks b and compiles it for a channel of kind in. The error wraps
// pipeline.ErrCorrupt, ErrUnsupported or ErrLimit and names the block that is
// at fault; the raw values of such a channel are still good.
func Compile(b *Block, in Kind) (*Program, error) {
	if b == nil {
		return &Program{root: &node{op: opIdentity, number: true}, in: in}, nil
	}
	c := &compiler{textID: make(map[string]int32), done: make(map[*Block]*node), open: make(map[*Block]bool)}
	root, err := c.block(b, in, 0)
	if err != nil {
		return nil, err
	}
	p := &Program{root: root, in: in, texts: c.texts}
	switch root.op {
	case opIdentity:
	case opTextText:
		p.out.Text = true
	default:
		p.out.Value, p.out.Label = root.number, root.text
	}
	p.out.LabelBytes = root.maxText
	if unit, one := root.units(make(map[*node]bool)); one {
		p.out.Unit = unit
	}
	return p, nil
}

// fault names a block in an error.
func fault(b *Block, kind error, format string, args ...any) error {
	at := fmt.Sprintf("conversion of type %d at offset %d", b.Type, b.Offset)
	if b.Name != "" {
		at = fmt.Sprintf("conversion %q of type %d at offset %d", b.Name, b.Type, b.Offset)
	}
	return fmt.Errorf("%s: %s: %w", at, fmt.Sprintf(format, args...), kind)
}

func (c *compiler) block(b *Block, in Kind, depth int) (*node, error) {
	if n := c.done[b]; n != nil {
		if depth+n.depth > maxDepth {
			return nil, fault(b, pipeline.ErrLimit, "conversions nest deeper than %d", maxDepth)
		}
		return n, nil
	}
	if depth > maxDepth {
		return nil, fault(b, pipeline.ErrLimit, "conversions nest deeper than %d", maxDepth)
	}
	if c.open[b] {
		return nil, fault(b, pipeline.ErrCorrupt, "the conversion refers to itself")
	}
	if c.blocks++; c.blocks > maxBlocks {
		return nil, fault(b, pipeline.ErrLimit, "more than %d conversions in one channel", maxBlocks)
	}
	c.open[b] = true
	defer delete(c.open, b)

	if text := b.Type == typeTextToValue || b.Type == typeTextToText; b.Type != typeIdentity && text != (in == Text) {
		want := "numbers"
		if text {
			want = "texts"
		}
		return nil, fault(b, pipeline.ErrUnsupported, "the rule applies to %s, which this channel does not hold", want)
	}
	n := &node{name: b.Name, unit: b.Unit, number: true, label: noLabel}
	var err error
	switch b.Type {
	case typeIdentity:
		n.op = opIdentity
		n.number = in == Numeric
	case typeLinear, typeRational:
		err = c.polynomial(n, b)
	case typeAlgebraic:
		err = c.algebraic(n, b)
	case typeInterpolate, typeNearest:
		err = c.table(n, b)
	case typeRangeToValue:
		err = c.rangeToValue(n, b)
	case typeValueToText, typeRangeToText:
		err = c.lookup(n, b, depth)
	case typeTextToValue:
		err = c.textToValue(n, b)
	case typeTextToText:
		err = c.textToText(n, b)
	case typeBitfieldText:
		err = c.bitfield(n, b, depth)
	default:
		err = fault(b, pipeline.ErrUnsupported, "unknown type of conversion")
	}
	if err != nil {
		return nil, err
	}
	if n.maxText > maxText {
		return nil, fault(b, pipeline.ErrLimit, "the texts of a row may have %d bytes, limit %d", n.maxText, maxText)
	}
	c.done[b] = n
	return n, nil
}

func (c *compiler) polynomial(n *node, b *Block) error {
	n.op = opLinear
	want := 2
	if b.Type == typeRational {
		n.op, want = opRational, 6
	}
	if len(b.Values) < want {
		return fault(b, pipeline.ErrCorrupt, "%d parameters instead of %d", len(b.Values), want)
	}
	copy(n.param[:want], b.Values)
	if n.op == opLinear && n.param[0] == 0 && n.param[1] == 1 {
		n.op = opIdentity
	}
	return nil
}

func (c *compiler) algebraic(n *node, b *Block) error {
	n.op = opFormula
	if len(b.Refs) == 0 || b.Refs[0].Text == nil {
		return fault(b, pipeline.ErrCorrupt, "the formula is missing")
	}
	f, err := parseFormula(*b.Refs[0].Text)
	var fe *formulaError
	if errors.As(err, &fe) {
		return fault(b, fe.kind, "formula %.100q: %s", *b.Refs[0].Text, fe.Error())
	}
	n.formula = f
	return nil
}

func (c *compiler) table(n *node, b *Block) error {
	n.op = opInterpolate
	if b.Type == typeNearest {
		n.op = opNearest
	}
	if len(b.Values) == 0 || len(b.Values)%2 != 0 {
		return fault(b, pipeline.ErrCorrupt, "%d numbers are no table of keys and values", len(b.Values))
	}
	n.keys, n.values = sortedPairs(b.Values)
	if len(n.keys) == 0 {
		return fault(b, pipeline.ErrCorrupt, "no key of the table is a number")
	}
	return nil
}

func (c *compiler) rangeToValue(n *node, b *Block) error {
	n.op = opRangeValue
	if len(b.Values)%3 != 1 {
		return fault(b, pipeline.ErrCorrupt, "%d numbers are no table of ranges and values with a default", len(b.Values))
	}
	rows := len(b.Values) / 3
	lo, hi := make([]float64, rows), make([]float64, rows)
	n.values = make([]float64, rows+1)
	for i := range rows {
		lo[i], hi[i], n.values[i] = b.Values[3*i], b.Values[3*i+1], b.Values[3*i+2]
	}
	n.values[rows] = b.Values[3*rows]
	n.rng = newRangeTable(lo, hi)
	return nil
}

func (c *compiler) lookup(n *node, b *Block, depth int) error {
	n.op, n.number = opKeys, false
	rows := len(b.Values)
	if b.Type == typeRangeToText {
		n.op = opRanges
		if rows%2 != 0 {
			return fault(b, pipeline.ErrCorrupt, "%d numbers are no ranges", rows)
		}
		rows /= 2
	}
	// A list without the default is taken as one whose default is NIL.
	if len(b.Refs) != rows && len(b.Refs) != rows+1 {
		return fault(b, pipeline.ErrCorrupt, "%d references for %d entries and a default", len(b.Refs), rows)
	}
	if n.op == opKeys {
		n.key = newKeyTable(b.Values)
	} else {
		lo, hi := make([]float64, rows), make([]float64, rows)
		for i := range rows {
			lo[i], hi[i] = b.Values[2*i], b.Values[2*i+1]
		}
		n.rng = newRangeTable(lo, hi)
	}
	n.entries = make([]entry, rows+1)
	seen := make(map[*node]int32)
	for i := range n.entries {
		e := entry{label: noLabel}
		if i < len(b.Refs) {
			if err := c.entry(n, &e, b.Refs[i], depth); err != nil {
				return err
			}
		}
		if i == rows && e.rule == nil && e.label == noLabel && b.Flags&flagStatusStrings != 0 && n.number {
			e.rule = &node{op: opIdentity, number: true}
		}
		if e.rule != nil {
			if seen[e.rule] == 0 {
				seen[e.rule] = int32(len(seen) + 1)
			}
			e.node = seen[e.rule]
		}
		n.entries[i] = e
	}
	return nil
}

// entry resolves a reference of a table to a text or a rule.
func (c *compiler) entry(n *node, e *entry, r Ref, depth int) error {
	switch {
	case r.Text != nil:
		e.label = c.text(*r.Text)
		n.text = true
		n.maxText = max(n.maxText, len(*r.Text))
	case r.Conversion != nil:
		rule, err := c.block(r.Conversion, Numeric, depth+1)
		if err != nil {
			return err
		}
		e.rule = rule
		n.number = n.number || rule.number
		n.text = n.text || rule.text
		n.depth = max(n.depth, rule.depth+1)
		n.maxText = max(n.maxText, rule.maxText)
	}
	return nil
}

func (c *compiler) bitfield(n *node, b *Block, depth int) error {
	n.op, n.number, n.text = opBits, false, true
	if len(b.Refs) != len(b.Masks) {
		return fault(b, pipeline.ErrCorrupt, "%d references for %d masks", len(b.Refs), len(b.Masks))
	}
	if len(b.Masks) > maxMasks {
		return fault(b, pipeline.ErrLimit, "%d masks, limit %d", len(b.Masks), maxMasks)
	}
	total := 0
	for i, r := range b.Refs {
		e := entry{label: noLabel}
		part := node{}
		if err := c.entry(&part, &e, r, depth); err != nil {
			return err
		}
		if e.rule == nil {
			if e.label != noLabel {
				return fault(b, pipeline.ErrCorrupt, "mask %d refers to a text instead of a conversion", i)
			}
			continue // NIL: the bits have no text
		}
		total += part.maxText + 1
		if part.number {
			total += maxNumberText
		}
		if e.rule.name != "" {
			total += len(e.rule.name) + 1
		}
		n.depth = max(n.depth, part.depth)
		n.masks = append(n.masks, b.Masks[i])
		n.entries = append(n.entries, e)
	}
	n.maxText = total
	return nil
}

func (c *compiler) textToValue(n *node, b *Block) error {
	n.op = opTextValue
	if len(b.Values) != len(b.Refs)+1 {
		return fault(b, pipeline.ErrCorrupt, "%d values for %d texts and a default", len(b.Values), len(b.Refs))
	}
	n.values = b.Values
	n.byText = make(map[string]int32, len(b.Refs))
	for i, r := range b.Refs {
		if r.Text == nil {
			continue // matches nothing
		}
		if _, known := n.byText[*r.Text]; !known {
			n.byText[*r.Text] = int32(i)
		}
	}
	return nil
}

func (c *compiler) textToText(n *node, b *Block) error {
	n.op, n.number, n.text = opTextText, false, true
	if len(b.Refs) == 0 || len(b.Refs)%2 == 0 {
		return fault(b, pipeline.ErrCorrupt, "%d references are no pairs of texts with a default", len(b.Refs))
	}
	label := func(r Ref) int32 {
		if r.Text == nil {
			return noLabel
		}
		n.maxText = max(n.maxText, len(*r.Text))
		return c.text(*r.Text)
	}
	last := len(b.Refs) - 1
	n.byText = make(map[string]int32, last/2)
	for i := 0; i < last; i += 2 {
		if b.Refs[i].Text == nil {
			continue // matches nothing
		}
		if _, known := n.byText[*b.Refs[i].Text]; !known {
			n.byText[*b.Refs[i].Text] = label(b.Refs[i+1])
		}
	}
	n.label = label(b.Refs[last])
	return nil
}

func (c *compiler) text(s string) int32 {
	id, known := c.textID[s]
	if !known {
		id = int32(len(c.texts))
		c.textID[s] = id
		c.texts = append(c.texts, s)
	}
	return id
}

// units returns the unit of n, or the one that all rules below n that have one
// agree on.
func (n *node) units(seen map[*node]bool) (unit string, one bool) {
	if n.unit != "" {
		return n.unit, true
	}
	one = true
	seen[n] = true
	for _, e := range n.entries {
		if e.rule == nil || seen[e.rule] || !e.rule.number {
			continue
		}
		u, ok := e.rule.units(seen)
		if !ok || u != "" && unit != "" && u != unit {
			return "", false
		}
		if u != "" {
			unit = u
		}
	}
	return unit, one
}

// isInteger reports whether v is a whole number that int64 and float64 both
// hold exactly.
func isInteger(v float64) bool { return v == math.Trunc(v) && math.Abs(v) <= maxExact }

// maxExact is the largest magnitude below which float64 holds every integer.
const maxExact = 1 << 53
