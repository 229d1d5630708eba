package rosmsg

import (
	"strconv"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Leafless reports whether a message of the type holds no value at all, only
// other messages that hold none.
func (t *Type) Leafless() bool { return t.leaves == 0 }

// MinSize is a lower bound of the bytes that a message takes, without any
// alignment. It is at least 1 unless the type is leafless.
func (t *Type) MinSize() int { return int(t.min) }

// HasWString reports whether a wstring occurs anywhere in the type.
func (t *Type) HasWString() bool {
	return t.hasWString(make(map[*Type]bool))
}

func (t *Type) hasWString(seen map[*Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Kind == WString || f.Message != nil && f.Message.hasWString(seen) {
			return true
		}
	}
	return false
}

// Columns are the flat columns of a message in order of declaration. A message
// inside a message becomes columns with dotted names; only inside lists is it
// a struct.
//
//	bool, numbers               the Arrow type of that name
//	string, wstring             utf8
//	time, duration              timestamp[ns, UTC], duration[ns]
//	uint8, char, byte repeated  binary
//	T[N]                        fixed_size_list<T>
//	T[], T[<=N]                 list<T>
//
// Messages without values have no columns. A sequence of such is its length,
// uint32: that is all there is to know. Arrays of length 0 have no column.
func (t *Type) Columns() []arrow.Field {
	return t.flatten("", make([]arrow.Field, 0, t.leaves), make(map[*Type]arrow.DataType))
}

func (t *Type) flatten(prefix string, out []arrow.Field, memo map[*Type]arrow.DataType) []arrow.Field {
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Kind == Message && f.Array == Single {
			out = f.Message.flatten(prefix+f.Name+".", out, memo)
		} else if dt := f.dataType(memo); dt != nil {
			out = append(out, arrow.Field{Name: prefix + f.Name, Type: dt, Nullable: true, Metadata: f.metadata()})
		}
	}
	return out
}

// dataType is the Arrow type of the field, nil where it has no value.
func (f *Field) dataType(memo map[*Type]arrow.DataType) arrow.DataType {
	if f.Bytes() {
		if f.Array == Fixed && f.Len == 0 {
			return nil
		}
		return arrow.BinaryType
	}
	elem := f.valueType(memo)
	switch {
	case f.Array == Single:
		return elem
	case f.Array == Fixed && (elem == nil || f.Len == 0):
		return nil
	case f.Array == Fixed:
		return arrow.FixedSizeListOf(int32(f.Len), elem)
	case elem == nil:
		return arrow.Uint32Type
	}
	return arrow.ListOf(elem)
}

// metadata tells how long binary columns can become, where the type says so.
func (f *Field) metadata() arrow.Metadata {
	if f.Bytes() && (f.Array == Fixed || f.Array == Sequence && f.Len > 0) {
		return pipeline.FieldMeta(pipeline.MetaMaxBytes, strconv.Itoa(int(f.Len)))
	}
	return arrow.Metadata{}
}

// HasColumn reports whether the field has a value of its own: it is false for
// messages and arrays that hold nothing.
func (f *Field) HasColumn() bool {
	if f.Array == Fixed && f.Len == 0 {
		return false
	}
	return f.Array == Sequence || f.Kind != Message || !f.Message.Leafless()
}

func (f *Field) valueType(memo map[*Type]arrow.DataType) arrow.DataType {
	switch f.Kind {
	case Bool:
		return arrow.BoolType
	case Int8:
		return arrow.Int8Type
	case Uint8:
		return arrow.Uint8Type
	case Int16:
		return arrow.Int16Type
	case Uint16:
		return arrow.Uint16Type
	case Int32:
		return arrow.Int32Type
	case Uint32:
		return arrow.Uint32Type
	case Int64:
		return arrow.Int64Type
	case Uint64:
		return arrow.Uint64Type
	case Float32:
		return arrow.Float32Type
	case Float64:
		return arrow.Float64Type
	case String, WString:
		return arrow.StringType
	case Time:
		return arrow.TimeType
	case Duration:
		return arrow.SpanType
	}
	return f.Message.structType(memo)
}

// structType is the type of a message inside a list.
func (t *Type) structType(memo map[*Type]arrow.DataType) arrow.DataType {
	if dt, ok := memo[t]; ok {
		return dt
	}
	var fields []arrow.Field
	for i := range t.Fields {
		f := &t.Fields[i]
		if dt := f.dataType(memo); dt != nil {
			fields = append(fields, arrow.Field{Name: f.Name, Type: dt, Nullable: true})
		}
	}
	var dt arrow.DataType
	if fields != nil {
		dt = arrow.StructOf(fields...)
	}
	memo[t] = dt
	return dt
}

// HeaderStamp is the column with the time of the message's own header: that
// of the first header, or a stamp of the message itself. It is empty where
// there is none.
func (t *Type) HeaderStamp() string {
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Kind != Message || f.Array != Single {
			continue
		}
		if key := keyOf(f.Message.Name); key != "std_msgs/Header" && key != "roslib/Header" {
			continue
		}
		if f.Message.stamped() {
			return f.Name + ".stamp"
		}
	}
	if t.stamped() {
		return "stamp"
	}
	return ""
}

func (t *Type) stamped() bool {
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Name == "stamp" && f.Kind == Time && f.Array == Single {
			return true
		}
	}
	return false
}
