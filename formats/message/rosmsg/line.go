package rosmsg

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parseLine1 reads a line of a ROS 1 definition. What follows the first # is
// comment, except in string constants; a line with = outside of the comment
// is a constant.
func parseLine1(raw string) (*Field, *Constant, string) {
	raw = strings.TrimSpace(raw)
	line, _, _ := strings.Cut(raw, "#")
	typ, rest := cutWord(line)
	if typ == "" {
		return nil, nil, ""
	}
	if strings.Contains(line, "=") {
		if strings.Contains(typ, "=") {
			return nil, nil, fmt.Sprintf("%q is neither a field nor a constant", line)
		}
		name, text, _ := strings.Cut(rest, "=")
		if typ == "string" {
			_, text, _ = strings.Cut(raw, "=")
		}
		return constant(ROS1, typ, name, text)
	}
	f, reason := fieldType(ROS1, typ)
	if reason != "" {
		return nil, nil, reason
	}
	name, rest := cutWord(rest)
	if rest != "" {
		return nil, nil, fmt.Sprintf("field %s: unexpected %q", name, rest)
	}
	if !isIdentifier(name) {
		return nil, nil, fmt.Sprintf("%q is not a field name", name)
	}
	f.Name = name
	return f, nil, ""
}

// parseLine2 reads a line of a ROS 2 definition. An = makes a constant only
// where it follows the name: bounds and defaults may contain one.
func parseLine2(raw string) (*Field, *Constant, string) {
	line := stripComment(strings.TrimSpace(raw))
	typ, rest := cutWord(line)
	if typ == "" {
		return nil, nil, ""
	}
	n := 0
	for n < len(rest) && isWordByte(rest[n]) {
		n++
	}
	name, rest := rest[:n], strings.TrimSpace(rest[n:])
	if text, ok := strings.CutPrefix(rest, "="); ok {
		return constant(ROS2, typ, name, text)
	}
	f, reason := fieldType(ROS2, typ)
	if reason != "" {
		return nil, nil, reason
	}
	if !isIdentifier(name) {
		return nil, nil, fmt.Sprintf("%q is not a field name", line[len(typ):])
	}
	f.Name, f.Default = name, rest
	return f, nil, ""
}

// stripComment cuts the comment off a ROS 2 line. A # inside a quoted value
// is part of it; where a quote does not close, it is an apostrophe.
func stripComment(line string) string {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0:
			switch c {
			case '\\':
				i++
			case quote:
				quote = 0
			}
		case c == '#':
			return strings.TrimSpace(line[:i])
		case (c == '"' || c == '\'') && i > 0 && strings.IndexByte(" \t=[,", line[i-1]) >= 0:
			quote = c
		}
	}
	if quote != 0 {
		line, _, _ = strings.Cut(line, "#")
	}
	return strings.TrimSpace(line)
}

// cutWord splits off the first word; both parts come trimmed.
func cutWord(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t\v\f\r"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}

// isTypeName reports whether s is a name or names joined by slashes: T,
// pkg/T, and in ROS 2 pkg/msg/T.
func isTypeName(v Version, s string) bool {
	parts := strings.Split(s, "/")
	for _, p := range parts {
		if !isIdentifier(p) {
			return false
		}
	}
	return len(parts) <= 2 || v == ROS2 && len(parts) == 3
}

// fieldType reads a type with its array suffix.
func fieldType(v Version, s string) (*Field, string) {
	f := &Field{}
	base := s
	if i := strings.IndexByte(s, '['); i >= 0 {
		base, f.suffix = s[:i], s[i:]
		inner, ok := strings.CutSuffix(f.suffix[1:], "]")
		if !ok {
			return nil, fmt.Sprintf("type %s: the array suffix is not closed", s)
		}
		bound, bounded := strings.CutPrefix(inner, "<=")
		switch {
		case inner == "":
			f.Array = Sequence
		case bounded && v == ROS2:
			f.Array = Sequence
			n, err := strconv.ParseUint(bound, 10, 32)
			if err != nil || n == 0 {
				return nil, fmt.Sprintf("type %s: %q is not a bound", s, bound)
			}
			f.Len = uint32(n)
		default:
			f.Array = Fixed
			n, err := strconv.ParseUint(inner, 10, 32)
			if err != nil || v == ROS2 && n == 0 {
				return nil, fmt.Sprintf("type %s: %q is not an array length", s, inner)
			}
			if n > MaxArray {
				return nil, fmt.Sprintf("type %s: more than %d elements", s, MaxArray)
			}
			f.Len = uint32(n)
		}
	}
	if text, bound, ok := strings.Cut(base, "<="); ok && v == ROS2 {
		n, err := strconv.ParseUint(bound, 10, 32)
		if err != nil || n == 0 || text != "string" && text != "wstring" {
			return nil, fmt.Sprintf("type %s: only strings have a bound, and it is a positive number", s)
		}
		base, f.Bound = text, uint32(n)
	}
	f.TypeName = base
	if k, ok := primitive(v, base); ok {
		f.Kind = k
	} else if isTypeName(v, base) {
		f.Kind = Message
	} else {
		return nil, fmt.Sprintf("%q is not a type", s)
	}
	return f, ""
}

// primitive returns the kind of a builtin type. byte and char are the old
// names of int8 and uint8 in ROS 1; byte is unsigned (octet) in ROS 2.
func primitive(v Version, name string) (Kind, bool) {
	switch name {
	case "byte":
		if v == ROS1 {
			return Int8, true
		}
		return Uint8, true
	case "char":
		return Uint8, true
	case "wstring":
		return WString, v == ROS2
	case "message":
		return 0, false
	}
	for k, n := range kindNames {
		if n == name {
			return Kind(k), true
		}
	}
	return 0, false
}

// constant makes a constant and checks that its value is one of its type.
func constant(v Version, typ, name, text string) (*Field, *Constant, string) {
	name, text = strings.TrimSpace(name), strings.TrimSpace(text)
	// A bound on a constant's type means nothing; the type is the string.
	base, _, _ := strings.Cut(typ, "<=")
	k, ok := primitive(v, base)
	if !ok || k == Time || k == Duration {
		return nil, nil, fmt.Sprintf("constant %s: %s is not a type of constants", name, typ)
	}
	if !isIdentifier(name) {
		return nil, nil, fmt.Sprintf("%q is not the name of a constant", name)
	}
	if !isValue(v, k, text) {
		return nil, nil, fmt.Sprintf("constant %s: %q is not a value of type %s", name, text, typ)
	}
	return nil, &Constant{Name: name, Kind: k, TypeName: typ, Text: text}, ""
}

// isValue reports whether text spells a value of kind k.
func isValue(v Version, k Kind, text string) bool {
	switch k {
	case String, WString:
		return true
	case Bool:
		if v == ROS2 {
			text = strings.ToLower(text)
			return text == "true" || text == "false" || text == "1" || text == "0"
		}
		return text == "True" || text == "False" || text == "1" || text == "0"
	case Float32, Float64:
		_, err := strconv.ParseFloat(text, 64)
		// Beyond the range of a double is infinite, as Python has it.
		return err == nil || strings.HasSuffix(err.Error(), strconv.ErrRange.Error())
	}
	bits := 8 * k.Size()
	lo, hi := int64(0), uint64(math.MaxUint64)>>(64-bits)
	switch k {
	case Int8, Int16, Int32, Int64:
		lo, hi = math.MinInt64>>(64-bits), hi>>1
	}
	text = strings.TrimPrefix(text, "+")
	for _, base := range []int{10, 0} {
		digits := text
		if base == 10 {
			digits = strings.ReplaceAll(text, "_", "")
		}
		if n, err := strconv.ParseUint(digits, base, 64); err == nil {
			return n <= hi
		}
		if n, err := strconv.ParseInt(digits, base, 64); err == nil {
			return n >= lo && (n < 0 || uint64(n) <= hi)
		}
		if v == ROS1 {
			return false
		}
	}
	return false
}
