package message

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Envelope is a column that a container knows for every message, beside the
// bytes of the message itself.
type Envelope uint8

// The envelope columns. Containers declare those they have.
const (
	LogTime     Envelope = iota // log_time, when the message was recorded
	PublishTime                 // publish_time, when it was sent
	Sequence                    // sequence, the sender's counter
)

// Name returns the name of the column.
func (e Envelope) Name() string {
	switch e {
	case LogTime:
		return "log_time"
	case PublishTime:
		return "publish_time"
	}
	return "sequence"
}

func (e Envelope) dataType() arrow.DataType {
	if e == Sequence {
		return arrow.Uint32Type
	}
	return arrow.TimeType
}

// DataColumn holds the bytes of messages that are not decoded.
const DataColumn = "data"

// Table is a table of a recording as an Engine decodes it: envelope columns,
// then those of the message. It is immutable once its container is opened.
type Table struct {
	*pipeline.Table
	// Layout of the messages; nil for a raw table.
	Layout Layout
	// Indexed is the number of rows that an index of the recording claims, -1
	// where there is none.
	Indexed int64

	envelope []Envelope
	source   []string // names of the message columns in the layout
}

// NewTable makes the table of the messages called name (a topic). A nil layout
// makes a raw table, which has the column data for the bytes of each message.
//
// A message column whose name is taken by an envelope column gets a suffix of
// its own: an underscore and the beginning of the hash of its name.
func NewTable(name string, envelope []Envelope, layout Layout, attributes map[string]string) (*Table, error) {
	t := &Table{Layout: layout, Indexed: -1, envelope: envelope}
	var fields []arrow.Field
	taken := make(map[string]bool)
	for _, e := range envelope {
		fields = append(fields, arrow.Field{Name: e.Name(), Type: e.dataType()})
		taken[e.Name()] = true
	}
	var clocks []pipeline.Clock
	if layout == nil {
		fields = append(fields, payloadField(arrow.Field{Name: DataColumn, Type: arrow.BinaryType}))
		t.source = []string{DataColumn}
	} else {
		seen := make(map[string]bool)
		for _, f := range layout.Fields() {
			if seen[f.Name] {
				return nil, fmt.Errorf("two columns are called %q: %w", f.Name, pipeline.ErrSchema)
			}
			seen[f.Name] = true
			t.source = append(t.source, f.Name)
			stamp := f.Name == layout.HeaderStamp() && arrow.TypeEqual(f.Type, arrow.TimeType)
			if taken[f.Name] {
				f = renamed(f, taken, layout)
			}
			taken[f.Name] = true
			if stamp {
				clocks = append(clocks, pipeline.Clock{Name: "header", Column: f.Name})
			}
			fields = append(fields, payloadField(f))
		}
	}
	for _, e := range envelope {
		switch e {
		case LogTime:
			clocks = append(clocks, pipeline.Clock{Name: "log", Column: e.Name()})
		case PublishTime:
			clocks = append(clocks, pipeline.Clock{Name: "publish", Column: e.Name()})
		}
	}
	t.Table = &pipeline.Table{
		Name:       name,
		Schema:     arrow.NewSchema(fields, nil),
		Clocks:     clocks,
		Attributes: attributes,
	}
	return t, nil
}

// renamed returns f under a name that is neither taken nor that of another
// field of the layout.
func renamed(f arrow.Field, taken map[string]bool, layout Layout) arrow.Field {
	sum := sha256.Sum256([]byte(f.Name))
	digits := hex.EncodeToString(sum[:])
	source := f.Name
	for n := 6; ; n++ {
		f.Name = source + "_" + digits[:n]
		if !taken[f.Name] && !slices.ContainsFunc(layout.Fields(), func(o arrow.Field) bool { return o.Name == f.Name }) {
			break
		}
	}
	kv := []string{pipeline.MetaSource, source}
	for i, k := range f.Metadata.Keys() {
		kv = append(kv, k, f.Metadata.Values()[i])
	}
	f.Metadata = pipeline.FieldMeta(kv...)
	return f
}

// selected is what an engine fills of a table.
type selected struct {
	table    *pipeline.Table // as delivered
	types    []arrow.DataType
	envelope []Envelope
	plan     Plan // nil when no message column is wanted
	message  int  // columns of the plan, behind those of the envelope
	payloads []payload
}

// choose compiles the selection of columns (nil: all) of t, which is delivered
// as table as, and the columns beside some of its payloads.
func (t *Table) choose(as *pipeline.Table, columns []string, payloads []pipeline.PayloadSelection) (*selected, error) {
	s := &selected{table: as}
	want := make(map[string]bool, len(columns))
	for _, c := range columns {
		if t.Column(c) < 0 {
			return nil, fmt.Errorf("table %s has no column %q: %w", t.Name, c, pipeline.ErrSchema)
		}
		want[c] = true
	}
	var fields []arrow.Field
	var source []string
	for i, f := range t.Schema.Fields() {
		if columns != nil && !want[f.Name] {
			continue
		}
		fields = append(fields, f)
		s.types = append(s.types, f.Type)
		if i < len(t.envelope) {
			s.envelope = append(s.envelope, t.envelope[i])
		} else {
			source = append(source, t.source[i-len(t.envelope)])
		}
	}
	s.message = len(source)
	for _, p := range payloads {
		at := slices.IndexFunc(fields, func(f arrow.Field) bool { return f.Name == p.Column })
		if at < len(s.envelope) || fields[at].Type.ID() != arrow.BINARY {
			return nil, fmt.Errorf("table %s has no payload column %q among those selected: %w", t.Name, p.Column, pipeline.ErrSchema)
		}
		s.payloads = append(s.payloads, payload{PayloadSelection: p, at: at, beside: len(fields)})
		for _, f := range pipeline.PayloadFields(p.Column, p.Policy) {
			fields = append(fields, f)
			s.types = append(s.types, f.Type)
		}
	}
	if len(payloads) > 0 || len(fields) < t.Schema.NumFields() || !as.Schema.Equal(t.Schema) {
		s.table = as.With(arrow.NewSchema(fields, nil))
		s.table.Clocks = slices.DeleteFunc(slices.Clone(as.Clocks), func(c pipeline.Clock) bool {
			return s.table.Column(c.Column) < 0
		})
	}
	if len(source) == 0 {
		return s, nil
	}
	if t.Layout == nil {
		s.plan = rawPlan{}
		return s, nil
	}
	plan, err := t.Layout.Compile(source)
	if err != nil {
		return nil, fmt.Errorf("compiling table %s: %w", t.Name, err)
	}
	s.plan = plan
	return s, nil
}

// rawPlan copies messages as they are.
type rawPlan struct{}

func (rawPlan) Append(cols []*column.Column, data []byte, spans []Span) (int, error) {
	c := cols[0]
	for i, s := range spans {
		if s.End-s.Start > math.MaxInt32/2 {
			return i, errTooLarge
		}
		c.AppendBytes(data[s.Start:s.End])
	}
	return len(spans), nil
}

// rowError is a RowError of the engine itself.
type rowError struct {
	reason string
	err    error
}

func (e *rowError) Error() string  { return e.err.Error() }
func (e *rowError) Unwrap() error  { return e.err }
func (e *rowError) Reason() string { return e.reason }

var (
	errTooLarge = &rowError{"message_too_large", fmt.Errorf("message of more than 1 GiB: %w", pipeline.ErrLimit)}
	errChannel  = &rowError{"unknown_channel", fmt.Errorf("message of a channel that is not defined: %w", pipeline.ErrCorrupt)}
	errTime     = &rowError{"time_out_of_range", fmt.Errorf("time of 2^63 ns or more: %w", pipeline.ErrCorrupt)}
)
