package budget_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/drivemill/drivemill/pipeline/budget"
)

const mib = 1 << 20

func TestFind(t *testing.T) {
	task := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v4/x/task" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"Limits": {"CPU": 2, "Memory": 300}}`))
	}))
	defer task.Close()
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for _, c := range []struct {
		name string
		fs   fstest.MapFS
		env  string
		want int64
	}{
		{name: "nothing"},
		{name: "version 2, no limit", fs: fstest.MapFS{"sys/fs/cgroup/memory.max": file("max\n")}},
		{name: "version 2", fs: fstest.MapFS{"sys/fs/cgroup/memory.max": file("1073741824\n")}, want: 1 << 30},
		{name: "version 2, a group above is smaller", fs: fstest.MapFS{
			"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/memory.max": file("536870912\n"), "sys/fs/cgroup/a/b/memory.max": file("1073741824\n"),
		}, want: 512 * mib},
		{name: "version 1", fs: fstest.MapFS{"sys/fs/cgroup/memory/memory.limit_in_bytes": file("268435456\n")}, want: 256 * mib},
		{name: "version 1, no limit", fs: fstest.MapFS{"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n")}},
		{name: "task", env: task.URL + "/v4/x", want: 300 * mib},
		{name: "task, and a smaller group", env: task.URL + "/v4/x", fs: fstest.MapFS{"sys/fs/cgroup/memory.max": file("104857600")}, want: 100 * mib},
		{name: "no such task", env: task.URL + "/v4/y"},
		{name: "nobody answers", env: "http://127.0.0.1:1"},
	} {
		s := budget.Surroundings{Root: c.fs, Getenv: func(k string) (string, bool) {
			return c.env, c.env != "" && k == "ECS_CONTAINER_METADATA_URI_V4"
		}}
		if got := s.Find(context.Background()); got.Bytes != c.want || (got.From == "") != (c.want == 0) {
			t.Errorf("%s: %+v, want %d", c.name, got, c.want)
		}
	}
}

func TestDefault(t *testing.T) {
	for _, c := range []struct {
		limit int64
		cores int
		want  int64
	}{{0, 2, 512}, {8 << 10, 2, 512}, {512, 2, 384}, {0, 16, 2304}} {
		if got := budget.Default(budget.Limit{Bytes: c.limit * mib}, c.cores); got != c.want*mib {
			t.Errorf("%d MiB and %d cores: %d MiB", c.limit, c.cores, got/mib)
		}
	}
}

func TestDivide(t *testing.T) {
	for total := int64(budget.Least); total < 64<<30; total = total*5/4 + 1 {
		for _, workers := range []int{1, 2, 16, 128} {
			p, err := budget.Divide(total, workers)
			if err != nil {
				t.Fatal(err)
			}
			if p.Workers < 1 || p.Workers > workers || p.Flowing < 4*mib || p.Waiting < 8*mib || p.Flowing+p.Waiting > p.Heap || p.Heap >= total {
				t.Errorf("%d MiB, %d workers: %+v", total/mib, workers, p)
			}
		}
	}
	if _, err := budget.Divide(budget.Least-1, 1); err == nil {
		t.Error("too small a budget")
	}
}
