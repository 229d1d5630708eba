package graph

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected output in testdata")

// validate is what the command does.
func validate(text string) string {
	reg := testRegistry()
	p, err := config.Load("p.yaml", []byte(text), config.LoadOptions{}, reg)
	g, err2 := Build(context.Background(), p, reg, fakeEnv{})
	if (g == nil) != (err2 != nil) || err != nil && err2 == nil {
		return "a graph in spite of mistakes"
	}
	if err2 != nil {
		var issues *pipeline.Issues
		if !errors.As(err2, &issues) {
			return "no place: " + err2.Error()
		}
		return err2.Error() + "\n"
	}
	return "fine\n"
}

func compare(t *testing.T, name string, ar *txtar.Archive, got string) {
	t.Helper()
	last := len(ar.Files) - 1
	if *rewrite {
		ar.Files[last].Data = []byte(got)
		if err := os.WriteFile(name, txtar.Format(ar), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(ar.Files[last].Data), got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestValidate runs the cases of testdata/validate: a pipeline, and the lines
// that validate prints.
func TestValidate(t *testing.T) {
	for _, name := range testdata(t, "validate") {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, name, ar, validate(string(ar.Files[0].Data)))
		})
	}
}

// TestBuildTransient: a store that does not answer is no mistake in the file.
func TestBuildTransient(t *testing.T) {
	const text = "{pipeline: p, inputs: {a: {uri: x}}, stages: {l: {use: lookup, from: a, table: t, on: {a: b}}}, outputs: {o: {use: lake, from: l, uri: y}}}"
	reg := testRegistry()
	p, err := config.Load("p.yaml", []byte(text), config.LoadOptions{}, reg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Build(context.Background(), p, reg, fakeEnv{err: pipeline.Transient(errors.New("slow down"))})
	if !pipeline.IsTransient(err) || !strings.Contains(err.Error(), "stages.l: loading t: slow down") {
		t.Errorf("got %v", err)
	}
	_, err = Build(context.Background(), p, reg, fakeEnv{err: errors.New("no such file")})
	if pipeline.IsTransient(err) || err.Error() != "p.yaml:1:47: stages.l: loading t: no such file" {
		t.Errorf("got %v", err)
	}
}

func FuzzBuild(f *testing.F) {
	for _, name := range []string{"five", "cycles", "references", "schemas"} {
		ar, err := txtar.ParseFile("testdata/validate/" + name + ".txtar")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(ar.Files[0].Data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := validate(text); strings.HasPrefix(got, "no place: ") || strings.HasPrefix(got, "a graph") {
			t.Fatal(got)
		}
	})
}
