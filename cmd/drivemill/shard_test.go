package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// manyDrives copies the sample drives under many vehicles.
func manyDrives(t *testing.T, copies int) (pattern string) {
	t.Helper()
	root := t.TempDir()
	found, err := filepath.Glob(filepath.Join(repoRoot(t), "testdata/drives/*/*/roof.*"))
	if err != nil || len(found) == 0 {
		t.Fatal(err)
	}
	for i := range copies {
		data, err := os.ReadFile(found[i%len(found)])
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(root, fmt.Sprintf("v0%d", 1+i%3), fmt.Sprintf("trip-%03d", i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(found[i%len(found)])), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root + "/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}"
}

// planned is what plan prints.
type planned struct {
	Manifest string
	Shards   int
	Units    int
	Done     int `json:"done_before"`
}

func plan(t *testing.T, lake, drives string, more ...string) planned {
	t.Helper()
	args := append([]string{"plan", "--set", "outputs.lake.uri=" + lake, "--set", "inputs.drives.uri=" + drives, drivesPipeline}, more...)
	var p planned
	if err := json.Unmarshal([]byte(mustRun(t, nil, args...).stdout), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func shard(p planned, i int, env ...string) invocation {
	return invocation{args: []string{"run", "--progress", "none", "--manifest", p.Manifest, "--shard", fmt.Sprintf("%d/%d", i, p.Shards)}, env: env}
}

// Seven shards in seven processes, one killed and tried again, one run twice
// at once, then finished twice, leave the lake of a single run.
func TestShardsEqualSingleRun(t *testing.T) {
	drives := manyDrives(t, 15)
	lakes(t, func(t *testing.T, newLake func(string) string) {
		single := newLake("single")
		mustRun(t, nil, append(runArgs(single), "--set", "inputs.drives.uri="+drives)...)
		want := snapshot(t, single)

		lake := newLake("sharded")
		p := plan(t, lake, drives, "--run-id", "nightly", "--shards", "7")
		if p.Shards != 7 || p.Units != 15 {
			t.Fatalf("planned %+v", p)
		}
		if again := plan(t, lake, drives, "--run-id", "nightly", "--shards", "3"); again != p {
			t.Errorf("planned again: %+v, before %+v", again, p)
		}
		if r := shard(p, 3, "DRIVEMILL_FAILPOINT=publish:between=kill").run(t); r.code != -1 {
			t.Fatalf("shard 3 was not killed: exit %d\n%s", r.code, r.stderr)
		}
		if r := (invocation{args: []string{"finish", "--manifest", p.Manifest}}).run(t); r.code != exitFailed || !strings.Contains(r.stderr, "no recorded end") {
			t.Errorf("finish before the end: exit %d\n%s", r.code, r.stderr)
		}
		var wg sync.WaitGroup
		for _, i := range []int{0, 1, 2, 3, 4, 5, 5, 6} {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if r := shard(p, i).run(t); r.code != exitDone {
					t.Errorf("shard %d: exit %d\n%s", i, r.code, r.stderr)
				}
			}()
		}
		wg.Wait()
		first := mustRun(t, nil, "finish", "--manifest", p.Manifest, "--json").stdout
		if second := mustRun(t, nil, "finish", "--manifest", p.Manifest, "--json").stdout; second != first {
			t.Errorf("finish said first\n%s\nthen\n%s", first, second)
		}
		if d := diff(want, snapshot(t, lake)); d != "" {
			t.Errorf("the lake differs from that of a single run:\n%s", d)
		}
		if p := plan(t, lake, drives, "--run-id", "next", "--shards", "7"); p.Shards != 0 || p.Done != 15 {
			t.Errorf("nothing is left to do, but planned: %+v", p)
		}
	})
}

// A unit that takes its process down again and again fails by that name, and
// the others are done.
func TestPoisonUnit(t *testing.T) {
	drives := manyDrives(t, 9)
	lake := filepath.Join(t.TempDir(), "lake")
	p := plan(t, lake, drives, "--shards", "2")
	st := openStore(t, lake)
	var victim string
	err := st.List(context.Background(), lineage.RunsDir+"/", func(o pipeline.Object) error {
		if strings.Contains(o.Key, "shard-00001") {
			data, err := st.Get(context.Background(), o.Key)
			if err != nil {
				return err
			}
			var u struct{ Name string }
			line, _, _ := strings.Cut(string(data), "\n")
			if err := json.Unmarshal([]byte(line), &u); err != nil {
				return err
			}
			victim = u.Name
		}
		return nil
	})
	if err != nil || victim == "" {
		t.Fatal("no units planned", err)
	}
	poison := "DRIVEMILL_FAILPOINT=unit:" + victim + "=kill"
	kills := 0
	var last result
	for range 6 {
		if last = shard(p, 1, poison).run(t); last.code != -1 {
			break
		}
		kills++
	}
	if kills != 3 || last.code != exitDone {
		t.Fatalf("killed %d times, then exit %d\n%s", kills, last.code, last.stderr)
	}
	if r := shard(p, 0).run(t); r.code != exitDone {
		t.Fatalf("shard 0: exit %d\n%s", r.code, r.stderr)
	}
	r := invocation{args: []string{"finish", "--manifest", p.Manifest}}.run(t)
	if r.code != exitFailed || !strings.Contains(r.stdout, "8 done, 1 failed, 0 without an end") || !strings.Contains(r.stdout, "poison") {
		t.Errorf("finish: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if _, err := st.Get(context.Background(), strings.TrimPrefix(filepath.Dir(p.Manifest), lake+"/")+"/_PARTIAL"); err != nil {
		t.Error(err)
	}
	// Mended, it is tried again when somebody says so, and only then.
	if r := shard(p, 1).run(t); r.code != exitDone {
		t.Fatalf("shard 1: exit %d\n%s", r.code, r.stderr)
	}
	again := shard(p, 1)
	again.args = append(again.args, "--retry-failed")
	if r := again.run(t); r.code != exitDone || !strings.Contains(r.stdout, "units: 1 done") {
		t.Errorf("tried again: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	mustRun(t, nil, "finish", "--manifest", p.Manifest)
}
