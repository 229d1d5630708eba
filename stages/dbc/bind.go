package dbc

import (
	"slices"
	"strconv"
	"strings"

	candb "github.com/drivemill/drivemill/formats/dbc"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Columns of messages beside their signals.
const (
	colPriority    = "priority"
	colSource      = "source_address"
	colDestination = "destination_address"
	colTransfer    = "transfer_start"
)

// anyBus is the bus of frames whose channel has no name.
const anyBus = "any"

// source is an input table bound to its outputs.
type source struct {
	in     *pipeline.Table
	passes *pipeline.Table // of frames that are not data: sent on as they are
	cols   frameColumns
	ts     int // column of the declared clock, or -1
	record int // column of the recording, or -1
	when   [][]condition
	lanes  []*lane
}

// condition is a value that an attribute column must have.
type condition struct {
	column int
	value  string
}

// lane is one bus of a source.
type lane struct {
	name     string
	channel  int64 // -1: every other
	entries  []int // that may serve it
	unknown  *pipeline.Table
	keep     []int // columns of the frame that messages get
	outs     []*output
	messages [][]target // by entry, by message
}

// output is the table of a message.
type output struct {
	table    *pipeline.Table
	keep     []int
	address  int // column of the priority, the addresses follow; -1
	transfer int // column of the start of a transfer, -1
	first    int // column of the first signal
	labels   map[int]*labels
}

// labels are the texts of one column, over all databases.
type labels struct {
	texts []string
	codes map[string]int32
}

// target is a message of one database on its way into an output.
type target struct {
	*message
	out *output
	// column of the output for each field of the plan; -1: not wanted.
	column []int
	// recode maps the codes of a field's texts to those of the output; nil: the
	// same.
	recode [][]int32
}

// Bind announces one table for each message that a bus may carry.
func (s *stage) Bind(in []*pipeline.Table) (*pipeline.Binding, error) {
	out := &pipeline.Binding{State: pipeline.StateNone}
	if s.joins {
		out.State = pipeline.StateUnit
	}
	sources := make(map[*pipeline.Table]*source, len(in))
	var issues pipeline.Issues
	for _, t := range in {
		src, err := s.bindTable(t, out)
		if err != nil {
			if !issues.Add(err) {
				return nil, err
			}
			continue
		}
		sources[t] = src
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	s.checkBuses(sources)
	out.Open = func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return newProcessor(s, sources, opt), nil
	}
	return out, nil
}

// checkBuses warns of patterns of buses that fit no table, where a table is
// left that no bus claims: a recording that lacks a bus is nothing to warn of.
func (s *stage) checkBuses(sources map[*pipeline.Table]*source) {
	numbers := slices.ContainsFunc(s.buses, func(b bus) bool { return b.channel >= 0 })
	var tables []*pipeline.Table
	var left []string
	for t, src := range sources {
		tables = append(tables, t)
		claimed := src.passes != nil || numbers && src.cols.channel >= 0
		if !claimed && !slices.ContainsFunc(s.buses, func(b bus) bool { return b.fits(t) }) {
			left = append(left, t.Name)
		}
	}
	if len(left) == 0 {
		return
	}
	slices.Sort(left)
	for _, b := range s.buses {
		if b.channel >= 0 || slices.ContainsFunc(tables, b.fits) {
			continue
		}
		is := b.at.Issuef(0, "bus %s: no table fits %q, and none of the buses has the table %s", b.name, b.at.Value, left[0])
		is.Suggestion = pipeline.Nearest(b.at.Value, left)
		s.warn(is)
	}
}

// fits reports whether the pattern of the bus matches a table.
func (b bus) fits(t *pipeline.Table) bool {
	return b.channel < 0 && (b.match.Match(t.Name) || b.match.Match(t.LakeName()) || b.match.Match(t.Input))
}

func sameField(a, b arrow.Field) bool { return a.Name == b.Name && arrow.TypeEqual(a.Type, b.Type) }

// bindTable binds one table and adds its outputs.
func (s *stage) bindTable(t *pipeline.Table, b *pipeline.Binding) (*source, error) {
	src := &source{in: t, ts: -1, record: t.Column("recording_id")}
	kind, network := t.Attributes["frame_kind"], t.Attributes["bus"]
	if kind != "" && kind != "data" || network != "" && network != "can" {
		src.passes = s.passing(t, t.LakeName(), b, nil)
		return src, nil
	}
	var issues pipeline.Issues
	src.cols = s.findColumns(t, &issues)
	if at := t.Column(pipeline.TimeColumn); at >= 0 && t.Schema.Field(at).Type.ID() == arrow.TIMESTAMP {
		src.ts = at
	}
	kept := s.kept(t, &issues)
	src.lanes = s.lanes(t, src.cols.channel >= 0)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	var reads []pipeline.Read
	read := func(at int) {
		if at >= 0 {
			reads = append(reads, pipeline.Read{ColumnRef: pipeline.ColumnRef{Table: t, Column: t.Schema.Field(at).Name}, How: "FILTER"})
		}
	}
	for _, at := range []int{src.cols.id, src.cols.extended, src.cols.remote, src.cols.err, src.cols.channel} {
		read(at)
	}
	src.when = make([][]condition, len(s.entries))
	for i, e := range s.entries {
		for _, w := range e.When.Entries {
			at := t.Column(w.Key.Value)
			if at < 0 || !isText(t.Schema.Field(at).Type) {
				is := w.Key.Issuef(0, "table %s has no attribute %q", t.LakeName(), w.Key.Value)
				is.Suggestion = pipeline.Nearest(w.Key.Value, t.ColumnNames())
				issues.Add(is)
				continue
			}
			src.when[i] = append(src.when[i], condition{at, w.Value.Value})
			read(at)
		}
		if e.timed {
			if src.ts < 0 {
				issues.Add(e.File.Issuef(0, "the database is for a time, and table %s has no column %s", t.LakeName(), pipeline.TimeColumn))
			}
			read(src.ts)
		}
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	var payload []pipeline.ColumnRef
	for _, at := range []int{src.cols.data, src.cols.length, src.cols.dlc} {
		if at >= 0 {
			payload = append(payload, pipeline.ColumnRef{Table: t, Column: t.Schema.Field(at).Name})
		}
	}
	for _, l := range src.lanes {
		l.keep = kept
		if l.channel < 0 && src.cols.channel >= 0 && !slices.Contains(kept, src.cols.channel) {
			l.keep = append(slices.Clone(kept), src.cols.channel)
		}
		s.bindLane(t, l, b, payload, reads)
		if len(s.messages) > 0 {
			continue
		}
		l.unknown = s.passing(t, "can_"+l.name+"_unknown", b, append(slices.Clone(reads), payloadReads(payload)...))
	}
	return src, nil
}

func payloadReads(refs []pipeline.ColumnRef) []pipeline.Read {
	out := make([]pipeline.Read, len(refs))
	for i, r := range refs {
		out[i] = pipeline.Read{ColumnRef: r, How: "FILTER"}
	}
	return out
}

func isText(t arrow.DataType) bool {
	return t.ID() == arrow.STRING || arrow.TypeEqual(t, arrow.LabelType)
}

// kept lists the columns of frames that messages get: attributes, times, and
// those under keep.
func (s *stage) kept(t *pipeline.Table, issues *pipeline.Issues) []int {
	keep := make(map[string]bool)
	for _, c := range t.Clocks {
		keep[c.Column] = true
	}
	for _, k := range s.Keep {
		if t.Column(k.Value) < 0 && !t.Pruned {
			i := k.Issuef(0, "table %s has no column %q", t.LakeName(), k.Value)
			i.Suggestion = pipeline.Nearest(k.Value, t.ColumnNames())
			issues.Add(i)
		}
		keep[k.Value] = true
	}
	var out []int
	for i, f := range t.Schema.Fields() {
		if _, role := f.Metadata.GetValue(pipeline.MetaRole); role || keep[f.Name] {
			out = append(out, i)
		}
	}
	return out
}

// lanes lists the buses of a table.
func (s *stage) lanes(t *pipeline.Table, channels bool) []*lane {
	var out []*lane
	add := func(name string, channel int64) {
		l := &lane{name: name, channel: channel}
		for i, e := range s.entries {
			if e.bus == "" || e.bus == name {
				l.entries = append(l.entries, i)
			}
		}
		out = append(out, l)
	}
	for _, b := range s.buses {
		if b.fits(t) {
			add(b.name, -1)
			return out
		}
	}
	if !channels {
		name := strings.TrimPrefix(lowered(t.LakeName()), "can_")
		for _, e := range s.entries { // without buses, bus is the name itself
			if e.bus == t.LakeName() || e.bus == t.Name {
				name = e.bus
			}
		}
		add(name, -1)
		return out
	}
	for _, b := range s.buses {
		if b.channel >= 0 {
			add(b.name, b.channel)
		}
	}
	add(anyBus, -1)
	return out
}

// lowered makes a name into one of [a-z0-9_].
func lowered(s string) string {
	b := []byte(strings.ToLower(s))
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			b[i] = '_'
		}
	}
	return strings.TrimLeft(string(b), "_")
}

// passing announces a table that has the rows of t as they are. Where another
// table of that name has other columns, it gets the name of t as suffix.
func (s *stage) passing(t *pipeline.Table, name string, b *pipeline.Binding, reads []pipeline.Read) *pipeline.Table {
	c := *t
	if slices.ContainsFunc(b.Outputs, func(o pipeline.Output) bool {
		return o.Table.LakeName() == name && !slices.EqualFunc(o.Table.Schema.Fields(), t.Schema.Fields(), sameField)
	}) {
		name += "_" + lowered(t.Name)
	}
	c.Name, c.Alias = name, ""
	o := pipeline.Output{Table: &c, Reads: reads}
	for _, f := range t.Schema.Fields() {
		ref := pipeline.ColumnRef{Table: t, Column: f.Name}
		o.Columns = append(o.Columns, pipeline.Derivation{Inputs: []pipeline.ColumnRef{ref}, Identity: true})
	}
	b.Outputs = append(b.Outputs, o)
	return &c
}

// bindLane announces the messages of a bus.
func (s *stage) bindLane(t *pipeline.Table, l *lane, b *pipeline.Binding, payload []pipeline.ColumnRef, reads []pipeline.Read) {
	l.messages = make([][]target, len(s.entries))
	byName := make(map[string][]*target)
	var names []string
	for _, i := range l.entries {
		e := s.entries[i]
		l.messages[i] = make([]target, len(e.messages))
		for k := range e.messages {
			g := &l.messages[i][k]
			g.message = &e.messages[k]
			if !wanted(s.messages, g.Message.Name) {
				continue
			}
			if byName[g.name] == nil {
				names = append(names, g.name)
			}
			byName[g.name] = append(byName[g.name], g)
		}
	}
	for _, name := range names {
		o := s.bindMessage(t, l, name, byName[name], payload, reads)
		l.outs = append(l.outs, o.of)
		b.Outputs = append(b.Outputs, o.Output)
	}
}

type messageOutput struct {
	pipeline.Output
	of *output
}

// bindMessage makes the table of a message that some databases describe.
func (s *stage) bindMessage(t *pipeline.Table, l *lane, name string, targets []*target, payload []pipeline.ColumnRef, reads []pipeline.Read) messageOutput {
	of := &output{keep: l.keep, address: -1, transfer: -1, labels: make(map[int]*labels)}
	o := pipeline.Output{Reads: reads}
	var fields []arrow.Field
	taken := make(map[string]bool)
	add := func(f arrow.Field, d pipeline.Derivation) int {
		for taken[f.Name] {
			f.Name += "_signal"
		}
		taken[f.Name] = true
		fields, o.Columns = append(fields, f), append(o.Columns, d)
		return len(fields) - 1
	}
	for _, at := range l.keep {
		f := t.Schema.Field(at)
		add(f, pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: t, Column: f.Name}}, Identity: true})
	}
	from := func(at int) pipeline.Derivation {
		return pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: t, Column: t.Schema.Field(at).Name}}}
	}
	grouped, long := false, false
	for _, g := range targets {
		grouped = grouped || g.plan.Message.Protocol != candb.PlainCAN
		long = long || g.long()
	}
	src := s.findColumns(t, new(pipeline.Issues))
	if grouped {
		of.address = add(arrow.Field{Name: colPriority, Type: arrow.Uint8Type, Nullable: true}, from(src.id))
		add(arrow.Field{Name: colSource, Type: arrow.Uint8Type, Nullable: true}, from(src.id))
		add(arrow.Field{Name: colDestination, Type: arrow.Uint8Type, Nullable: true}, from(src.id))
	}
	if at := t.Column(pipeline.TimeColumn); long && at >= 0 && t.Schema.Field(at).Type.ID() == arrow.TIMESTAMP {
		f := arrow.Field{Name: colTransfer, Type: arrow.TimeType, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaDescription, "time of the first frame of the transfer")}
		of.transfer = add(f, from(at))
	}
	of.first = len(fields)
	shared := make(map[[2]string]int) // by name and unit
	for _, g := range targets {
		for _, f := range g.plan.Fields() {
			if !wanted(s.signals, f.Signal) {
				g.column, g.recode = append(g.column, -1), append(g.recode, nil)
				continue
			}
			at, ok := shared[[2]string{f.Name, f.Unit}]
			if !ok {
				d := pipeline.Derivation{Inputs: payload, Expression: g.Message.Name + "." + f.Name}
				field := arrow.Field{Name: f.Name, Type: f.Type, Nullable: true,
					Metadata: pipeline.FieldMeta(pipeline.MetaUnit, f.Unit, pipeline.MetaDescription, f.Description)}
				if f.Part == candb.Text {
					field.Type = arrow.LabelType
				}
				at = add(field, d)
				shared[[2]string{f.Name, f.Unit}] = at
			} else if f.Part != candb.Text && !arrow.TypeEqual(fields[at].Type, f.Type) {
				fields[at].Type = arrow.Float64Type
			}
			var recode []int32
			if f.Part == candb.Text {
				recode = of.texts(at, f.Texts)
			}
			g.column, g.recode = append(g.column, at), append(g.recode, recode)
		}
		g.out = of
	}
	m := targets[0].Message
	attributes := map[string]string{"bus": l.name, "message": m.Name, "can_id": "0x" + strconv.FormatUint(uint64(m.ID), 16)}
	if v := m.Attributes["GenMsgCycleTime"]; v != "" {
		attributes["cycle_time_ms"] = v
	}
	if m.Comment != "" {
		attributes["description"] = m.Comment
	}
	of.table = &pipeline.Table{Name: "can_" + l.name + "_" + name, Input: t.Input, Schema: arrow.NewSchema(fields, nil), Attributes: attributes, Pruned: t.Pruned}
	for _, c := range t.Clocks {
		if of.table.Column(c.Column) >= 0 {
			of.table.Clocks = append(of.table.Clocks, c)
		}
	}
	o.Table = of.table
	return messageOutput{o, of}
}

// texts adds the texts of one database to those of a column, and says which
// codes they have there; nil where they are the same.
func (o *output) texts(at int, texts []string) []int32 {
	l := o.labels[at]
	if l == nil {
		l = &labels{codes: make(map[string]int32)}
		o.labels[at] = l
	}
	same := true
	recode := make([]int32, len(texts))
	for i, t := range texts {
		code, ok := l.codes[t]
		if !ok {
			code = int32(len(l.texts))
			l.codes[t], l.texts = code, append(l.texts, t)
		}
		recode[i] = code
		same = same && code == int32(i)
	}
	if same {
		return nil
	}
	return recode
}
