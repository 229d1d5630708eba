package idl

import (
	"fmt"
	"strings"
)

// Definition writes a struct and all it uses as a definition in the .msg
// language of ROS 2, with sections, as package rosmsg reads it. ok is false
// for types that language does not have: enums, unions, maps, optional members,
// lists of lists and the like, and names that are not pkg::space::Type.
//
// It is for folders of message definitions that hold .idl files in place of
// .msg files: values lie in both as the one says as the other does, as long as
// no type is mutable.
func Definition(t *Type) (text string, ok bool) {
	w := &msgWriter{ok: t.Kind == Struct, done: make(map[string]*Type)}
	w.name(t)
	w.fields(t)
	for len(w.queue) > 0 && w.ok {
		next := w.queue[0]
		w.queue = w.queue[1:]
		fmt.Fprintf(&w.b, "%s\nMSG: %s\n", strings.Repeat("=", 80), w.name(next))
		w.fields(next)
	}
	return w.b.String(), w.ok
}

type msgWriter struct {
	b     strings.Builder
	ok    bool
	done  map[string]*Type
	queue []*Type
}

// name is the ROS name of a struct, whose definition will be written.
func (w *msgWriter) name(t *Type) string {
	parts := strings.Split(t.Name, "::")
	if len(parts) != 3 {
		w.ok = false
		return ""
	}
	// The .msg language looks types up without the part in the middle.
	key := parts[0] + "/" + parts[2]
	switch old := w.done[key]; old {
	case nil:
		w.done[key] = t
		if len(w.done) > 1 {
			w.queue = append(w.queue, t)
		}
	default:
		w.ok = w.ok && old == t
	}
	return strings.Join(parts, "/")
}

var msgWords = map[Kind]string{
	Bool: "bool", Int8: "int8", Uint8: "uint8", Int16: "int16", Uint16: "uint16", Int32: "int32", Uint32: "uint32",
	Int64: "int64", Uint64: "uint64", Float32: "float32", Float64: "float64", Char: "char", String: "string", WString: "wstring",
}

func (w *msgWriter) fields(t *Type) {
	if t.Ext == Mutable {
		w.ok = false
	}
	for _, m := range t.Members {
		of, suffix := m.Type, ""
		switch of.Kind {
		case Array:
			suffix = fmt.Sprintf("[%d]", of.Len)
			of = of.Elem
		case Sequence:
			suffix = "[]"
			if of.Len > 0 {
				suffix = fmt.Sprintf("[<=%d]", of.Len)
			}
			of = of.Elem
		}
		word, known := msgWords[of.Kind]
		switch {
		case of.Kind == Struct:
			word = w.name(of)
		case !known || m.Optional:
			w.ok = false
		case (of.Kind == String || of.Kind == WString) && of.Len > 0:
			word = fmt.Sprintf("%s<=%d", word, of.Len)
		}
		if !w.ok {
			return
		}
		fmt.Fprintf(&w.b, "%s%s %s\n", word, suffix, m.Name)
	}
}
