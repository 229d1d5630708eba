// Package catalog tells engines what a lake holds: its tables with columns,
// partitions and places, as the commit records in force say. Nothing is asked
// of the files themselves.
//
// A table is the union of what its files hold: a column that only some have is
// null in the others. A column that has two types is a conflict, which no engine
// reads alike, and is reported rather than widened.
package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// Table is a table of a lake.
type Table struct {
	Name     string
	Location string // URI of its directory, without a slash at the end
	Columns  []Column
	// Keys are the partition keys, outermost first. They are texts.
	Keys []string
	// Partitions are the values of Keys that have files, in order.
	Partitions [][]string
	Files      int
	Rows       int64
	// Conflicts say which columns have types that do not go together.
	Conflicts []string
}

// Column is a column of a table.
type Column struct {
	Name    string
	Type    *Type
	Comment string // where it comes from; 255 characters at most
}

// maxComment is the longest comment that a Glue catalog takes, in characters.
const maxComment = 255

// readAtOnce is how many records are read at the same time.
const readAtOnce = 16

// Read lists the tables that commits in force have files of, in order of name.
func Read(ctx context.Context, st pipeline.Store) ([]*Table, error) {
	newest := make(map[string]lineage.CommitKey)
	err := st.List(ctx, lineage.CommitsDir+"/", func(o pipeline.Object) error {
		if k, ok := lineage.ParseCommitKey(o.Key); ok && k.Sequence > newest[k.Slot].Sequence {
			newest[k.Slot] = k
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the commit records of %s: %w", st.Root(), err)
	}
	if len(newest) == 0 {
		return nil, fmt.Errorf("%s holds no commit record: %w (is it the root of a lake?)", st.Root(), pipeline.ErrNotFound)
	}
	slots := slices.Sorted(maps.Keys(newest))
	commits := make([]*lineage.Commit, len(slots))
	errs := make([]error, readAtOnce)
	var wg sync.WaitGroup
	for w := range readAtOnce {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < len(slots) && errs[w] == nil; i += readAtOnce {
				key := newest[slots[i]].String()
				data, err := st.Get(ctx, key)
				if err == nil {
					commits[i], err = lineage.DecodeCommit(key, data)
				}
				errs[w] = err
			}
		}()
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("reading commit records: %w", err)
	}
	b := builder{root: strings.TrimSuffix(st.Root(), "/"), tables: make(map[string]*building)}
	for _, c := range commits {
		for _, t := range c.Tables {
			if err := b.add(t); err != nil {
				return nil, fmt.Errorf("commit of unit %s: %w", c.Unit, err)
			}
		}
	}
	return b.finish(), nil
}

type builder struct {
	root   string
	tables map[string]*building
}

// building is a table with what was seen of it.
type building struct {
	*Table
	types      map[string]string // by column, as the record spells it
	partitions map[string][]string
	conflicts  map[string]bool
}

func (b *builder) add(t lineage.Table) error {
	files := slices.DeleteFunc(slices.Clone(t.Files), func(f pipeline.File) bool { return path.Ext(f.Key) != ".parquet" })
	if len(files) == 0 {
		return nil
	}
	have := b.tables[t.Name]
	if have == nil {
		have = &building{Table: &Table{Name: t.Name, Location: b.root + "/" + t.Name, Keys: keysOf(files[0])},
			types: make(map[string]string), partitions: make(map[string][]string), conflicts: make(map[string]bool)}
		b.tables[t.Name] = have
	}
	for _, f := range files {
		keys := keysOf(f)
		if !slices.Equal(keys, have.Keys) {
			return fmt.Errorf("table %s: %s is partitioned by %q, other files by %q: %w", t.Name, f.Key, keys, have.Keys, pipeline.ErrSchema)
		}
		values := make([]string, len(keys))
		for i, k := range keys {
			values[i] = f.Partition[k]
		}
		have.partitions[path.Dir(f.Key)] = values
		have.Files++
		have.Rows += f.Rows
	}
	for _, c := range t.Columns {
		if slices.Contains(have.Keys, c.Name) {
			continue
		}
		switch was, ok := have.types[c.Name]; {
		case !ok:
			typ, err := ParseType(c.Type)
			if err != nil {
				return fmt.Errorf("table %s: column %s: %w", t.Name, c.Name, err)
			}
			have.types[c.Name] = c.Type
			have.Columns = append(have.Columns, Column{Name: c.Name, Type: typ, Comment: comment(c)})
		case was != c.Type:
			have.conflicts[fmt.Sprintf("column %s is %s in some files and %s in others", c.Name, was, c.Type)] = true
		}
	}
	return nil
}

// keysOf returns the partition keys of a file in the order of its path.
func keysOf(f pipeline.File) []string {
	var keys []string
	for _, part := range strings.Split(path.Dir(f.Key), "/") {
		if k, _, ok := strings.Cut(part, "="); ok && f.Partition != nil {
			if _, known := f.Partition[k]; known {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// comment says where a column comes from.
func comment(c lineage.Column) string {
	text := c.Expression
	if text == "" {
		var from []string
		for _, o := range c.From {
			from = append(from, strings.TrimPrefix(o.String(), o.Input+":"))
		}
		text = strings.Join(from, ", ")
	}
	if r := []rune(text); len(r) > maxComment {
		text = string(r[:maxComment-3]) + "..."
	}
	return text
}

func (b *builder) finish() []*Table {
	var out []*Table
	for _, name := range slices.Sorted(maps.Keys(b.tables)) {
		t := b.tables[name]
		for _, dir := range slices.Sorted(maps.Keys(t.partitions)) {
			if len(t.Keys) > 0 {
				t.Partitions = append(t.Partitions, t.partitions[dir])
			}
		}
		t.Conflicts = slices.SortedFunc(maps.Keys(t.conflicts), cmp.Compare[string])
		out = append(out, t.Table)
	}
	return out
}
