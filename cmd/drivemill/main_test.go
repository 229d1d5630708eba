package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"drivemill": func() { os.Exit(mainCode()) }})
}

// repoRoot is where testdata lies.
func repoRoot(t testing.TB) string {
	_, file, _, _ := runtime.Caller(0)
	root, err := filepath.Abs(filepath.Join(filepath.Dir(file), "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// binary builds drivemill with failpoints, once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "drivemill-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "drivemill")
	cmd := exec.Command("go", "build", "-tags", "failpoints", "-o", path, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return path, nil
})

// invocation is one run of the real binary.
type invocation struct {
	args []string
	env  []string
}

// result is what it left.
type result struct {
	code           int // -1: killed
	stdout, stderr string
	rss            int64 // bytes at the peak
}

func (i invocation) start(t testing.TB) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, i.args...)
	cmd.Dir = repoRoot(t)
	cmd.Env = append(os.Environ(), i.env...)
	cmd.Stdout, cmd.Stderr = &bytes.Buffer{}, &bytes.Buffer{}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func (i invocation) run(t testing.TB) result {
	t.Helper()
	return finish(t, i.start(t))
}

func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	ended, peak := make(chan struct{}), make(chan int64, 1)
	go func() { peak <- watchPeak(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	close(ended)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{code: cmd.ProcessState.ExitCode(), stdout: fmt.Sprint(cmd.Stdout), stderr: fmt.Sprint(cmd.Stderr),
		rss: <-peak}
}

// watchPeak follows the peak of a process's resident memory until it ends. The
// figure that comes with its exit status also counts the test's own memory, of
// which the process was a copy for a moment.
func watchPeak(pid int, ended <-chan struct{}) int64 {
	var peak int64
	for {
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			_, rest, _ := strings.Cut(string(data), "VmHWM:")
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				peak = max(peak, kib*1024)
			}
		}
		select {
		case <-ended:
			return peak
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// mustRun wants exit code 0.
func mustRun(t testing.TB, env []string, args ...string) result {
	t.Helper()
	r := invocation{args: args, env: env}.run(t)
	if r.code != 0 {
		t.Fatalf("drivemill %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

func openStore(t testing.TB, uri string) pipeline.Store {
	t.Helper()
	st, err := store.Open(context.Background(), uri)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// snapshot returns the hash of every object of a lake, all but the events of
// the runs, which tell the time.
func snapshot(t testing.TB, uri string) map[string]string {
	t.Helper()
	ctx := context.Background()
	st := openStore(t, uri)
	out := make(map[string]string)
	err := st.List(ctx, "", func(o pipeline.Object) error {
		if strings.HasPrefix(o.Key, lineage.RunsDir+"/") {
			return nil
		}
		b, err := st.Get(ctx, o.Key)
		out[o.Key] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("nothing in %s", uri)
	}
	return out
}

// parquetOnly leaves the data files of a snapshot.
func parquetOnly(s map[string]string) map[string]string {
	out := make(map[string]string)
	for k, v := range s {
		if strings.HasSuffix(k, ".parquet") {
			out[k] = v
		}
	}
	return out
}

func diff(a, b map[string]string) string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(a)) {
		switch v, ok := b[k]; {
		case !ok:
			lines = append(lines, "- "+k)
		case v != a[k]:
			lines = append(lines, "~ "+k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[k]; !ok {
			lines = append(lines, "+ "+k)
		}
	}
	return strings.Join(lines, "\n")
}

// eachRecording opens every object that the patterns match.
func eachRecording(ctx context.Context, uris []string, fn func(pipeline.Source) error) error {
	found, err := findRecordings(ctx, builtin.Registry(), uris)
	if err != nil {
		return err
	}
	for _, r := range found {
		src, err := r.Open(ctx, nil)
		if err != nil {
			return err
		}
		if err := fn(src); err != nil {
			return err
		}
	}
	return nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
