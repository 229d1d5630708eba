package conversion

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Formulas follow the grammar of ASAM MCD-2 MC (FORMULA of COMPU_METHOD), with
// one variable, the raw value, written X, X1, x or x1. From what binds least:
//
//	||                    logical or: 1 or 0
//	&&                    logical and
//	|  XOR  &             bits, each binding tighter than the one before
//	== !=  < <= > >=      1 or 0
//	<< >>                 bits
//	+ -   * /             arithmetic
//	- + ! ~               in front of an operand
//	^                     power, from right to left
//	f(a), pow(a, b)       abs sqrt exp ln log log10 sin cos tan asin acos atan
//	                      arcsin arccos arctan sinh cosh tanh
//
// ln is the natural logarithm, log and log10 the decimal one. Every operation
// gives a float64. Operations on bits cut their operands to int64; an operand
// that does not fit, and a negative shift, give NaN.
const (
	maxFormula = 4096 // bytes
	maxNesting = 64   // of parentheses, calls, and signs
)

// formula is a program for a machine of registers: operation i of a binary kind
// takes register top-1 and top, a unary one the top.
type formula struct {
	ops  []formulaOp
	regs int // needed
}

type formulaOp struct {
	code  formulaCode
	value float64 // of a number
}

type formulaCode uint8

const (
	fNumber formulaCode = iota
	fVariable
	// In front of one operand.
	fNegate
	fNot
	fInvert
	fAbs
	fSqrt
	fExp
	fLn
	fLog
	fSin
	fCos
	fTan
	fAsin
	fAcos
	fAtan
	fSinh
	fCosh
	fTanh
	// Between two.
	fOr
	fAnd
	fBitOr
	fBitXor
	fBitAnd
	fEqual
	fUnequal
	fLess
	fLessEqual
	fGreater
	fGreaterEqual
	fShiftLeft
	fShiftRight
	fAdd
	fSubtract
	fMultiply
	fDivide
	fPower
)

var functions = map[string]formulaCode{
	"abs": fAbs, "sqrt": fSqrt, "exp": fExp, "ln": fLn, "log": fLog, "log10": fLog,
	"sin": fSin, "cos": fCos, "tan": fTan, "sinh": fSinh, "cosh": fCosh, "tanh": fTanh,
	"asin": fAsin, "acos": fAcos, "atan": fAtan, "arcsin": fAsin, "arccos": fAcos, "arctan": fAtan,
	"pow": fPower,
}

// binary operators by how tight they bind; the longer of two with the same
// beginning comes first.
var binaries = []struct {
	sign string
	code formulaCode
	rank int
}{
	{"||", fOr, 1}, {"&&", fAnd, 2},
	{"|", fBitOr, 3}, {"XOR", fBitXor, 4}, {"&", fBitAnd, 5},
	{"==", fEqual, 6}, {"!=", fUnequal, 6},
	{"<<", fShiftLeft, 8}, {">>", fShiftRight, 8},
	{"<=", fLessEqual, 7}, {">=", fGreaterEqual, 7}, {"<", fLess, 7}, {">", fGreater, 7},
	{"+", fAdd, 9}, {"-", fSubtract, 9},
	{"*", fMultiply, 10}, {"/", fDivide, 10},
}

// formulaError says what is wrong with a formula.
type formulaError struct {
	kind error
	at   int
	what string
}

func (e *formulaError) Error() string { return fmt.Sprintf("%s at character %d", e.what, e.at+1) }
func (e *formulaError) Unwrap() error { return e.kind }

type formulaParser struct {
	text  string
	pos   int
	f     formula
	top   int // registers in use
	depth int
}

// parseFormula compiles a formula. Errors are of type *formulaError.
func parseFormula(text string) (*formula, error) {
	if len(text) > maxFormula {
		return nil, &formulaError{pipeline.ErrLimit, maxFormula, fmt.Sprintf("the formula is longer than %d bytes", maxFormula)}
	}
	p := &formulaParser{text: text}
	if err := p.expression(1); err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(p.text) {
		return nil, p.fail(pipeline.ErrCorrupt, "there is %.20q after the end", p.text[p.pos:])
	}
	return &p.f, nil
}

func (p *formulaParser) fail(kind error, format string, args ...any) error {
	return &formulaError{kind, p.pos, fmt.Sprintf(format, args...)}
}

func (p *formulaParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *formulaParser) accept(sign string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.pos:], sign) {
		return false
	}
	p.pos += len(sign)
	return true
}

func (p *formulaParser) emit(code formulaCode, value float64) {
	p.f.ops = append(p.f.ops, formulaOp{code, value})
	switch {
	case code <= fVariable:
		p.top++
		p.f.regs = max(p.f.regs, p.top)
	case code >= fOr:
		p.top--
	}
}

func (p *formulaParser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return p.fail(pipeline.ErrLimit, "the formula nests deeper than %d", maxNesting)
	}
	return nil
}

// expression parses operators of at least that rank.
func (p *formulaParser) expression(rank int) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer func() { p.depth-- }()
	if err := p.operand(); err != nil {
		return err
	}
	for {
		code, r, next := p.binary()
		if r < rank {
			return nil
		}
		p.pos = next
		if err := p.expression(r + 1); err != nil {
			return err
		}
		p.emit(code, 0)
	}
}

// binary looks at the operator that comes next; rank 0 means none.
func (p *formulaParser) binary() (code formulaCode, rank, next int) {
	p.space()
	rest := p.text[p.pos:]
	for _, b := range binaries {
		if len(rest) >= len(b.sign) && strings.EqualFold(rest[:len(b.sign)], b.sign) {
			return b.code, b.rank, p.pos + len(b.sign)
		}
	}
	return 0, 0, p.pos
}

// operand parses signs, then a power.
func (p *formulaParser) operand() error {
	p.space()
	if p.pos == len(p.text) {
		return p.fail(pipeline.ErrCorrupt, "the formula ends where a number, X or a function is expected")
	}
	code := formulaCode(0)
	switch p.text[p.pos] {
	case '-':
		code = fNegate
	case '!':
		code = fNot
	case '~':
		code = fInvert
	case '+':
	default:
		return p.power()
	}
	p.pos++
	if err := p.enter(); err != nil {
		return err
	}
	defer func() { p.depth-- }()
	if err := p.operand(); err != nil {
		return err
	}
	if code != 0 {
		p.emit(code, 0)
	}
	return nil
}

func (p *formulaParser) power() error {
	if err := p.primary(); err != nil {
		return err
	}
	if !p.accept("^") {
		return nil
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer func() { p.depth-- }()
	if err := p.operand(); err != nil {
		return err
	}
	p.emit(fPower, 0)
	return nil
}

func (p *formulaParser) primary() error {
	start := p.pos
	switch ch := p.text[p.pos]; {
	case ch == '(':
		p.pos++
		if err := p.expression(1); err != nil {
			return err
		}
		return p.close()
	case ch == '.' || ch >= '0' && ch <= '9':
		return p.number()
	case isLetter(ch):
		for p.pos < len(p.text) && (isLetter(p.text[p.pos]) || p.text[p.pos] >= '0' && p.text[p.pos] <= '9') {
			p.pos++
		}
		name := strings.ToLower(p.text[start:p.pos])
		if name == "x" || name == "x1" {
			p.emit(fVariable, 0)
			return nil
		}
		code, known := functions[name]
		if !known {
			p.pos = start
			return p.fail(pipeline.ErrUnsupported, "%.20q is neither X nor a function that is known", p.text[start:])
		}
		return p.call(code)
	}
	return p.fail(pipeline.ErrCorrupt, "%.20q where a number, X or a function is expected", p.text[start:])
}

func (p *formulaParser) call(code formulaCode) error {
	if !p.accept("(") {
		return p.fail(pipeline.ErrCorrupt, "the function has no parenthesis")
	}
	if err := p.expression(1); err != nil {
		return err
	}
	if code == fPower {
		if !p.accept(",") {
			return p.fail(pipeline.ErrCorrupt, "pow takes two numbers")
		}
		if err := p.expression(1); err != nil {
			return err
		}
	}
	if err := p.close(); err != nil {
		return err
	}
	p.emit(code, 0)
	return nil
}

func (p *formulaParser) close() error {
	if !p.accept(")") {
		return p.fail(pipeline.ErrCorrupt, "a parenthesis is not closed")
	}
	return nil
}

// number parses decimal numbers and hexadecimal integers.
func (p *formulaParser) number() error {
	start := p.pos
	rest := p.text[start:]
	if len(rest) > 1 && rest[0] == '0' && (rest[1] == 'x' || rest[1] == 'X') {
		n := 2
		for n < len(rest) && strings.IndexByte("0123456789abcdefABCDEF", rest[n]) >= 0 {
			n++
		}
		v, err := strconv.ParseUint(rest[2:n], 16, 64)
		if err != nil {
			return p.fail(pipeline.ErrCorrupt, "%.20q is not a number", rest)
		}
		p.pos += n
		p.emit(fNumber, float64(v))
		return nil
	}
	n := 0
	digits := func() {
		for n < len(rest) && (rest[n] == '.' || rest[n] >= '0' && rest[n] <= '9') {
			n++
		}
	}
	digits()
	if n < len(rest) && (rest[n] == 'e' || rest[n] == 'E') {
		n++
		if n < len(rest) && (rest[n] == '+' || rest[n] == '-') {
			n++
		}
		digits()
	}
	v, err := strconv.ParseFloat(rest[:n], 64)
	if err != nil && !math.IsInf(v, 0) {
		return p.fail(pipeline.ErrCorrupt, "%.20q is not a number", rest)
	}
	p.pos += n
	p.emit(fNumber, v)
	return nil
}

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
