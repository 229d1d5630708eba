package expr

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

var ariths = map[string]arith{"+": add, "-": sub, "*": mul, "/": div, "%": mod, "**": power}

// arith checks an operator between numbers, strings, times and durations.
func (c *checker) arith(sign string, a, b typed, pos int) typed {
	o, known := ariths[sign]
	if !known {
		return c.failf(pos, "%s is not part of the language", sign)
	}
	switch {
	case a.isNil() && b.isNil():
		return a
	case a.isNil():
		a = c.null(b.kind)
	case b.isNil():
		b = c.null(a.kind)
	}
	nano := func(kind Kind) typed {
		return made(kind, &intNode{c.slot(), o, a.node, b.node}, a, b)
	}
	switch {
	case a.kind == String && b.kind == String && o == add:
		return made(String, &joinNode{c.slot(), a.node, b.node}, a, b)
	case a.kind.number() && b.kind.number():
		return c.numbers(o, a, b)
	case a.kind == Time && b.kind == Time && o == sub:
		return nano(Span)
	case a.kind == Time && b.kind == Span && (o == add || o == sub), a.kind == Span && b.kind == Time && o == add:
		return nano(Time)
	case a.kind == Span && b.kind == Span && (o == add || o == sub || o == mod):
		return nano(Span)
	case a.kind == Span && b.kind == Span && o == div:
		return made(Float, &floatNode{c.slot(), div, c.spanToFloat(a), c.spanToFloat(b)}, a, b)
	case a.kind == Span && b.kind == Int && (o == mul || o == div), a.kind == Int && b.kind == Span && o == mul:
		return nano(Span)
	}
	suggestion := ""
	if o == add && (a.kind == String || b.kind == String) {
		suggestion = "string(x)"
	}
	return c.suggestf(pos, suggestion, "operator %s does not take %s and %s", sign, a.kind, b.kind)
}

func (c *checker) spanToFloat(t typed) node { return &toFloatNode{c.slot(), Int, t.node} }

// numbers makes an operation on two numbers.
func (c *checker) numbers(o arith, a, b typed) typed {
	switch {
	case o == power || o == angle || a.kind == Float || b.kind == Float:
		a, b = c.convert(a, Float), c.convert(b, Float)
		return made(Float, &floatNode{c.slot(), o, a.node, b.node}, a, b)
	case a.kind == Uint && fitsUint(b):
		b = c.convert(b, Uint)
	case b.kind == Uint && fitsUint(a):
		a = c.convert(a, Uint)
	}
	switch {
	case a.kind != b.kind:
		return made(Int, &exactNode{c.slot(), o, a.kind, b.kind, a.node, b.node}, a, b)
	case a.kind == Uint:
		return made(Uint, &uintNode{c.slot(), o, a.node, b.node}, a, b)
	}
	return made(Int, &intNode{c.slot(), o, a.node, b.node}, a, b)
}

// function checks the arguments of one call.
type function struct {
	min, max int // arguments; max 0 for any number
	check    func(c *checker, call call) typed
}

type call struct {
	name string
	pos  int
	args []typed
	at   []int // where each argument begins
}

// functions are the names that can be called.
var functions = map[string]function{
	"abs":   {1, 1, checkAbs},
	"min":   {2, 0, checkExtreme},
	"max":   {2, 0, checkExtreme},
	"floor": {1, 1, checkRound}, "ceil": {1, 1, checkRound}, "round": {1, 1, checkRound},
	"sqrt": {1, 1, checkMath}, "sin": {1, 1, checkMath}, "cos": {1, 1, checkMath}, "tan": {1, 1, checkMath},
	"log": {1, 1, checkMath}, "exp": {1, 1, checkMath},
	"pow": {2, 2, checkPair}, "atan2": {2, 2, checkPair},
	"int": {1, 1, checkInt}, "float": {1, 1, checkFloat}, "string": {1, 1, checkString},
	"len":   {1, 1, checkLen},
	"lower": {1, 1, checkText}, "upper": {1, 1, checkText}, "trim": {1, 1, checkText},
	"is_nan":    {1, 1, checkNaN},
	"coalesce":  {1, 0, func(c *checker, x call) typed { return c.coalesce(x.pos, "coalesce", x.args) }},
	"timestamp": {1, 1, checkTimestamp}, "duration": {1, 1, checkDuration}, "date": {1, 1, checkDate},
	"epoch_ns": {1, 1, checkEpoch},
}

func (c *checker) call(name string, pos int, args []ast.Node) typed {
	if q, ok := c.src.quoted[pos]; ok {
		name = q
	}
	f, ok := functions[name]
	if !ok {
		for _, a := range args {
			c.check(a)
		}
		return c.suggestf(pos, pipeline.Nearest(name, slices.Sorted(maps.Keys(functions))), "unknown function %q", name)
	}
	x := call{name: name, pos: pos}
	good := true
	for _, a := range args {
		t := c.check(a)
		good = good && t.kind != invalid
		x.args, x.at = append(x.args, t), append(x.at, c.start(a))
	}
	switch n := len(args); {
	case n < f.min && f.max != f.min:
		return c.failf(pos, "%s takes at least %d arguments, not %d", name, f.min, n)
	case n < f.min || f.max > 0 && n > f.max:
		return c.failf(pos, "%s takes %d %s, not %d", name, f.max, map[bool]string{true: "argument", false: "arguments"}[f.max == 1], n)
	case !good:
		return typed{}
	}
	return f.check(c, x)
}

// wrong reports an argument of a kind the function does not take.
func (c *checker) wrong(x call, i int, takes string) typed {
	return c.failf(x.at[i], "%s takes %s, not %s", x.name, takes, x.args[i].kind)
}

func checkAbs(c *checker, x call) typed {
	switch a := x.args[0]; a.kind {
	case Null, Uint:
		return a
	case Int, Span:
		return made(a.kind, &negateNode{c.slot(), true, a.node}, a)
	case Float:
		return made(Float, &mathNode{slot: c.slot(), name: "abs", arg: a.node}, a)
	}
	return c.wrong(x, 0, "a number or a duration")
}

func checkExtreme(c *checker, x call) typed {
	o := least
	if x.name == "max" {
		o = greatest
	}
	t := x.args[0]
	for i, a := range x.args {
		switch a.kind {
		case Null, Int, Uint, Float, Time, Span, Date:
		default:
			return c.wrong(x, i, "numbers, timestamps, durations or dates")
		}
		if i == 0 {
			continue
		}
		switch {
		case t.isNil() && a.isNil():
			continue
		case t.isNil():
			t = c.null(a.kind)
		case a.isNil():
			a = c.null(t.kind)
		}
		switch {
		case t.kind.number() && a.kind.number():
			t = c.numbers(o, t, a)
		case t.kind == a.kind:
			t = made(t.kind, &intNode{c.slot(), o, t.node, a.node}, t, a)
		default:
			return c.failf(x.at[i], "%s mixes %s and %s", x.name, t.kind, a.kind)
		}
	}
	return t
}

func checkRound(c *checker, x call) typed {
	switch a := x.args[0]; a.kind {
	case Null, Int, Uint:
		return a
	case Float:
		f := map[string]func(float64) float64{"floor": math.Floor, "ceil": math.Ceil, "round": math.Round}[x.name]
		return made(Float, &mathNode{c.slot(), x.name, f, a.node}, a)
	}
	return c.wrong(x, 0, "a number")
}

func checkMath(c *checker, x call) typed {
	a := x.args[0]
	if !a.kind.number() && !a.isNil() {
		return c.wrong(x, 0, "a number")
	}
	f := map[string]func(float64) float64{
		"sqrt": math.Sqrt, "sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "log": math.Log, "exp": math.Exp,
	}[x.name]
	a = c.convert(a, Float)
	return made(Float, &mathNode{c.slot(), x.name, f, a.node}, a)
}

func checkPair(c *checker, x call) typed {
	for i := range x.args {
		if x.args[i].isNil() {
			x.args[i] = c.null(Float)
		}
		if !x.args[i].kind.number() {
			return c.wrong(x, i, "numbers")
		}
	}
	o := power
	if x.name == "atan2" {
		o = angle
	}
	return c.numbers(o, x.args[0], x.args[1])
}

func checkInt(c *checker, x call) typed {
	switch a := x.args[0]; a.kind {
	case Int:
		return a
	case Null:
		return c.null(Int)
	case Span: // nanoseconds
		return made(Int, a.node, a)
	case Bool, Uint, Float, String:
		return made(Int, &toIntNode{c.slot(), a.kind, a.node}, a)
	case Time:
		return c.suggestf(x.pos, "epoch_ns", "int takes no timestamp")
	}
	return c.wrong(x, 0, "a number, bool, string or duration")
}

func checkFloat(c *checker, x call) typed {
	switch a := x.args[0]; a.kind {
	case Null, Bool, Int, Uint, Float, String:
		return c.convert(a, Float)
	case Span:
		return c.suggestf(x.pos, `x / duration("1s")`, "float takes no duration")
	}
	return c.wrong(x, 0, "a number, bool or string")
}

func checkString(c *checker, x call) typed {
	switch a := x.args[0]; a.kind {
	case String:
		return a
	case Null:
		return c.null(String)
	case Opaque:
		return c.failf(x.at[0], "string takes no columns of this type")
	default:
		return made(String, &toTextNode{c.slot(), a.kind, a.node}, a)
	}
}

func checkLen(c *checker, x call) typed {
	a := x.args[0]
	switch a.kind {
	case Null:
		return c.null(Int)
	case String:
		return made(Int, &runesNode{c.slot(), a.node}, a)
	case Opaque:
		col := a.node.(*columnNode)
		switch t := c.table.Schema.Field(c.columns[col.col].index).Type.(type) {
		case *arrow.FixedSizeListType:
			return made(Int, &lengthNode{c.slot(), col, int(t.Len())}, a)
		default:
			if col.id == arrow.BINARY || col.id == arrow.LIST {
				return made(Int, &lengthNode{c.slot(), col, 0}, a)
			}
		}
	}
	return c.wrong(x, 0, "a string, binary or list")
}

func checkText(c *checker, x call) typed {
	a := x.args[0]
	if a.isNil() {
		return c.null(String)
	}
	if a.kind != String {
		return c.wrong(x, 0, "a string")
	}
	f := map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper, "trim": strings.TrimSpace}[x.name]
	return made(String, &textNode{c.slot(), f, a.node}, a)
}

func checkNaN(c *checker, x call) typed {
	a := x.args[0]
	if a.isNil() {
		a = c.null(Float)
	}
	if a.kind != Float {
		return c.wrong(x, 0, "a float64")
	}
	return made(Bool, &isNaNNode{c.slot(), a.node}, a)
}

// text returns a literal argument; columns of strings are not parsed.
func (c *checker) text(x call) (string, bool) {
	if a := x.args[0]; a.kind == String && a.literal() {
		return a.value.s, true
	}
	return "", false
}

func checkTimestamp(c *checker, x call) typed {
	if s, ok := c.text(x); ok {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return c.failf(x.at[0], "%q is not a timestamp such as 2024-05-01T08:00:00Z", s)
		}
		if ns := t.UnixNano(); time.Unix(0, ns).Equal(t) {
			return c.constant(Time, value{i: ns})
		}
		return c.failf(x.at[0], "%s does not fit a timestamp in nanoseconds (1677 to 2262)", s)
	}
	switch a := x.args[0]; a.kind {
	case Null:
		return c.null(Time)
	case Time:
		return a
	case Date:
		return made(Time, &toIntNode{c.slot(), Date, a.node}, a)
	}
	return c.wrong(x, 0, "a literal such as 2024-05-01T08:00:00Z or a date")
}

func checkDuration(c *checker, x call) typed {
	if s, ok := c.text(x); ok {
		d, err := time.ParseDuration(s)
		if err != nil {
			return c.failf(x.at[0], "%q is not a duration such as 1.5s, 200ms or 1h30m", s)
		}
		return c.constant(Span, value{i: int64(d)})
	}
	return c.wrong(x, 0, "a literal such as 1.5s")
}

func checkDate(c *checker, x call) typed {
	if s, ok := c.text(x); ok {
		t, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return c.failf(x.at[0], "%q is not a date such as 2024-05-01", s)
		}
		return c.constant(Date, value{i: t.Unix() / 86400})
	}
	switch a := x.args[0]; a.kind {
	case Null:
		return c.null(Date)
	case Date:
		return a
	case Time:
		return made(Date, &toIntNode{c.slot(), Time, a.node}, a)
	}
	return c.wrong(x, 0, "a literal such as 2024-05-01 or a timestamp")
}

func checkEpoch(c *checker, x call) typed {
	switch a := x.args[0]; a.kind {
	case Null:
		return c.null(Int)
	case Time:
		return made(Int, a.node, a)
	}
	return c.wrong(x, 0, "a timestamp")
}
