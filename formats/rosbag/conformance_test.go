package rosbag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

// conformance returns the folder of files that others wrote.
func conformance(t testing.TB) string {
	dir := os.Getenv("DRIVEMILL_CONFORMANCE")
	if dir == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set")
	}
	return dir
}

var (
	indexLine = regexp.MustCompile(`^\| (ros1_bag/\S+\.bag) \|`)
	indexSums = regexp.MustCompile(`chunks \{(.*?)\}; (\d+) conns, (\d+) msgs`)
)

// TestConformance reads all bags with the counts that the list of files tells.
func TestConformance(t *testing.T) {
	dir := conformance(t)
	list, err := os.ReadFile(filepath.Join(dir, "INDEX.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, garbage := 0, 0
	for line := range strings.Lines(string(list)) {
		m := indexLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, m[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		files++
		if strings.Contains(line, "error cleanly") {
			garbage++
			src := inMemory(data)
			_, err := New().Describe(context.Background(), src)
			var d *pipeline.DecodeError
			if !errors.As(err, &d) || d.Object != src.name || d.Offset < 0 || !strings.Contains(err.Error(), src.name) {
				t.Errorf("%s: error %v", m[1], err)
			}
			t.Logf("%s: %v", m[1], err)
			continue
		}
		sums := indexSums.FindStringSubmatch(line)
		if sums == nil {
			t.Errorf("%s: no counts are told", m[1])
			continue
		}
		conns, _ := strconv.Atoi(sums[2])
		messages, _ := strconv.Atoi(sums[3])
		want := everything(t, data)
		if !want.d.Indexed || len(want.rows) != messages || len(want.d.Index.(*recording).conns) != conns {
			t.Errorf("%s: %d rows of %d, %d connections of %d, problems %v", m[1], len(want.rows), messages, len(want.d.Index.(*recording).conns), conns, want.problems)
		}
		for _, c := range want.d.Compression {
			if !strings.Contains(sums[1], fmt.Sprintf("'%s': %d", c.Codec, c.Chunks)) {
				t.Errorf("%s: compression %+v, want %s", m[1], c, sums[1])
			}
		}
		// The same without the index, and in log order.
		head, err := readBagHeader(context.Background(), newFile(inMemory(data), 4096), 13)
		if err != nil {
			t.Fatal(err)
		}
		got := everything(t, slices.Concat(data[:13], (&bag{}).header(0, 0, 0), data[head.end:]))
		if head.end != 4117 {
			t.Fatalf("%s: bag header ends at %d", m[1], head.end)
		}
		if !slices.Equal(got.rows, want.rows) {
			t.Errorf("%s: a scan reads %d rows, the index %d", m[1], len(got.rows), len(want.rows))
		}
		checkLogOrder(t, read(t, data, pipeline.Selection{Order: pipeline.LogOrder}, pipeline.DecodeOptions{Workers: 4, BatchRows: 100}), want)
	}
	if files < 18 || garbage < 2 {
		t.Errorf("only %d files were read, %d of them garbage", files, garbage)
	}
}

// TestTwins reads one drive in three compressions.
func TestTwins(t *testing.T) {
	dir := conformance(t)
	var want []row
	for i, name := range []string{"example", "example-bz2", "example-lz4"} {
		data, err := os.ReadFile(filepath.Join(dir, "ros1_bag", "foxglove__rosbag__fixtures__"+name+".bag"))
		if err != nil {
			t.Fatal(err)
		}
		rows := everything(t, data).rows
		for i := range rows {
			rows[i].record = 0 // one of them was written in another order
		}
		slices.SortFunc(rows, func(a, b row) int {
			return cmp.Or(cmp.Compare(a.time, b.time), strings.Compare(a.table, b.table), strings.Compare(a.data, b.data))
		})
		if i == 0 {
			want = rows
		}
		if len(rows) != 8647 || !slices.Equal(rows, want) {
			t.Errorf("%s: %d rows differ", name, len(rows))
		}
	}
}
