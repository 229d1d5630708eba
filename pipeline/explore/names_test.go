package explore

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

// Names of attachments never lead anywhere but into the folder.
func TestFileNames(t *testing.T) {
	for in, want := range map[string]string{
		"notes.txt":             "notes.txt",
		"/etc/passwd":           "passwd",
		"../../up":              "up",
		`..\..\Windows\sys.ini`: "sys.ini",
		`C:\x`:                  "x",
		"C:x":                   "C_x",
		"":                      "attachment",
		".":                     "attachment",
		"..":                    "attachment",
		"a/":                    "attachment",
		"a/..":                  "attachment",
		".bashrc":               "bashrc",
		"a\x00b\nc\x1b[2J":      "a_b_c_[2J",
		"con.txt":               "_con.txt",
		"LPT1":                  "_LPT1",
		"complete.txt":          "complete.txt",
		"bad\xffutf8":           "bad_utf8",
		"right\u202eleft":       "right_left",
		"ünïcode 漢字.yaml":       "ünïcode 漢字.yaml",
		"ends in dots...":       "ends in dots",
	} {
		if got := fileName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	long := fileName(strings.Repeat("漢", 300) + ".jpeg")
	if len(long) > maxFileName || !strings.HasSuffix(long, "漢.jpeg") {
		t.Errorf("%d bytes: %s", len(long), long)
	}
	got := fileNames([]pipeline.Attachment{{Name: "a.txt"}, {Name: "x/A.TXT"}, {Name: "a-2.TXT"}, {Name: ""}, {Name: "/"}})
	if want := []string{"a.txt", "A-2.TXT", "a-2-2.TXT", "attachment", "attachment-2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzFileName(f *testing.F) {
	for _, s := range []string{"a", "../x", `\`, "nul", strings.Repeat("x", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := fileName(s)
		if !filepath.IsLocal(n) || filepath.Base(n) != n || strings.ContainsAny(n, `/\`) || len(n) > maxFileName+1 || fileName(n) != n && !strings.HasPrefix(n, "_") {
			t.Errorf("%q becomes %q", s, n)
		}
	})
}

// The histogram tells medians and gaps within a 64th.
func TestHistogram(t *testing.T) {
	var h histogram
	for i := range int64(1001) {
		h.add(i * 1000)
	}
	if m := h.median(); m < 490_000 || m > 510_000 {
		t.Errorf("median %d", m)
	}
	if n := h.above(900_000); n < 85 || n > 115 {
		t.Errorf("%d above", n)
	}
	h = histogram{}
	for _, v := range []int64{0, 0, 1, 1<<63 - 1, 20e6, 20e6, 20e6, 20e6} {
		h.add(v)
	}
	if m := h.median(); m != 20e6 {
		t.Errorf("median %d", m)
	}
}

func TestBrief(t *testing.T) {
	for ns, want := range map[int64]string{0: "0s", 999: "999ns", 1234: "1.23µs", 12_345_678: "12.3ms", 123_456_789: "123ms", -1_500_000_000: "-1.5s", 3600e9: "1h0m0s"} {
		if got := brief(ns); got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
}
