package rosbag2

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
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
		if messages >= 0 && len(r.rows) != messages {
			t.Errorf("%s: %d rows of %d, rejected %q, problems %+v", name, len(r.rows), messages, r.rejected, r.problems)
		}
		for _, p := range r.problems {
			if p.Loses {
				t.Errorf("%s: %+v", name, p)
			}
		}
		raw := 0
		for _, i := range r.d.Tables {
			if i.Raw {
				raw++
			}
		}
		if len(r.rejected) > 0 {
			t.Logf("%s: rejected %d: %q", name, len(r.rejected), r.rejected[0])
		}
		t.Logf("%s: %d rows, %d tables, %d raw, problems %+v", name, len(r.rows), len(r.d.Tables), raw, r.problems)
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
		if messages >= 0 && len(r.rows) != messages {
			t.Errorf("%s: %d rows of %d, rejected %d, problems %+v", folder, len(r.rows), messages, len(r.rejected), r.problems)
		}
		t.Logf("%s: %d rows, indexed %v, problems %+v", strings.TrimPrefix(folder, dir), len(r.rows), r.d.Indexed, r.problems)
	}
}
