package rosbag

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// group is the connections that share a table: those of one topic, type and
// definition hash.
type group struct {
	topic, typ string
	hash       string // identity in hexadecimal: md5 sum, or hash of the definition
	definition string
	conns      []int
	rows       int64
}

type groupKey struct{ topic, typ, hash string }

// makeTables turns the connections into tables, in ascending order of
// connection ids, and adds them to rec and d.
func (f Format) makeTables(rec *recording, d *pipeline.Description) error {
	p := newParser(f.encoding())
	groups := makeGroups(rec.conns, p)
	for g, gr := range groups {
		for _, c := range gr.conns {
			rec.conns[c].table = g
		}
	}
	for i := range rec.chunks {
		c := &rec.chunks[i]
		for _, n := range rec.counts[c.countFrom:c.countTo] {
			if i, ok := rec.conn(c.part, n.conn); ok {
				groups[rec.conns[i].table].rows += int64(n.count)
			}
		}
	}
	names := tableNames(groups)
	for g, gr := range groups {
		layout, kind, why := p.parse(gr.typ, gr.definition)
		attributes := gr.attributes(rec.conns)
		t, err := message.NewTable(names[g], envelope, layout, attributes)
		if err != nil {
			kind, why = "bad_schema", err.Error()
			if t, err = message.NewTable(names[g], envelope, nil, attributes); err != nil {
				return fmt.Errorf("table %s: %w", names[g], err)
			}
		}
		if kind != "" {
			rec.problems = append(rec.problems, pipeline.Problem{
				Kind: kind, Table: names[g], Offset: rec.conns[gr.conns[0]].off,
				Detail: fmt.Sprintf("messages of type %s are not decoded: %s", gr.typ, why),
			})
		}
		t.Indexed = gr.rows
		rec.tables = append(rec.tables, t)
		d.Tables = append(d.Tables, pipeline.TableInfo{
			Table:      t.Table,
			Rows:       gr.rows,
			Bytes:      -1,
			Encoding:   "ros1",
			SchemaName: gr.typ,
			Raw:        t.Layout == nil,
			Latched:    attributes["latching"] == "true",
		})
	}
	return nil
}

// makeGroups joins connections. Two that agree in their md5 sum, but not in the
// columns that their definitions make, do not belong together.
func makeGroups(conns []connection, p *parser) []group {
	var groups []group
	at := make(map[groupKey]int)
	for i := range conns {
		c := &conns[i]
		key := groupKey{c.topic, c.typ, c.md5}
		if !isMD5(c.md5) {
			key.hash = c.definitionHash()
		}
		g, ok := at[key]
		if ok && !p.agree(c.typ, groups[g].definition, c.definition) {
			key.hash = c.definitionHash()
			g, ok = at[key]
		}
		if !ok {
			g = len(groups)
			at[key] = g
			groups = append(groups, group{topic: c.topic, typ: c.typ, hash: key.hash})
		}
		if groups[g].definition == "" {
			groups[g].definition = c.definition
		}
		groups[g].conns = append(groups[g].conns, i)
	}
	return groups
}

// isMD5 reports whether s is an md5 sum, and not the * of a relay.
func isMD5(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16
}

func (c *connection) definitionHash() string {
	sum := sha256.Sum256([]byte(c.definition))
	return hex.EncodeToString(sum[:])
}

// tableNames names the first table of a topic like the topic, and the others
// with a suffix that depends on nothing but their definition.
func tableNames(groups []group) []string {
	names := make([]string, len(groups))
	taken := make(map[string]bool)
	first := make(map[string]bool)
	for i, g := range groups {
		name := strings.ToValidUTF8(g.topic, "\ufffd")
		if !first[g.topic] && !taken[name] {
			names[i] = name
			taken[name] = true
		}
		first[g.topic] = true
	}
	for i, g := range groups {
		if names[i] != "" || taken[""] && g.topic == "" && i == slices.Index(names, "") {
			continue
		}
		sum := sha256.Sum256([]byte(g.topic + "\x00" + g.typ + "\x00" + g.hash))
		digits := strings.ToLower(g.hash)
		name := ""
		for _, d := range []string{digits, hex.EncodeToString(sum[:])} {
			for n := 6; n <= len(d) && (name == "" || taken[name]); n++ {
				name = strings.ToValidUTF8(g.topic, "\ufffd") + "#" + d[:n]
			}
		}
		names[i] = name
		taken[name] = true
	}
	return names
}

// attributes are the facts that the connections of a group agree on, and the
// names of their publishers.
func (g *group) attributes(conns []connection) map[string]string {
	a := map[string]string{"type": g.typ, "latching": "false"}
	var callers []string
	for _, i := range g.conns {
		c := &conns[i]
		for k := 0; k+1 < len(c.extra); k += 2 {
			setAttribute(a, c.extra[k], c.extra[k+1])
		}
		if c.callerid != "" {
			callers = append(callers, c.callerid)
		}
	}
	for _, i := range g.conns {
		c := &conns[i]
		if c.latching {
			a["latching"] = "true"
		}
		setAttribute(a, "md5", c.md5)
	}
	slices.Sort(callers)
	setAttribute(a, "callerid", strings.Join(slices.Compact(callers), ","))
	return a
}

// setAttribute adds an attribute unless it is there already or empty.
func setAttribute(a map[string]string, key, value string) {
	key, value = strings.ToValidUTF8(key, "\ufffd"), strings.ToValidUTF8(value, "\ufffd")
	if _, ok := a[key]; !ok && key != "" && value != "" {
		a[key] = value
	}
}

// parser parses each definition once: many topics share one.
type parser struct {
	encoding message.Encoding
	known    map[[2]string]parsed
}

type parsed struct {
	layout message.Layout
	kind   string
	why    string
}

func newParser(e message.Encoding) *parser {
	return &parser{encoding: e, known: make(map[[2]string]parsed)}
}

// parse returns the layout of a type, or none, with the kind of problem and
// the reason.
func (p *parser) parse(typ, definition string) (layout message.Layout, kind, why string) {
	switch {
	case definition == "":
		return nil, "no_schema", "the message definition is empty"
	case p.encoding == nil:
		return nil, "no_decoder", "no decoder of ros1 messages is there"
	}
	key := [2]string{typ, definition}
	r, ok := p.known[key]
	if !ok {
		l, err := p.encoding.Parse(message.Schema{Name: typ, Encoding: "ros1msg", Data: []byte(definition)})
		if err != nil {
			r = parsed{kind: "bad_schema", why: err.Error()}
		} else {
			r.layout = l
		}
		p.known[key] = r
	}
	return r.layout, r.kind, r.why
}

// agree reports whether two definitions of a type can share a table.
func (p *parser) agree(typ, a, b string) bool {
	if a == b || a == "" || b == "" {
		return true
	}
	la, _, _ := p.parse(typ, a)
	lb, _, _ := p.parse(typ, b)
	if la == nil || lb == nil {
		return la == lb
	}
	return slices.EqualFunc(la.Fields(), lb.Fields(), func(x, y arrow.Field) bool {
		return x.Name == y.Name && arrow.TypeEqual(x.Type, y.Type)
	})
}
