package expr

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// The naive interpreter: one row at a time, integers without bounds, checked
// against their type afterwards.

// cellValue is a value of one row.
type cellValue struct {
	null bool
	n    *big.Int // integers, times, durations
	f    float64
	s    string
	b    bool
}

// tree is a generated expression.
type tree struct {
	op   string // column, literal, or an operator
	kind Kind
	text string // of columns and literals
	val  cellValue
	args []*tree
}

func (t *tree) String() string {
	switch t.op {
	case "column", "literal":
		return t.text
	case "?:":
		return fmt.Sprintf("(%s ? %s : %s)", t.args[0], t.args[1], t.args[2])
	case "not":
		return fmt.Sprintf("(not (%s))", t.args[0])
	case "null?":
		return fmt.Sprintf("(%s == nil)", t.args[0])
	case "in":
		var list []string
		for _, a := range t.args[1:] {
			list = append(list, a.String())
		}
		return fmt.Sprintf("(%s in [%s])", t.args[0], strings.Join(list, ", "))
	case "int", "float", "string", "abs", "len", "lower", "min", "max":
		var list []string
		for _, a := range t.args {
			list = append(list, a.String())
		}
		return fmt.Sprintf("%s(%s)", t.op, strings.Join(list, ", "))
	}
	if len(t.args) == 1 {
		return fmt.Sprintf("(%s (%s))", t.op, t.args[0])
	}
	return fmt.Sprintf("(%s %s %s)", t.args[0], t.op, t.args[1])
}

// fit checks an integer against its kind.
func fit(kind Kind, n *big.Int) (cellValue, string) {
	if kind == Uint && !n.IsUint64() || kind != Uint && !n.IsInt64() {
		return cellValue{}, IntegerOverflow
	}
	return cellValue{n: n}, ""
}

// number is the exact value, or false for NaN and infinities.
func number(kind Kind, v cellValue) *big.Float {
	if kind == Float {
		return new(big.Float).SetFloat64(v.f)
	}
	return new(big.Float).SetPrec(200).SetInt(v.n)
}

func asFloat(kind Kind, v cellValue) float64 {
	switch kind {
	case Float:
		return v.f
	case Uint:
		return float64(v.n.Uint64())
	}
	return float64(v.n.Int64())
}

func naiveCompare(sign string, ak Kind, a cellValue, bk Kind, b cellValue) bool {
	var c int
	switch {
	case ak == String:
		c = strings.Compare(a.s, b.s)
	case ak == Bool:
		c = int(b2u(a.b)) - int(b2u(b.b))
	case ak == Float && math.IsNaN(a.f) || bk == Float && math.IsNaN(b.f):
		return sign == "!="
	default:
		c = number(ak, a).Cmp(number(bk, b))
	}
	return map[string]bool{"==": c == 0, "!=": c != 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[sign]
}

// eval returns the value of one row, or the reason to reject it.
func (t *tree) eval(row map[string]cellValue) (cellValue, string) {
	switch t.op {
	case "column":
		return row[t.text], ""
	case "literal":
		return t.val, ""
	}
	a, why := t.args[0].eval(row)
	if why != "" {
		return a, why
	}
	switch t.op {
	case "and", "or":
		decides := t.op == "or"
		if !a.null && a.b == decides {
			return a, ""
		}
		b, why := t.args[1].eval(row)
		if why != "" || !b.null && b.b == decides {
			return b, why
		}
		return cellValue{null: a.null || b.null, b: !decides}, ""
	case "?:":
		if !a.null && a.b {
			return t.args[1].eval(row)
		}
		return t.args[2].eval(row)
	case "??":
		if !a.null {
			return a, ""
		}
		return t.args[1].eval(row)
	case "null?":
		return cellValue{b: a.null}, ""
	case "in":
		found := false
		for _, x := range t.args[1:] {
			found = found || !a.null && naiveCompare("==", t.args[0].kind, a, x.kind, x.val)
		}
		return cellValue{null: a.null, b: found}, ""
	}
	var b cellValue
	if len(t.args) > 1 {
		if b, why = t.args[1].eval(row); why != "" {
			return b, why
		}
	}
	if a.null || b.null {
		return cellValue{null: true}, ""
	}
	ak := t.args[0].kind
	bk := ak
	if len(t.args) > 1 {
		bk = t.args[1].kind
	}
	switch t.op {
	case "==", "!=", "<", "<=", ">", ">=":
		return cellValue{b: naiveCompare(t.op, ak, a, bk, b)}, ""
	case "not":
		return cellValue{b: !a.b}, ""
	case "contains":
		return cellValue{b: strings.Contains(a.s, b.s)}, ""
	case "startsWith":
		return cellValue{b: strings.HasPrefix(a.s, b.s)}, ""
	case "lower":
		return cellValue{s: strings.ToLower(a.s)}, ""
	case "len":
		return cellValue{n: big.NewInt(int64(len([]rune(a.s))))}, ""
	case "string":
		switch ak {
		case Bool:
			return cellValue{s: strconv.FormatBool(a.b)}, ""
		case Float:
			return cellValue{s: strconv.FormatFloat(a.f, 'g', -1, 64)}, ""
		case Int, Uint:
			return cellValue{s: a.n.String()}, ""
		case Span:
			return cellValue{s: time.Duration(a.n.Int64()).String()}, ""
		}
		return a, ""
	case "float":
		return cellValue{f: asFloat(ak, a)}, ""
	case "int":
		switch ak {
		case Bool:
			return cellValue{n: big.NewInt(int64(b2u(a.b)))}, ""
		case Float:
			if math.IsNaN(a.f) || math.IsInf(a.f, 0) {
				return a, IntegerOverflow
			}
			n, _ := number(Float, a).Int(nil)
			return fit(Int, n)
		case String:
			n, err := strconv.ParseInt(a.s, 10, 64)
			if err != nil {
				return a, CastInvalid
			}
			return cellValue{n: big.NewInt(n)}, ""
		}
		return fit(Int, a.n)
	}
	if ak == String {
		return cellValue{s: a.s + b.s}, ""
	}
	if t.kind == Float {
		x, y := asFloat(ak, a), 0.0
		if len(t.args) > 1 {
			y = asFloat(bk, b)
		}
		return cellValue{f: map[string]func() float64{
			"+": func() float64 { return x + y }, "-": func() float64 {
				if len(t.args) == 1 {
					return -x
				}
				return x - y
			},
			"*": func() float64 { return x * y }, "/": func() float64 { return x / y }, "%": func() float64 { return math.Mod(x, y) },
			"min": func() float64 { return min(x, y) }, "max": func() float64 { return max(x, y) }, "abs": func() float64 { return math.Abs(x) },
		}[t.op]()}, ""
	}
	n := new(big.Int)
	switch t.op {
	case "-":
		if len(t.args) == 1 {
			n.Neg(a.n)
		} else {
			n.Sub(a.n, b.n)
		}
	case "abs":
		n.Abs(a.n)
	case "+":
		n.Add(a.n, b.n)
	case "*":
		n.Mul(a.n, b.n)
	case "/", "%":
		if b.n.Sign() == 0 {
			return a, DivisionByZero
		}
		if t.op == "/" {
			n.Quo(a.n, b.n)
		} else {
			n.Rem(a.n, b.n)
		}
	case "min", "max":
		n = a.n
		if (a.n.Cmp(b.n) > 0) == (t.op == "min") {
			n = b.n
		}
	}
	return fit(t.kind, n)
}

// rows of the generated table.
var propertyColumns = []struct {
	name string
	typ  arrow.DataType
	kind Kind
}{
	{"i", arrow.Int64Type, Int}, {"i8", arrow.Int8Type, Int}, {"u32", arrow.Uint32Type, Int}, {"u", arrow.Uint64Type, Uint},
	{"f", arrow.Float64Type, Float}, {"g", arrow.Float32Type, Float}, {"s", arrow.StringType, String}, {"l", arrow.LabelType, String},
	{"b", arrow.BoolType, Bool}, {"t", arrow.TimeType, Time}, {"d", arrow.SpanType, Span},
}

var (
	intEdges   = []int64{0, 1, -1, 2, 3, -7, 10, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, 1 << 53, 1<<53 + 1, 1 << 32}
	floatEdges = []float64{0, 1, -1, 0.5, -2.5, 3, 1e300, math.Inf(1), math.Inf(-1), math.NaN(), 1 << 53, 1 << 63, -1 << 63, 1 << 64}
	textEdges  = []string{"", "a", "ab", "B", "gps", "12", "-3", "Ü"}
)

func (v cellValue) show(kind Kind) string {
	switch {
	case v.null:
		return "null"
	case kind == Bool:
		return strconv.FormatBool(v.b)
	case kind == Float:
		return fmt.Sprintf("%x", v.f)
	case kind == String:
		return v.s
	}
	return v.n.String()
}

func showCell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case *arrow.Float64:
		return fmt.Sprintf("%x", a.Value(i))
	case *arrow.Timestamp:
		return strconv.FormatInt(int64(a.Value(i)), 10)
	case *arrow.Duration:
		return strconv.FormatInt(int64(a.Value(i)), 10)
	}
	return a.ValueStr(i)
}

func TestAgreesWithInterpreter(t *testing.T) {
	var fields []arrow.Field
	for _, c := range propertyColumns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typ, Nullable: true})
	}
	schema := arrow.NewSchema(fields, nil)
	table := &pipeline.Table{Name: "t", Schema: schema}
	rapid.Check(t, func(t *rapid.T) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		defer mem.AssertSize(t, 0)
		kind := rapid.SampledFrom([]Kind{Bool, Bool, Int, Uint, Float, String, Time, Span}).Draw(t, "kind")
		e := drawTree(t, kind, 4)
		p, err := Compile(pipeline.Text{Value: e.String()}, table)
		if err != nil {
			if strings.Contains(err.Error(), "constant cannot be computed") {
				return
			}
			t.Fatalf("%s: %v", e, err)
		}
		if p.bare {
			return
		}
		distinct := rapid.IntRange(1, 12).Draw(t, "distinct rows")
		rows := make([]map[string]cellValue, distinct)
		for r := range rows {
			rows[r] = map[string]cellValue{}
			for _, c := range propertyColumns {
				rows[r][c.name] = drawCell(t, c.typ, c.kind)
			}
		}
		// Long batches repeat the rows, so that blocks have neighbours.
		n := rapid.SampledFrom([]int{distinct, 63, 64, 65, blockRows + 7}).Draw(t, "rows")
		front := rapid.SampledFrom([]int{0, 3, 64}).Draw(t, "front")
		cols := make([]arrow.Array, len(propertyColumns))
		for i, c := range propertyColumns {
			var cells []cellValue
			for r := range front + n {
				cells = append(cells, rows[(r+distinct*front-front)%distinct][c.name])
			}
			whole := buildColumn(mem, c.typ, cells)
			cols[i] = arrow.NewSlice(whole, int64(front), int64(front+n))
			whole.Release()
			defer cols[i].Release()
		}
		s := p.NewScratch()
		for range 2 { // a scratch is used again
			arr, rejected, err := p.Array(s, mem, cols, n)
			if err != nil {
				t.Fatal(err)
			}
			bad := map[int]string{}
			for _, r := range rejected {
				bad[int(r.Row)] = r.Reason
			}
			for r := range n {
				want, why := e.eval(rows[r%distinct])
				if bad[r] != why {
					t.Fatalf("%s: row %d rejected for %q, want %q", e, r, bad[r], why)
				}
				if why != "" {
					want = cellValue{null: true}
				}
				if g, w := showCell(arr, r), want.show(kind); g != w {
					t.Fatalf("%s: row %d is %s, want %s", e, r, g, w)
				}
			}
			if kind == Bool {
				keep, rejected := p.Select(s, cols, n)
				if len(rejected) != len(bad) {
					t.Fatalf("%s: %d rows rejected, want %d", e, len(rejected), len(bad))
				}
				at := 0
				for r := range n {
					if showCell(arr, r) == "true" {
						if at >= len(keep) || keep[at] != int32(r) {
							t.Fatalf("%s: row %d not kept", e, r)
						}
						at++
					}
				}
				if at != len(keep) {
					t.Fatalf("%s: %d rows kept, want %d", e, len(keep), at)
				}
			}
			arr.Release()
		}
	})
}
