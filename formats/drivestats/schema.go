package drivestats

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// TableName is the name of the only table.
const TableName = "drive_stats"

// kind is what the cells of a column are.
type kind uint8

const (
	kindSkip kind = iota // not selected
	kindInt64
	kindInt32
	kindText
	kindBool
	kindDate
)

func (k kind) arrowType() arrow.DataType {
	switch k {
	case kindInt64:
		return arrow.Int64Type
	case kindInt32:
		return arrow.Int32Type
	case kindBool:
		return arrow.BoolType
	case kindDate:
		return arrow.Date32Type
	}
	return arrow.StringType
}

// width is the bytes a cell takes in a batch, counted generously for text.
func (k kind) width() int64 {
	switch k {
	case kindInt64:
		return 8
	case kindInt32, kindDate:
		return 4
	case kindBool:
		return 1
	}
	return 24
}

// Columns that are no SMART values, in the order of the table.
var fixed = []struct {
	name        string
	kind        kind
	description string
}{
	{"date", kindDate, "day on which the drive was seen, UTC"},
	{"serial_number", kindText, "serial number given by the manufacturer"},
	{"model", kindText, "model as the drive reports it"},
	{"capacity_bytes", kindInt64, "capacity as the drive reports it; -1, 0 and absurd values occur"},
	{"failure", kindInt32, "1 on the last day before the drive was removed as failed"},
	{"datacenter", kindText, "site"},
	{"cluster_id", kindText, "cluster within the site"},
	{"vault_id", kindText, "vault: a group of pods"},
	{"pod_id", kindText, "pod within the vault"},
	{"pod_slot_num", kindInt64, "slot within the pod"},
	{"is_legacy_format", kindBool, "whether the row was collected in the older format"},
}

// maxColumns bounds what a header may ask for.
const maxColumns = 4096

// required columns make a header one of drive stats.
const required = 5

// smartIDs are the attributes of all layouts up to 2026.
var smartIDs = [...]uint8{
	1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 22, 23, 24, 27, 71, 82, 90,
	160, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 174, 175, 176, 177, 178, 179, 180, 181, 182, 183, 184,
	187, 188, 189, 190, 191, 192, 193, 194, 195, 196, 197, 198, 199, 200, 201, 202, 206, 210, 211, 212, 218,
	220, 222, 223, 224, 225, 226, 230, 231, 232, 233, 234, 235, 240, 241, 242, 244, 245, 246, 247, 248, 250, 251, 252, 254, 255,
}

// tableColumn is a column of the table.
type tableColumn struct {
	name  string
	kind  kind
	field arrow.Field
}

func newColumn(name string, k kind, description string) tableColumn {
	return tableColumn{name, k, arrow.Field{
		Name: name, Type: k.arrowType(), Nullable: true,
		Metadata: pipeline.FieldMeta(pipeline.MetaDescription, description),
	}}
}

// union is the table of all known columns.
type union struct {
	columns []tableColumn
	index   map[string]int
	table   *pipeline.Table
}

var known = sync.OnceValue(func() *union {
	u := &union{index: make(map[string]int)}
	for _, f := range fixed {
		u.columns = append(u.columns, newColumn(f.name, f.kind, f.description))
	}
	for _, id := range smartIDs {
		for _, part := range []string{"normalized", "raw"} {
			u.columns = append(u.columns, newColumn(fmt.Sprintf("smart_%d_%s", id, part), kindInt64, ""))
		}
	}
	for i, c := range u.columns {
		u.index[c.name] = i
	}
	u.table = newTable(u.columns)
	return u
})

func newTable(columns []tableColumn) *pipeline.Table {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = c.field
	}
	return &pipeline.Table{Name: TableName, Schema: arrow.NewSchema(fields, nil)}
}

// unknownKind is the kind of a column outside the union.
func unknownKind(name string) kind {
	rest, ok := strings.CutPrefix(name, "smart_")
	if !ok {
		return kindText
	}
	digits, _, ok := strings.Cut(rest, "_")
	if _, err := strconv.ParseUint(digits, 10, 16); !ok || err != nil {
		return kindText
	}
	return kindInt64
}

// header is the line that names the columns.
type header struct {
	line  []byte // without its end
	begin []byte // the first two cells with their commas, which no row begins with
	names []string
	// target is the column of the table for each cell, -1 for none.
	target []int
}

// schema is the table of one file.
type schema struct {
	columns  []tableColumn
	added    map[string]int // those beyond the union
	table    *pipeline.Table
	header   *header
	problems []pipeline.Problem
}

// newSchema makes the table of a file from its header.
func newSchema(line []byte) (*schema, error) {
	u := known()
	s := &schema{columns: u.columns, table: u.table}
	h, err := parseHeader(line)
	if err != nil {
		return nil, err
	}
	s.header = h
	s.problems = h.bind(s.find, func(name string) int {
		if s.added == nil {
			s.columns, s.added = slices.Clone(s.columns), make(map[string]int)
		}
		s.added[name] = len(s.columns)
		s.columns = append(s.columns, newColumn(name, unknownKind(name), ""))
		return s.added[name]
	})
	if s.added != nil {
		s.table = newTable(s.columns)
	}
	return s, nil
}

// find returns the column called name, or -1.
func (s *schema) find(name string) int {
	if i, ok := known().index[name]; ok {
		return i
	}
	if i, ok := s.added[name]; ok {
		return i
	}
	return -1
}

// parseHeader splits a header line and checks that it is one.
func parseHeader(line []byte) (*header, error) {
	h := &header{line: append([]byte(nil), line...)}
	f := splitter{}
	if !f.split(line) {
		return nil, fmt.Errorf("header: a quoted name has no end: %w", pipeline.ErrCorrupt)
	}
	if len(f.ends) > maxColumns {
		return nil, fmt.Errorf("header names %d columns, more than %d: %w", len(f.ends), maxColumns, pipeline.ErrLimit)
	}
	for i := range f.ends {
		h.names = append(h.names, strings.ToValidUTF8(string(f.cell(i)), "\uFFFD"))
	}
	for _, want := range fixed[:required] {
		found := false
		for _, n := range h.names {
			found = found || n == want.name
		}
		if !found {
			return nil, fmt.Errorf("header has no column %s: %w", want.name, pipeline.ErrSchema)
		}
	}
	comma := bytes.IndexByte(h.line, ',')
	h.begin = h.line[:comma+1+bytes.IndexByte(h.line[comma+1:], ',')+1]
	return h, nil
}

// bind finds the column of each cell. add is asked for a new column where find
// knows none, and returns -1 to leave the cells out.
func (h *header) bind(find func(string) int, add func(string) int) []pipeline.Problem {
	var problems []pipeline.Problem
	h.target = make([]int, len(h.names))
	taken := make(map[int]bool)
	for i, name := range h.names {
		c := find(name)
		switch {
		case name == "":
			c = -1
			problems = append(problems, pipeline.Problem{Kind: "unnamed_column", Table: TableName, Offset: 0,
				Detail: fmt.Sprintf("column %d has no name and is left out", i+1)})
		case c < 0:
			c = add(name)
			detail := fmt.Sprintf("column %s is not known; it is kept as %s", name, unknownKind(name).arrowType())
			if c < 0 {
				detail = fmt.Sprintf("column %s occurs in a later header only and is left out", name)
			}
			problems = append(problems, pipeline.Problem{Kind: "unknown_column", Table: TableName, Offset: 0, Detail: detail})
		case taken[c]:
			c = -1
			problems = append(problems, pipeline.Problem{Kind: "duplicate_column", Table: TableName, Offset: 0,
				Detail: fmt.Sprintf("column %s occurs twice; the first is kept", name)})
		}
		h.target[i] = c
		taken[c] = true
	}
	return problems
}
