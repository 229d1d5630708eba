package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
)

// RecordingAttribute names the attribute that every input has.
const RecordingAttribute = "recording_id"

// leading are the attributes that come first, in this order.
var leading = []string{"vehicle_id", "drive_id", RecordingAttribute}

// StreamTable is a table of a recording as it flows through the graph.
type StreamTable struct {
	// Key is the key under the input's tables, empty when it has none.
	Key string
	// Native is the table as the format describes it.
	Native *pipeline.Table
	// Stream is the table as it flows: attributes (RoleAttribute,
	// arrow.LabelType), then ts (RoleTime) if there is a clock, then the other
	// clocks (RoleClock), then the remaining columns.
	Stream *pipeline.Table
	// Columns are the native columns to decode, in the order of Native. There
	// may be more than fill the stream: a clock to check, one to count rows by.
	Columns []string
	// From names for each column of Stream the native column that fills it;
	// empty for attributes.
	From []string
	// Clock is the declared clock, with its native column; zero when the table
	// has none of those declared.
	Clock pipeline.Clock
	// Payloads are those of Columns that have columns beside them in Stream. A
	// column beside one is filled by that of the same name behind Columns.
	Payloads []pipeline.PayloadSelection
}

// Attributes lists the attributes that an input's tables begin with: captures
// of its URI, its constants, and the recording.
func Attributes(in *config.Input) []string {
	names := config.Captures(in.URI.Value)
	for _, a := range slices.Sorted(maps.Keys(in.Attributes)) {
		if !slices.Contains(names, a) {
			names = append(names, a)
		}
	}
	if !slices.Contains(names, RecordingAttribute) {
		names = append(names, RecordingAttribute)
	}
	return orderAttributes(names)
}

// orderAttributes puts the well-known ones first, then the others by name.
func orderAttributes(names []string) []string {
	rank := func(s string) int {
		if i := slices.Index(leading, s); i >= 0 {
			return i
		}
		return len(leading)
	}
	out := slices.Clone(names)
	slices.SortFunc(out, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(out)
}

// selector is a compiled table key of an input.
type selector struct {
	key     string
	spec    *config.TableSpec
	match   config.Glob
	columns []config.Glob
}

func selectors(in *config.Input) ([]selector, error) {
	out := make([]selector, 0, len(in.Tables.Entries))
	for i := range in.Tables.Entries {
		e := &in.Tables.Entries[i]
		s := selector{key: e.Key.Value, spec: &e.Value}
		var err error
		if s.match, err = config.CompileGlob(e.Value.Match.Value); err != nil {
			return nil, e.Value.Match.Issuef(0, "%q: %v", e.Value.Match.Value, err)
		}
		for _, c := range e.Value.Columns {
			g, err := config.CompileGlob(c.Value)
			if err != nil {
				return nil, c.Issuef(0, "%q: %v", c.Value, err)
			}
			s.columns = append(s.columns, g)
		}
		out = append(out, s)
	}
	return out, nil
}

// StreamTables says how the tables of a recording flow through the graph: one
// StreamTable for each table and each key of the input that matches it, in the
// order of native and of the keys. attributes are those whose values the unit
// knows. Mistakes (a column that is not there, an attribute with the name of a
// column) are Issues at their place in the pipeline file.
func StreamTables(in *config.Input, native []*pipeline.Table, attributes []string) ([]*StreamTable, error) {
	sel, err := selectors(in)
	if err != nil {
		return nil, err
	}
	if len(in.Tables.Entries) == 0 {
		sel = []selector{{spec: &config.TableSpec{}}}
	}
	attributes = orderAttributes(attributes)
	var issues pipeline.Issues
	var out []*StreamTable
	for _, t := range native {
		for _, s := range sel {
			if s.key == "" || s.match.Match(t.Name) {
				st := streamTable(in, t, s, attributes, &issues)
				checkPayloads(out, st, s, &issues)
				out = append(out, st)
			}
		}
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// streamTable lays out one table.
func streamTable(in *config.Input, t *pipeline.Table, s selector, attributes []string, issues *pipeline.Issues) *StreamTable {
	st := &StreamTable{Key: s.key, Native: t, Clock: declaredClock(in, t)}
	fields := t.Schema.Fields()
	selected := s.selectColumns(t, fields, issues)

	taken := make(map[string]bool)
	var layout []arrow.Field
	add := func(f arrow.Field, from string) {
		taken[f.Name] = true
		layout = append(layout, f)
		st.From = append(st.From, from)
	}
	for _, c := range t.Clocks {
		if i := t.Column(c.Column); i >= 0 {
			selected[i] = true
		}
	}
	for _, a := range attributes {
		// A capture can be renamed; recording_id is there in any case, and the
		// column gives way.
		if i := t.Column(a); i >= 0 && selected[i] && a != st.Clock.Column && a != RecordingAttribute {
			reportCollision(in, t, a, issues)
			continue
		}
		add(arrow.Field{Name: a, Type: arrow.LabelType, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleAttribute)}, "")
	}
	clocks := make(map[string]bool, len(t.Clocks))
	var flowing []pipeline.Clock
	if st.Clock.Column != "" {
		clocks[st.Clock.Column] = true
		f := fields[t.Column(st.Clock.Column)]
		f.Metadata = withMeta(f.Metadata, pipeline.MetaRole, pipeline.RoleTime, pipeline.MetaSource, f.Name)
		f.Name, f.Type = pipeline.TimeColumn, arrow.TimeType
		add(f, st.Clock.Column)
		flowing = append(flowing, pipeline.Clock{Name: st.Clock.Name, Column: pipeline.TimeColumn, Scale: st.Clock.Scale})
	}
	for _, c := range t.Clocks {
		i := t.Column(c.Column)
		if i < 0 || clocks[c.Column] {
			continue
		}
		clocks[c.Column] = true
		f := fields[i]
		f.Metadata = withMeta(f.Metadata, pipeline.MetaRole, pipeline.RoleClock)
		f.Name = freeName(f.Name, taken)
		add(f, c.Column)
		flowing = append(flowing, pipeline.Clock{Name: c.Name, Column: f.Name, Scale: c.Scale})
	}
	for i, f := range fields {
		if !selected[i] || clocks[f.Name] {
			continue
		}
		from := f.Name
		if f.Name = freeName(f.Name, taken); f.Name != from {
			f.Metadata = withMeta(f.Metadata, pipeline.MetaSource, from)
		}
		p, ok := payloadOf(in, s, f, from, t, taken)
		if !ok {
			add(f, from)
			continue
		}
		st.Payloads = append(st.Payloads, p)
		f.Nullable = true
		f.Metadata = withMeta(f.Metadata, pipeline.MetaPayload, pipeline.PayloadMark(p.Policy, p.Above))
		add(f, from)
		beside := pipeline.PayloadFields(from, p.Policy)
		for i, b := range pipeline.PayloadFields(f.Name, p.Policy) {
			add(b, beside[i].Name)
		}
	}
	stream := *t
	stream.Input = in.Name
	stream.Clocks = flowing
	if _, literal := s.match.Literal(); literal && s.key != "" {
		stream.Alias = s.key
	}
	md := t.Schema.Metadata()
	stream.Schema = arrow.NewSchema(layout, &md)
	st.Stream = &stream
	st.Columns = nativeColumns(t, st.From)
	return st
}

// freeName gives a native column another name when a column that the source
// node makes (ts) has taken it.
func freeName(name string, taken map[string]bool) string {
	free := name
	for n := 1; taken[free]; n++ {
		free = name + "_native"
		if n > 1 {
			free = fmt.Sprintf("%s_native%d", name, n)
		}
	}
	return free
}

// declaredClock is the first of the input's clocks that the table has; where
// the input declares none, the first of the table.
func declaredClock(in *config.Input, t *pipeline.Table) pipeline.Clock {
	has := func(c pipeline.Clock) bool { return t.Column(c.Column) >= 0 }
	if len(in.Clock) == 0 {
		for _, c := range t.Clocks {
			if has(c) {
				return c
			}
		}
	}
	for _, name := range in.Clock {
		for _, c := range t.Clocks {
			if c.Name == name && has(c) {
				return c
			}
		}
	}
	return pipeline.Clock{}
}

// selectColumns tells which columns of t the key selects. Clocks come along
// anyway.
func (s selector) selectColumns(t *pipeline.Table, fields []arrow.Field, issues *pipeline.Issues) []bool {
	selected := make([]bool, len(fields))
	if len(s.columns) == 0 {
		for i := range selected {
			selected[i] = true
		}
		return selected
	}
	_, one := s.match.Literal()
	for k, g := range s.columns {
		found := false
		lit, literal := g.Literal()
		for i, f := range fields {
			if g.Match(f.Name) || literal && strings.HasPrefix(f.Name, lit) && strings.HasPrefix(f.Name[len(lit):], ".") {
				selected[i], found = true, true
			}
		}
		// A pattern for several tables may name columns that only some have.
		if !found && one {
			is := s.spec.Columns[k].Issuef(0, "table %s has no column %s", t.Name, s.spec.Columns[k].Value)
			is.Suggestion = pipeline.Nearest(s.spec.Columns[k].Value, prefixes(fields))
			issues.Add(is)
		}
	}
	return selected
}

// prefixes lists all names that select columns: those of columns, and of what
// they are nested in.
func prefixes(fields []arrow.Field) []string {
	var out []string
	seen := make(map[string]bool)
	for _, f := range fields {
		for i := 0; i <= len(f.Name); i++ {
			if i == len(f.Name) || f.Name[i] == '.' {
				if p := f.Name[:i]; !seen[p] {
					seen[p] = true
					out = append(out, p)
				}
			}
		}
	}
	return out
}

func reportCollision(in *config.Input, t *pipeline.Table, attribute string, issues *pipeline.Issues) {
	at := in.URI
	if at.Pos == (pipeline.Pos{}) {
		at = pipeline.Text{Pos: in.Pos, Path: in.Path}
	}
	before, _, ok := strings.Cut(in.URI.Value, "{"+attribute)
	n := 0
	if ok {
		n = utf8.RuneCountInString(before)
	}
	issues.Add(at.Issuef(n, "the attribute %s has the name of a column of table %s; rename the capture", attribute, t.Name))
}

// nativeColumns puts the columns that are wanted into the order of the table.
func nativeColumns(t *pipeline.Table, wanted []string) []string {
	want := make(map[string]bool, len(wanted))
	for _, w := range wanted {
		want[w] = true
	}
	out := make([]string, 0, len(want))
	for _, f := range t.Schema.Fields() {
		if want[f.Name] {
			out = append(out, f.Name)
		}
	}
	return out
}

// withMeta returns field metadata with keys set.
func withMeta(md arrow.Metadata, kv ...string) arrow.Metadata {
	m := make(map[string]string, md.Len()+len(kv)/2)
	for i, k := range md.Keys() {
		m[k] = md.Values()[i]
	}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	keys := slices.Sorted(maps.Keys(m))
	vals := make([]string, len(keys))
	for i, k := range keys {
		vals[i] = m[k]
	}
	return arrow.NewMetadata(keys, vals)
}

// prune returns the table with only the needed columns of Stream; need is
// parallel to its fields.
func (st *StreamTable) prune(need []bool, clockWindow bool) *StreamTable {
	c := *st
	fields := st.Stream.Schema.Fields()
	var kept []arrow.Field
	c.From = nil
	for i, f := range fields {
		if need[i] {
			kept = append(kept, f)
			c.From = append(c.From, st.From[i])
		}
	}
	if len(kept) == 0 && len(fields) > 0 {
		// Rows are counted even where no column of them is looked at.
		i := max(st.Stream.Column(pipeline.TimeColumn), 0)
		kept, c.From = []arrow.Field{fields[i]}, []string{st.From[i]}
	}
	md := st.Stream.Schema.Metadata()
	c.Stream = st.Stream.With(arrow.NewSchema(kept, &md))
	c.Stream.Pruned = true
	c.Stream.Clocks = nil
	for _, k := range st.Stream.Clocks {
		if slices.ContainsFunc(kept, func(f arrow.Field) bool { return f.Name == k.Column }) {
			c.Stream.Clocks = append(c.Stream.Clocks, k)
		}
	}
	wanted := c.From
	c.Payloads = nil
	for _, p := range st.Payloads {
		if slices.ContainsFunc(pipeline.PayloadFields(p.Column, p.Policy), func(f arrow.Field) bool { return slices.Contains(c.From, f.Name) }) {
			c.Payloads = append(c.Payloads, p)
			wanted = append(slices.Clone(wanted), p.Column)
		}
	}
	if clockWindow && st.Clock.Column != "" {
		wanted = append(slices.Clone(wanted), st.Clock.Column)
	}
	if c.Columns = nativeColumns(st.Native, wanted); len(c.Columns) == 0 {
		// Attributes alone: something has to tell how many rows there are.
		c.Columns = cheapest(st)
	}
	return &c
}

// cheapest is a column that tells the number of rows: the declared clock, or
// the first column.
func cheapest(st *StreamTable) []string {
	if st.Clock.Column != "" {
		return []string{st.Clock.Column}
	}
	if names := st.Native.ColumnNames(); len(names) > 0 {
		return names[:1]
	}
	return []string{}
}

// Selection says what a decoder has to deliver for the tables of a source: one
// entry for each native table, with the columns that any of its keys needs.
func (s *BoundSource) Selection() []pipeline.TableSelection {
	out := make([]pipeline.TableSelection, 0, len(s.Tables))
	at := make(map[*pipeline.Table]int)
	for _, t := range s.Tables {
		if i, ok := at[t.Native]; ok {
			out[i].Columns = nativeColumns(t.Native, append(slices.Clone(out[i].Columns), t.Columns...))
			continue
		}
		at[t.Native] = len(out)
		out = append(out, pipeline.TableSelection{Table: t.Native, Columns: t.Columns})
	}
	for i := range out {
		out[i].Payloads = s.Payloads(out[i].Table.Name)
	}
	return out
}
