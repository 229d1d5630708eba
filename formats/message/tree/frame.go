package tree

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline/column"
)

// States of a slot.
const (
	absent uint8 = iota
	null
	set
)

// slot is what waits for the end of its row or list element.
type slot struct {
	v     uint64
	b     []byte
	state uint8
}

// Frame takes the values of messages. One goroutine uses it.
type Frame struct {
	// Data is the block in which messages lie; Start is where the message at
	// hand begins.
	Data  []byte
	Start int
	// Scratch is memory of the decoder's own, emptied before each message.
	// Text given to PutText may lie in it: growing it leaves the old memory as
	// it is.
	Scratch []byte

	nodes []node
	cols  []*column.Column // as Plan.refs
	slots []slot           // as nodes
	// Cases is room for a number per node, for decoders that have to remember
	// which member of a union came last. It is not emptied.
	Cases []int32
	cells int // that may still be made

	code   string
	detail string
	at     int
	id     int32
}

// Decode reads the message data[start:end] into f and returns false after
// f.Fail.
type Decode func(f *Frame, start, end int) bool

// Run decodes the messages at spans of data, appends a row for each to cols
// and returns their number. At the first that cannot be decoded it stops and
// returns its index with a *message.Failure; the columns hold nothing of it.
// grow is how many bytes of one column a byte of a message can become at most.
func (p *Plan) Run(cols []*column.Column, data []byte, spans []message.Span, grow int64, decode Decode) (int, error) {
	f := p.acquire(cols, data)
	defer p.release(f)
	room := f.room()
	for i, s := range spans {
		rows := 0
		if p.tops > 0 {
			rows = cols[0].N
		}
		f.Start, f.Scratch, f.cells, f.id = int(s.Start), f.Scratch[:0], maxCells, None
		ok := true
		if room -= grow * int64(s.End-s.Start); room < 0 {
			ok = f.Fail(message.TooLarge, int(s.Start), None, "")
		}
		f.slots[0].state = set
		if ok && decode(f, int(s.Start), int(s.End)) {
			f.flush(1, f.nodes[0].end)
			if f.cells >= 0 {
				room -= int64(8 * (maxCells - f.cells))
				continue
			}
			f.Fail(message.TooLarge, int(s.Start), None, "")
		}
		for _, c := range cols[:p.tops] {
			c.Truncate(rows)
			c.TrimVar()
		}
		err := &message.Failure{Code: f.code, Offset: f.at - f.Start, Detail: f.detail}
		if f.id > 0 {
			err.Column = f.nodes[f.id].name
		}
		return i, err
	}
	return len(spans), nil
}

// room is how many bytes or rows more every column can take, as far as
// offsets of 32 bits go.
func (f *Frame) room() int64 {
	most := 0
	for _, c := range f.cols {
		switch c.Kind {
		case column.Var:
			most = max(most, len(c.Data))
		case column.List:
			most = max(most, c.Children[0].N)
		}
	}
	return math.MaxInt32 - int64(most)
}

// Fail notes why the message cannot be decoded: one of the reasons of package
// message, the position in Data, the node at fault or None. It returns false.
func (f *Frame) Fail(code string, at int, id int32, detail string) bool {
	f.code, f.at, f.id, f.detail = code, at, id, detail
	return false
}

// Has reports whether a value of the node has come, or a null.
func (f *Frame) Has(id int32) bool { return f.slots[id].state != absent }

// Get returns the value of fixed size that has come for a node; ok is false
// where none has.
func (f *Frame) Get(id int32) (v uint64, ok bool) {
	s := &f.slots[id]
	return s.v, s.state == set && !f.nodes[id].elem
}

// GetText returns the text or bytes that have come for a node; nil where none
// have.
func (f *Frame) GetText(id int32) []byte {
	if s := &f.slots[id]; s.state == set && !f.nodes[id].elem {
		return s.b
	}
	return nil
}

// Kind is what the values of the node are.
func (f *Frame) Kind(id int32) Kind { return f.nodes[id].kind }

// Put takes a value of fixed size.
func (f *Frame) Put(id int32, v uint64) {
	n := &f.nodes[id]
	if !n.elem {
		s := &f.slots[id]
		s.v, s.state = v, set
		return
	}
	f.fixed(n, v)
}

// PutText takes a String or Binary, which must stay as it is until the message
// ends. at is where it lies, for the error when a String is not UTF-8.
func (f *Frame) PutText(id int32, b []byte, at int) bool {
	n := &f.nodes[id]
	if n.kind == String && !utf8.Valid(b) {
		return f.Fail(message.InvalidUTF8, at, id, "")
	}
	if !n.elem {
		s := &f.slots[id]
		s.b, s.state = b, set
		return true
	}
	if n.col >= 0 {
		f.text(f.cols[n.col], b)
	}
	return true
}

// PutNull takes a null in place of a value, a list or a struct.
func (f *Frame) PutNull(id int32) {
	n := &f.nodes[id]
	if !n.elem {
		f.Clear(id)
		f.slots[id].state = null
		return
	}
	f.null(n)
}

// PutRun takes n elements of a list that lie side by side, little-endian and
// as wide as the column; id is that of the element, which has no labels and is
// not Bool.
func (f *Frame) PutRun(id int32, b []byte, n int) {
	nd := &f.nodes[id]
	if nd.col < 0 {
		return
	}
	c := f.cols[nd.col]
	c.Grow(len(b))
	c.Data = append(c.Data, b...)
	c.N += n
}

// HasLabels reports whether the node is an enumeration.
func (f *Frame) HasLabels(id int32) bool { return f.nodes[id].labels != nil }

// Open says that a list is there, if only an empty one, or that a struct is.
// Opening it again adds to it.
func (f *Frame) Open(id int32) { f.slots[id].state = set }

// Close ends a list, or struct, that was opened. Only elements of lists need it: others
// end with their row. It returns false when the message makes too many cells.
func (f *Frame) Close(id int32) bool {
	n := &f.nodes[id]
	if !n.elem {
		return true
	}
	f.slots[id].state = absent
	switch n.kind {
	case Struct:
		if f.cells -= int(n.cells); f.cells < 0 {
			return f.Fail(message.TooLarge, f.Start, id, "")
		}
		f.flush(id+1, n.end)
		if n.col >= 0 {
			f.cols[n.col].N++
		}
	case List, FixedList:
		f.list(n)
	}
	return true
}

// Clear forgets what came for a node that is not an element.
func (f *Frame) Clear(id int32) {
	end := f.nodes[id].end
	for i := id; i < end; {
		n := &f.nodes[i]
		f.slots[i].state = absent
		if n.kind == List || n.kind == FixedList {
			f.trim(n.col)
			f.trim(n.label)
			i = n.end
			continue
		}
		i++
	}
}

// trim drops the elements of a list that is not closed.
func (f *Frame) trim(col int32) {
	if col >= 0 {
		f.cols[col].TrimVar()
	}
}

// flush appends the slots of nodes [i, end) to their columns.
func (f *Frame) flush(i, end int32) {
	for i < end {
		n, s := &f.nodes[i], &f.slots[i]
		state := s.state
		s.state = absent
		switch n.kind {
		case Struct:
			if state != set && n.nullable {
				f.nulls(i)
				i = n.end
				continue
			}
			if n.col >= 0 {
				f.cols[n.col].N++
			}
			i++
			continue
		case List, FixedList:
			if state == null || state == absent && (n.nullable || n.kind == FixedList) {
				f.null(n)
			} else {
				f.list(n)
			}
		case String, Binary:
			switch {
			case state == set:
				f.text(f.cols[n.col], s.b)
				s.b = nil
			case state == null || n.nullable:
				f.null(n)
			default:
				f.cells -= len(n.text) / 8
				f.cols[n.col].AppendString(n.text)
			}
		default:
			switch {
			case state == set:
				f.fixed(n, s.v)
			case state == null || n.nullable:
				f.null(n)
			default:
				f.fixed(n, n.def)
			}
		}
		i = n.end
	}
}

// nulls appends a null for struct i: to its column, or to all below it.
func (f *Frame) nulls(i int32) {
	n := &f.nodes[i]
	if f.cells -= int(n.cells); f.cells < 0 {
		return // the message is refused for it
	}
	if n.col >= 0 {
		f.cols[n.col].AppendNull()
		return
	}
	for k := i + 1; k < n.end; {
		m := &f.nodes[k]
		f.slots[k].state = absent
		if m.kind == Struct {
			k++
			continue
		}
		f.null(m)
		k = m.end
	}
}

func (f *Frame) null(n *node) {
	if n.kind == FixedList {
		if f.cells -= int(n.cells); f.cells < 0 {
			return // the message is refused for it
		}
	}
	if n.col >= 0 {
		f.cols[n.col].AppendNull()
	}
	if n.label >= 0 {
		f.cols[n.label].AppendNull()
	}
}

// list closes a list; the elements are in its child column.
func (f *Frame) list(n *node) {
	if n.col >= 0 {
		closeList(f.cols[n.col])
	}
	if n.label >= 0 {
		closeList(f.cols[n.label])
	}
}

func closeList(c *column.Column) {
	if c.Kind == column.FixedList {
		c.N++
		return
	}
	c.CloseValue(c.Children[0].N)
}

func (f *Frame) text(c *column.Column, b []byte) {
	if len(c.Data)+len(b) > cap(c.Data) {
		c.Grow(len(b))
	}
	c.Data = append(c.Data, b...)
	c.CloseValue(len(c.Data))
}

// fixed appends a value of fixed size, and its label.
func (f *Frame) fixed(n *node, v uint64) {
	if n.label >= 0 {
		f.labelOf(n, v)
	}
	if n.col < 0 {
		return
	}
	c := f.cols[n.col]
	if len(c.Data)+8 > cap(c.Data) {
		c.Grow(8)
	}
	switch n.kind {
	case Bool:
		c.AppendBool(v != 0)
		return
	case Int8, Uint8:
		c.Data = append(c.Data, byte(v))
	case Int16, Uint16:
		c.Data = binary.LittleEndian.AppendUint16(c.Data, uint16(v))
	case Int32, Uint32, Float32:
		c.Data = binary.LittleEndian.AppendUint32(c.Data, uint32(v))
	default:
		c.Data = binary.LittleEndian.AppendUint64(c.Data, v)
	}
	c.N++
}

func (f *Frame) labelOf(n *node, v uint64) {
	s := n.labels.Find(int64(v))
	c := f.cols[n.label]
	if s == "" {
		c.AppendNull()
		return
	}
	if f.cells -= len(s) / 8; f.cells < 0 {
		s = "" // the message is refused for its cells
	}
	c.AppendString(s)
}
