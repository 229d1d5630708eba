package cdr

import (
	"github.com/drivemill/drivemill/formats/message/idl"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// step is a shape compiled for the columns wanted.
type step struct {
	shape   *shape
	id      int32 // tree.None: skipped
	elem    int32 // of the struct of a map's pairs
	size    int   // of a number, 0 where it varies
	least   int   // bytes that a value takes at least
	members []*step
	first   *step // element, or discriminator
	second  *step // key of a map
}

func compileStep(p *tree.Plan, sh *shape) *step {
	s := &step{shape: sh, id: tree.None, elem: tree.None}
	if sh.node != nil {
		s.id = p.ID(sh.node)
	}
	s.size = sizeOf(sh.typ)
	s.least = max(s.size, 1)
	if k := sh.typ.Kind; k == idl.String || k == idl.WString || k == idl.Sequence || k == idl.Map {
		s.least = 4
	}
	for _, m := range sh.members {
		s.members = append(s.members, compileStep(p, m))
	}
	if sh.elem != nil {
		s.first = compileStep(p, sh.elem)
	} else if sh.typ.Elem != nil {
		s.first = &step{shape: &shape{typ: sh.typ.Elem}, size: 1, least: 1, id: tree.None}
	}
	if sh.disc != nil {
		s.first = compileStep(p, sh.disc)
	}
	if sh.key != nil {
		s.second = compileStep(p, sh.key)
		s.elem = p.ID(sh.node.Members[0])
	}
	return s
}

// sizeOf is the number of bytes of a primitive or enumeration.
func sizeOf(t *idl.Type) int {
	switch t.Kind {
	case idl.Bool, idl.Int8, idl.Uint8, idl.Char:
		return 1
	case idl.Int16, idl.Uint16, idl.WChar:
		return 2
	case idl.Int32, idl.Uint32, idl.Float32:
		return 4
	case idl.Int64, idl.Uint64, idl.Float64:
		return 8
	case idl.Float128:
		return 16
	case idl.Enum, idl.Bitmask:
		return t.Bytes
	}
	return 0
}

func primitive(t *idl.Type) bool { return t.Kind <= idl.WChar }
