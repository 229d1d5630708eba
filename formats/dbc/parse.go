package dbc

import (
	"bytes"
	"fmt"
	"sort"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Limits of what is read.
const (
	maxFile     = 32 << 20
	maxMessages = 65535
	maxSignals  = 4096    // in a message
	maxLength   = 65535   // bytes of a message
	maxLabels   = 1 << 20 // texts of all value tables, counted for each signal
	maxProblems = 1000
)

// noMessage is the name of the pseudo message that holds signals which belong
// to none.
const noMessage = "VECTOR__INDEPENDENT_SIG_MSG"

// statement is what a keyword begins.
type statement uint8

const (
	stSkipped statement = iota // says nothing about frames
	stVersion
	stSymbols
	stTiming
	stNodes
	stMessage
	stSignal
	stSenders
	stComment
	stValues
	stValueTable
	stAttribute
	stAttributeDefault
	stAttributeValue
	stValueType
	stMultiplex
)

var keywords = map[string]statement{
	"VERSION": stVersion, "NS_": stSymbols, "BS_": stTiming, "BU_": stNodes, "BO_": stMessage, "SG_": stSignal,
	"BO_TX_BU_": stSenders, "CM_": stComment, "VAL_": stValues, "VAL_TABLE_": stValueTable, "BA_DEF_": stAttribute,
	"BA_DEF_DEF_": stAttributeDefault, "BA_": stAttributeValue, "SIG_VALTYPE_": stValueType, "SG_MUL_VAL_": stMultiplex,
	"NS_DESC_": stSkipped, "EV_": stSkipped, "ENVVAR_DATA_": stSkipped, "EV_DATA_": stSkipped, "SGTYPE_": stSkipped,
	"SGTYPE_VAL_": stSkipped, "SIG_TYPE_REF_": stSkipped, "SIG_GROUP_": stSkipped, "SIGTYPE_VALTYPE_": stSkipped,
	"BA_DEF_REL_": stSkipped, "BA_DEF_DEF_REL_": stSkipped, "BA_REL_": stSkipped, "BU_SG_REL_": stSkipped,
	"BU_BO_REL_": stSkipped, "BU_EV_REL_": stSkipped, "BA_DEF_SGTYPE_": stSkipped, "BA_SGTYPE_": stSkipped,
	"CAT_": stSkipped, "CAT_DEF_": stSkipped, "FILTER": stSkipped,
}

func keyword(t token) bool {
	_, ok := keywords[t.text]
	return ok && t.kind == tokName
}

// parser reads statements into lists, which are resolved when all are there:
// references may stand before what they refer to.
type parser struct {
	lex  lexer
	tok  token // the next one
	db   *Database
	cur  *Message // that SG_ belongs to
	skip bool     // SG_ lines belong to nothing that is kept
	bad  int      // problems beyond the limit

	messages map[messageKey]*Message
	byName   map[*Message]map[string][]*Signal
	labelled int
	tables   map[string][]rawLabel
	defs     map[attributeKey]*attributeDef
	refs     []reference
}

type messageKey struct {
	id       uint32
	extended bool
}

// Parse reads a database. name is used in positions. The error wraps
// pipeline.ErrUnsupported for other kinds of database, ErrLimit beyond the
// limits and ErrCorrupt for what is no database; every other mistake is one of
// Problems.
func Parse(name string, data []byte) (*Database, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: %d bytes, and a CAN database may have %d: %w", name, len(data), maxFile, pipeline.ErrLimit)
	}
	if err := refuse(name, data); err != nil {
		return nil, err
	}
	text, encoding := decodeText(data)
	db := &Database{Name: name, Encoding: encoding, Attributes: make(map[string]string)}
	p := &parser{db: db, messages: make(map[messageKey]*Message), byName: make(map[*Message]map[string][]*Signal), tables: make(map[string][]rawLabel), defs: make(map[attributeKey]*attributeDef)}
	p.lex = lexer{text: text, line: 1, file: name, fresh: true, report: p.problem}
	p.advance()
	known := 0
	for p.tok.kind != tokEnd {
		t := p.tok
		switch {
		case keyword(t):
			known++
			p.advance()
			p.read(keywords[t.text])
		case t.kind == tokMark && t.text == ";":
			p.advance()
		default:
			p.problem(t.pos, "unknown statement %s, skipped", t)
			p.advance()
			p.skipStatement()
		}
		if len(db.Messages) > maxMessages {
			return nil, fmt.Errorf("%s: more than %d messages: %w", t.pos, maxMessages, pipeline.ErrLimit)
		}
	}
	if known == 0 {
		return nil, fmt.Errorf("%s: no statement of a CAN database (DBC) in it: %w", name, pipeline.ErrCorrupt)
	}
	p.resolve()
	sort.SliceStable(db.Problems, func(i, j int) bool {
		a, b := db.Problems[i].Pos, db.Problems[j].Pos
		return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
	})
	if p.bad > 0 {
		db.Problems = append(db.Problems, &pipeline.Issue{Pos: pipeline.Pos{File: name}, Message: fmt.Sprintf("%d more problems", p.bad)})
	}
	return db, nil
}

// read reads what follows a keyword.
func (p *parser) read(s statement) {
	switch s {
	case stVersion:
		p.version()
	case stSymbols:
		p.newSymbols()
	case stTiming:
		p.accept(":")
		p.skipStatement()
	case stNodes:
		p.nodes()
	case stMessage:
		p.message()
	case stSignal:
		p.signal()
	case stSenders:
		p.senders()
	case stComment:
		p.comment()
	case stValues:
		p.values()
	case stValueTable:
		p.valueTable()
	case stAttribute:
		p.attribute()
	case stAttributeDefault:
		p.attributeDefault()
	case stAttributeValue:
		p.attributeValue()
	case stValueType:
		p.valueType()
	case stMultiplex:
		p.multiplex()
	default:
		p.skipStatement()
	}
}

// refuse tells other kinds of database by their content and name.
func refuse(name string, data []byte) error {
	head := data[:min(len(data), 4096)]
	var kind string
	lower := strings.ToLower(name)
	switch {
	case bytes.Contains(head, []byte("<AUTOSAR")), strings.HasSuffix(lower, ".arxml"):
		kind = "AUTOSAR XML (ARXML)"
	case bytes.Contains(head, []byte("<NetworkDefinition")), strings.HasSuffix(lower, ".kcd"):
		kind = "KCD"
	case bytes.Contains(head, []byte("FormatVersion=")) && !bytes.Contains(head, []byte("BO_")), strings.HasSuffix(lower, ".sym"):
		kind = "PCAN symbol (SYM)"
	default:
		return nil
	}
	return fmt.Errorf("%s: a %s database; only DBC is read, convert it first: %w", name, kind, pipeline.ErrUnsupported)
}

func (p *parser) problem(pos pipeline.Pos, format string, args ...any) {
	if len(p.db.Problems) >= maxProblems {
		p.bad++
		return
	}
	message := fmt.Sprintf(format, args...)
	if n := len(p.db.Problems); n > 0 && p.db.Problems[n-1].Pos == pos && p.db.Problems[n-1].Message == message {
		return // of another layout of the same signal
	}
	p.db.Problems = append(p.db.Problems, &pipeline.Issue{Pos: pos, Message: message})
}

func (p *parser) advance() token {
	t := p.tok
	p.tok = p.lex.next()
	return t
}

func (p *parser) mark(c string) bool { return p.tok.kind == tokMark && p.tok.text == c }

// accept skips a character that may be there.
func (p *parser) accept(c string) bool {
	if p.mark(c) {
		p.advance()
		return true
	}
	return false
}

// atStatement: a statement begins with the next token, as far as can be told.
func (p *parser) atStatement() bool { return p.tok.kind == tokEnd || p.tok.first && keyword(p.tok) }

// skipStatement goes to the end of a statement that is not read on: behind its
// semicolon, or before the next one.
func (p *parser) skipStatement() {
	for !p.atStatement() {
		if p.accept(";") {
			return
		}
		p.advance()
	}
}

// end reads the semicolon of a statement.
func (p *parser) end(what string) {
	switch {
	case p.accept(";"):
	case p.atStatement():
		p.problem(p.tok.pos, "a semicolon is missing before %s", p.tok)
	default:
		p.problem(p.tok.pos, "%s in %s, where it should end; the rest is skipped", p.tok, what)
		p.skipStatement()
	}
}

// fail reports what was found instead of what and skips the statement.
func (p *parser) fail(statement, want string) {
	p.problem(p.tok.pos, "%s in %s where %s should be; skipped", p.tok, statement, want)
	p.skipStatement()
}

// name reads a name; a keyword is one, where a name has to be.
func (p *parser) name(statement, want string) (token, bool) {
	if p.tok.kind != tokName || p.tok.first && keyword(p.tok) {
		p.fail(statement, want)
		return token{}, false
	}
	return p.advance(), true
}

// id reads the identifier of a message.
func (p *parser) id(statement string) (uint32, token, bool) {
	t := p.tok
	v, ok := unsigned(t)
	if !ok || v > 1<<32-1 {
		p.fail(statement, "the identifier of a message")
		return 0, t, false
	}
	p.advance()
	return uint32(v), t, true
}

func (p *parser) version() {
	if p.tok.kind == tokString {
		p.db.Version = p.advance().text
	}
	p.accept(";")
}

// newSymbols skips the list of keywords, which ends where a statement has
// something behind its keyword.
func (p *parser) newSymbols() {
	p.accept(":")
	for p.tok.kind == tokName {
		lex, tok := p.lex, p.tok
		p.advance()
		if p.mark(":") || p.tok.kind == tokNumber || p.tok.kind == tokString {
			p.lex, p.tok = lex, tok
			return
		}
	}
}

func (p *parser) nodes() {
	p.accept(":")
	for p.tok.kind == tokName && !p.atStatement() {
		p.db.Nodes = append(p.db.Nodes, p.advance().text)
	}
	p.accept(";")
}
