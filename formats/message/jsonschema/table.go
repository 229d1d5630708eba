package jsonschema

import (
	"github.com/drivemill/drivemill/formats/message/tree"
)

// Table is a Value compiled for the columns that are wanted. It is immutable.
type Table struct {
	Kind Kind
	// ID is that of the node, tree.None where it is not wanted and only looked
	// over.
	ID int32
	// Elem is the element of an Array; the value itself of a root that is not
	// an Object.
	Elem *Table
	// Extra is the id of the column of unnamed members; only the root has one.
	Extra int32

	keys    []string
	members []*Table
	index   map[string]int32
}

// Compile makes the table of a value.
func Compile(p *tree.Plan, v *Value) *Table {
	t := &Table{Kind: v.Kind, ID: p.ID(v.Node), Extra: tree.None}
	if v.Extra != nil {
		t.Extra = p.ID(v.Extra)
	}
	switch {
	case v.Kind == Object:
		t.keys = v.Keys
		t.index = make(map[string]int32, len(v.Keys))
		for i, m := range v.Members {
			t.index[v.Keys[i]] = int32(i)
			t.members = append(t.members, Compile(p, m))
		}
	case len(v.Members) > 0:
		t.Elem = Compile(p, v.Members[0])
	}
	return t
}

// Find looks up a key of an Object, first at the place hint, where it is when
// messages keep the order of the schema. It returns nil for a key that the
// schema does not name, and the next hint.
func (t *Table) Find(key []byte, hint int) (*Table, int) {
	if hint < len(t.keys) && t.keys[hint] == string(key) {
		return t.members[hint], hint + 1
	}
	i, ok := t.index[string(key)]
	if !ok {
		return nil, hint
	}
	return t.members[i], int(i) + 1
}

// Nanoseconds adds up a time of an object with sec and nsec; ok is false where
// it is out of range.
func Nanoseconds(sec, nsec int64, have bool) (ns int64, ok bool) {
	const top = 1<<63/1_000_000_000 - 1
	if !have || nsec <= -1_000_000_000 || nsec >= 1_000_000_000 || sec > top || sec < -top {
		return 0, false
	}
	return sec*1_000_000_000 + nsec, true
}
