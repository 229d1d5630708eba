package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
)

// 5,000 topics with one row each, in one recording, fit into 512 MiB.
func TestManyTables(t *testing.T) {
	const topics = 5000
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "many.mcap"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := mcap.NewWriter(f, &mcap.WriterOptions{Chunked: true, ChunkSize: 1 << 20, Compression: mcap.CompressionZSTD, IncludeCRC: true})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.WriteHeader(&mcap.Header{}))
	must(w.WriteSchema(&mcap.Schema{ID: 1, Name: "demo_msgs/Sample", Encoding: "ros1msg", Data: []byte("float64 a\nfloat64 b\nstring c\nint32[] d\nuint8 e\n")}))
	for i := range topics {
		must(w.WriteChannel(&mcap.Channel{ID: uint16(i + 1), SchemaID: 1, Topic: fmt.Sprintf("/topic_%04d", i), MessageEncoding: "ros1"}))
	}
	body := append(make([]byte, 16), 2, 0, 0, 0, 'o', 'k', 1, 0, 0, 0, 7, 0, 0, 0, 9)
	for i := range topics {
		must(w.WriteMessage(&mcap.Message{ChannelID: uint16(i + 1), LogTime: 1_772_439_300_000_000_000 + uint64(i), Data: body}))
	}
	must(w.Close())
	must(f.Close())
	file := filepath.Join(dir, "many.yaml")
	must(os.WriteFile(file, []byte(fmt.Sprintf("pipeline: many\ninputs:\n  in: {uri: %s/many.mcap}\noutputs:\n  lake: {use: parquet, from: in, uri: %s/lake}\n", dir, dir)), 0o644))
	r := mustRun(t, nil, "run", "--progress", "none", file)
	if want := fmt.Sprintf("rows: %d found, 0 not selected, 0 filtered, 0 rejected, 0 lost, %d written", topics, topics); !strings.Contains(r.stdout, want) {
		t.Errorf("the summary does not say %q:\n%s", want, r.stdout[max(0, len(r.stdout)-500):])
	}
	if limit := int64(512 << 20); r.rss > limit {
		t.Errorf("the process took %d MiB at its peak, more than %d MiB", r.rss>>20, limit>>20)
	}
	t.Logf("peak memory %d MiB", r.rss>>20)
}

// Rows of 2,000 partitions that are open at once spill instead of taking memory,
// and the files are the same.
func TestManyPartitions(t *testing.T) {
	const partitions, rounds = 2000, 100
	dir := t.TempDir()
	var csv strings.Builder
	csv.WriteString("part,a,b,text\n")
	for i := range rounds {
		for p := range partitions {
			fmt.Fprintf(&csv, "%d,%d,%d.5,%s\n", p, i*partitions+p, i, strings.Repeat("x", 100+(i+p)%50))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "in.csv"), []byte(csv.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(lake string) string {
		name := filepath.Join(dir, lake+".yaml")
		text := fmt.Sprintf("pipeline: many\ninputs: {in: {uri: %s/in.csv}}\noutputs: {lake: {use: parquet, from: in, uri: %s/%s, partition: [part]}}\n", dir, dir, lake)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	roomy := mustRun(t, nil, "run", "--progress", "none", "--memory", "4GiB", file("roomy"))
	tight := mustRun(t, nil, "run", "--progress", "none", "--memory", "200MiB", "--spill-dir", dir, file("tight"))
	if d := diff(parquetOnly(snapshot(t, filepath.Join(dir, "roomy"))), parquetOnly(snapshot(t, filepath.Join(dir, "tight")))); d != "" {
		t.Errorf("the files depend on the memory:\n%s", d)
	}
	if limit := int64(250 << 20); tight.rss > limit {
		t.Errorf("the process took %d MiB at its peak, more than %d MiB", tight.rss>>20, limit>>20)
	}
	t.Logf("peak memory %d MiB with 200 MiB, %d MiB with 4 GiB", tight.rss>>20, roomy.rss>>20)
	r := invocation{args: []string{"run", "--progress", "none", "--memory", "200MiB", "--spill-dir", "none", file("none")}}.run(t)
	if r.code != exitFailed || !strings.Contains(r.stderr, "2000 open partitions") {
		t.Errorf("nowhere to spill: exit %d\n%s", r.code, r.stderr)
	}
	r = invocation{args: []string{"run", "--spill-dir", filepath.Join(dir, "missing"), file("none")}}.run(t)
	if r.code != exitUsage || !strings.Contains(r.stderr, "--spill-dir") {
		t.Errorf("a directory that is not there: exit %d\n%s", r.code, r.stderr)
	}
}
