package csv

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// kind is the type of a column; earlier ones are preferred.
type kind uint8

const (
	kindBool kind = iota
	kindInt
	kindFloat
	kindTime
	kindDate
	kindText
)

func (k kind) arrowType() arrow.DataType {
	return [...]arrow.DataType{arrow.BoolType, arrow.Int64Type, arrow.Float64Type, arrow.TimeType, arrow.Date32Type, arrow.StringType}[k]
}

// guess is what is still possible for a column after the cells so far.
type guess struct {
	seen  bool // a cell that is not empty
	wrong [kindText]bool
	big   bool // an integer that a float64 would change
}

// look takes a cell into account.
func (g *guess) look(cell string) {
	if cell == "" {
		return
	}
	g.seen = true
	var c value
	for k := range g.wrong {
		if !g.wrong[k] {
			g.wrong[k] = !c.parse(kind(k), cell)
		}
	}
	if !g.wrong[kindFloat] && c.parse(kindInt, cell) && (c.n > 1<<53 || c.n < -1<<53) {
		g.big = true
	}
}

func (g *guess) kind() kind {
	if g.seen {
		for k, wrong := range g.wrong {
			if !wrong && (kind(k) != kindFloat || !g.big) {
				return kind(k)
			}
		}
	}
	return kindText
}

// value is a parsed cell.
type value struct {
	n int64 // kindBool, kindInt, kindTime (nanoseconds), kindDate (days)
	f float64
}

// parse reads a cell as kind k, which is not text, and reports whether it is one.
func (v *value) parse(k kind, cell string) bool {
	var err error
	switch k {
	case kindBool:
		switch cell {
		case "true", "True", "TRUE":
			v.n = 1
		case "false", "False", "FALSE":
			v.n = 0
		default:
			return false
		}
		return true
	case kindInt:
		if !number(cell) {
			return false
		}
		v.n, err = strconv.ParseInt(cell, 10, 64)
		return err == nil
	case kindFloat:
		if !number(cell) || strings.ContainsAny(cell, "xX_pPiInN") {
			return false
		}
		if strings.Trim(cell, "-0123456789") == "" {
			if _, err := strconv.ParseInt(cell, 10, 64); err != nil {
				return false // an integer with more digits than a float64 keeps
			}
		}
		v.f, err = strconv.ParseFloat(cell, 64)
		return err == nil
	case kindTime:
		t, err := time.Parse(time.RFC3339Nano, cell)
		v.n = t.UnixNano()
		return err == nil && time.Unix(0, v.n).Equal(t)
	case kindDate:
		t, err := time.Parse(time.DateOnly, cell)
		v.n = int64(math.Floor(float64(t.Unix()) / 86400))
		return err == nil
	}
	return false
}

// number reports whether a cell begins like a number that is not a name: 7, -7
// and 0.7, but not 007, +7 or .7.
func number(cell string) bool {
	digits := strings.TrimPrefix(cell, "-")
	if digits == "" || digits[0] < '0' || digits[0] > '9' || cell == "-0" {
		return false
	}
	return digits[0] != '0' || len(digits) == 1 || digits[1] < '0' || digits[1] > '9'
}

// add appends a cell that is not null to a column. It fails where the cell is
// not of that kind.
func add(c *column.Column, k kind, cell string) bool {
	if k == kindText {
		c.AppendString(cell)
		return true
	}
	var v value
	if !v.parse(k, cell) {
		return false
	}
	switch k {
	case kindBool:
		c.AppendBool(v.n != 0)
	case kindFloat:
		c.AppendFloat64(v.f)
	case kindDate:
		c.AppendInt32(int32(v.n))
	default:
		c.AppendInt64(v.n)
	}
	return true
}
