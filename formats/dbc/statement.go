package dbc

import (
	"math"
	"strconv"
	"strings"
)

// unsigned reads a token as a number without sign, in base 10 or 16.
func unsigned(t token) (uint64, bool) {
	if t.kind != tokNumber {
		return 0, false
	}
	s, base := strings.TrimPrefix(t.text, "+"), 10
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		s, base = s[2:], 16
	}
	v, err := strconv.ParseUint(s, base, 64)
	return v, err == nil
}

// integer reads a token as an integer of any sign, as 64 bits. Whole numbers
// with a fraction of zeros (3.0) count.
func integer(t token) (bits int64, negative, ok bool) {
	if t.kind != tokNumber {
		return 0, false, false
	}
	s := strings.TrimPrefix(t.text, "+")
	if whole, zeros, found := strings.Cut(s, "."); found && strings.Trim(zeros, "0") == "" {
		s = whole
	}
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return v, v < 0, true
	}
	if v, ok := unsigned(t); ok {
		return int64(v), false, true
	}
	return 0, false, false
}

func float(t token) (float64, bool) {
	if t.kind != tokNumber {
		return 0, false
	}
	v, err := strconv.ParseFloat(t.text, 64)
	return v, err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
}

func (p *parser) message() {
	p.cur, p.skip = nil, true
	id, at, ok := p.id("BO_")
	if !ok {
		return
	}
	name, ok := p.name("BO_", "the name of a message")
	if !ok {
		return
	}
	if !p.accept(":") {
		p.problem(p.tok.pos, "a colon is missing after the name of message %s", name.text)
	}
	m := &Message{ID: id & 0x1fffffff, Extended: id>>31 != 0, Name: name.text, Pos: at.pos}
	switch n, ok := unsigned(p.tok); {
	case ok && n <= maxLength:
		m.Length = int(n)
		p.advance()
	case ok:
		p.problem(p.tok.pos, "message %s has %d bytes, and %d are possible; skipped", m.Name, n, maxLength)
		p.advance()
		p.restOfLine()
		return
	default:
		p.problem(p.tok.pos, "%s where the length of message %s should be; it is taken to be 0", p.tok, m.Name)
	}
	if p.tok.kind == tokName && !p.tok.first {
		if s := p.advance().text; s != "Vector__XXX" {
			m.Senders = append(m.Senders, s)
		}
	}
	p.restOfLine()
	if m.Name == noMessage || id == 0xc0000000 {
		return
	}
	if !m.Extended && m.ID > 0x7ff {
		p.problem(at.pos, "message %s has the identifier %d, which needs bit 31 to be an extended one; it is taken to be extended", m.Name, id)
		m.Extended = true
	}
	key := messageKey{m.ID, m.Extended}
	if old := p.messages[key]; old != nil {
		p.problem(at.pos, "message %s has the identifier of message %s (line %d), which counts; skipped", m.Name, old.Name, old.Pos.Line)
		return
	}
	p.messages[key] = m
	p.db.Messages = append(p.db.Messages, m)
	p.cur, p.skip = m, false
}

// restOfLine skips what is too much on a line that has no semicolon.
func (p *parser) restOfLine() {
	if !p.tok.first && !p.accept(";") {
		p.problem(p.tok.pos, "%s at the end of a line, skipped", p.tok)
		for !p.tok.first {
			p.advance()
		}
	}
}

func (p *parser) signal() {
	name, ok := p.name("SG_", "the name of a signal")
	if !ok {
		return
	}
	s := &Signal{Name: name.text, Pos: name.pos, Factor: 1}
	if p.tok.kind == tokName && !p.tok.first {
		p.multiplexer(s, p.advance())
	}
	if !p.accept(":") || !p.placement(s) {
		p.badSignal(s)
		return
	}
	if !p.accept("(") || !p.float(&s.Factor) || !p.accept(",") || !p.float(&s.Offset) || !p.accept(")") {
		p.badSignal(s)
		return
	}
	if p.accept("[") && (!p.float(&s.Min) || !p.accept("|") || !p.float(&s.Max) || !p.accept("]")) {
		p.problem(p.tok.pos, "%s where minimum and maximum of signal %s should be; they are ignored", p.tok, s.Name)
		s.Min, s.Max = 0, 0
		for !p.tok.first && p.tok.kind != tokString {
			p.advance()
		}
	}
	if p.tok.kind == tokString && !p.tok.first {
		s.Unit = p.advance().text
	} else {
		p.problem(p.tok.pos, "signal %s has no unit", s.Name)
	}
	for more := false; p.tok.kind == tokName && (!p.tok.first || more && !keyword(p.tok)); {
		if r := p.advance().text; r != "Vector__XXX" {
			s.Receivers = append(s.Receivers, r)
		}
		more = p.accept(",")
	}
	p.restOfLine()
	switch m := p.cur; {
	case m == nil && p.skip:
	case m == nil:
		p.problem(name.pos, "signal %s belongs to no message, skipped", s.Name)
	case len(m.Signals) >= maxSignals:
		p.problem(name.pos, "message %s has more than %d signals; %s is skipped", m.Name, maxSignals, s.Name)
	default:
		m.Signals = append(m.Signals, s)
	}
}

// badSignal reports a signal that makes no sense where the parser is.
func (p *parser) badSignal(s *Signal) {
	p.problem(p.tok.pos, "%s in signal %s is not what belongs there; the signal is skipped", p.tok, s.Name)
	for !p.tok.first {
		p.advance()
	}
}

// multiplexer reads M, m3 or m3M.
func (p *parser) multiplexer(s *Signal, t token) {
	text := t.text
	if text == "M" {
		s.Switch = true
		return
	}
	rest, ok := strings.CutPrefix(text, "m")
	number, isSwitch := strings.CutSuffix(rest, "M")
	v, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		p.problem(t.pos, "%s of signal %s is no multiplexer mark (M, m3, m3M); it is ignored", t, s.Name)
		return
	}
	s.muxed, s.muxValue, s.Switch = true, v, isSwitch
}

// placement reads start|length@order sign.
func (p *parser) placement(s *Signal) bool {
	start, ok := unsigned(p.tok)
	if !ok || start >= 8*maxLength {
		return false
	}
	p.advance()
	if !p.accept("|") {
		return false
	}
	length, ok := unsigned(p.tok)
	if !ok || length < 1 || length > 64 {
		return false
	}
	p.advance()
	if !p.accept("@") {
		return false
	}
	// 1- before a digit would be one word; the sign always has a character
	// of its own, so only the order is a number here.
	order, ok := unsigned(p.tok)
	if !ok || order > 1 {
		return false
	}
	p.advance()
	switch {
	case p.accept("+"):
	case p.accept("-"):
		s.Signed = true
	default:
		return false
	}
	s.Start, s.Length, s.BigEndian = int(start), int(length), order == 0
	return true
}

func (p *parser) float(to *float64) bool {
	v, ok := float(p.tok)
	if ok {
		*to = v
		p.advance()
	}
	return ok
}

func (p *parser) senders() {
	id, _, ok := p.id("BO_TX_BU_")
	if !ok {
		return
	}
	p.accept(":")
	r := reference{kind: refSenders, id: id}
	for p.tok.kind == tokName && !p.atStatement() {
		r.names = append(r.names, p.advance().text)
		p.accept(",")
	}
	p.refs = append(p.refs, r)
	p.end("BO_TX_BU_")
}

// object reads what a comment or attribute is about; ok is false after a
// mistake, which skips the statement.
func (p *parser) object(statement string) (r reference, ok bool) {
	if p.tok.kind != tokName {
		return reference{object: objNetwork, pos: p.tok.pos}, true
	}
	kind := p.advance()
	r.pos = p.tok.pos
	switch kind.text {
	case "BO_":
		r.object = objMessage
		r.id, _, ok = p.id(statement)
	case "SG_":
		r.object = objSignal
		if r.id, _, ok = p.id(statement); ok {
			var t token
			t, ok = p.name(statement, "the name of a signal")
			r.name = t.text
		}
	case "BU_", "EV_":
		r.object = objOther
		_, ok = p.name(statement, "a name")
	default:
		p.problem(kind.pos, "%s in %s is no kind of object; skipped", kind, statement)
		p.skipStatement()
	}
	return r, ok
}

func (p *parser) comment() {
	r, ok := p.object("CM_")
	if !ok {
		return
	}
	if p.tok.kind != tokString {
		p.fail("CM_", "a text")
		return
	}
	r.kind, r.text = refComment, p.advance().text
	p.refs = append(p.refs, r)
	p.end("CM_")
}

// rawLabel is a pair of a value table before its signal is known.
type rawLabel struct {
	bits     int64
	negative bool
	text     string
}

// labels reads pairs of number and text up to the end of the statement.
func (p *parser) labels(statement string) []rawLabel {
	var out []rawLabel
	for !p.atStatement() && !p.mark(";") {
		at := p.tok
		bits, negative, ok := integer(at)
		if !ok {
			p.problem(at.pos, "%s in %s where a raw value should be; the rest is skipped", at, statement)
			p.skipStatement()
			return out
		}
		p.advance()
		if p.tok.kind != tokString {
			p.problem(p.tok.pos, "%s in %s where the text of %s should be; the rest is skipped", p.tok, statement, at.text)
			p.skipStatement()
			return out
		}
		out = append(out, rawLabel{bits, negative, p.advance().text})
	}
	p.end(statement)
	return out
}

func (p *parser) values() {
	if p.tok.kind == tokName && !p.atStatement() { // of an environment variable
		p.skipStatement()
		return
	}
	id, _, ok := p.id("VAL_")
	if !ok {
		return
	}
	name, ok := p.name("VAL_", "the name of a signal")
	if !ok {
		return
	}
	r := reference{kind: refLabels, id: id, name: name.text, pos: name.pos}
	if p.tok.kind == tokName && !p.atStatement() {
		r.text = p.advance().text
		p.end("VAL_")
	} else {
		r.labels = p.labels("VAL_")
	}
	p.refs = append(p.refs, r)
}

func (p *parser) valueTable() {
	if name, ok := p.name("VAL_TABLE_", "the name of a table"); ok {
		p.tables[name.text] = p.labels("VAL_TABLE_")
	}
}

func (p *parser) valueType() {
	id, _, ok := p.id("SIG_VALTYPE_")
	if !ok {
		return
	}
	name, ok := p.name("SIG_VALTYPE_", "the name of a signal")
	if !ok {
		return
	}
	p.accept(":")
	v, ok := unsigned(p.tok)
	if !ok || v > 2 {
		p.fail("SIG_VALTYPE_", "0, 1 or 2")
		return
	}
	p.advance()
	p.refs = append(p.refs, reference{kind: refType, id: id, name: name.text, pos: name.pos, number: int(v)})
	p.end("SIG_VALTYPE_")
}

func (p *parser) multiplex() {
	id, _, ok := p.id("SG_MUL_VAL_")
	if !ok {
		return
	}
	child, ok := p.name("SG_MUL_VAL_", "the name of a signal")
	if !ok {
		return
	}
	parent, ok := p.name("SG_MUL_VAL_", "the name of a switch")
	if !ok {
		return
	}
	r := reference{kind: refMultiplex, id: id, name: child.text, text: parent.text, pos: child.pos}
	for p.tok.kind == tokNumber {
		at := p.tok
		from, ok := unsigned(p.advance())
		to := from
		p.accept("-")
		if ok && p.tok.kind == tokNumber {
			t := p.tok
			t.text = strings.TrimPrefix(t.text, "-")
			to, ok = unsigned(t)
			p.advance()
		}
		if !ok || to < from {
			p.problem(at.pos, "%s begins no range of values of switch %s; the statement is skipped", at, parent.text)
			p.skipStatement()
			return
		}
		r.ranges = append(r.ranges, Range{from, to})
		p.accept(",")
	}
	p.refs = append(p.refs, r)
	p.end("SG_MUL_VAL_")
}
