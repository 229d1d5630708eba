// Package budget finds out how much memory a process may use, and divides it.
package budget

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const mib = 1 << 20

// Limit is how much memory the surroundings allow.
type Limit struct {
	Bytes int64
	From  string // what said so, for people
}

// Surroundings are where a process learns about its limits.
type Surroundings struct {
	// Root is the file system.
	Root fs.FS
	// Getenv looks up a variable.
	Getenv func(string) (string, bool)
}

// unlimited is what version 1 of cgroups says in place of no limit: the largest
// multiple of a page.
const unlimited = 1 << 62

// Find returns the smallest limit there is: of the control group (version 2 or
// 1), or of the task, as Amazon ECS tells its containers at the address it
// gives them. Without any, Bytes is 0.
func (s Surroundings) Find(ctx context.Context) Limit {
	var found Limit
	smaller := func(n int64, from string) {
		if n > 0 && n < unlimited && (found.Bytes == 0 || n < found.Bytes) {
			found = Limit{n, from}
		}
	}
	for _, dir := range s.groups() {
		smaller(s.number(dir+"memory.max"), "the control group's memory.max")
	}
	smaller(s.number("sys/fs/cgroup/memory/memory.limit_in_bytes"), "the control group's memory.limit_in_bytes")
	if uri, ok := s.Getenv("ECS_CONTAINER_METADATA_URI_V4"); ok {
		smaller(taskLimit(ctx, uri), "the task's memory")
	}
	return found
}

// groups lists the directories of the process's control group and of those
// above it, each of which may have a limit.
func (s Surroundings) groups() []string {
	const root = "sys/fs/cgroup/"
	dirs := []string{root}
	data, err := fs.ReadFile(s.Root, "proc/self/cgroup")
	if err != nil {
		return dirs
	}
	for line := range bytes.Lines(data) {
		own, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "0::/")
		if !ok || own == "" {
			continue
		}
		dir := root
		for part := range strings.SplitSeq(own, "/") {
			dir += part + "/"
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func (s Surroundings) number(name string) int64 {
	data, err := fs.ReadFile(s.Root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0 // "max"
	}
	return n
}

// taskLimit asks the task metadata endpoint, version 4, of Amazon ECS. It lies
// on the machine itself, and is asked only where its address is given.
func taskLimit(ctx context.Context, uri string) int64 {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(uri, "/")+"/task", nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var task struct {
		Limits struct{ Memory int64 } // in MiB
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, mib))
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(data, &task) != nil {
		return 0
	}
	return task.Limits.Memory * mib
}

// Least is the smallest budget that a run starts with.
const Least = 192 * mib

// Default is the budget of a process on so many cores: 256 MiB and 128 MiB per
// core, or three quarters of the limit where that is less.
func Default(limit Limit, cores int) int64 {
	n := int64(256+128*cores) * mib
	if limit.Bytes > 0 {
		n = min(n, limit.Bytes/4*3)
	}
	return n
}

// Plan is how a budget is divided.
type Plan struct {
	Total int64 // resident memory
	// Heap is what the garbage collector works towards. Buffers are pooled and
	// hold no pointers, so that collecting them often costs little; what lies
	// above is for what the collector finds too late, and does not see.
	Heap    int64
	Workers int // goroutines for each decoder, stage and encoder of a unit
	// Flowing are the bytes of batches that may be on their way in all units;
	// sources wait beyond.
	Flowing int64
	// Waiting are the bytes of rows that outputs of all units may keep waiting
	// for their row groups; they spill beyond.
	Waiting int64
}

// Parts of a budget.
const (
	base      = 64 * mib // the program, its stacks, and what one goroutine needs
	perWorker = 48 * mib // windows of codecs, a chunk unpacked, a row group encoded
)

// Divide divides a budget. There are at most so many workers, and as many as
// leave half of the budget for rows.
func Divide(total int64, workers int) (Plan, error) {
	if total < Least {
		return Plan{}, fmt.Errorf("a memory budget of %d MiB: at least %d MiB are needed: %d MiB for the program, %d MiB for each worker, and as much again for rows",
			total/mib, int64(Least/mib), int64(base/mib), int64(perWorker/mib))
	}
	p := Plan{Total: total, Heap: total / 16 * 9}
	p.Workers = int(max(1, min(int64(workers), (total/2-base)/perWorker)))
	rows := total/5*4 - base - int64(p.Workers)*perWorker
	p.Waiting = rows / 8 * 3
	p.Flowing = rows / 16 * 3
	return p, nil
}
