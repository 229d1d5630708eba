package lookup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// sideTable is the loaded table, ready to be probed.
type sideTable struct {
	keys    []arrow.Array
	columns []added
	index   *index
}

// prepare checks the loaded table against the configuration, casts the columns
// with a declared type and indexes the keys.
func (s *stage) prepare(t *pipeline.SideTable) (*sideTable, error) {
	var issues pipeline.Issues
	names := t.Table.ColumnNames()
	find := func(name pipeline.Text) int {
		at := t.Table.Column(name.Value)
		if at < 0 {
			i := name.Issuef(0, "%s has no column %q", t.URI, name.Value)
			i.Suggestion = pipeline.Nearest(name.Value, names)
			issues.Add(i)
		}
		return at
	}
	arrs := slices.Clone(t.Record.Columns())
	for _, e := range s.Types.Entries {
		if at := find(e.Key); at >= 0 {
			arr, err := s.castColumn(t, at, e)
			if err != nil {
				issues.Add(err)
				continue
			}
			arrs[at] = arr
		}
	}
	side := &sideTable{}
	isKey := make([]bool, len(names))
	for _, e := range s.On.Entries {
		if at := find(e.Value); at >= 0 {
			isKey[at] = true
			side.keys = append(side.keys, arrs[at])
		}
	}
	add := func(at int) {
		f := t.Table.Schema.Field(at)
		side.columns = append(side.columns, added{
			field:  arrow.Field{Name: s.Prefix + f.Name, Type: arrs[at].DataType(), Nullable: true, Metadata: withoutRole(f.Metadata)},
			source: f.Name, values: arrs[at],
		})
	}
	for _, c := range s.Columns {
		if at := find(c); at >= 0 {
			add(at)
		}
	}
	if len(s.Columns) == 0 {
		for at := range names {
			if !isKey[at] {
				add(at)
			}
		}
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	for _, k := range side.keys {
		if keyKindOf(k.DataType()) == noKey {
			return side, nil // binding reports it, at its place
		}
	}
	index, first, second := newIndex(side.keys, int(t.Record.NumRows()))
	if second >= 0 && s.Duplicates != "first" {
		parts := make([]string, len(side.keys))
		for i, k := range side.keys {
			parts[i] = fmt.Sprintf("%s %.80s", s.On.Entries[i].Value.Value, k.ValueStr(first))
		}
		return nil, s.Table.Issuef(0, "rows %d and %d of %s have the same key, %s; duplicates: first takes the first",
			first+1, second+1, t.URI, strings.Join(parts, ", "))
	}
	side.index = index
	return side, nil
}

// castColumn casts a column to its declared type. The result lives as long as
// the stage.
func (s *stage) castColumn(t *pipeline.SideTable, at int, e pipeline.Entry[pipeline.Text]) (arrow.Array, error) {
	arr, to := t.Record.Column(at), s.types[e.Key.Value]
	if arrow.TypeEqual(arr.DataType(), to) {
		return arr, nil
	}
	cast, ok := column.NewCast(arr.DataType(), to)
	if !ok {
		return nil, e.Value.Issuef(0, "cannot cast %s to %s", arr.DataType(), e.Value.Value)
	}
	bad, why := -1, ""
	out, err := cast.Run(arrow.NewGoAllocator(), arr, func(row int, reason string) {
		if bad < 0 {
			bad, why = row, reason
		}
	})
	if err != nil {
		return nil, e.Value.Issuef(0, "casting column %s of %s: %v", e.Key.Value, t.URI, err)
	}
	if bad >= 0 {
		out.Release()
		return nil, e.Value.Issuef(0, "row %d of %s: %.80q in column %s does not cast to %s (%s)",
			bad+1, t.URI, arr.ValueStr(bad), e.Key.Value, e.Value.Value, why)
	}
	return out, nil
}

func withoutRole(m arrow.Metadata) arrow.Metadata {
	var kv []string
	for i, k := range m.Keys() {
		if k != pipeline.MetaRole {
			kv = append(kv, k, m.Values()[i])
		}
	}
	return pipeline.FieldMeta(kv...)
}
