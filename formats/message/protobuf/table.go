package protobuf

import (
	"github.com/drivemill/drivemill/formats/message/tree"
)

// table finds the fields of a message by number.
type table struct {
	id     int32 // of the struct
	dense  []int16
	sparse map[int32]int16
	fields []entry
	first  []int32 // by oneof: the node whose place in Frame.Cases it uses
}

// entry is a field that is wanted, or that clears one that is.
type entry struct {
	typ     uint64
	special special
	repeat  bool
	group   bool
	oneof   int32
	id      int32 // of the value or the list; tree.None: only clears its oneof
	elem    int32 // of the element of a list
	sub     *table
}

// compile makes the table of a shape for the columns wanted.
func compile(p *tree.Plan, sh *shape) *table {
	t := &table{id: p.ID(sh.node)}
	for _, m := range sh.fields {
		if m.oneof >= 0 {
			for int(m.oneof) >= len(t.first) && len(t.first) < len(sh.fields)+int(m.oneof) && m.oneof < 1<<16 {
				t.first = append(t.first, tree.None)
			}
			if id := p.ID(m.node); id != tree.None && int(m.oneof) < len(t.first) && t.first[m.oneof] == tree.None {
				t.first[m.oneof] = id
			}
		}
	}
	for _, m := range sh.fields {
		e := entry{typ: m.typ, special: m.special, repeat: m.repeat, group: m.group, oneof: tree.None, id: p.ID(m.node), elem: tree.None}
		if m.oneof >= 0 && int(m.oneof) < len(t.first) && t.first[m.oneof] != tree.None {
			e.oneof = t.first[m.oneof]
		}
		if e.id == tree.None && e.oneof == tree.None {
			continue
		}
		if e.id != tree.None {
			e.elem = e.id
			if m.repeat {
				e.elem = p.ID(m.node.Members[0])
			}
			if m.sub != nil {
				e.sub = compile(p, m.sub)
			}
		}
		i := int16(len(t.fields))
		t.fields = append(t.fields, e)
		if m.number < 512 {
			for len(t.dense) <= int(m.number) {
				t.dense = append(t.dense, -1)
			}
			t.dense[m.number] = i
		} else {
			if t.sparse == nil {
				t.sparse = make(map[int32]int16)
			}
			t.sparse[m.number] = i
		}
	}
	return t
}

// find returns the field with a number, nil where nobody asks for it.
func (t *table) find(num int32) *entry {
	if int(num) < len(t.dense) {
		if i := t.dense[num]; i >= 0 {
			return &t.fields[i]
		}
		return nil
	}
	if t.sparse != nil {
		if i, ok := t.sparse[num]; ok {
			return &t.fields[i]
		}
	}
	return nil
}
