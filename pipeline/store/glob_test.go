package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

func TestPatternParts(t *testing.T) {
	for _, c := range []struct{ pattern, root, captures string }{
		{"s3://fleet-raw/{vehicle_id}/{drive_id}/{logger}_*.{bag,mcap,mf4}", "s3://fleet-raw", "vehicle_id drive_id logger"},
		{"s3://b/a/b/x*", "s3://b/a/b", ""},
		{"s3://b/a/b/x.bag", "s3://b/a/b", ""},
		{"s3://b/x.bag", "s3://b", ""},
		{"s3://b/*", "s3://b", ""},
		{"mem://m/a/*", "mem://m/a", ""},
		{"file:///data/x*", "/data", ""},
		{"file://localhost/data/x*", "/data", ""},
		{"/x*", "/", ""},
		{"/data/*/x", "/data", ""},
		{"x*", ".", ""},
		{"data/drive-[0-9]/{n}", "data", "n"},
		{"./data/*", "./data", ""},
		{"../data/{x}", "../data", "x"},
		{"/data/", "/data", ""},
		{"s3://b/{v}/bag/", "s3://b", "v"},
		{"s3://b/", "s3://b", ""},
		{`data/a\*b/c\{d\}/*`, "data/a*b/c{d}", ""},
		{`data/\*.csv`, "data", ""},
	} {
		p, err := store.ParsePattern(c.pattern)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if p.Root() != c.root || strings.Join(p.Captures(), " ") != c.captures || p.String() != c.pattern {
			t.Errorf("%s: root %q, captures %q", c.pattern, p.Root(), p.Captures())
		}
	}
}

func TestPatternMatch(t *testing.T) {
	for _, c := range []struct{ pattern, key, want string }{ // want: "-" no match, else captures
		{"{v}/{d}/{logger}_*.{bag,mcap}", "v1/d1/cam_0.bag", "d=d1 logger=cam v=v1"},
		{"{v}/{d}/{logger}_*.{bag,mcap}", "v1/d1/cam_front_0.mcap", "d=d1 logger=cam_front v=v1"},
		{"{v}/{d}/{logger}_*.{bag,mcap}", "v1/d1/_0.mcap", "-"},
		{"{v}/{d}/{logger}_*.{bag,mcap}", "v1/d1/x/cam_0.mcap", "-"},
		{"{v}/{d}/{logger}_*.{bag,mcap}", "v1/d1/cam_0.mcap.gz", "-"},
		{"{a}-{b}", "x-y-z", "a=x-y b=z"},
		{"{v}/", "v1/x.db3", "v=v1"},
		{"{v}/", "v1/.hidden", "-"},
		{"{v}/", "v1/x/y", "-"},
		{"{a}{b}", "xyz", "a=xy b=z"},
		{"{a}", "", "-"},
		{"x*y", "xy", ""},
		{"x*y", "x/y", "-"},
		{"x?y", "x√y", ""},
		{"x?y", "xy", "-"},
		{"x?y", "x/y", "-"},
		{"[a-c]x", "bx", ""},
		{"[a-c]x", "dx", "-"},
		{"[!a-c]x", "dx", ""},
		{"[^a-c]x", "bx", "-"},
		{"a[!b]c", "a/c", "-"},
		{"a[.-0]c", "a/c", "-"},
		{"a[.-0]c", "a.c", ""},
		{"a[.-0]c", "a0c", ""},
		{"[]-]", "]", ""},
		{"[]-]", "-", ""},
		{`[\]\\]`, `\`, ""},
		{"[ä-ü]", "ö", ""},
		{"a.*", "aXb", "-"},
		{"*.csv{,.gz,.zst}", "x.csv", ""},
		{"*.csv{,.gz,.zst}", "x.csv.gz", ""},
		{"{a,b{c,d}}*", "bd1", ""},
		{"{a,b{c,d}}*", "b1", "-"},
		{"{x/y,z}/*", "x/y/1", ""},
		{"{a*b,c}", "a--b", ""},
		{"a,b*", "a,b", ""},
		{"**", "a/b/c", ""},
		{"**/*.bag", "x.bag", ""},
		{"**/*.bag", "a/b/x.bag", ""},
		{"a/**/b", "a/b", ""},
		{"a/**/b", "a/x/y/b", ""},
		{"a/**/b", "a/xb", "-"},
		{"a/**", "a", "-"},
		{"{n}/**/{f}.mcap", "1/x/y/z.mcap", "f=z n=1"},
		{`\{a\}*`, "{a}b", ""},
		{`*\*`, "x*", ""},
		{`*\*`, "xy", "-"},
		{"*", "a\nb", ""},
		{"*", "a\xffb", ""},
		{"x.bag", "x.bag", ""},
		{"x.bag", "y.bag", "-"},
	} {
		p, err := store.ParsePattern("mem://m/" + c.pattern)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		key, below := strings.CutPrefix("mem://m/"+c.key, p.Root()+"/")
		got := "-"
		if values, ok := p.Match(key); ok && below {
			var parts []string
			for _, k := range slices.Sorted(maps.Keys(values)) {
				parts = append(parts, k+"="+values[k])
			}
			got = strings.Join(parts, " ")
		}
		if got != c.want {
			t.Errorf("%s on %q: %q, want %q", c.pattern, c.key, got, c.want)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	for _, c := range []struct {
		pattern string
		offset  int
		text    string
	}{
		{"", 0, "empty"},
		{"s3://b/{a", 7, "unclosed {"},
		{"s3://b/x/{a,b", 9, "unclosed {"},
		{"s3://b/{a,{b,c}", 7, "unclosed {"},
		{"s3://b/x}", 8, "} without {"},
		{"/x/]", 3, "] without ["},
		{"/x/[", 3, "unclosed ["},
		{"/x/[]", 3, "unclosed ["},
		{"/x/[a", 3, "unclosed ["},
		{"/x/[!", 3, "unclosed ["},
		{"/x/[a-", 3, "unclosed ["},
		{"/x/[z-a]", 4, "backwards"},
		{"/x/[a/b]", 5, "slash"},
		{"s3://b/{v}/{v}", 11, "{v} occurs twice"},
		{"s3://b/{}", 7, "neither a name"},
		{"s3://b/{a-b}", 7, "{a-b} is neither a name"},
		{"s3://b/{1a}", 7, "neither a name"},
		{"s3://b/{x,{y}}", 10, "cannot stand inside"},
		{"s3://b/a**", 8, "whole segment"},
		{"s3://b/***", 7, "whole segment"},
		{"s3://b/{a,**}", 10, "whole segment"},
		{`s3://b/*\`, 8, "backslash"},
		{`x\`, 1, "backslash"},
		{"s3://b*/x", 6, "cannot have wildcards"},
		{"s3://{b}/x", 5, "cannot have wildcards"},
		{"s3://b", 6, "names objects"},
		{"s3:///x", 5, "no bucket"},
		{"mem://", 6, "no name"},
		{"file://data/x", 7, "absolute"},
		{"gs://b/x", 0, "s3://bucket/prefix"},
		{"s3a://b/x", 0, "unknown scheme"},
		{"/x*/\xff", 0, "UTF-8"},
		{"/" + strings.Repeat("{a,", 200), 301, "too deeply"},
	} {
		_, err := store.ParsePattern(c.pattern)
		var pe *store.PatternError
		if !errors.As(err, &pe) || pe.Offset != c.offset || !strings.Contains(pe.Message, c.text) {
			t.Errorf("%.50q: %#v, want %q at %d", c.pattern, err, c.text, c.offset)
		}
	}
}

// Captures put back into the pattern give the key.
func TestPatternCapturesRoundTrip(t *testing.T) {
	p, err := store.ParsePattern("mem://m/{a}/x-{b}_{c}.{bag,mcap}")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[a-z_.\-ä ]{1,8}`)
		a, b, c := part.Draw(t, "a"), part.Draw(t, "b"), part.Draw(t, "c")
		key := a + "/x-" + b + "_" + c + ".mcap"
		got, ok := p.Match(key)
		if !ok {
			t.Fatalf("%q does not match", key)
		}
		if again := got["a"] + "/x-" + got["b"] + "_" + got["c"] + ".mcap"; again != key {
			t.Fatalf("%q is captured as %v", key, got)
		}
	})
}

// Where path.Match knows the syntax, both agree (but for [^a], which there
// matches a slash).
func TestPatternLikePathMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		glob := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "/", "*a", "?", "[ab]", ".", `\*`}), 1, 8).Draw(t, "glob"), "")
		key := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "/", "*", ".", "ü"}), 1, 8).Draw(t, "key"), "")
		if strings.HasSuffix(glob, "/") {
			return
		}
		p, err := store.ParsePattern("mem://m/z/" + glob)
		if err != nil {
			t.Fatal(err)
		}
		want, err := path.Match("z/"+glob, "z/"+key)
		if err != nil {
			t.Fatal(err)
		}
		root := strings.TrimPrefix(p.Root(), "mem://m/")
		rest, below := strings.CutPrefix("z/"+key, root+"/")
		if strings.Contains(root, "//") || strings.HasPrefix(glob, "/") {
			return // empty segments are cut from the root
		}
		_, got := p.Match(rest)
		if got = got && below; got != want {
			t.Fatalf("%s on %q: %v, path.Match says %v", glob, key, got, want)
		}
	})
}

func TestPatternIsLinear(t *testing.T) {
	// A backtracking matcher would need longer than the sun has.
	p, err := store.ParsePattern("mem://m/" + strings.Repeat("*a", 30) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Match(strings.Repeat("a", 10_000)); ok {
		t.Error("it matches")
	}
}

func FuzzPattern(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, key string) {
		p, err := store.ParsePattern(text)
		if err != nil {
			var pe *store.PatternError
			if !errors.As(err, &pe) || pe.Offset < 0 || pe.Offset > len(text) {
				t.Fatalf("%#v", err)
			}
			return
		}
		if values, ok := p.Match(key); ok && len(values) != len(p.Captures()) {
			t.Fatalf("%v for captures %v", values, p.Captures())
		}
	})
}

// spy records what is opened and listed.
type spy struct {
	pipeline.Store
	lists []string
}

func (s *spy) List(ctx context.Context, prefix string, fn func(pipeline.Object) error) error {
	s.lists = append(s.lists, prefix)
	return s.Store.List(ctx, prefix, fn)
}

func TestFind(t *testing.T) {
	name := rand.Text()
	all := open(t, "mem://"+name)
	for _, k := range []string{"raw/v1/d1/cam_0.bag", "raw/v1/d1/cam_1.mcap", "raw/v1/d2/gps_0.bag", "raw/v10/d1/cam_0.bag", "raw/v1/d1/notes.txt", "other/x.bag"} {
		if err := all.Put(t.Context(), k, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ pattern, opened, listed, want string }{
		{"raw/{v}/{d}/{l}_*.{bag,mcap}", "/raw", "[]",
			"raw/v1/d1/cam_0.bag d1 cam v1, raw/v1/d1/cam_1.mcap d1 cam v1, raw/v1/d2/gps_0.bag d2 gps v1, raw/v10/d1/cam_0.bag d1 cam v10"},
		{"raw/v1/d1/cam_*", "/raw/v1/d1", "[cam_]", "raw/v1/d1/cam_0.bag, raw/v1/d1/cam_1.mcap"},
		{"raw/v1{v}/**", "/raw", "[v1]", "raw/v10/d1/cam_0.bag 0"},
		{"raw/v1/d1/notes.txt", "/raw/v1/d1", "[]", "raw/v1/d1/notes.txt"},
		{"nothing/*", "/nothing", "[]", ""},
	} {
		p, err := store.ParsePattern("mem://" + name + "/" + c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		var s *spy
		var found []string
		err = store.Find(t.Context(), func(ctx context.Context, uri string) (pipeline.Store, error) {
			if uri != "mem://"+name+c.opened {
				t.Errorf("%s opens %s", c.pattern, uri)
			}
			below, err := store.Open(ctx, uri)
			s = &spy{Store: below}
			return s, err
		}, p, func(o pipeline.Object, captures map[string]string) error {
			line := strings.TrimPrefix(o.URI, "mem://"+name+"/")
			for _, k := range slices.Sorted(maps.Keys(captures)) {
				line += " " + captures[k]
			}
			found = append(found, line)
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		if got := strings.Join(found, ", "); got != c.want {
			t.Errorf("%s finds\n%s\nwant\n%s", c.pattern, got, c.want)
		}
		if got := fmt.Sprint(s.lists); strings.ContainsAny(c.pattern, "*{") && got != c.listed {
			t.Errorf("%s lists %q, want %q", c.pattern, got, c.listed)
		}
	}
	p, err := store.ParsePattern("mem://" + name + "/raw/none.bag")
	if err != nil {
		t.Fatal(err)
	}
	err = store.Find(t.Context(), store.Open, p, func(pipeline.Object, map[string]string) error { return nil })
	if !errors.Is(err, pipeline.ErrNotFound) || !strings.Contains(err.Error(), "raw/none.bag") {
		t.Errorf("%v", err)
	}
}
