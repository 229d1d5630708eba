package expr

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

func drawCell(t *rapid.T, typ arrow.DataType, kind Kind) cellValue {
	if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return cellValue{null: true}
	}
	switch kind {
	case Float:
		f := rapid.SampledFrom(floatEdges).Draw(t, "float")
		if typ.ID() == arrow.FLOAT32 {
			f = float64(float32(f))
		}
		return cellValue{f: f}
	case String:
		return cellValue{s: rapid.SampledFrom(textEdges).Draw(t, "text")}
	case Bool:
		return cellValue{b: rapid.Bool().Draw(t, "bool")}
	}
	n := rapid.SampledFrom(intEdges).Draw(t, "int")
	switch typ.ID() {
	case arrow.INT8:
		n = int64(int8(n))
	case arrow.UINT32:
		n = int64(uint32(n))
	case arrow.UINT64:
		return cellValue{n: new(big.Int).SetUint64(uint64(n))}
	}
	return cellValue{n: big.NewInt(n)}
}

// drawTree generates an expression of a kind.
func drawTree(t *rapid.T, kind Kind, depth int) *tree {
	if depth == 0 || rapid.IntRange(0, 5).Draw(t, "leaf") == 0 {
		return drawLeaf(t, kind)
	}
	sub := func(k Kind) *tree { return drawTree(t, k, depth-1) }
	node := func(op string, args ...*tree) *tree { return &tree{op: op, kind: kind, args: args} }
	pick := func(ops ...string) string { return rapid.SampledFrom(ops).Draw(t, "op") }
	switch rapid.IntRange(0, 7).Draw(t, "shape") {
	case 0:
		return node("?:", sub(Bool), sub(kind), sub(kind))
	case 1:
		return node("??", sub(kind), sub(kind))
	}
	numbers := []Kind{Int, Uint, Float}
	switch kind {
	case Bool:
		switch pick("logic", "logic", "compare", "compare", "not", "null", "in", "text") {
		case "logic":
			return node(pick("and", "or"), sub(Bool), sub(Bool))
		case "not":
			return node("not", sub(Bool))
		case "null":
			return node("null?", sub(rapid.SampledFrom([]Kind{Int, Uint, Float, String, Time}).Draw(t, "kind")))
		case "in":
			k := rapid.SampledFrom([]Kind{Int, Uint, Float, String}).Draw(t, "kind")
			list := []*tree{drawColumn(t, k)}
			for range rapid.IntRange(1, 10).Draw(t, "list") {
				item := k
				if k.number() {
					item = rapid.SampledFrom(numbers).Draw(t, "item")
				}
				list = append(list, drawLiteral(t, item))
			}
			return node("in", list...)
		case "text":
			return node(pick("contains", "startsWith"), sub(String), sub(String))
		}
		a := rapid.SampledFrom([]Kind{Int, Uint, Float, String, Bool, Time, Span}).Draw(t, "left")
		b := a
		if a.number() {
			b = rapid.SampledFrom(numbers).Draw(t, "right")
		}
		if a == Bool {
			return node(pick("==", "!="), sub(a), sub(b))
		}
		return node(pick("==", "!=", "<", "<=", ">", ">="), sub(a), sub(b))
	case Int:
		switch pick("arith", "arith", "mixed", "minus", "int", "len") {
		case "mixed":
			return node(pick("+", "-", "*", "/", "%", "min", "max"), drawColumn(t, Int), sub(Uint))
		case "minus":
			return node(pick("-", "abs"), sub(Int))
		case "int":
			return node("int", sub(rapid.SampledFrom([]Kind{Int, Uint, Float, Bool, String}).Draw(t, "kind")))
		case "len":
			return node("len", sub(String))
		}
		return node(pick("+", "-", "*", "/", "%", "min", "max"), sub(Int), sub(Int))
	case Uint:
		return node(pick("+", "-", "*", "/", "%", "min", "max"), sub(Uint), sub(Uint))
	case Float:
		if pick("arith", "float") == "float" {
			return node("float", sub(rapid.SampledFrom(numbers).Draw(t, "kind")))
		}
		return node(pick("+", "-", "*", "/", "%", "min", "max"), sub(Float), sub(rapid.SampledFrom(numbers).Draw(t, "right")))
	case String:
		switch pick("+", "lower", "string") {
		case "lower":
			return node("lower", sub(String))
		case "string":
			return node("string", sub(rapid.SampledFrom([]Kind{Int, Uint, Float, Bool, Span}).Draw(t, "kind")))
		}
		return node("+", sub(String), sub(String))
	case Time:
		return node(pick("+", "-"), sub(Time), sub(Span))
	default: // Span
		switch pick("-", "+", "*", "/") {
		case "-":
			return node("-", sub(Time), sub(Time))
		case "+":
			return node("+", sub(Span), sub(Span))
		case "*":
			return node("*", sub(Span), sub(Int))
		}
		return node("/", sub(Span), sub(Int))
	}
}

func drawLeaf(t *rapid.T, kind Kind) *tree {
	if kind != Time && rapid.Bool().Draw(t, "literal") {
		return drawLiteral(t, kind)
	}
	return drawColumn(t, kind)
}

func drawColumn(t *rapid.T, kind Kind) *tree {
	var names []string
	for _, c := range propertyColumns {
		if c.kind == kind {
			names = append(names, c.name)
		}
	}
	return &tree{op: "column", kind: kind, text: rapid.SampledFrom(names).Draw(t, "column")}
}

func drawLiteral(t *rapid.T, kind Kind) *tree {
	l := &tree{op: "literal", kind: kind}
	switch kind {
	case Bool:
		l.val.b = rapid.Bool().Draw(t, "value")
		l.text = strconv.FormatBool(l.val.b)
	case Int:
		l.val.n = big.NewInt(rapid.SampledFrom(intEdges).Draw(t, "value"))
		l.text = "(" + l.val.n.String() + ")"
		if l.val.n.Sign() >= 0 {
			// Keeps its kind beside a uint64, which a literal would give up.
			l.text = "int(" + l.val.n.String() + ".0)"
			if f, acc := new(big.Float).SetInt(l.val.n).Float64(); acc != big.Exact || f >= 1<<53 {
				l.val.n = big.NewInt(5)
				l.text = "int('5')"
			}
		}
	case Uint:
		l.val.n = new(big.Int).SetUint64(1<<63 + uint64(rapid.IntRange(0, 2).Draw(t, "value")))
		l.text = l.val.n.String()
	case Float:
		l.val.f = rapid.SampledFrom([]float64{0, 1, 0.5, 2.5, 3, 1e300, 1 << 53, 1 << 63, 1 << 64}).Draw(t, "value")
		l.text = strconv.FormatFloat(l.val.f, 'e', -1, 64)
	case String:
		l.val.s = rapid.SampledFrom(textEdges).Draw(t, "value")
		l.text = strconv.Quote(l.val.s)
	case Span:
		n := rapid.SampledFrom([]int64{0, 1, -5, 1e9, math.MaxInt64}).Draw(t, "value")
		l.val.n = big.NewInt(n)
		l.text = fmt.Sprintf("duration('%dns')", n)
	}
	return l
}

func buildColumn(mem arrow.Allocator, typ arrow.DataType, cells []cellValue) arrow.Array {
	if typ.ID() == arrow.DICTIONARY {
		dict, codes := column.New(mem, arrow.StringType), column.New(mem, arrow.Int32Type)
		for _, l := range textEdges {
			dict.AppendString(l)
		}
		for _, c := range cells {
			if c.null {
				codes.AppendNull()
				continue
			}
			for k, l := range textEdges {
				if l == c.s {
					codes.AppendInt32(int32(k))
				}
			}
		}
		d, c := dict.Finish(), codes.Finish()
		defer d.Release()
		defer c.Release()
		return arrow.NewDictionaryArray(typ, c, d)
	}
	c := column.New(mem, typ)
	for _, v := range cells {
		switch {
		case v.null:
			c.AppendNull()
		case typ.ID() == arrow.STRING:
			c.AppendString(v.s)
		case typ.ID() == arrow.BOOL:
			c.AppendBool(v.b)
		case typ.ID() == arrow.FLOAT64:
			c.AppendFloat64(v.f)
		case typ.ID() == arrow.FLOAT32:
			c.AppendInt32(int32(math.Float32bits(float32(v.f))))
		case c.Width == 1:
			c.AppendFixed([]byte{byte(v.n.Int64())})
		case c.Width == 4:
			c.AppendInt32(int32(v.n.Int64()))
		case typ.ID() == arrow.UINT64:
			c.AppendInt64(int64(v.n.Uint64()))
		default:
			c.AppendInt64(v.n.Int64())
		}
	}
	return c.Finish()
}
