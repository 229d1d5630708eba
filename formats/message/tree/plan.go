package tree

import (
	"fmt"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/column"
)

// None is the id of a node that is not wanted.
const None int32 = -1

// Plan is a selection of columns, compiled. It is immutable but for a pool of
// frames, so that many goroutines use one.
type Plan struct {
	nodes []node // in preorder; the first is the root
	refs  []colRef
	tops  int
	ids   map[*Node]int32
	pool  sync.Pool
}

// node is a Node at work.
type node struct {
	kind     Kind
	nullable bool
	elem     bool  // an element of a list, appended at once
	end      int32 // of the nodes below it
	col      int32 // of values; -1: none
	label    int32 // of labels; -1: none
	cells    int32 // leaves below, for the bound on what a message makes
	def      uint64
	text     string
	labels   *Labels
	name     string // dotted
}

// colRef finds a column: child index of the column parent, or index in the
// columns given to Run where parent is -1.
type colRef struct{ parent, index int32 }

// Compile makes the plan that fills the named columns, in the order of
// Fields; nil means all.
func (l *Layout) Compile(columns []string) (*Plan, error) {
	p := &Plan{ids: make(map[*Node]int32)}
	c := &compiler{Plan: p}
	if columns != nil {
		c.want = make(map[string]bool, len(columns))
		known := make(map[string]bool, len(l.fields))
		for _, f := range l.fields {
			known[f.Name] = true
		}
		for _, name := range columns {
			if !known[name] {
				return nil, fmt.Errorf("the message type has no column %q: %w", name, pipeline.ErrSchema)
			}
			c.want[name] = true
		}
	}
	p.nodes = append(p.nodes, node{kind: Struct, col: -1, label: -1})
	p.ids[l.Root] = 0
	c.members(l.Root, "", -1)
	p.nodes[0].end = int32(len(p.nodes))
	return p, nil
}

// ID is the number of a node, None where it is not wanted.
func (p *Plan) ID(n *Node) int32 {
	if id, ok := p.ids[n]; ok {
		return id
	}
	return None
}

type compiler struct {
	*Plan
	want map[string]bool // nil: all
}

func (c *compiler) top(name string) int32 {
	if c.want != nil && !c.want[name] {
		return -1
	}
	c.tops++
	return c.ref(-1, int32(c.tops-1))
}

func (c *compiler) ref(parent, index int32) int32 {
	c.refs = append(c.refs, colRef{parent, index})
	return int32(len(c.refs) - 1)
}

// members compiles the members of n, which are columns of the root where
// parent is -1, else children of that struct column.
func (c *compiler) members(n *Node, prefix string, parent int32) {
	next := int32(0)
	for i, m := range n.Members {
		name := prefix + m.Name
		at := len(c.nodes)
		col, label := int32(-1), int32(-1)
		flat := parent < 0 && m.Kind == Struct && len(m.Members) > 0
		switch {
		case flat:
		case parent < 0:
			col = c.top(name)
			if m.labelled() {
				label = c.top(prefix + n.labelName(i))
			}
			if col < 0 && label < 0 {
				continue
			}
		default:
			col = c.ref(parent, next)
			next++
			if m.labelled() {
				label = c.ref(parent, next)
				next++
			}
		}
		c.add(m, name, col, label, false)
		if flat && len(c.nodes) == at+1 { // nothing of it is wanted
			c.nodes = c.nodes[:at]
			delete(c.ids, m)
		}
	}
}

func (c *compiler) add(n *Node, name string, col, label int32, elem bool) {
	at := len(c.nodes)
	c.ids[n] = int32(at)
	c.nodes = append(c.nodes, node{kind: n.Kind, nullable: n.Nullable, elem: elem, col: col, label: label,
		def: n.Default, text: n.Text, labels: n.Labels, name: name})
	switch n.Kind {
	case Struct:
		if len(n.Members) == 0 {
			c.nodes[at].kind = Bool
			break
		}
		c.members(n, name+".", col)
	case List, FixedList:
		m := n.Members[0]
		if label >= 0 {
			label = c.ref(label, 0)
		}
		if col >= 0 {
			col = c.ref(col, 0)
		}
		c.add(m, name, col, label, true)
	}
	cells := int32(n.weight())
	for i := at + 1; i < len(c.nodes) && n.Kind == Struct; i++ {
		cells++
	}
	c.nodes[at].cells = cells
	c.nodes[at].end = int32(len(c.nodes))
}

// acquire returns a frame for some columns.
func (p *Plan) acquire(cols []*column.Column, data []byte) *Frame {
	f, _ := p.pool.Get().(*Frame)
	if f == nil {
		f = &Frame{nodes: p.nodes, cols: make([]*column.Column, len(p.refs)), slots: make([]slot, len(p.nodes)), Cases: make([]int32, len(p.nodes))}
	}
	for i, r := range p.refs {
		if r.parent < 0 {
			f.cols[i] = cols[r.index]
		} else {
			f.cols[i] = f.cols[r.parent].Children[r.index]
		}
	}
	f.Data = data
	return f
}

func (p *Plan) release(f *Frame) {
	clear(f.cols)
	clear(f.slots)
	f.Data = nil
	if cap(f.Scratch) > 1<<20 {
		f.Scratch = nil
	}
	p.pool.Put(f)
}
