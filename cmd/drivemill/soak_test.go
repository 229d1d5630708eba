//go:build soak

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/bench"
)

// The peak memory of a run follows the defaults, not the recording: 1 GiB of
// small messages, stored and compressed, stays under 512 MiB.
func TestPeakMemoryOfLargeRecordings(t *testing.T) {
	for _, compression := range []string{"", "zstd"} {
		for _, mib := range []int64{128, 1024} {
			dir := t.TempDir()
			f, err := os.Create(filepath.Join(dir, "big.mcap"))
			if err != nil {
				t.Fatal(err)
			}
			w := bufio.NewWriterSize(f, 1<<20)
			messages, _, err := bench.Workload{Bytes: mib << 20, Compression: compression}.Write(w)
			if err == nil {
				err = w.Flush()
			}
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "big.yaml")
			text := fmt.Sprintf("pipeline: big\ninputs:\n  in: {uri: %s/big.mcap, clock: [header, log]}\noutputs:\n  lake: {use: parquet, from: in, uri: %s/lake}\n", dir, dir)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			r := mustRun(t, nil, "run", "--progress", "none", file)
			if want := fmt.Sprintf("%d written", messages); !strings.Contains(r.stdout, want) {
				t.Errorf("the summary does not say %q:\n%s", want, r.stdout)
			}
			t.Logf("%4d MiB, compression %q: peak memory %d MiB; %s", mib, compression, r.rss>>20, lastLine(r.stdout))
			if limit := int64(512 << 20); r.rss > limit {
				t.Errorf("%d MiB of messages took %d MiB, more than %d MiB", mib, r.rss>>20, limit>>20)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
}
