package pipetest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
)

// Sample is a file that the suite of formats reads.
type Sample struct {
	// Name is what the format may go by; Data is the whole file.
	Name string
	Data []byte
	// Format is the one that must claim the file.
	Format string
	// Magic: the first bytes prove the format, so that no other may claim it.
	Magic bool
	// Unframed: nothing tells whether the last row is whole, as in text
	// without a line end, so that a file cut short may end in a shorter row.
	Unframed bool
	// Cuts is at how many places the file is cut short.
	Cuts int
}

// Formats checks that the formats of reg keep the contract of pipeline.Format
// and pipeline.Decoder with each sample, and that each of them has one.
func Formats(t *testing.T, reg *pipeline.Registry, samples []Sample) {
	used := make(map[string]bool)
	for _, s := range samples {
		used[s.Format] = true
		spec, ok := reg.Format(s.Format)
		if !ok {
			t.Errorf("%s: no format %s", s.Name, s.Format)
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			_, _, src := object(t, path.Base(s.Name), s.Data)
			x := &formatSuite{sample: s, format: spec.Format, src: src}
			t.Run("sniff", func(t *testing.T) { x.sniff(t, reg) })
			t.Run("describe", x.describe)
			if x.desc == nil {
				return
			}
			t.Run("whole", x.whole)
			if x.full == nil {
				return
			}
			t.Run("options", x.options)
			t.Run("columns", x.columns)
			t.Run("tables", x.tables)
			t.Run("time", x.timeRange)
			t.Run("early end", x.earlyEnd)
			t.Run("faults", x.faults)
			t.Run("cuts", x.cuts)
		})
	}
	for _, f := range reg.Formats() {
		if !used[f.Format.Name()] {
			t.Errorf("format %s has no sample", f.Format.Name())
		}
		if f.Summary == "" || f.Doc == "" || len(f.Extensions) == 0 || f.Behaviour == 0 {
			t.Errorf("format %s: summary, doc, extensions and behaviour are not all given", f.Format.Name())
		}
	}
}

type formatSuite struct {
	sample Sample
	format pipeline.Format
	src    pipeline.Source
	desc   *pipeline.Description
	full   *decoded // all rows, read in the plainest way
	lossy  bool     // rows are missing from the whole
}

func (x *formatSuite) sniff(t *testing.T, reg *pipeline.Registry) {
	head := x.sample.Data[:min(len(x.sample.Data), 4<<10)]
	var claim []string
	for _, f := range reg.Formats() {
		if f.Format.Sniff(x.sample.Name, head) {
			claim = append(claim, f.Format.Name())
		}
	}
	if len(claim) == 0 || claim[0] != x.sample.Format || x.sample.Magic && len(claim) > 1 {
		t.Errorf("claimed by %v, want %s", claim, x.sample.Format)
	}
	if x.sample.Magic && !x.format.Sniff("renamed", head) {
		t.Errorf("not claimed under another name")
	}
}

// describe wants two descriptions to be equal, but for what the format keeps
// for itself.
func (x *formatSuite) describe(t *testing.T) {
	d, err := x.format.Describe(t.Context(), x.src)
	if err != nil {
		t.Fatal(err)
	}
	again, err := x.format.Describe(t.Context(), x.src)
	if err != nil {
		t.Fatal(err)
	}
	x.desc = d
	a, b := *d, *again
	a.Index, b.Index = nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("described as\n%+v\nand again as\n%+v", a, b)
	}
	names := make(map[string]bool)
	for _, i := range d.Tables {
		if names[i.Table.Name] {
			t.Errorf("table %s is there twice", i.Table.Name)
		}
		names[i.Table.Name] = true
		if i.HasTime && (!d.HasTime || i.Start < d.Start || i.End > d.End || i.Start > i.End) {
			t.Errorf("table %s: time %d to %d, recording %d to %d", i.Table.Name, i.Start, i.End, d.Start, d.End)
		}
		columns := make(map[string]bool)
		for _, f := range i.Table.Schema.Fields() {
			if columns[f.Name] {
				t.Errorf("table %s: column %s is there twice", i.Table.Name, f.Name)
			}
			columns[f.Name] = true
		}
		for _, c := range i.Table.Clocks {
			if !columns[c.Column] {
				t.Errorf("table %s: clock %s has no column %s", i.Table.Name, c.Name, c.Column)
			}
		}
	}
}

func (x *formatSuite) reading(sel pipeline.Selection, opt pipeline.DecodeOptions) reading {
	return reading{format: x.format, src: x.src, desc: x.desc, sel: sel, opt: opt}
}

// whole reads everything and holds it against the description.
func (x *formatSuite) whole(t *testing.T) {
	full, err := x.reading(pipeline.Selection{}, pipeline.DecodeOptions{}).read(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]pipeline.TableCounts)
	for _, c := range full.counts {
		counts[c.Table] = c
		if c.Unselected > 0 {
			t.Errorf("table %s: %d rows not selected", c.Table, c.Unselected)
		}
	}
	for _, i := range x.desc.Tables {
		c, ok := counts[i.Table.Name]
		if !ok {
			t.Errorf("table %s has no counts", i.Table.Name)
		}
		if i.Rows >= 0 && i.Rows != c.Found+c.Lost {
			t.Errorf("table %s: described with %d rows, found %d and lost %d", i.Table.Name, i.Rows, c.Found, c.Lost)
		}
		r := full.tables[i.Table.Name]
		if r == nil {
			continue
		}
		if !sameColumns(i.Table.Schema, r.schema) {
			t.Errorf("table %s: described as %s, delivered as %s", i.Table.Name, i.Table.Schema, r.schema)
		}
		for _, at := range r.times {
			if i.HasTime && (at < i.Start || at > i.End) {
				t.Errorf("table %s: row at %d, described from %d to %d", i.Table.Name, at, i.Start, i.End)
				break
			}
		}
	}
	for _, p := range append(slices.Clone(x.desc.Problems), full.problems...) {
		x.lossy = x.lossy || p.Loses
	}
	if !t.Failed() {
		x.full = full
	}
}

// options change how rows are delivered, never which.
func (x *formatSuite) options(t *testing.T) {
	for _, o := range []pipeline.DecodeOptions{
		{Workers: 4},
		{Workers: 4, Steps: true},
		{Steps: true, BatchRows: 7},
		{Workers: 4, BatchRows: 7, NullCells: true},
		{Workers: 4, Steps: true, BatchRows: 1},
		{Workers: 2, BatchBytes: 1 << 10},
	} {
		what := fmt.Sprintf("%d workers, %d rows, %d bytes, steps %v", o.Workers, o.BatchRows, o.BatchBytes, o.Steps)
		got, err := x.reading(pipeline.Selection{}, o).read(t.Context(), t)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		equalRows(t, what, x.full, got)
		if !o.NullCells && !reflect.DeepEqual(x.full.counts, got.counts) {
			t.Errorf("%s: counts\n%+v\nwant\n%+v", what, got.counts, x.full.counts)
		}
	}
}

// project reads some columns of each table and compares them with those of
// the whole.
func (x *formatSuite) project(t testing.TB, what string, sel pipeline.Selection, opt pipeline.DecodeOptions) {
	got, err := x.reading(sel, opt).read(t.Context(), t)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, s := range sel.Tables {
		w, g := x.full.tables[s.Table.Name], got.tables[s.Table.Name]
		if w == nil && g == nil {
			continue
		}
		if w == nil || g == nil {
			t.Errorf("%s: table %s: has rows %v, want %v", what, s.Table.Name, g != nil, w != nil)
			continue
		}
		var names []string
		for _, f := range g.schema.Fields() {
			names = append(names, f.Name)
		}
		want := slices.DeleteFunc(s.Table.ColumnNames(), func(n string) bool { return s.Columns != nil && !slices.Contains(s.Columns, n) })
		if !slices.Equal(names, want) {
			t.Errorf("%s: table %s: columns %q, want %q", what, s.Table.Name, names, want)
			continue
		}
		equalTable(t, fmt.Sprintf("%s: table %s of %q", what, s.Table.Name, names), w, g)
	}
	for name := range got.tables {
		if !slices.ContainsFunc(sel.Tables, func(s pipeline.TableSelection) bool { return s.Table.Name == name }) {
			t.Errorf("%s: table %s was not asked for", what, name)
		}
	}
}

// columns reads every column alone, and random sets of them.
func (x *formatSuite) columns(t *testing.T) {
	widest := 0
	for _, i := range x.desc.Tables {
		widest = max(widest, i.Table.Schema.NumFields())
	}
	for c := range widest {
		var sel pipeline.Selection
		for _, i := range x.desc.Tables {
			names := i.Table.ColumnNames()
			if len(names) > 0 {
				sel.Tables = append(sel.Tables, pipeline.TableSelection{Table: i.Table, Columns: names[c%len(names) : c%len(names)+1]})
			}
		}
		if sel.Tables != nil {
			x.project(t, "alone", sel, pipeline.DecodeOptions{})
		}
	}
	check(t, 10, func(r *rapid.T) {
		sel := pipeline.Selection{Tables: []pipeline.TableSelection{}}
		for _, i := range x.desc.Tables {
			s := pipeline.TableSelection{Table: i.Table, Columns: []string{}}
			for _, n := range i.Table.ColumnNames() {
				if rapid.Bool().Draw(r, i.Table.Name+" "+n) {
					s.Columns = append(s.Columns, n)
				}
			}
			sel.Tables = append(sel.Tables, s)
		}
		opt := pipeline.DecodeOptions{Workers: rapid.IntRange(1, 4).Draw(r, "workers"), BatchRows: rapid.SampledFrom([]int{0, 100}).Draw(r, "batch rows")}
		x.project(failing{t, r}, "subset", sel, opt)
	})
}

// tables reads every table alone, and none.
func (x *formatSuite) tables(t *testing.T) {
	for _, i := range x.desc.Tables {
		x.project(t, "alone", pipeline.Selection{Tables: []pipeline.TableSelection{{Table: i.Table}}}, pipeline.DecodeOptions{Workers: 2})
	}
	x.project(t, "none", pipeline.Selection{Tables: []pipeline.TableSelection{}}, pipeline.DecodeOptions{})
}

// timeRange compares a range with the rows of the whole that lie in it.
func (x *formatSuite) timeRange(t *testing.T) {
	var times []int64
	for _, i := range x.desc.Tables {
		if r := x.full.tables[i.Table.Name]; r != nil {
			if r.times == nil {
				t.Skipf("table %s has no clock", i.Table.Name)
			}
			times = append(times, r.times...)
		}
	}
	if len(times) == 0 {
		t.Skip("no rows")
	}
	slices.Sort(times)
	check(t, 12, func(r *rapid.T) {
		at := func(name string) int64 {
			return times[rapid.IntRange(0, len(times)-1).Draw(r, name)] + rapid.Int64Range(-1, 1).Draw(r, name+" beside")
		}
		sel := pipeline.Selection{From: at("from"), To: at("to")}
		if rapid.IntRange(0, 4).Draw(r, "open end") == 0 {
			sel.To = 0
		}
		got, err := x.reading(sel, pipeline.DecodeOptions{Workers: rapid.IntRange(1, 3).Draw(r, "workers")}).read(t.Context(), failing{t, r})
		if err != nil {
			r.Fatal(err)
		}
		want := &decoded{tables: make(map[string]*tableRows)}
		for name, all := range x.full.tables {
			var rows []int
			for i, at := range all.times {
				if at >= sel.From && (sel.To == 0 || at < sel.To) {
					rows = append(rows, i)
				}
			}
			if rows != nil {
				want.tables[name] = all.pick(rows)
			}
		}
		equalRows(failing{t, r}, fmt.Sprintf("from %d to %d", sel.From, sel.To), want, got)
	})
}

// earlyEnd closes, and cancels, after some elements.
func (x *formatSuite) earlyEnd(t *testing.T) {
	for _, after := range []int{1, 2, 9} {
		for _, workers := range []int{1, 4} {
			r := x.reading(pipeline.Selection{}, pipeline.DecodeOptions{Workers: workers, BatchRows: 3, Steps: after == 2})
			r.stopAfter = after
			if _, err := r.read(t.Context(), t); err != nil {
				t.Errorf("closed after %d elements: %v", after, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			r.cancel = cancel
			if _, err := r.read(ctx, t); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled after %d elements: %v", after, err)
			}
			cancel()
		}
	}
}

var errFault = pipeline.Transient(errors.New("the line is dead"))

// faults makes reads of the object fail, one after another: each must surface,
// still marked as worth another try.
func (x *formatSuite) faults(t *testing.T) {
	if len(x.sample.Data) == 0 {
		t.Skip("there is nothing to read")
	}
	st, obj, _ := object(t, path.Base(x.sample.Name), x.sample.Data)
	attempt := func(rule Rule) error {
		src, err := Faulty(st, rule).Open(t.Context(), obj)
		if err != nil {
			t.Fatal(err)
		}
		d, err := x.format.Describe(t.Context(), src)
		if err != nil {
			return err
		}
		_, err = reading{format: x.format, src: src, desc: d, opt: pipeline.DecodeOptions{Workers: 2}}.read(t.Context(), t)
		return err
	}
	for _, op := range []Op{OpReadAt, OpReader} {
		calls := make(chan struct{}, 1<<16)
		if err := attempt(Rule{Op: op, Do: func() { calls <- struct{}{} }}); err != nil {
			t.Fatal(err)
		}
		n := len(calls)
		for _, nth := range slices.Compact([]int{1, 2, n / 2, n - 1, n}) {
			if nth < 1 || nth > n {
				continue
			}
			for _, cut := range []int64{0, 11} {
				err := attempt(Rule{Op: op, Nth: nth, Err: errFault, Cut: cut})
				if !errors.Is(err, errFault) || !pipeline.IsTransient(err) {
					t.Errorf("%s %d of %d fails after %d bytes: got error %v", op, nth, n, cut, err)
				}
			}
		}
	}
}

// cuts truncates the file: what can still be read are rows of the whole. A
// file that had lost rows before is no measure for that: a part of a bad block
// may be readable, and records are counted from what is left.
func (x *formatSuite) cuts(t *testing.T) {
	size, read, rows := len(x.sample.Data), 0, 0
	step := max(1, size/max(1, x.sample.Cuts))
	for n := 0; n < size; n += step {
		_, _, src := object(t, path.Base(x.sample.Name), x.sample.Data[:n])
		d, err := x.format.Describe(t.Context(), src)
		if err != nil {
			continue
		}
		got, err := reading{format: x.format, src: src, desc: d, opt: pipeline.DecodeOptions{Workers: 1 + n%2}}.read(t.Context(), t)
		if got == nil || err != nil && len(got.tables) == 0 {
			continue
		}
		read++
		for name, g := range got.tables {
			if x.lossy {
				rows += len(g.origins)
				continue
			}
			rows += x.within(t, fmt.Sprintf("cut at %d of %d: table %s", n, size, name), name, g)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of %d cut files gave %d rows", read, (size+step-1)/step, rows)
}

// within wants the rows of g to be rows of the whole.
func (x *formatSuite) within(t testing.TB, what, name string, g *tableRows) int {
	w := x.full.tables[name]
	if w == nil {
		// Without its header, or its end, it may be another table.
		if !x.sample.Unframed {
			t.Errorf("%s is not in the whole file", what)
		}
		return 0
	}
	if !sameColumns(w.schema, g.schema) {
		if !x.sample.Unframed {
			t.Errorf("%s: columns %s, want %s", what, g.schema, w.schema)
		}
		return 0
	}
	n := len(g.origins)
	if x.sample.Unframed {
		n--
	}
	at := 0
	for i := range n {
		for at < len(w.origins) && w.origins[at] < g.origins[i] {
			at++
		}
		if at == len(w.origins) || w.origins[at] != g.origins[i] {
			t.Errorf("%s: record %d is none of the whole file", what, g.origins[i])
			return n
		}
		for c := range g.columns {
			if g.columns[c][i] != w.columns[c][at] {
				t.Errorf("%s: record %d: column %s differs", what, g.origins[i], g.schema.Field(c).Name)
				return n
			}
		}
	}
	return n
}

// check is rapid.Check with few tries: each of them reads a recording.
func check(t *testing.T, tries int, f func(*rapid.T)) {
	t.Helper()
	left := tries
	rapid.Check(t, func(r *rapid.T) {
		if left--; left < 0 {
			return
		}
		defer func() {
			if r.Failed() {
				left = 1 << 30 // to find the smallest example
			}
		}()
		f(r)
	})
}

// failing reports through rapid, which then looks for a smaller example.
type failing struct {
	testing.TB
	r *rapid.T
}

func (f failing) Errorf(format string, args ...any) { f.TB.Helper(); f.r.Errorf(format, args...) }
