package rosbag2

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// bagSource is a recording of several objects in a folder.
type bagSource struct {
	pipeline.Source
	parts []pipeline.Source
	st    pipeline.Store
}

func (s *bagSource) Parts() []pipeline.Source { return s.parts }

func (s *bagSource) Beside(ctx context.Context, name string) (pipeline.Source, error) {
	obj, err := s.st.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.st.Open(ctx, obj)
}

// openFolder opens the recordings that Assemble finds in a folder when all its
// files are matched; alone ones are recordings of one file.
func openFolder(t testing.TB, dir string, match func(name string) bool) []*bagSource {
	t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	list := func(ctx context.Context, key string) (out []pipeline.Object, err error) {
		err = st.List(ctx, "", func(o pipeline.Object) error {
			if filepath.Dir(o.Key) == filepath.Dir(key) {
				out = append(out, o)
			}
			return nil
		})
		return out, err
	}
	all, err := list(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	var matched []pipeline.Object
	for _, o := range all {
		if match(o.Key) {
			matched = append(matched, o)
		}
	}
	groups, err := New().Assemble(ctx, matched, list)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(map[string]bool)
	var out []*bagSource
	for _, g := range groups {
		out = append(out, openObjects(t, st, g.Objects...))
		for _, o := range g.Objects {
			if taken[o.Key] {
				t.Errorf("%s is mentioned twice", o.Key)
			}
			taken[o.Key] = true
		}
	}
	for _, o := range matched {
		if !taken[o.Key] {
			out = append(out, openObjects(t, st, o))
		}
	}
	return out
}

func openObjects(t testing.TB, st pipeline.Store, objects ...pipeline.Object) *bagSource {
	t.Helper()
	s := &bagSource{st: st}
	for _, o := range objects {
		p, err := st.Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		s.parts = append(s.parts, p)
	}
	s.Source = s.parts[0]
	return s
}

// bag writes files into a folder of their own and opens the recording in it.
func bag(t testing.TB, files map[string][]byte) *bagSource {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := openFolder(t, dir, func(name string) bool {
		_, ok := parseName(name)
		return ok || name == MetadataFile
	})
	if len(found) != 1 {
		t.Fatalf("%d recordings in the folder", len(found))
	}
	return found[0]
}
