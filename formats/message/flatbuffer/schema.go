package flatbuffer

import (
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
)

// The base types of reflection.fbs.
const (
	baseNone = iota
	baseUType
	baseBool
	baseByte
	baseUByte
	baseShort
	baseUShort
	baseInt
	baseUInt
	baseLong
	baseULong
	baseFloat
	baseDouble
	baseString
	baseVector
	baseObj
	baseUnion
	baseArray
	baseVector64
)

// sizes of base types in a table or struct.
var sizes = [...]int{baseUType: 1, baseBool: 1, baseByte: 1, baseUByte: 1, baseShort: 2, baseUShort: 2, baseInt: 4, baseUInt: 4,
	baseLong: 8, baseULong: 8, baseFloat: 4, baseDouble: 8, baseString: 4, baseVector: 4, baseObj: 4, baseUnion: 4}

type object struct {
	name     string
	isStruct bool
	size     int // of a struct
	fields   []field
}

type field struct {
	name       string
	typ        fieldType
	id         uint64
	offset     int // in the vtable, or in a struct
	integer    uint64
	real       float64
	deprecated bool
	optional   bool
}

type fieldType struct {
	base, elem int
	index      int // of an object or enum; -1: none
	length     int // of an array
}

type enum struct {
	name    string
	isUnion bool
	labels  map[int64]string
	values  []variant
}

type variant struct {
	name  string
	value int64
	typ   fieldType
}

type schema struct {
	objects []object
	enums   []enum
}

func (s *schema) find(name string) *object {
	for i := range s.objects {
		if s.objects[i].name == name && !s.objects[i].isStruct {
			return &s.objects[i]
		}
	}
	return nil
}

// reader reads tables of a reflection schema. The first thing that does not
// fit is kept in err, and all that follows reads as zero.
type reader struct {
	buffer
	err   error
	spent int
}

func (r *reader) fail(what string, pos int) {
	if r.err == nil {
		r.err = fmt.Errorf("%s at byte %d: %w", what, pos, pipeline.ErrCorrupt)
	}
}

// spend counts what is read, since parts may be shared.
func (r *reader) spend(n int) {
	if r.spent += n; r.spent > 4*len(r.b)+4096 && r.err == nil {
		r.err = fmt.Errorf("parts of the schema are shared too often: %w", pipeline.ErrLimit)
	}
}

func (r *reader) tableAt(pos int) tableAt {
	t, ok := r.table(pos)
	if !ok {
		r.fail("bad table", pos)
		return tableAt{}
	}
	r.spend(t.size)
	return t
}

// get reads a scalar of n bytes in the slot of a table.
func (r *reader) get(t tableAt, slot, n int, otherwise uint64) uint64 {
	pos := r.field(t, 4+2*slot, n)
	if r.err != nil || pos == 0 {
		return otherwise
	}
	if pos < 0 {
		r.fail("bad field", t.pos)
		return otherwise
	}
	return r.number(pos, n)
}

func (r *reader) text(t tableAt, slot int) string {
	pos := r.field(t, 4+2*slot, 4)
	if r.err != nil || pos == 0 {
		return ""
	}
	at, n, ok := r.vector(pos, 1)
	if pos < 0 || !ok {
		r.fail("bad string", t.pos)
		return ""
	}
	r.spend(n)
	return string(r.b[at : at+n])
}

// sub reads the table in a slot; ok is false where there is none.
func (r *reader) sub(t tableAt, slot int) (tableAt, bool) {
	pos := r.field(t, 4+2*slot, 4)
	if r.err != nil || pos == 0 {
		return tableAt{}, false
	}
	to, ok := r.follow(max(pos, 0))
	if pos < 0 || !ok {
		r.fail("bad offset", t.pos)
		return tableAt{}, false
	}
	return r.tableAt(to), r.err == nil
}

// each calls fn for the tables of a vector in a slot.
func (r *reader) each(t tableAt, slot int, fn func(tableAt)) {
	pos := r.field(t, 4+2*slot, 4)
	if r.err != nil || pos == 0 {
		return
	}
	at, n, ok := r.vector(max(pos, 0), 4)
	if pos < 0 || !ok {
		r.fail("bad vector", t.pos)
		return
	}
	if n > maxTypes {
		r.err = fmt.Errorf("a vector of %d, at most %d are read: %w", n, maxTypes, pipeline.ErrLimit)
	}
	for i := 0; i < n && r.err == nil; i++ {
		to, ok := r.follow(at + 4*i)
		if !ok {
			r.fail("bad offset", at+4*i)
			return
		}
		if e := r.tableAt(to); r.err == nil {
			fn(e)
		}
	}
}

func (r *reader) typ(t tableAt, slot int) fieldType {
	out := fieldType{index: -1}
	if y, ok := r.sub(t, slot); ok {
		out.base, out.elem = int(r.get(y, 0, 1, 0)), int(r.get(y, 1, 1, 0))
		out.index = int(int32(r.get(y, 2, 4, math.MaxUint32)))
		out.length = int(r.get(y, 3, 2, 0))
	}
	return out
}

func parseSchema(b []byte) (*schema, error) {
	if len(b) > maxSchema {
		return nil, fmt.Errorf("schema of %d bytes, at most %d are read: %w", len(b), maxSchema, pipeline.ErrLimit)
	}
	r := &reader{buffer: buffer{b: b}}
	to, ok := r.follow(0)
	if !ok || len(b) < 8 || string(b[4:8]) != "BFBS" {
		return nil, fmt.Errorf("not a binary schema (BFBS): %w", pipeline.ErrCorrupt)
	}
	s := &schema{}
	root := r.tableAt(to)
	r.each(root, 0, func(t tableAt) {
		o := object{name: r.text(t, 0), isStruct: r.get(t, 2, 1, 0) != 0, size: int(int32(r.get(t, 4, 4, 0)))}
		r.each(t, 1, func(t tableAt) {
			o.fields = append(o.fields, field{name: r.text(t, 0), typ: r.typ(t, 1), id: r.get(t, 2, 2, 0), offset: int(r.get(t, 3, 2, 0)),
				integer: r.get(t, 4, 8, 0), real: math.Float64frombits(r.get(t, 5, 8, 0)), deprecated: r.get(t, 6, 1, 0) != 0, optional: r.get(t, 11, 1, 0) != 0})
		})
		s.objects = append(s.objects, o)
	})
	r.each(root, 1, func(t tableAt) {
		e := enum{name: r.text(t, 0), isUnion: r.get(t, 2, 1, 0) != 0, labels: make(map[int64]string)}
		r.each(t, 1, func(t tableAt) {
			v := variant{name: r.text(t, 0), value: int64(r.get(t, 1, 8, 0)), typ: r.typ(t, 3)}
			if _, ok := e.labels[v.value]; !ok {
				e.labels[v.value] = v.name
			}
			e.values = append(e.values, v)
		})
		s.enums = append(s.enums, e)
	})
	return s, r.err
}
