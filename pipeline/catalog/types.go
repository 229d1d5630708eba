package catalog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Type is the type of a column as commit records spell it:
//
//	bool, int8 ... int64, uint8 ... uint64, float32, float64, utf8, binary, date32
//	timestamp[us, tz=UTC]   decimal(20, 0)
//	list<element: T, nullable>   struct<a: T, b: T, nullable>
type Type struct {
	Name             string // without its parameters: list, decimal, int64
	Precision, Scale int    // of decimal
	Fields           []Field
}

// Field is a field of a struct, or the element of a list.
type Field struct {
	Name string
	Type *Type
}

// maxDepth bounds the nesting of types.
const maxDepth = 64

// ParseType reads the type of a column.
func ParseType(s string) (*Type, error) {
	p := typeParser{src: s}
	t := p.parse(0)
	if t == nil || p.rest() != "" {
		return nil, fmt.Errorf("type %q is not understood at character %d: %w", s, p.pos, pipeline.ErrUnsupported)
	}
	return t, nil
}

type typeParser struct {
	src string
	pos int
}

func (p *typeParser) rest() string { return p.src[p.pos:] }

func (p *typeParser) eat(s string) bool {
	if strings.HasPrefix(p.rest(), s) {
		p.pos += len(s)
		return true
	}
	return false
}

// until returns the text in front of the first of the characters.
func (p *typeParser) until(chars string) string {
	n := strings.IndexAny(p.rest(), chars)
	if n < 0 {
		n = len(p.rest())
	}
	s := p.rest()[:n]
	p.pos += n
	return s
}

// plain are the types without parameters.
var plain = map[string]bool{"bool": true, "int8": true, "int16": true, "int32": true, "int64": true, "uint8": true, "uint16": true, "uint32": true, "uint64": true,
	"float32": true, "float64": true, "utf8": true, "binary": true, "date32": true}

// parse returns nil where the text is no type.
func (p *typeParser) parse(depth int) *Type {
	if depth > maxDepth {
		return nil
	}
	t := &Type{Name: p.until("<>[](),: ")}
	switch {
	case plain[t.Name]:
		return t
	case t.Name == "timestamp" && p.eat("["):
		p.until("]")
		if !p.eat("]") {
			return nil
		}
		return t
	case t.Name == "decimal" && p.eat("("):
		var err1, err2 error
		t.Precision, err1 = strconv.Atoi(p.until(","))
		if !p.eat(", ") {
			return nil
		}
		t.Scale, err2 = strconv.Atoi(p.until(")"))
		if err1 != nil || err2 != nil || !p.eat(")") {
			return nil
		}
		return t
	case (t.Name == "list" || t.Name == "struct") && p.eat("<"):
		for {
			f := Field{Name: p.until(":<>")}
			if f.Name == "" || !p.eat(": ") {
				return nil
			}
			if f.Type = p.parse(depth + 1); f.Type == nil {
				return nil
			}
			t.Fields = append(t.Fields, f)
			p.eat(", nullable")
			if p.eat(">") {
				break
			}
			if !p.eat(", ") {
				return nil
			}
		}
		if t.Name == "list" && len(t.Fields) != 1 {
			return nil
		}
		return t
	}
	return nil
}

// hive are the names of types in Hive's language, which Athena, Glue and Spark
// share.
var hive = map[string]string{"bool": "boolean", "int8": "tinyint", "int16": "smallint", "int32": "int", "int64": "bigint",
	"uint8": "smallint", "uint16": "int", "uint32": "bigint", "uint64": "decimal(20,0)",
	"float32": "float", "float64": "double", "utf8": "string", "binary": "binary", "date32": "date", "timestamp": "timestamp"}

// Hive returns the type in Hive's language: array<struct<level:int,name:string>>.
func (t *Type) Hive() string {
	switch t.Name {
	case "decimal":
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case "list":
		return "array<" + t.Fields[0].Type.Hive() + ">"
	case "struct":
		var parts []string
		for _, f := range t.Fields {
			parts = append(parts, f.Name+":"+f.Type.Hive())
		}
		return "struct<" + strings.Join(parts, ",") + ">"
	}
	return hive[t.Name]
}
