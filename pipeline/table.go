package pipeline

import (
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Table is the identity and schema of one stream of rows: a topic, a channel
// group, a CSV. It is immutable; stages that change the schema make a new one.
//
// The columns of a table are flat: nesting that does not repeat is spelled in
// dotted names (pose.pose.position.x), structs occur only inside lists.
// Column types are those listed in package arrow.
type Table struct {
	// Name is the name in the source, such as the topic "/gps/fix".
	Name string
	// Alias is the name the pipeline gave the table; empty: Name is used.
	Alias string
	// Input is the name of the pipeline input it comes from.
	Input string
	// Schema has one field per column. Field metadata uses the Meta keys.
	Schema *arrow.Schema
	// Clocks are the columns that tell when a row happened, the format's
	// preferred one first. Only columns of arrow.TimeType qualify.
	Clocks []Clock
	// Attributes are facts of the source kept with the table: message type,
	// encoding, definition hash. They become schema metadata in the lake.
	Attributes map[string]string
	// Pruned means that the planner left columns out because nothing needs
	// them. A stage asked for such a column, to pass it on or to drop it, goes
	// on without it: the table was bound with all its columns before.
	Pruned bool
}

// Clock is a column of a table that holds a time.
type Clock struct {
	Name   string // header, log, publish, master
	Column string
	Scale  string // utc, tai, gps, boot; empty means utc
}

// Keys of field metadata.
const (
	MetaUnit        = "unit"        // physical unit, as in the source
	MetaDescription = "description" // comment in the source
	MetaSource      = "source_name" // name in the source where it differs
	MetaRole        = "role"        // attribute, time, clock: set by the source node
)

// Roles of columns that the source node puts in front of a table.
const (
	RoleAttribute = "attribute" // vehicle_id, drive_id, recording_id, ...
	RoleTime      = "time"      // ts, the declared clock
	RoleClock     = "clock"     // one of the other clocks
)

// TimeColumn is the name of the column that carries the declared clock.
const TimeColumn = "ts"

// LakeName is the name the pipeline uses for the table: the alias, if there is one.
func (t *Table) LakeName() string {
	if t.Alias != "" {
		return t.Alias
	}
	return t.Name
}

// Column returns the position of the column called name, or -1.
func (t *Table) Column(name string) int {
	if at := t.Schema.FieldIndices(name); len(at) > 0 {
		return at[0]
	}
	return -1
}

// ColumnNames lists the columns in order.
func (t *Table) ColumnNames() []string {
	names := make([]string, t.Schema.NumFields())
	for i, f := range t.Schema.Fields() {
		names[i] = f.Name
	}
	return names
}

// With returns a copy of t that has schema s.
func (t *Table) With(s *arrow.Schema) *Table {
	c := *t
	c.Schema = s
	return &c
}

// FieldMeta builds field metadata from alternating keys and values; empty
// values are left out.
func FieldMeta(kv ...string) arrow.Metadata {
	var keys, vals []string
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			keys, vals = append(keys, kv[i]), append(vals, kv[i+1])
		}
	}
	return arrow.NewMetadata(keys, vals)
}
