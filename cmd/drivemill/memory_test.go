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
