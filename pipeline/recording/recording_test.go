package recording_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/recording"
	"github.com/drivemill/drivemill/pipeline/store"
)

// parted is a format whose recordings are a.0.log, a.1.log, ..., or folders
// that hold an index.txt.
type parted struct{ pipeline.Format }

func (parted) Name() string { return "parted" }

func (parted) Assemble(ctx context.Context, matched []pipeline.Object, folder func(context.Context, string) ([]pipeline.Object, error)) ([]pipeline.Assembly, error) {
	var out []pipeline.Assembly
	for i := 0; i < len(matched); i++ {
		key := matched[i].Key
		if path.Base(key) == "index.txt" {
			all, err := folder(ctx, key)
			if err != nil {
				return nil, err
			}
			out = append(out, pipeline.Assembly{Key: path.Dir(key), Objects: all})
			continue
		}
		stem, ok := strings.CutSuffix(key, ".0.log")
		if !ok {
			continue
		}
		a := pipeline.Assembly{Key: key, Objects: matched[i : i+1]}
		for n := 1; i+1 < len(matched) && matched[i+1].Key == fmt.Sprintf("%s.%d.log", stem, n); n++ {
			i++
			a.Objects = append(a.Objects, matched[i])
		}
		out = append(out, a)
	}
	return out, nil
}

func find(t *testing.T, keys []string, pattern string) []*recording.Recording {
	t.Helper()
	ctx := context.Background()
	root := "mem://" + strings.NewReplacer("/", "-").Replace(t.Name())
	base, err := store.Open(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if err := base.Put(ctx, k, []byte("content of "+k)); err != nil {
			t.Fatal(err)
		}
	}
	pat, err := store.ParsePattern(root + "/" + pattern)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(ctx, pat.Root())
	if err != nil {
		t.Fatal(err)
	}
	reg := new(pipeline.Registry)
	reg.AddFormat(pipeline.FormatSpec{Format: parted{}})
	found, err := recording.Find(ctx, reg, st, pat, recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func show(found []*recording.Recording) string {
	var lines []string
	for _, r := range found {
		var names []string
		for _, o := range r.Objects {
			names = append(names, path.Base(o.Key))
		}
		lines = append(lines, path.Base(strings.TrimSuffix(r.URI, "/."))+": "+strings.Join(names, " "))
	}
	return strings.Join(lines, "; ")
}

func TestFind(t *testing.T) {
	keys := []string{"d/a.0.log", "d/a.1.log", "d/a.3.log", "d/b.log", "e/index.txt", "e/one", "e/.hidden", "e/sub/two", "v1/x.0.log", "v2/x.1.log"}
	for i, c := range []struct{ pattern, want string }{
		{"d/*.log", "a.0.log: a.0.log a.1.log; a.3.log: a.3.log; b.log: b.log"},
		{"d/a.1.log", "a.1.log: a.1.log"},
		{"d/a.{n}.log", "a.0.log: a.0.log; a.1.log: a.1.log; a.3.log: a.3.log"}, // parts are asked for
		{"e/index.txt", "e: index.txt one"},
		{"e", "e: index.txt one"},
		{"e/", "e: index.txt one"},
		{"{v}/x.*.log", "x.0.log: x.0.log; x.1.log: x.1.log"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if got := show(find(t, keys, c.pattern)); got != c.want {
				t.Errorf("%s: got %s, want %s", c.pattern, got, c.want)
			}
		})
	}
}

// Members of a zip are recordings, junk is named.
func TestFindMembers(t *testing.T) {
	ctx := context.Background()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, name := range []string{"q/a.0.log", "q/a.1.log", "q/readme.txt", "__MACOSX/q/._a.0.log", "../evil.log"} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, name)
	}
	w.Close()
	base, err := store.Open(ctx, "mem://members")
	if err != nil {
		t.Fatal(err)
	}
	if err := base.Put(ctx, "v1/quarter.ZIP", buf.Bytes()); err != nil {
		t.Fatal(err)
	}
	reg := new(pipeline.Registry)
	reg.AddFormat(pipeline.FormatSpec{Format: parted{}, Extensions: []string{"log"}})
	for _, c := range []struct{ pattern, want, skipped string }{
		{"mem://members/{v}/*", "quarter.ZIP!q/a.0.log: a.0.log a.1.log", "../evil.log __MACOSX/q/._a.0.log q/readme.txt"},
		{"mem://members/v1/quarter.ZIP!q/a.1.log", "quarter.ZIP!q/a.1.log: a.1.log", ""},
	} {
		pat, err := store.ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		st, err := store.Open(ctx, pat.Root())
		if err != nil {
			t.Fatal(err)
		}
		var skipped []string
		found, err := recording.Find(ctx, reg, st, pat, recording.Options{Skipped: func(uri, why string) {
			_, name, _ := strings.Cut(uri, "!")
			skipped = append(skipped, name)
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err != nil || len(found) != 1 || !strings.HasSuffix(found[0].URI, c.want[:strings.Index(c.want, ":")]) {
			t.Fatalf("%s: %s, %v", c.pattern, show(found), err)
		}
		slices.Sort(skipped)
		if got := strings.Join(skipped, " "); got != c.skipped {
			t.Errorf("%s: skipped %s", c.pattern, got)
		}
		// As a shard opens it: from its keys alone.
		again := recording.New(st, found[0].URI, found[0].Objects)
		src, err := again.Open(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		last := pipeline.Parts(src)[len(pipeline.Parts(src))-1]
		r, err := last.Reader(ctx, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(r); string(data) != "q/a.1.log" || err != nil {
			t.Errorf("read %q, %v", data, err)
		}
	}
}

func TestOpen(t *testing.T) {
	ctx := context.Background()
	found := find(t, []string{"d/a.0.log", "d/a.1.log", "d/notes.txt"}, "d/*.log")
	wrapped := 0
	src, err := found[0].Open(ctx, func(s pipeline.Source) pipeline.Source { wrapped++; return s })
	if err != nil {
		t.Fatal(err)
	}
	parts := pipeline.Parts(src)
	if len(parts) != 2 || parts[1].Object().Key != "a.1.log" || src.Object().Key != "a.0.log" {
		t.Errorf("parts %v", parts)
	}
	beside := src.(pipeline.Neighbours)
	for range 2 {
		n, err := beside.Beside(ctx, "notes.txt")
		if err != nil {
			t.Fatal(err)
		}
		r, err := n.Reader(ctx, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if data, _ := io.ReadAll(r); string(data) != "content of d/notes.txt" {
			t.Errorf("read %q", data)
		}
		r.Close()
	}
	if own, err := beside.Beside(ctx, "a.1.log"); err != nil || own != parts[1] {
		t.Errorf("a part beside: %v, %v", own, err)
	}
	if wrapped != 3 {
		t.Errorf("%d sources wrapped, want two parts and one beside", wrapped)
	}
	for _, name := range []string{"../x", "/etc/passwd", "../../x", "none"} {
		if _, err := beside.Beside(ctx, name); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
