package rosbag2

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/pipeline"
)

// conformance returns the folder of recordings that others wrote.
func conformance(t testing.TB) string {
	dir := os.Getenv("DRIVEMILL_CONFORMANCE")
	if dir == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set")
	}
	return dir
}

var (
	indexLine = regexp.MustCompile(`^\| (rosbag2/\S+\.(?:db3|mcap|zstd)) \|`)
	indexSums = regexp.MustCompile(`(\d+) msgs`)
)

// indexed returns the number of messages by file, -1 where the list does not
// tell.
func indexed(t testing.TB, dir string) map[string]int {
	list, err := os.ReadFile(filepath.Join(dir, "INDEX.md"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]int)
	for line := range strings.Lines(string(list)) {
		if m := indexLine.FindStringSubmatch(line); m != nil {
			files[m[1]] = -1
			if n := indexSums.FindStringSubmatch(line); n != nil {
				files[m[1]], _ = strconv.Atoi(n[1])
			}
		}
	}
	return files
}

// falseDefinitions are files whose table message_definitions was made up for a
// test: what it says of the topic is not what the messages are.
var falseDefinitions = map[string]string{"talker.db3": "/rosout: trailing_bytes"}

// checkRejected wants no row to be rejected, but for false definitions.
func checkRejected(t *testing.T, name string, r *reading) {
	t.Helper()
	for _, why := range r.rejected {
		if falseDefinitions[filepath.Base(name)] != why {
			t.Errorf("%s: rejected %s", name, why)
		}
	}
}

// TestConformanceFiles reads every file alone, with the count that the list
// tells.
func TestConformanceFiles(t *testing.T) {
	dir := conformance(t)
	read := 0
	for name, messages := range indexed(t, dir) {
		full := filepath.Join(dir, name)
		found := openFolder(t, filepath.Dir(full), func(n string) bool { return n == filepath.Base(full) })
		r := readAll(t, found[0])
		read++
		if n := len(r.rows) + len(r.rejected); messages >= 0 && n != messages {
			t.Errorf("%s: %d rows of %d, problems %+v", name, n, messages, r.problems)
		}
		checkRejected(t, name, r)
		for _, p := range r.problems {
			if p.Loses {
				t.Errorf("%s: %+v", name, p)
			}
		}
		// Log order has the same rows.
		sorted := readWith(t, New(cdr.Encoding{}), found[0], pipeline.Selection{Order: pipeline.LogOrder}, pipeline.DecodeOptions{Workers: 3})
		if len(sorted.rows) != len(r.rows) {
			t.Errorf("%s: %d rows in log order", name, len(sorted.rows))
		}
	}
	if read < 40 {
		t.Errorf("only %d files were read", read)
	}
}

// TestConformanceFolders reads every folder as a recording.
func TestConformanceFolders(t *testing.T) {
	dir := conformance(t)
	files := indexed(t, dir)
	folders := make(map[string]int)
	err := filepath.WalkDir(filepath.Join(dir, "rosbag2"), func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == MetadataFile {
			folders[filepath.Dir(p)] = 0
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range files {
		folder := filepath.Dir(filepath.Join(dir, name))
		if _, ok := folders[folder]; ok && (n < 0 || folders[folder] < 0) {
			folders[folder] = -1
		} else if ok {
			folders[folder] += n
		}
	}
	for folder, messages := range folders {
		found := openFolder(t, folder, func(n string) bool { return n == MetadataFile })
		if len(found) != 1 {
			t.Fatalf("%s: %d recordings", folder, len(found))
		}
		r := readAll(t, found[0])
		if n := len(r.rows) + len(r.rejected); messages >= 0 && n != messages {
			t.Errorf("%s: %d rows of %d, problems %+v", folder, n, messages, r.problems)
		}
		checkRejected(t, found[0].Object().Key, r)
		if !r.d.Indexed && r.has("missing_file") == nil && r.has("unindexed") == nil && r.has("bad_index") == nil {
			t.Errorf("%s was scanned, problems %+v", folder, r.problems)
		}
		number := map[string]string{"wbag": "6 ", "bag_with_topics_and_service_events": "22 ", "wrong_rmw_test": "26 "}[filepath.Base(folder)]
		t.Run(number+filepath.Base(filepath.Dir(folder))+"/"+filepath.Base(folder), func(t *testing.T) {
			switch filepath.Base(folder) {
			case "wbag": // the files 1 to 3 are not at hand
				total := int64(0)
				for _, c := range r.counts {
					total += c.Indexed
				}
				if p := r.has("missing_file"); p == nil || !p.Loses || total != 6074 {
					t.Errorf("%d messages are told, problems %+v", total, r.problems)
				}
			case "bag_with_topics_and_service_events":
				for _, i := range r.d.Tables {
					if strings.HasSuffix(i.Table.Name, "_service_event") && i.Table.Column("info.event_type") < 0 {
						t.Errorf("%s: %s", i.Table.Name, i.Table.Schema)
					}
				}
			case "wrong_rmw_test":
				for _, i := range r.d.Tables {
					if !i.Raw {
						t.Errorf("%s is decoded", i.Table.Name)
					}
				}
			}
		})
	}
}

// Recordings of the same messages in both kinds of storage have the same rows.
// Definitions that only one of them holds are handed over as those of a user.
func TestConformancePairs(t *testing.T) {
	dir := filepath.Join(conformance(t), "rosbag2", "ros2__rosbag2")
	for _, pair := range []string{
		"rosbag2_py/test/resources/%s/convert_a", "rosbag2_py/test/resources/%s/convert_b", "rosbag2_py/test/resources/%s/wbag",
		"rosbag2_transport/test/resources/%s/rewriter_a", "rosbag2_transport/test/resources/%s/rewriter_b",
		"rosbag2_py/test/resources/%s/reindex_test_bags/multiple_files",
	} {
		open := func(storage string) *bagSource {
			found := openFolder(t, filepath.Join(dir, fmt.Sprintf(pair, storage)), func(string) bool { return true })
			if len(found) != 1 {
				t.Fatalf("%s: %d recordings", pair, len(found))
			}
			return found[0]
		}
		want := readAll(t, open("mcap"))
		// What the MCAP file defines, as a folder of .msg files.
		folder := t.TempDir()
		for _, p := range want.d.Index.(*recording).parts {
			for _, s := range p.info.Schemas {
				name := s.Name
				for i, text := range strings.Split(string(s.Data), strings.Repeat("=", 80)+"\n") {
					if i > 0 {
						head, rest, _ := strings.Cut(text, "\n")
						name, text = strings.TrimSpace(strings.TrimPrefix(head, "MSG:")), rest
					}
					parts := strings.Split(name, "/")
					at := filepath.Join(folder, parts[0], "msg", parts[len(parts)-1]+".msg")
					if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		got := readWith(t, withDefinitions(t, folder), open("sqlite3"), pipeline.Selection{}, pipeline.DecodeOptions{})
		if len(got.rows) < 75 {
			t.Errorf("%s: %d rows", pair, len(got.rows))
		}
		wantRows(t, pair, got.rows, want.rows)
	}
	t.Run("7 multiple files", func(t *testing.T) {
		found := openFolder(t, filepath.Join(dir, "rosbag2_py/test/resources/sqlite3/reindex_test_bags/multiple_files"), func(string) bool { return true })
		counts := make([]int, 3)
		for _, x := range readAll(t, found[0]).rows {
			counts[x.object]++
		}
		if !slices.Equal(counts, []int{1324, 1324, 529}) {
			t.Errorf("counts by file %v", counts)
		}
	})
}

// The types built in have the columns that recordings define for them.
func TestConformanceBuiltins(t *testing.T) {
	dir := filepath.Join(conformance(t), "rosbag2", "geocamxyz__rosbags-rs", "tests", "test_bags")
	compared := 0
	for _, bag := range []string{"test_bag_sqlite3", "test_bag_mcap"} {
		r := readAll(t, openFolder(t, filepath.Join(dir, bag), func(string) bool { return true })[0])
		lib, _ := rosmsg.Builtins("humble")
		for _, i := range r.d.Tables {
			_, text, err := lib.Definition(i.SchemaName)
			if err != nil {
				t.Logf("%s is not built in", i.SchemaName)
				continue
			}
			l, err := cdr.Encoding{}.Parse(message.Schema{Name: i.SchemaName, Encoding: "ros2msg", Data: text})
			if err != nil {
				t.Errorf("%s: %v", i.SchemaName, err)
				continue
			}
			compared++
			want := i.Table.Schema.Fields()
			want = want[len(want)-len(l.Fields()):]
			for k, f := range l.Fields() {
				if f.Name != want[k].Name || f.Type.String() != want[k].Type.String() {
					t.Errorf("%s: column %d is %s, want %s", i.SchemaName, k, f, want[k])
				}
			}
		}
	}
	if compared < 150 {
		t.Errorf("only %d types were compared", compared)
	}
}
