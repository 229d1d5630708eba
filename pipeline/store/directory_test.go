package store_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
)

func listed(t *testing.T, s pipeline.Store, prefix string) []string {
	t.Helper()
	var got []string
	if err := s.List(t.Context(), prefix, func(o pipeline.Object) error {
		got = append(got, o.Key)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func put(t *testing.T, s pipeline.Store, key string) {
	t.Helper()
	if err := s.Put(t.Context(), key, []byte(key)); err != nil {
		t.Fatal(err)
	}
}

// tree lists files and directories below root, those in use for writing
// aside.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var got []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		switch {
		case rel == "_drivemill/tmp" || rel == "." || rel == "_drivemill":
		case d.IsDir():
			got = append(got, rel+"/")
		default:
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDirectoryRemovesEmptyParents(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	put(t, s, "a/b/c/d")
	put(t, s, "a/x")
	if err := s.Delete(t.Context(), "a/b/c/d"); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, root); !slices.Equal(got, []string{"a/", "a/x"}) {
		t.Errorf("after the first delete: %q", got)
	}
	if err := s.Delete(t.Context(), "a/x"); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, root); len(got) > 0 {
		t.Errorf("after the last delete: %q", got)
	}
	if _, err := os.Stat(root); err != nil {
		t.Errorf("the root is gone: %v", err)
	}
}

// Deleters remove directories under the feet of writers.
func TestDirectoryWritersAndDeleters(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 30 {
				key := fmt.Sprintf("deep/er/and/%d/%d-%d", n%2, i, n)
				put := s.Put
				if n%3 == 0 {
					put = s.PutIfAbsent
				}
				if err := put(t.Context(), key, []byte(key)); err != nil {
					t.Error(err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := tree(t, root); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

func TestDirectorySymlinks(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	for _, f := range []string{filepath.Join(outside, "d/x"), filepath.Join(outside, "y")} {
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte("outside"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, root)
	put(t, s, "in/z")
	for link, to := range map[string]string{"dir": outside + "/d", "file": outside + "/y", "in/loop": root} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	// Reading goes through links, round no circle.
	if got := listed(t, s, ""); !slices.Equal(got, []string{"dir/x", "file", "in/z"}) {
		t.Errorf("listed %q", got)
	}
	if got, err := s.Get(t.Context(), "dir/x"); err != nil || string(got) != "outside" {
		t.Errorf("%q, %v", got, err)
	}
	// Writing and deleting do not leave the root.
	for name, err := range map[string]error{
		"put":       s.Put(t.Context(), "dir/new", nil),
		"if absent": s.PutIfAbsent(t.Context(), "dir/new", nil),
		"deep":      s.Put(t.Context(), "dir/new/er", nil),
		"delete":    s.Delete(t.Context(), "dir/x"),
	} {
		if err == nil {
			t.Errorf("%s through a link succeeds", name)
		}
	}
	if got := tree(t, outside); !slices.Equal(got, []string{"d/", "d/x", "y"}) {
		t.Errorf("outside is now %q", got)
	}
	// A link in the place of an object is replaced, not followed.
	put(t, s, "file")
	if got, _ := os.ReadFile(filepath.Join(outside, "y")); string(got) != "outside" {
		t.Errorf("the target of a link was written: %q", got)
	}
	// A link that leads nowhere is data that is missing.
	if err := os.Symlink("nowhere", filepath.Join(root, "broken")); err != nil {
		t.Fatal(err)
	}
	err := s.List(t.Context(), "", func(pipeline.Object) error { return nil })
	if !errors.Is(err, pipeline.ErrNotFound) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("list with a broken link: %v", err)
	}
}

func TestDirectoryChangedInPlace(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	put(t, s, "x")
	obj, err := s.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	src, err := s.Open(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Reader(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(root, "x"), later, later); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, pipeline.ErrChanged) {
		t.Errorf("stream: %v", err)
	}
	if _, err := src.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, pipeline.ErrChanged) {
		t.Errorf("read at: %v", err)
	}
}

func TestDirectoryErrors(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	put(t, s, "a")
	put(t, s, "d/x")
	for name, err := range map[string]error{
		"object as directory": s.Put(t.Context(), "a/b", nil),
		"directory as object": s.Put(t.Context(), "d", nil),
		"if absent":           s.PutIfAbsent(t.Context(), "a/b/c", nil),
	} {
		if err == nil || pipeline.IsTransient(err) || errors.Is(err, pipeline.ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Stat(t.Context(), "d"); !errors.Is(err, pipeline.ErrNotFound) || !strings.Contains(err.Error(), "directory") {
		t.Errorf("stat of a directory: %v", err)
	}
	if err := open(t, filepath.Join(root, "a")).List(t.Context(), "", nil); err == nil {
		t.Error("a file is listed as a store")
	}
	if got := tree(t, root); !slices.Equal(got, []string{"a", "d/", "d/x"}) {
		t.Errorf("left: %q", got)
	}
	if os.Getuid() == 0 {
		t.Log("root is denied nothing: permissions are not tested")
		return
	}
	if err := os.Chmod(filepath.Join(root, "d"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(root, "d"), 0o755)
	if _, err := s.Get(t.Context(), "d/x"); !errors.Is(err, pipeline.ErrDenied) {
		t.Errorf("get without permission: %v", err)
	}
	if err := s.Put(t.Context(), "d/y", nil); !errors.Is(err, pipeline.ErrDenied) {
		t.Errorf("put without permission: %v", err)
	}
}

// Whatever keys there are, a directory lists them as S3 would.
func TestDirectoryOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		segment := rapid.StringMatching(`[a-b\-.0 ]{1,3}`).Filter(func(s string) bool { return s != "." && s != ".." })
		root, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		want := map[string]bool{}
		for _, parts := range rapid.SliceOfN(rapid.SliceOfN(segment, 1, 3), 1, 12).Draw(rt, "keys") {
			file := filepath.Join(root, strings.Join(parts, "/"))
			if os.MkdirAll(filepath.Dir(file), 0o755) != nil || os.WriteFile(file, nil, 0o644) != nil {
				continue // a prefix of another key
			}
			want[strings.Join(parts, "/")] = true
		}
		prefix := rapid.StringMatching(`[a-b\-./]{0,3}`).Draw(rt, "prefix")
		var sorted []string
		for k := range want {
			if strings.HasPrefix(k, prefix) {
				sorted = append(sorted, k)
			}
		}
		sort.Strings(sorted)
		if got := listed(t, open(t, root), prefix); !slices.Equal(got, sorted) {
			rt.Fatalf("prefix %q: got %q, want %q", prefix, got, sorted)
		}
	})
}
