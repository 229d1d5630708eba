package wire

import (
	"fmt"

	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Layout is the columns of a message type. It is immutable.
type Layout struct {
	Type   *rosmsg.Type
	fields []arrow.Field
}

// NewLayout returns the layout of t.
func NewLayout(t *rosmsg.Type) Layout { return Layout{Type: t, fields: t.Columns()} }

// Fields are the flat columns in order of declaration.
func (l *Layout) Fields() []arrow.Field { return l.fields }

// HeaderStamp names the column with the time of the message's own header.
func (l *Layout) HeaderStamp() string { return l.Type.HeaderStamp() }

// Select marks the named columns; nil means all. A name that is not a column
// is an error that wraps pipeline.ErrSchema.
func (l *Layout) Select(columns []string) ([]bool, error) {
	sel := make([]bool, len(l.fields))
	if columns == nil {
		for i := range sel {
			sel[i] = true
		}
		return sel, nil
	}
	index := make(map[string]int, len(l.fields))
	for i, f := range l.fields {
		index[f.Name] = i
	}
	for _, name := range columns {
		i, ok := index[name]
		if !ok {
			return nil, fmt.Errorf("message type %s has no column %q: %w", l.Type.Name, name, pipeline.ErrSchema)
		}
		sel[i] = true
	}
	return sel, nil
}
