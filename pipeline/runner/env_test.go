package runner_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

// Side files are read once, with the hash of their bytes, and only where data
// may be read; warnings are passed on once.
func TestSideFiles(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a.dbc")
	if err := os.WriteFile(name, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	var told []string
	env := &runner.Env{Open: store.Open, Load: true, Warned: func(i *pipeline.Issue) { told = append(told, i.Error()) }}
	f, err := env.LoadFile(t.Context(), pipeline.Text{Value: name})
	if err != nil {
		t.Fatal(err)
	}
	if string(f.Data) != "abc" || f.SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte("abc"))) || !strings.HasSuffix(f.URI, "/a.dbc") {
		t.Errorf("%+v", f)
	}
	if again, err := env.LoadFile(t.Context(), pipeline.Text{Value: name}); err != nil || again != f {
		t.Error("it was read again", err)
	}
	var issue *pipeline.Issue
	if _, err := env.LoadFile(t.Context(), pipeline.Text{Value: filepath.Join(dir, "b.dbc")}); !errors.As(err, &issue) {
		t.Errorf("a file that is not there: %v", err)
	}
	for range 2 {
		env.Warn(&pipeline.Issue{Message: "odd"})
	}
	if fmt.Sprint(told) != "[odd]" {
		t.Error(told)
	}
	if _, err := (&runner.Env{Open: store.Open}).LoadFile(t.Context(), pipeline.Text{Value: name}); !errors.Is(err, pipeline.ErrNotLoaded) {
		t.Error(err)
	}
}
