package runner

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/store"
)

// maxSideBytes is the largest side table that is held in memory.
const maxSideBytes = 256 << 20

// Env gives stages and sinks what they may use of their surroundings.
type Env struct {
	Registry *pipeline.Registry
	Open     func(ctx context.Context, uri string) (pipeline.Store, error)
	Load     bool // side data may be read
	// Warned is told each warning once; nil: nobody is.
	Warned func(*pipeline.Issue)

	mu     sync.Mutex
	sides  map[string]*pipeline.SideTable
	files  map[string]*pipeline.SideFile
	warned map[string]bool
}

// OpenStore opens the store at a URI or path.
func (e *Env) OpenStore(ctx context.Context, uri string) (pipeline.Store, error) {
	return e.Open(ctx, uri)
}

// LoadTable reads a small table whole, once for all that ask for it.
func (e *Env) LoadTable(ctx context.Context, uri pipeline.Text) (*pipeline.SideTable, error) {
	if !e.Load {
		return nil, pipeline.ErrNotLoaded
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.sides[uri.Value]; t != nil {
		return t, nil
	}
	t, err := e.load(ctx, uri)
	if err != nil {
		return nil, err
	}
	if e.sides == nil {
		e.sides = make(map[string]*pipeline.SideTable)
	}
	e.sides[uri.Value] = t
	return t, nil
}

// LoadFile reads a small object whole, once for all that ask for it.
func (e *Env) LoadFile(ctx context.Context, uri pipeline.Text) (*pipeline.SideFile, error) {
	if !e.Load {
		return nil, pipeline.ErrNotLoaded
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.files[uri.Value]; f != nil {
		return f, nil
	}
	src, err := e.find(ctx, uri, "file")
	if err != nil {
		return nil, err
	}
	r, err := src.Reader(ctx, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", src.Object().URI, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", src.Object().URI, err)
	}
	f := &pipeline.SideFile{URI: strings.TrimSuffix(src.Object().URI, "/"), Data: data, SHA256: fmt.Sprintf("%x", sha256.Sum256(data))}
	if e.files == nil {
		e.files = make(map[string]*pipeline.SideFile)
	}
	e.files[uri.Value] = f
	return f, nil
}

// Warn passes a warning on, each once.
func (e *Env) Warn(issue *pipeline.Issue) {
	e.mu.Lock()
	text := issue.Error()
	again := e.warned[text]
	if e.warned == nil {
		e.warned = make(map[string]bool)
	}
	e.warned[text] = true
	e.mu.Unlock()
	if e.Warned != nil && !again {
		e.Warned(issue)
	}
}

// find opens the only object that uri names. what it is, is for errors.
func (e *Env) find(ctx context.Context, uri pipeline.Text, what string) (pipeline.Source, error) {
	pat, err := store.ParsePattern(uri.Value)
	if err != nil {
		return nil, uri.Issuef(0, "%v", err)
	}
	st, err := e.Open(ctx, pat.Root())
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, uri.Value, err)
	}
	var objects []pipeline.Object
	open := func(context.Context, string) (pipeline.Store, error) { return st, nil }
	if err := store.Find(ctx, open, pat, func(o pipeline.Object, _ map[string]string) error {
		objects = append(objects, o)
		return nil
	}); err != nil {
		if errors.Is(err, pipeline.ErrNotFound) {
			return nil, uri.Issuef(0, "there is no %s at %s", what, uri.Value)
		}
		return nil, fmt.Errorf("%s %s: %w", what, uri.Value, err)
	}
	if len(objects) != 1 {
		return nil, uri.Issuef(0, "%s matches %d objects, but a side %s is one", uri.Value, len(objects), what)
	}
	obj := objects[0]
	if obj.Size > maxSideBytes {
		return nil, uri.Issuef(0, "%s has %d bytes; a side %s is held in memory and may have %d", obj.URI, obj.Size, what, maxSideBytes)
	}
	src, err := st.Open(ctx, obj)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, obj.URI, err)
	}
	return src, nil
}

func (e *Env) load(ctx context.Context, uri pipeline.Text) (*pipeline.SideTable, error) {
	src, err := e.find(ctx, uri, "table")
	if err != nil {
		return nil, err
	}
	obj := src.Object()
	sum, err := contentHash(ctx, src)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", obj.URI, err)
	}
	t, err := readTable(ctx, e.Registry, src)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", obj.URI, err)
	}
	t.URI, t.SHA256 = strings.TrimSuffix(obj.URI, "/"), sum
	return t, nil
}

func contentHash(ctx context.Context, src pipeline.Source) (string, error) {
	r, err := src.Reader(ctx, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// readTable decodes the only table of an object into one record.
func readTable(ctx context.Context, reg *pipeline.Registry, src pipeline.Source) (*pipeline.SideTable, error) {
	spec, err := SniffObject(ctx, reg, src)
	if err != nil {
		return nil, err
	}
	desc, err := spec.Format.Describe(ctx, src)
	if err != nil {
		return nil, err
	}
	if len(desc.Tables) != 1 {
		return nil, fmt.Errorf("%d tables in it, but a side table is one: %w", len(desc.Tables), pipeline.ErrSchema)
	}
	mem := arrow.NewGoAllocator()
	dec, err := spec.Format.Open(ctx, src, desc, pipeline.Selection{}, pipeline.DecodeOptions{Allocator: mem})
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	t := desc.Tables[0].Table
	var recs []arrow.Record
	defer func() {
		for _, r := range recs {
			r.Release()
		}
	}()
	for {
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if el.Batch != nil {
			recs = append(recs, el.Batch.Record)
		}
	}
	if len(recs) == 0 {
		cols := make([]arrow.Array, t.Schema.NumFields())
		for i, f := range t.Schema.Fields() {
			cols[i] = column.New(mem, f.Type).Finish()
		}
		return &pipeline.SideTable{Table: t, Record: arrow.NewRecord(t.Schema, cols, 0)}, nil
	}
	rec, err := column.ConcatRecords(mem, recs)
	if err != nil {
		return nil, err
	}
	return &pipeline.SideTable{Table: t, Record: rec}, nil
}

// Connect checks a graph against the first recording of each input: what
// validation can know only by looking.
func Connect(ctx context.Context, reg *pipeline.Registry, g *graph.Graph, open func(context.Context, string) (pipeline.Store, error)) error {
	r := &Runner{Registry: reg, Graph: g, OpenStore: open, Progress: quiet{}}
	units, err := r.units(ctx)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, u := range units {
		fresh := false
		for _, rec := range u.Recordings {
			if !seen[rec.Input.Name] {
				seen[rec.Input.Name], fresh = true, true
			}
		}
		if !fresh {
			continue
		}
		run := &unitRun{Runner: r, unit: u}
		if err := run.describe(ctx); err != nil {
			return err
		}
		if err := run.bind(); err != nil {
			return err
		}
	}
	return nil
}

// quiet is a Progress that tells nobody.
type quiet struct{}

func (quiet) Start(int, int64) {}
func (quiet) Read(int64)       {}
func (quiet) Rows(int64)       {}
func (quiet) Unit(*UnitResult) {}
