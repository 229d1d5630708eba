// Package recording finds recordings: objects that a pattern matches, and sets
// of objects that formats say belong together. It opens them as one source.
package recording

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// Recording is one log: an object, or several that belong together.
type Recording struct {
	// URI is where it lies: that of its only object, of the first of a split
	// log, or of the folder that holds it.
	URI string
	// Objects in reading order.
	Objects []pipeline.Object
	// Captures are what the wildcards of the pattern stand for.
	Captures map[string]string

	// Hide, where not nil, says which objects beside the recording it must not
	// see.
	Hide func(uri string) bool

	store pipeline.Store
	zip   *store.Zip // that holds the objects, where it was opened already
}

// New returns the recording that objects of a store make, as Find found it.
func New(st pipeline.Store, uri string, objects []pipeline.Object) *Recording {
	return &Recording{URI: uri, Objects: objects, store: st}
}

// Store is where the objects lie.
func (r *Recording) Store() pipeline.Store { return r.store }

// Bytes is the size of all objects.
func (r *Recording) Bytes() int64 {
	var n int64
	for _, o := range r.Objects {
		n += o.Size
	}
	return n
}

// Options of Find.
type Options struct {
	// Keep says which objects to look at; nil: all.
	Keep func(pipeline.Object) bool
	// Objects, where not nil, are looked at in place of listing the store:
	// ascending by key, each once. Those that the pattern does not match are
	// passed over.
	Objects []pipeline.Object
	// Skipped is told which members of archives are no recordings, and why.
	Skipped func(uri, why string)
}

// Find lists the recordings that a pattern matches, in order of key. Members of
// zips that have the name of a recording are recordings of their own.
func Find(ctx context.Context, reg *pipeline.Registry, st pipeline.Store, pat *store.Pattern, opt Options) ([]*Recording, error) {
	var found []*Recording
	add := func(obj pipeline.Object, captures map[string]string) error {
		if opt.Keep != nil && !opt.Keep(obj) {
			return nil
		}
		if isZip(obj.Key) {
			members, err := findMembers(ctx, reg, st, obj, opt)
			for _, m := range members {
				m.Captures = captures
			}
			found = append(found, members...)
			return err
		}
		found = append(found, &Recording{URI: obj.URI, Objects: []pipeline.Object{obj}, Captures: captures, store: st})
		return nil
	}
	open := func(context.Context, string) (pipeline.Store, error) { return st, nil }
	if opt.Objects != nil {
		for _, obj := range opt.Objects {
			captures, ok := pat.Match(obj.Key)
			if !ok {
				continue
			}
			if err := add(obj, captures); err != nil {
				return nil, err
			}
		}
		return assemble(ctx, reg, st, found)
	}
	err := store.Find(ctx, open, pat, add)
	if err != nil && !errors.Is(err, pipeline.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		// A name without wildcards may be that of a folder.
		key, ok := pat.Literal()
		if !ok {
			return nil, err
		}
		if found, zerr := findMember(ctx, st, key); found != nil || zerr != nil {
			return found, zerr
		}
		objects, lerr := folder(ctx, st, key)
		if lerr != nil || len(objects) == 0 {
			return nil, errors.Join(err, lerr)
		}
		for _, obj := range objects {
			if err := add(obj, map[string]string{}); err != nil {
				return nil, err
			}
		}
	}
	return assemble(ctx, reg, st, found)
}

// folder lists the objects that lie directly in a folder, but for hidden ones.
func folder(ctx context.Context, st pipeline.Store, key string) ([]pipeline.Object, error) {
	prefix := strings.TrimSuffix(key, "/") + "/"
	if prefix == "/" {
		prefix = ""
	}
	var out []pipeline.Object
	err := st.List(ctx, prefix, func(obj pipeline.Object) error {
		name := strings.TrimPrefix(obj.Key, prefix)
		if name != "" && !strings.Contains(name, "/") && !strings.HasPrefix(name, ".") {
			out = append(out, obj)
		}
		return nil
	})
	return out, err
}

// assemble puts objects together as the formats say. Only objects with the same
// captures are: somebody who captures the number of a part wants the parts.
func assemble(ctx context.Context, reg *pipeline.Registry, st pipeline.Store, found []*Recording) ([]*Recording, error) {
	var keys []string
	groups := make(map[string][]*Recording)
	for _, r := range found {
		k := captureKey(r.Captures)
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], r)
	}
	list := func(ctx context.Context, key string) ([]pipeline.Object, error) {
		dir := path.Dir(key)
		if dir == "." {
			dir = ""
		}
		return folder(ctx, st, dir)
	}
	var out []*Recording
	for _, k := range keys {
		rest := groups[k]
		for _, spec := range reg.Formats() {
			a, ok := spec.Format.(pipeline.Assembler)
			if !ok {
				continue
			}
			objects := make([]pipeline.Object, len(rest))
			at := make(map[string]*Recording, len(rest))
			for i, r := range rest {
				objects[i] = r.Objects[0]
				at[r.Objects[0].Key] = r
			}
			assemblies, err := a.Assemble(ctx, objects, list)
			if err != nil {
				return nil, fmt.Errorf("%s: finding what belongs together: %w", spec.Format.Name(), err)
			}
			used := make(map[string]bool)
			for _, as := range assemblies {
				r := &Recording{URI: uriOf(st, as.Key), Objects: as.Objects, Captures: rest[0].Captures, store: st}
				for _, o := range as.Objects {
					if used[o.Key] {
						return nil, fmt.Errorf("%s: %s belongs to two recordings: %w", spec.Format.Name(), o.URI, pipeline.ErrSchema)
					}
					used[o.Key] = true
				}
				out = append(out, r)
			}
			rest = slices.DeleteFunc(rest, func(r *Recording) bool { return used[r.Objects[0].Key] })
		}
		out = append(out, rest...)
	}
	slices.SortFunc(out, func(a, b *Recording) int { return strings.Compare(a.URI, b.URI) })
	return out, nil
}

// uriOf is the URI of a key that need not be an object.
func uriOf(st pipeline.Store, key string) string {
	root := st.Root()
	switch {
	case key == "" || key == ".":
		return root
	case root == ".":
		return key
	}
	return strings.TrimSuffix(root, "/") + "/" + key
}

func captureKey(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%q=%q,", k, m[k])
	}
	return b.String()
}

// Open opens all objects. wrap, where not nil, is given each source that is
// opened, now or later, and returns what is read in its place; it is called by
// one goroutine at a time.
func (r *Recording) Open(ctx context.Context, wrap func(pipeline.Source) pipeline.Source) (pipeline.Source, error) {
	s := &source{recording: r, wrap: wrap, beside: make(map[string]pipeline.Source)}
	for _, obj := range r.Objects {
		p, err := s.open(ctx, obj)
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, p)
	}
	s.Source = s.parts[0]
	return s, nil
}

// source is a recording of one or more objects.
type source struct {
	pipeline.Source // the first part
	recording       *Recording
	parts           []pipeline.Source
	wrap            func(pipeline.Source) pipeline.Source

	mu     sync.Mutex
	beside map[string]pipeline.Source // by key
}

func (s *source) open(ctx context.Context, obj pipeline.Object) (pipeline.Source, error) {
	src, err := s.recording.openObject(ctx, obj)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", obj.URI, err)
	}
	if s.wrap != nil {
		src = s.wrap(src)
	}
	return &headed{Source: src}, nil
}

// Parts implements pipeline.MultiSource.
func (s *source) Parts() []pipeline.Source { return s.parts }

// Beside implements pipeline.Neighbours. What belongs to the recording is not
// opened again.
func (s *source) Beside(ctx context.Context, name string) (pipeline.Source, error) {
	key := path.Join(path.Dir(s.Object().Key), name)
	if path.IsAbs(name) || key == ".." || strings.HasPrefix(key, "../") {
		return nil, fmt.Errorf("%s: %q leads outside the store: %w", s.Object().URI, name, pipeline.ErrNotFound)
	}
	for _, p := range s.parts {
		if p.Object().Key == key {
			return p, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if src := s.beside[key]; src != nil {
		return src, nil
	}
	obj, err := s.recording.stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if hide := s.recording.Hide; hide != nil && hide(obj.URI) {
		return nil, fmt.Errorf("%s: it was forgotten: %w", obj.URI, pipeline.ErrNotFound)
	}
	src, err := s.open(ctx, obj)
	if err != nil {
		return nil, err
	}
	s.beside[key] = src
	return src, nil
}
