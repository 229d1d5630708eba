package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zip"

	"github.com/drivemill/drivemill/bench/fleet"
	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
)

// quarterZip writes the quarter of a fleet, with what archivers leave, and
// returns the figures of its rows.
func quarterZip(t *testing.T, file string, drives int) (*fleet.Fleet, fleet.Facts) {
	t.Helper()
	c := fleet.Config{Seed: 5, Models: fleet.Catalog(drives, 92)}
	c.From, c.To = fleet.Quarter(2021, 3)
	f, err := fleet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteZip(w, c.From, c.To, fleet.ZipLayout{Folder: "data_Q3_2021/", Junk: true}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f, f.Count(nil)
}

// extent is where the bytes of a member lie.
type extent struct{ from, to int64 }

func extents(t *testing.T, file string) (out []extent) {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		from, err := f.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(filepath.Base(f.Name), "20") {
			out = append(out, extent{from, from + int64(f.CompressedSize64)})
		}
	}
	return out
}

// The quarter of a fleet is read out of its zip on S3 by ranged reads, several
// days at once, within the default memory, and nothing is fetched that is not needed.
func TestQuarterOverS3(t *testing.T) {
	p := s3server.StartProxy(t, s3server.Start(t))
	dir := t.TempDir()
	file := filepath.Join(p.Dir, p.Bucket, "data_Q3_2021.zip")
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		file = filepath.Join(p.Dir, "data_Q3_2021.zip")
	}
	f, want := quarterZip(t, file, quarterDrives)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	members := extents(t, file)
	days := int(f.To-f.From) + 1
	if len(members) != days {
		t.Fatalf("%d days in the zip, want %d", len(members), days)
	}

	var sent, requests, largest atomic.Int64
	var mu sync.Mutex
	first, met := -1, make(chan struct{})
	p.Strike(func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, ".zip") {
			return false
		}
		var from, to int64
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
			t.Errorf("a read of the zip without range: %q", r.Header.Get("Range"))
			return false
		}
		requests.Add(1)
		for n := largest.Load(); to-from+1 > n && !largest.CompareAndSwap(n, to-from+1); n = largest.Load() {
		}
		for i, m := range members {
			if from < m.from || from >= m.to || to == info.Size()-1 { // the last: the directory
				continue
			}
			if to >= m.to {
				t.Errorf("bytes %d to %d are of more than one member", from, to)
			}
			// The first day waits for another to be read beside it.
			mu.Lock()
			switch {
			case first < 0:
				first = i
				mu.Unlock()
				select {
				case <-met:
				case <-time.After(30 * time.Second):
				}
			case first != i && met != nil:
				select {
				case <-met:
				default:
					close(met)
				}
				mu.Unlock()
			default:
				mu.Unlock()
			}
		}
		forward.ServeHTTP(&countingWriter{w, &sent}, r)
		return true
	})
	lake := filepath.Join(dir, "lake")
	pipeline := filepath.Join(dir, "quarter.yaml")
	text := fmt.Sprintf("pipeline: quarter\ninputs:\n  days: {uri: \"s3://%s/data_Q3_2021.zip\", format: drivestats}\noutputs:\n  lake: {use: parquet, from: days, uri: %s, partition: [month]}\n", p.Bucket, lake)
	if err := os.WriteFile(pipeline, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := mustRun(t, p.Env(), "run", "--progress", "none", "--log-format", "json", "--jobs", "3", pipeline)
	t.Logf("zip of %d bytes: %d requests, %d bytes sent, the largest range %d; peak memory %d MiB; %s",
		info.Size(), requests.Load(), sent.Load(), largest.Load(), r.rss>>20, lastLine(r.stdout))
	if line := fmt.Sprintf("rows: %d found, 0 not selected, 0 filtered, 0 rejected, 0 lost, %d written", want.DriveDays, want.DriveDays); !strings.Contains(r.stdout, line) {
		t.Errorf("the summary does not say %q:\n%s", line, r.stdout)
	}
	select {
	case <-met:
	default:
		t.Error("days were read one after the other")
	}
	for _, junk := range []string{"__MACOSX", ".DS_Store", "README"} {
		if !strings.Contains(r.stdout+r.stderr, junk) {
			t.Errorf("%s was not listed as skipped:\n%s", junk, r.stderr)
		}
	}
	// The directory, and each day once: where it begins, and its bytes, in ranges
	// of some MiB.
	if n, most := requests.Load(), int64(3*days+4)+info.Size()>>20; n > most {
		t.Errorf("%d requests for %d days, more than %d", n, days, most)
	}
	if n := sent.Load(); n > info.Size()+info.Size()/20+int64(days)<<10+1<<20 {
		t.Errorf("%d bytes were sent of a zip of %d", n, info.Size())
	}
	if largest.Load() > max(1<<20, info.Size()/4) {
		t.Errorf("one read asked for %d bytes of a zip of %d", largest.Load(), info.Size())
	}
	if limit := int64(512 << 20); r.rss > limit {
		t.Errorf("the process took %d MiB, more than %d", r.rss>>20, limit>>20)
	}
	// Nothing changed: the directory is all that is read.
	before := sent.Load()
	again := mustRun(t, p.Env(), "run", "--progress", "none", "--jobs", "3", pipeline)
	if !strings.Contains(again.stdout, fmt.Sprintf("%d skipped", days)) {
		t.Errorf("the second run:\n%s", again.stdout)
	}
	if n := sent.Load() - before; n > 2<<20 {
		t.Errorf("the second run read %d bytes", n)
	}
}

// countingWriter counts the bytes of answers.
type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// A zip whose days are the same again, packed anew, is not read again.
func TestRepublishedZip(t *testing.T) {
	dir := t.TempDir()
	c := fleet.Config{Seed: 5, From: fleet.Date(2021, 7, 1), To: fleet.Date(2021, 7, 4), Models: fleet.Catalog(40, 4)}
	f, err := fleet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "data_Q3_2021.zip")
	publish := func(level int) {
		var buf bytes.Buffer
		if _, err := f.WriteZip(&buf, c.From, c.To, fleet.ZipLayout{Folder: "data_Q3_2021/", Level: level}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pipeline := filepath.Join(dir, "quarter.yaml")
	text := fmt.Sprintf("pipeline: quarter\ninputs:\n  days: {uri: %s, format: drivestats}\noutputs:\n  lake: {use: parquet, from: days, uri: %s/lake, partition: [month]}\n", file, dir)
	if err := os.WriteFile(pipeline, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(want string) {
		t.Helper()
		if r := mustRun(t, nil, "run", "--progress", "none", pipeline); !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.stdout)
		}
	}
	publish(0)
	run("units: 4 done, 0 skipped")
	before := parquetOnly(snapshot(t, dir+"/lake"))
	publish(-1)
	run("units: 0 done, 4 skipped")
	// A day that is corrected replaces its rows, and only its own.
	c.Models[0].Hours++
	if f, err = fleet.New(c); err != nil {
		t.Fatal(err)
	}
	publish(0)
	run("units: 4 done, 0 skipped")
	after := parquetOnly(snapshot(t, dir+"/lake"))
	if len(before) != len(after) || diff(before, after) == "" {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
}
