package lineage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/drivemill/drivemill/pipeline"
)

// Trace is the way back from one file of a lake.
type Trace struct {
	Lake   string // root of the lake
	File   pipeline.File
	Table  Table
	Commit *Commit
}

// TraceFile finds the commit record that a file of a lake belongs to. The
// lake is the nearest parent of the file that holds commit records.
func TraceFile(ctx context.Context, open func(context.Context, string) (pipeline.Store, error), uri string) (*Trace, error) {
	name := path.Base(uri)
	if ext := path.Ext(name); ext != ".parquet" && ext != ".mp4" {
		name = path.Base(path.Dir(uri)) // of objects, the directory tells
	}
	slot, _, ok := strings.Cut(name, "-")
	if !ok {
		return nil, fmt.Errorf("%s: not the name of a lake file, <slot>-<revision>-<part>.parquet: %w", uri, pipeline.ErrUnsupported)
	}
	if !strings.Contains(uri, "://") {
		// The lake may lie above the working directory.
		full, err := filepath.Abs(uri)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", uri, err)
		}
		uri = filepath.ToSlash(full)
	}
	key := path.Base(uri)
	dir := parent(uri)
	for {
		st, err := open(ctx, dir)
		if err != nil {
			return nil, err
		}
		t, err := traceIn(ctx, st, slot, key)
		if err != nil {
			return nil, err
		}
		if t != nil {
			return t, nil
		}
		up := parent(dir)
		if up == dir {
			break
		}
		key = strings.TrimPrefix(strings.TrimPrefix(dir, up), "/") + "/" + key
		dir = up
	}
	return nil, fmt.Errorf("%s: no commit record refers to it: the file was superseded, or is not of a lake: %w", uri, pipeline.ErrNotFound)
}

// parent returns the URI one level up; a bucket, / and . are their own.
func parent(uri string) string {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return path.Dir(uri)
	}
	if d := path.Dir(rest); d != "." && d != "/" {
		return scheme + "://" + d
	}
	return scheme + "://" + strings.SplitN(rest, "/", 2)[0]
}

func traceIn(ctx context.Context, st pipeline.Store, slot, key string) (*Trace, error) {
	var keys []CommitKey
	err := st.List(ctx, CommitsDir+"/"+slot+".", func(o pipeline.Object) error {
		if k, ok := ParseCommitKey(o.Key); ok {
			keys = append(keys, k)
		}
		return nil
	})
	if err != nil && !errors.Is(err, pipeline.ErrNotFound) {
		return nil, fmt.Errorf("listing commit records: %w", err)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i].Sequence > keys[j].Sequence })
	for _, k := range keys {
		data, err := st.Get(ctx, k.String())
		if err != nil {
			return nil, fmt.Errorf("reading commit record: %w", err)
		}
		c, err := DecodeCommit(k.String(), data)
		if err != nil {
			return nil, err
		}
		for _, t := range c.Tables {
			for _, f := range t.Files {
				if f.Key == key || strings.HasSuffix(f.Key, "/") && strings.HasPrefix(key, f.Key) {
					return &Trace{Lake: st.Root(), File: f, Table: t, Commit: c}, nil
				}
			}
		}
	}
	return nil, nil
}

// Text prints the trace for a person.
func (t *Trace) Text(w io.Writer) error {
	c := t.Commit
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(key, format string, args ...any) { fmt.Fprintf(tw, key+"\t"+format+"\n", args...) }
	line("file", "%s", t.File.Key)
	line("lake", "%s", t.Lake)
	line("table", "%s, %d rows, %d bytes, sha256 %s", t.Table.Name, t.File.Rows, t.File.Bytes, t.File.SHA256)
	line("pipeline", "%s, output %s", c.Pipeline, t.Table.Output)
	line("unit", "%s (slot %s, revision %s, number %d)", c.Unit, c.Slot, c.Revision, c.Sequence)
	for _, k := range sortedKeys(c.Attributes) {
		line("attribute", "%s = %s", k, c.Attributes[k])
	}
	for _, in := range c.Inputs {
		var read int64
		for _, r := range in.Read {
			read += r[1] - r[0]
		}
		line("input", "%s (%s, %d bytes, etag %s), %d bytes read in %d ranges", in.URI, in.Format, in.Size, in.ETag, read, len(in.Read))
	}
	tot := c.Ledger.Totals()
	line("ledger", "%d found = %d decoded + %d not selected + rejected; %d filtered, %d rejected, %d lost, %d written",
		tot.Found, tot.Decoded, tot.Unselected, tot.Filtered, tot.Rejected, tot.Lost, tot.Written)
	for _, p := range c.Problems {
		line("problem", "%s: %s", p.Kind, p.Detail)
	}
	line("made by", "drivemill %s %s", c.Binary.Version, c.Binary.VCS)
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(tw, "COLUMN\tTYPE\tFROM\tHOW")
	for _, col := range t.Table.Columns {
		var from []string
		for _, o := range col.From {
			from = append(from, o.String())
		}
		how := col.Expression
		if col.Identity {
			how = "unchanged"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", col.Name, col.Type, strings.Join(from, ", "), how)
	}
	for _, r := range t.Table.Reads {
		fmt.Fprintf(tw, "(rows)\t\t%s\t%s\n", r.String(), r.How)
	}
	return tw.Flush()
}

// String names the column as input:table.column.
func (o Origin) String() string {
	if o.Dataset != "" {
		return o.Dataset + ":" + o.Column
	}
	return o.Input + ":" + o.Table + ":" + o.Column
}
